#include "check/speed.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/stopwatch.h"
#include "check/kinds.h"
#include "check/run_program.h"
#include "check/suite.h"

namespace naru::check {
namespace {

constexpr int64_t kSmaller = 8;  // rows of a small shape are one of so many
constexpr int kSlow = 10;        // times what may be spent: a run that takes as long is not repeated

struct TimedShape {
  std::string_view op;
  std::vector<std::pair<std::string_view, int64_t>> sizes;  // the first one is made smaller
};

// Prompts of a model of 2048 columns; a product of few rows moves as much as it computes.
const std::vector<TimedShape>& timed_shapes() {
  static const std::vector<TimedShape> kShapes = {
      {"embed", {{"rows", 512}, {"inputs", 2048}, {"outputs", 1024}}},
      {"matmul", {{"rows", 128}, {"inputs", 2048}, {"outputs", 1024}}},
      {"grouped_matmul", {{"rows", 128}, {"inputs", 1024}, {"outputs", 256}, {"groups", 5}, {"rows_share", 1}}},
      {"rms_norm", {{"rows", 512}, {"cols", 2048}}},
      {"rope_table", {{"tokens", 512}, {"pairs", 64}}},
      {"rope", {{"tokens", 512}, {"rows_per_token", 16}, {"pairs", 32}}},
      {"round_bf16", {{"rows", 512}, {"cols", 2048}}},
      {"cache_write", {{"rows", 512}, {"heads", 4}, {"width", 64}, {"shared_width", 0}}},
      {"attention",
       {{"lengths", 512},
        {"heads", 8},
        {"key_heads", 1},
        {"width", 64},
        {"value_width", 64},
        {"chunk", 0},
        {"last", 0}}},
      {"silu_mul", {{"rows", 512}, {"cols", 2048}}},
      {"add", {{"rows", 512}, {"cols", 2048}}},
      {"route", {{"rows", 512}, {"experts", 64}, {"chosen", 6}, {"groups", 1}, {"kept", 1}}},
      {"combine", {{"rows", 256}, {"cols", 1024}, {"chosen", 6}}},
      {"log_prob", {{"rows", 32}, {"cols", 32768}}},
      {"pack", {{"outputs", 1024}, {"inputs", 1024}, {"groups", 1}}},
      {"weight_grad", {{"slots", 512}, {"outputs", 512}, {"inputs", 512}, {"groups", 1}, {"rows_share", 1}}},
      {"product", {{"rows", 512}, {"outputs", 512}, {"inputs", 512}}},
      {"column_sum", {{"rows", 512}, {"cols", 2048}}},
      {"sum_slots", {{"rows", 256}, {"cols", 1024}, {"slots", 6}}},
      {"rms_norm_grad", {{"rows", 512}, {"cols", 2048}}},
      {"rope_grad", {{"tokens", 512}, {"rows_per_token", 16}, {"pairs", 32}}},
      {"attention_grad",
       {{"lengths", 256}, {"heads", 8}, {"key_heads", 1}, {"width", 64}, {"value_width", 64}, {"listed", 0}}},
      {"silu_mul_grad", {{"rows", 512}, {"cols", 2048}}},
      {"combine_grad", {{"rows", 256}, {"cols", 1024}, {"chosen", 6}}},
      {"route_grad", {{"rows", 512}, {"experts", 64}, {"chosen", 6}}},
      {"balance_loss", {{"rows", 512}, {"experts", 64}, {"chosen", 6}, {"documents", 1}}},
      {"cross_entropy", {{"rows", 32}, {"cols", 32768}}},
      {"embed_grad", {{"rows", 512}, {"cols", 1024}, {"table", 1024}}},
      {"fill", {{"rows", 512}, {"cols", 2048}}},
      {"axpby", {{"rows", 512}, {"cols", 2048}}},
      {"sum_of_squares", {{"rows", 512}, {"cols", 2048}, {"tensors", 1}}},
      {"adamw", {{"rows", 512}, {"cols", 2048}, {"tensors", 1}}},
  };
  return kShapes;
}

}  // namespace

Arithmetic arithmetic_of(const Case& c) {
  const std::string_view word = c.kind.empty() ? std::string_view() : c.word(0);
  for (const StoredKind& kind : kStoredKinds) {
    if (kind.name != word) continue;
    if (contract::has_integer_activations(kind.rule)) return Arithmetic::kInt8;
    return kind.rule == contract::Rule::kBF16 ? Arithmetic::kBF16 : Arithmetic::kF32;
  }
  return word == "bf16" && (c.op == "product" || c.op == "weight_grad") ? Arithmetic::kBF16 : Arithmetic::kF32;
}

Case timed_case(const Case& like, bool is_small) {
  const auto& shapes = timed_shapes();
  const auto shape =
      std::find_if(shapes.begin(), shapes.end(), [&](const TimedShape& each) { return each.op == like.op; });
  NARU_CHECK(shape != shapes.end(), "an op without a timed shape", like.op);
  Case timed = like;
  timed.values = Values::kPlain, timed.gap = 0, timed.seed = 1, timed.is_large = false;
  for (size_t i = 0; i < shape->sizes.size(); ++i) {
    const auto& [name, size] = shape->sizes[i];
    for (Dimension& dimension : timed.dimensions) {
      if (dimension.name == name)
        dimension.sizes = {i == 0 && is_small ? std::max<int64_t>(size / kSmaller, 11) : size};
    }
  }
  return timed;
}

Result<Speed> measure_speed(const Case& c, contract::Chip& chip, double seconds) {
  const Program program = build(c);
  NARU_ASSIGN(const LoadedProgram loaded, LoadedProgram::load(program, chip));
  Speed speed{.c = c, .seconds = std::numeric_limits<double>::infinity(), .cost = {}};
  const auto is_of_op = [&](const contract::Op& op) { return contract::op_name(op) == c.op; };
  for (const contract::Op& op : loaded.ops()) {
    if (is_of_op(op)) speed.cost += contract::cost(op);
  }
  const auto begin = std::chrono::steady_clock::now();
  // The first run touches the memory; where it takes long that is a small part of it, and it is the only one.
  for (int n = 0; n == 0 || seconds_since(begin) < (n == 1 ? kSlow * seconds : seconds); ++n) {
    double run_seconds = 0;
    for (const contract::Op& op : loaded.ops()) {
      const auto op_begin = std::chrono::steady_clock::now();
      NARU_TRY(chip.run(op));
      NARU_TRY(chip.wait());
      if (is_of_op(op)) run_seconds += seconds_since(op_begin);
    }
    speed.seconds = std::min(speed.seconds, std::max(run_seconds, 1e-9));
  }
  return speed;
}

}  // namespace naru::check
