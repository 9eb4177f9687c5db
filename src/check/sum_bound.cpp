#include "check/sum_bound.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "check/kinds.h"
#include "contract/scalar.h"

namespace naru::check {
namespace {

constexpr double kRounding = 0x1p-24;
// Beside the additions: the product of an unfused step, the final + (+0), a bias or the old value of a sum that goes
// on.
constexpr int64_t kOtherRoundings = 3;
// Of rms_norm: half of the sum's error, and one rounding each of the mean, eps, the root, the quotient, two products.
constexpr int64_t kNormRoundings = 8;

bool has_float_rule(const Case& c) {
  const contract::Rule rule = stored_kind(c.word(0)).rule;
  return rule == contract::Rule::kF32 || rule == contract::Rule::kBF16;
}

// Terms of the longest sum of a case whose op is a sum of products of floats.
std::optional<int64_t> longest_sum(const Case& c, const Program& program) {
  if (c.op == "matmul" || c.op == "grouped_matmul") {
    if (!has_float_rule(c)) return std::nullopt;
    return c.at("inputs");
  }
  if (c.op == "product" || c.op == "pack") return c.at("inputs");
  if (c.op == "weight_grad") return c.at("slots");
  if (c.op == "column_sum" || c.op == "embed_grad") return c.at("rows");
  if (c.op == "sum_slots") return c.at("slots");
  if (c.op == "combine") return c.at("chosen") + 2;
  if (c.op == "rms_norm") return c.at("cols") + kNormRoundings;
  if (c.op == "sum_of_squares") {
    int64_t longest = 0;
    for (const View& x : std::get<contract::SumOfSquares>(program.ops().back()).x) {
      longest = std::max(longest, x.rows * x.cols);
    }
    return longest;
  }
  return std::nullopt;
}

// No order of sums gives one: results are flushed.
bool is_subnormal(float value) {
  return value != 0 && std::fabs(value) < contract::kMinNormal;
}

// The contract's sums end with + (+0), in every order.
bool is_lost_zero(float got, float want) {
  return got == 0 && std::signbit(got) && want == 0;
}

// Why a value is no sum in another order.
std::string reason(float got, float want, int64_t n_terms, double most) {
  if (is_subnormal(got)) return "which is subnormal, and results are flushed in every order";
  if (is_lost_zero(got, want)) return "and sums end with + (+0) in every order";
  return fmt::format("which sums of {} terms may miss by {:.3g}", n_terms, most);
}

bool is_alike(float got, float want) {
  return contract::canonical_bits(got) == contract::canonical_bits(want);
}

}  // namespace

double SumBound::part() const {
  const double n = static_cast<double>(n_terms) * kRounding;
  return n < 0.5 ? 2 * n / (1 - n) / (1 - n) : INFINITY;
}

double SumBound::of(double magnitude) const {
  return part() * magnitude + 2 * static_cast<double>(n_terms) * static_cast<double>(contract::kMinNormal);
}

Result<std::optional<SumBound>> sum_bound(const Case& c, contract::Chip& reference) {
  Program program = build(c);
  const std::optional<int64_t> n = longest_sum(c, program);
  if (!n) return std::optional<SumBound>();
  program.drop_signs();
  SumBound bound;
  bound.n_terms = *n + kOtherRoundings;
  NARU_ASSIGN(bound.magnitudes, run_program(program, reference));
  bound.may_overflow = c.values == Values::kWide || c.values == Values::kAny;
  return std::optional<SumBound>(std::move(bound));
}

SumErrors sum_errors(const Program& program, const Outcome& got, const Outcome& want, const SumBound& bound) {
  SumErrors errors;
  for (size_t o = 0; o < program.outputs().size(); ++o) {
    const View& view = program.outputs()[o].view;
    const std::vector<float> gots = output_values(program, got, o), wants = output_values(program, want, o);
    const std::vector<float> magnitudes = output_values(program, bound.magnitudes, o);
    for (size_t i = 0; i < gots.size(); ++i) {
      if (is_alike(gots[i], wants[i])) continue;
      if (bound.may_overflow && std::isinf(magnitudes[i])) continue;
      const double error = std::fabs(static_cast<double>(gots[i]) - static_cast<double>(wants[i]));
      const double most = bound.of(magnitudes[i]);
      // Also false where one of them is NaN.
      if (error <= most && std::isfinite(most) && !is_subnormal(gots[i]) && !is_lost_zero(gots[i], wants[i])) {
        const auto magnitude = static_cast<double>(magnitudes[i]);
        const bool is_of_flushes = bound.part() * magnitude < most / 2;
        if (is_of_flushes || error / most <= errors.worst) continue;
        errors.worst = error / most;
        errors.error = error / magnitude;
        continue;
      }
      if (!errors.beyond.empty()) continue;
      const auto at = static_cast<int64_t>(i);
      errors.beyond = fmt::format(
          "output '{}', row {} of {}, column {} of {}: {}, wanted {}, {}", program.outputs()[o].name, at / view.cols,
          view.rows, at % view.cols, view.cols, value_text(view.dtype, std::bit_cast<uint32_t>(gots[i])),
          value_text(view.dtype, std::bit_cast<uint32_t>(wants[i])), reason(gots[i], wants[i], bound.n_terms, most));
    }
  }
  return errors;
}

}  // namespace naru::check
