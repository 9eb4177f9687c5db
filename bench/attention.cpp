// Speed of the CPU chip's attention and of its gradient, over packed documents of one length, in GFLOP/s of what the
// ops cost (contract/op_table.h; what is masked is not counted). All cases alternate; every line is the median of
// rounds.
// bench_attention --help lists its options.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "bench/options.h"
#include "check/case.h"
#include "check/run_program.h"
#include "chips/cpu/cpu_chip.h"
#include "contract/op_table.h"

namespace naru {
namespace {

bool is_cpu_clock = false;

// Wall time; or, where others share the cores, the processor time of this process (use one thread then).
double seconds() {
  timespec now{};
  ::clock_gettime(is_cpu_clock ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Shape {
  int64_t rows, documents, heads, key_heads, width;
  bool is_latent = false;
  int64_t listed = 0;  // selected positions a token, anywhere up to its own; 0: all
};

// A forward and its gradient: the last two ops of a case of the contract suite.
class Case {
 public:
  Case(contract::Chip& chip, const Shape& shape, DType dtype) : chip_(chip), program_(load(chip, shape, dtype)) {
    name_ = fmt::format("{} {} of {}, {} heads on {}, width {}{}{}", dtype_name(dtype), shape.documents, shape.rows,
                        shape.heads, shape.key_heads, shape.width, shape.is_latent ? " latent" : "",
                        shape.listed > 0 ? fmt::format(", {} selected", shape.listed) : "");
    const Status status = program_.run();
    NARU_CHECK(status.ok(), status.ok() ? "" : status.error().message);
    ops_ = {program_.ops().end() - 2, program_.ops().end()};
    rates_.resize(ops_.size());
  }

  void measure_once() {
    for (size_t i = 0; i < ops_.size(); ++i) {
      for (int64_t times = 1;; times *= 2) {
        const double begin = seconds();
        for (int64_t k = 0; k < times; ++k) run(ops_[i]);
        const double took = seconds() - begin;
        if (took < 0.03) continue;
        rates_[i].push_back(static_cast<double>(times) * contract::cost(ops_[i]).flops / took * 1e-9);
        break;
      }
    }
  }

  void print() {
    fmt::print("{:<52}", name_);
    double median[2];
    for (size_t i = 0; i < rates_.size(); ++i) {
      std::sort(rates_[i].begin(), rates_[i].end());
      median[i] = rates_[i][rates_[i].size() / 2];
      fmt::print(" {} {:>6.1f} ({:.1f} to {:.1f})", i == 0 ? "forward" : "gradient", median[i], rates_[i].front(),
                 rates_[i].back());
    }
    fmt::print(" ratio {:.2f}\n", median[1] / median[0]);
  }

 private:
  void run(const contract::Op& op) {
    const Status status = chip_.run(op);
    NARU_CHECK(status.ok(), status.ok() ? "" : status.error().message);
  }
  static check::LoadedProgram load(contract::Chip& chip, const Shape& shape, DType dtype) {
    const std::vector<int64_t> lengths(static_cast<size_t>(shape.documents), shape.rows);
    const auto c = check::parse_case(
        fmt::format("attention_grad {}/{}/{} heads={} key_heads={} width={} value_width={} lengths={} listed={} gap=0",
                    dtype_name(dtype), shape.is_latent ? "latent" : "grouped", shape.listed > 0 ? "few" : "every",
                    shape.heads, shape.key_heads, shape.width, shape.is_latent ? shape.width * 3 / 4 : shape.width,
                    fmt::join(lengths, ","), shape.listed));
    if (!c.ok()) Options::refuse("--shape", "is of no case: " + c.error().message);
    auto loaded = check::LoadedProgram::load(check::build(*c), chip);
    if (!loaded.ok()) Options::refuse("--shape", "does not fit: " + loaded.error().message);
    return std::move(*loaded);
  }

  contract::Chip& chip_;
  check::LoadedProgram program_;
  std::string name_;
  std::vector<contract::Op> ops_;
  std::vector<std::vector<double>> rates_;
};

const std::vector<Options::Option> kOptions = {
    {"--level", "level of the CPU chip (default: the best)"},
    {"--threads", "threads (default 0: all cores)"},
    {"--rounds", "rounds, of which the median is taken (default 5)"},
    {"--clock", "wall (default) or cpu: this process's own time; use one thread then"},
    {"--bf16-dot", "1: bf16 by the dot instruction; 0: by f32 fma (default: as the chip chooses)"},
    {"--shape", "ROWSxDOCUMENTSxHEADSxKEYHEADSxWIDTH: only this one"},
    {"--latent", "1: the values of --shape are the first 3/4 of its keys (default 0)"},
    {"--selected", "selected positions a token of --shape (default 0: all)"},
};
constexpr std::string_view kHelp =
    "bench_attention: speed of the CPU chip's attention and of its gradient over packed documents, in GFLOP/s.";

int run(const Options& options) {
  cpu::CpuOptions cpu_options;
  cpu_options.n_threads = static_cast<int>(options.number("--threads", 0, 0, 1024));
  if (options.has("--level")) cpu_options.level = options.text("--level");
  if (options.has("--bf16-dot")) cpu_options.bf16_dot = options.flag("--bf16-dot", true);
  const std::vector<int64_t> s = options.sizes("--shape", 5);
  for (const char* name : {"--latent", "--selected"}) {
    if (s.empty() && options.has(name)) Options::refuse(name, "belongs to --shape");
  }
  auto made = cpu::make_cpu_chip(cpu_options);
  if (!made.ok()) {
    fmt::print(stderr, "{}\n", made.error().message);
    return 2;
  }
  contract::Chip& chip = **made;
  fmt::print("{}; level {}, {} threads; GFLOP/s\n", chip.info().detail, chip.info().level, chip.info().n_threads);
  is_cpu_clock = options.text("--clock", "wall") == "cpu";
  std::vector<Shape> shapes = {{512, 1, 8, 8, 64},  {512, 8, 8, 8, 64},  {100, 40, 8, 8, 64},     {30, 100, 8, 8, 64},
                               {100, 40, 8, 2, 64}, {2048, 1, 1, 1, 64}, {512, 4, 4, 1, 64, true}};
  for (const int64_t rows : {512, 2048, 8192}) shapes.push_back({rows, 1, 16, 1, 64, true, 128});
  if (!s.empty()) {
    shapes = {
        {s[0], s[1], s[2], s[3], s[4], options.flag("--latent", false), options.number("--selected", 0, 0, 1 << 16)}};
  }
  std::vector<std::unique_ptr<Case>> cases;
  for (const DType dtype : {DType::kF32, DType::kBF16})
    for (const Shape& shape : shapes) cases.push_back(std::make_unique<Case>(chip, shape, dtype));
  for (int64_t round = options.number("--rounds", 5, 1, 1000); round > 0; --round)
    for (const auto& c : cases) c->measure_once();
  for (const auto& c : cases) c->print();
  return 0;
}

}  // namespace
}  // namespace naru

int main(int argc, char** argv) {
  return naru::run(naru::Options(argc, argv, naru::kHelp, naru::kOptions));
}
