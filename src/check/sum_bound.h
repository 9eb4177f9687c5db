// How far a sum in another order may come out from the contract's, as follows from its length: what a kernel that is
// bounded and not exact is held to.
//
// Two orders of a sum of n products differ by at most 2 * gamma(n) * (sum of the magnitudes of its terms), where
// gamma(n) = n u / (1 - n u), u = 2^-24, and by 2^-126 for each step that may flush. The sums of magnitudes are what
// the reference chip makes of the case's operands without their signs. Derived for ops that are sums of products of
// floats; of all others nothing but the bits is right.
#pragma once

#include <optional>
#include <string>

#include "check/case.h"
#include "check/run_program.h"

namespace naru::check {

struct SumBound {
  int64_t n_terms = 0;        // roundings that a term goes through at most
  Outcome magnitudes;         // of the outputs: the sums of magnitudes
  bool may_overflow = false;  // operands are of any size: sums that are not finite say nothing of an order

  // As a part of the sum of magnitudes.
  double part() const;
  double of(double magnitude) const;
};

// Empty where none is derived for the case's op and kind.
Result<std::optional<SumBound>> sum_bound(const Case& c, contract::Chip& reference);

struct SumErrors {
  // Of values whose bound is more than what may be flushed:
  double worst = 0;    // the largest error as a part of its bound
  double error = 0;    // that error as a part of its sum of magnitudes
  std::string beyond;  // the first value beyond its bound, or a subnormal one, in words; empty: there is none
};
SumErrors sum_errors(const Program& program, const Outcome& got, const Outcome& want, const SumBound& bound);

}  // namespace naru::check
