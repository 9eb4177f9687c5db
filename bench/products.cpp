// Speed of products on any chip of the registry, by its name: one matrix [N, K] and T rows, as a model's linear layers
// have them. The chip's queue is filled with calls and waited for at their end; each line is the median of some rounds.
//
// bench_products --help lists its options.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "bench/options.h"
#include "check/run_program.h"
#include "chips/registry/registry.h"

namespace naru {
namespace {

using contract::Rule;

struct Kind {
  DType stored;
  Rule rule;
};
constexpr Kind kKinds[] = {
    {DType::kF32, Rule::kF32},   {DType::kBF16, Rule::kBF16}, {DType::kI8, Rule::kW8A8},   {DType::kQ8_0, Rule::kQ8_0},
    {DType::kQ4_0, Rule::kQ4_0}, {DType::kQ4_1, Rule::kQ4_1}, {DType::kQ5_0, Rule::kQ5_0}, {DType::kQ5_1, Rule::kQ5_1},
    {DType::kQ4_K, Rule::kQ4_K}, {DType::kQ5_K, Rule::kQ5_K}, {DType::kQ6_K, Rule::kQ6_K},
};

double seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Seconds of a call: as many in a row as take `seconds_min` together.
Result<double> time_calls(contract::Chip& chip, const contract::Op& op, double seconds_min) {
  for (int64_t times = 1;; times *= 4) {
    NARU_TRY(chip.wait());
    const double begin = seconds();
    for (int64_t i = 0; i < times; ++i) NARU_TRY(chip.run(op));
    NARU_TRY(chip.wait());
    const double took = seconds() - begin;
    if (took >= seconds_min || times > (int64_t{1} << 20)) return took / static_cast<double>(times);
  }
}

Status measure(contract::Chip& chip, const Kind& kind, const std::vector<int64_t>& shape, int64_t rounds) {
  const int64_t rows = shape[0], inputs = shape[1], outputs = shape[2];
  if (!dtype_bytes(kind.stored, inputs)) {
    Options::refuse("--shape", fmt::format("has a K that no row of {} has", dtype_name(kind.stored)));
  }
  check::Program program({.gap = 0});
  contract::Matmul op{.x = program.drawn(1, rows, inputs), .targets = {}};
  op.targets[0] = {
      program.matrix(kind.stored, kind.rule, 0, 1, outputs, inputs), {}, program.output("out", rows, outputs)};
  program.run(op);
  NARU_ASSIGN(check::LoadedProgram loaded, check::LoadedProgram::load(program, chip));
  const contract::Op& here = loaded.ops()[0];
  std::vector<double> times;
  for (int64_t i = 0; i <= rounds; ++i) {
    NARU_ASSIGN(const double time, time_calls(chip, here, i == 0 ? 0 : 0.05));
    if (i > 0) times.push_back(time);  // the first one may compile
  }
  std::sort(times.begin(), times.end());
  const double time = times[times.size() / 2];
  const double ops = 2.0 * static_cast<double>(rows) * static_cast<double>(inputs) * static_cast<double>(outputs);
  const auto bytes = static_cast<double>(std::get<contract::Matmul>(here).targets[0].weight->bytes);
  fmt::print("{} of {} {}x{}x{}: {:.1f} GOP/s, {:.1f} GB/s of weights, {:.4f} ms ({:.4f} to {:.4f})\n",
             contract::rule_name(kind.rule), dtype_name(kind.stored), rows, inputs, outputs, ops / time * 1e-9,
             bytes / time * 1e-9, time * 1e3, times.front() * 1e3, times.back() * 1e3);
  std::fflush(stdout);
  return {};
}

const std::vector<Options::Option> kOptions = {
    {"--chip", "the chip: cpu (default), opencl, cuda, cuda:1, ..."},
    {"--threads", "threads of the chip cpu (default 0: all cores)"},
    {"--kind", "only weights of this dtype: f32, bf16, i8, q8_0, ... (default: all)"},
    {"--shape", "TxKxN: T rows and a matrix [N, K] (default 512x2048x2048)"},
    {"--rounds", "rounds, of which the median is taken (default 5)"},
};
constexpr std::string_view kHelp = "bench_products: speed of products on any chip.";

int run(const Options& options) {
  const std::string only = options.text("--kind");
  const auto is_wanted = [&](const Kind& kind) { return only.empty() || dtype_name(kind.stored) == only; };
  if (std::none_of(std::begin(kKinds), std::end(kKinds), is_wanted)) Options::refuse("--kind", "is no kind of weights");
  std::vector<int64_t> shape = options.sizes("--shape", 3);
  if (shape.empty()) shape = {512, 2048, 2048};
  const int64_t rounds = options.number("--rounds", 5, 1, 1000);
  const auto chip = chips::make_chip(options.text("--chip", "cpu"),
                                     {.n_threads = static_cast<int>(options.number("--threads", 0, 0, 1024))});
  if (!chip.ok()) {
    fmt::print(stderr, "{}\n", chip.error().message);
    return 2;
  }
  fmt::print("{}: {}\n", (*chip)->info().name, (*chip)->info().detail);
  for (const Kind& kind : kKinds) {
    if (!is_wanted(kind)) continue;
    if (const Status status = measure(**chip, kind, shape, rounds); !status.ok()) {
      fmt::print(stderr, "{}\n", status.error().message);
      return exit_status(status.error().code);
    }
  }
  return 0;
}

}  // namespace
}  // namespace naru

int main(int argc, char** argv) {
  return naru::run(naru::Options(argc, argv, naru::kHelp, naru::kOptions));
}
