// Programs on the chips under test: what the reference chip makes of one is computed once, and every other chip must
// give its bits (check/run_program.h).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <variant>

#include "check/case.h"
#include "check/run_program.h"
#include "tests/contract/cpu_chips.h"

namespace naru::test {

// Baseline is right, not fast: large programs are left out.
inline bool is_slow(const NamedChip& named) {
  return named.name.starts_with("baseline");
}

inline check::Outcome outcome_on(contract::Chip& chip, const check::Program& program) {
  return check::run_program(program, chip).value();
}

inline check::Outcome reference_outcome(const check::Program& program) {
  static const auto kChip = make_chip("reference");
  check::Outcome outcome = outcome_on(*kChip, program);
  EXPECT_EQ(outcome.stray, "") << "on the reference chip";
  return outcome;
}

// Tiles are for products (Pack makes their matrices); all else a chip of tiles runs by the kernels of its level.
inline bool has_products(const check::Program& program) {
  using namespace contract;
  return std::any_of(program.ops().begin(), program.ops().end(), [](const Op& op) {
    return std::holds_alternative<Matmul>(op) || std::holds_alternative<GroupedMatmul>(op) ||
           std::holds_alternative<Embed>(op) || std::holds_alternative<WeightGrad>(op) ||
           std::holds_alternative<Product>(op) || std::holds_alternative<Pack>(op);
  });
}

// Every chip gives the outcome that is wanted.
inline void expect_outcome(const std::string& what, const check::Program& program, const check::Outcome& want,
                           bool is_large = false) {
  const bool needs_tiles = has_products(program);
  for (const NamedChip& named : cpu_chips()) {
    if (is_large && is_slow(named)) continue;
    if (!needs_tiles && named.name.find("+tiles") != std::string::npos) continue;
    ASSERT_EQ(check::difference(program, outcome_on(*named.chip, program), want), "") << what << "\non " << named.name;
  }
}

// Returns the reference chip's outcome.
inline check::Outcome expect_equal(const std::string& what, const check::Program& program, bool is_large = false) {
  check::Outcome want = reference_outcome(program);
  expect_outcome(what, program, want, is_large);
  return want;
}

}  // namespace naru::test
