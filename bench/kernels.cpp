// Speed of the CPU chip's products beside what the machine itself reaches in the same minute: its instructions
// on registers alone, and the memory's read bandwidth. Every line is the median of rounds in which all
// cases alternate, because shared machines change speed from minute to minute.
//
// bench_kernels --help lists its options.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/thread_pool.h"
#include "bench/options.h"
#include "check/case.h"
#include "check/run_program.h"
#include "chips/cpu/cpu_chip.h"
#include "chips/cpu/cpu_level.h"
#include "chips/cpu/memory.h"
#include "chips/cpu/peak_kernels.h"

namespace naru {
namespace {

using contract::Rule;

bool is_cpu_clock = false;

// Wall time; or, where others share the cores, the processor time of this process (use one thread then).
double seconds() {
  timespec now{};
  ::clock_gettime(is_cpu_clock ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// One measured thing: `run` does `work` units (operations or bytes).
struct Case {
  std::string name;
  double work = 0;
  std::string unit;
  std::function<void()> run;
  std::vector<double> rates;
};

void measure_once(Case& c, double seconds_min) {
  int64_t times = 1;
  while (true) {
    const double begin = seconds();
    for (int64_t i = 0; i < times; ++i) c.run();
    const double took = seconds() - begin;
    if (took >= seconds_min) {
      c.rates.push_back(static_cast<double>(times) * c.work / took * 1e-9);
      return;
    }
    times = took < seconds_min / 20 ? times * 8 : times * 2;
  }
}

float sink = 0;  // keeps results alive

// The calling thread takes part in the pool, and is in the mode of the level only as long as a FloatMode says so.
void add_peak(std::vector<Case>& cases, std::string_view what, const cpu::PeakKernel& kernel,
              const cpu::KernelTable& table, ThreadPool& pool) {
  constexpr int64_t kRounds = 100000;
  cases.push_back({fmt::format("peak {}, {}", what, kernel.instruction),
                   kernel.operations * kRounds * pool.n_threads(),
                   "GOP/s",
                   [&pool, &table, run = kernel.run] {
                     const cpu::FloatMode mode(table);
                     pool.parallel_for(pool.n_threads(), [&](int64_t, int) {
                       NARU_CHECK(cpu::is_prepared(table), table.level);
                       run(kRounds);
                     });
                   },
                   {}});
}

void add_machine_cases(std::vector<Case>& cases, const cpu::KernelTable& table, ThreadPool& pool) {
  const cpu::PeakKernels kernels = cpu::peak_kernels(table.level);
  add_peak(cases, "f32", kernels.f32, table, pool);
  if (kernels.bf16.instruction != kernels.f32.instruction) add_peak(cases, "bf16", kernels.bf16, table, pool);
  add_peak(cases, "int8", kernels.int8, table, pool);
  constexpr int64_t kBytes = int64_t{256} << 20;
  static cpu::Memory memory;
  if (memory.data() == nullptr) {
    auto mapped = cpu::Memory::map(kBytes, "reading");
    NARU_CHECK(mapped.ok(), mapped.ok() ? "" : mapped.error().message);
    memory = std::move(*mapped);
    std::memset(memory.data(), 1, kBytes);
  }
  cases.push_back({"memory read",
                   static_cast<double>(kBytes),
                   "GB/s",
                   [&pool] {
                     const int64_t parts = pool.n_threads() * 8;
                     const int64_t part = kBytes / parts / 4096 * 4096;
                     std::vector<uint64_t> sums(static_cast<size_t>(parts));
                     pool.parallel_for(parts, [&](int64_t i, int) {
                       sums[static_cast<size_t>(i)] = cpu::read_memory(memory.data() + i * part, part);
                     });
                     sink += static_cast<float>(sums[0] & 1);
                   },
                   {}});
}

struct Kind {
  DType stored;
  Rule rule;
};
constexpr Kind kKinds[] = {
    {DType::kF32, Rule::kF32},   {DType::kF16, Rule::kF32},   {DType::kBF16, Rule::kBF16}, {DType::kI8, Rule::kW8A8},
    {DType::kQ8_0, Rule::kQ8_0}, {DType::kQ4_0, Rule::kQ4_0}, {DType::kQ4_1, Rule::kQ4_1}, {DType::kQ5_0, Rule::kQ5_0},
    {DType::kQ5_1, Rule::kQ5_1}, {DType::kQ4_K, Rule::kQ4_K}, {DType::kQ5_K, Rule::kQ5_K}, {DType::kQ6_K, Rule::kQ6_K},
};

// A program on the chip, whose ops are timed one by one.
using Loaded = std::shared_ptr<check::LoadedProgram>;
Loaded load(contract::Chip& chip, const check::Program& program) {
  auto loaded = check::LoadedProgram::load(program, chip);
  if (!loaded.ok()) Options::refuse("--shape", "does not fit: " + loaded.error().message);
  return std::make_shared<check::LoadedProgram>(std::move(*loaded));
}

Case time_op(contract::Chip& chip, const Loaded& loaded, size_t op, std::string name, double work, std::string unit) {
  return {std::move(name),
          work,
          std::move(unit),
          [&chip, loaded, op] { NARU_CHECK(chip.run(loaded->ops()[op]).ok()); },
          {}};
}

// Products of each number of rows with one matrix [N, K].
void add_products(std::vector<Case>& cases, contract::Chip& chip, const Kind& kind, const std::vector<int64_t>& rows,
                  int64_t outputs, int64_t inputs, bool is_bandwidth) {
  check::Program program({.gap = 0});
  const contract::PackedMatrix* weight = program.matrix(kind.stored, kind.rule, 0, 1, outputs, inputs);
  for (const int64_t n : rows) {
    contract::Matmul op{.x = program.drawn(1, n, inputs), .targets = {}};
    op.targets[0] = {weight, {}, program.output("out", n, outputs)};
    program.run(op);
  }
  const Loaded loaded = load(chip, program);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto bytes = static_cast<double>(std::get<contract::Matmul>(loaded->ops()[i]).targets[0].weight->bytes);
    const double ops = 2.0 * static_cast<double>(rows[i] * outputs) * static_cast<double>(inputs);
    cases.push_back(time_op(chip, loaded, i,
                            fmt::format("{} of {} {}x{}x{}", contract::rule_name(kind.rule), dtype_name(kind.stored),
                                        rows[i], inputs, outputs),
                            is_bandwidth ? bytes : ops, is_bandwidth ? "GB/s" : "GOP/s"));
  }
}

// The program of the contract suite's case on this line.
check::Program program_of(const std::string& line) {
  const auto c = check::parse_case(line + " gap=0");
  if (!c.ok()) Options::refuse("--shape", "is of no case: " + c.error().message);
  return check::build(*c);
}

// The ops of training, by the rule of a kind.
void add_weight_grad(std::vector<Case>& cases, contract::Chip& chip, Rule rule, int64_t slots, int64_t inputs,
                     int64_t outputs, int64_t n_experts) {
  const Loaded loaded = load(
      chip,
      program_of(fmt::format("weight_grad {}/{} slots={} inputs={} outputs={} groups={}", contract::rule_name(rule),
                             n_experts == 1 ? "heads" : "even_experts", slots, inputs, outputs, n_experts)));
  cases.push_back(time_op(
      chip, loaded, 0,
      fmt::format("weight_grad {} {}x{}x{} of {}", contract::rule_name(rule), slots, inputs, outputs, n_experts),
      2.0 * static_cast<double>(slots * inputs) * static_cast<double>(outputs), "GOP/s"));
}

void add_view_product(std::vector<Case>& cases, contract::Chip& chip, Rule rule, int64_t rows, int64_t inputs,
                      int64_t outputs) {
  const Loaded loaded = load(chip, program_of(fmt::format("product {}/a_rows/b_rows rows={} inputs={} outputs={}",
                                                          contract::rule_name(rule), rows, inputs, outputs)));
  cases.push_back(time_op(chip, loaded, 0,
                          fmt::format("product {} {}x{}x{}", contract::rule_name(rule), rows, inputs, outputs),
                          2.0 * static_cast<double>(rows * inputs) * static_cast<double>(outputs), "GOP/s"));
}

void add_pack(std::vector<Case>& cases, contract::Chip& chip, Rule rule, int64_t inputs, int64_t outputs,
              bool is_transposed) {
  const char* side = is_transposed ? "columns" : "rows";
  const Loaded loaded = load(chip, program_of(fmt::format("pack {}/{}/as_is outputs={} inputs={}",
                                                          contract::rule_name(rule), side, outputs, inputs)));
  const int64_t bytes = inputs * outputs * 4 + std::get<contract::Pack>(loaded->ops()[0]).out->bytes;
  cases.push_back(time_op(chip, loaded, 0,
                          fmt::format("pack {} {}x{} from {}", contract::rule_name(rule), outputs, inputs, side),
                          static_cast<double>(bytes), "GB/s"));
}

// The ops of training, of a shape or of a few usual ones.
void add_grad_cases(std::vector<Case>& cases, contract::Chip& chip, const std::string& op, Rule rule,
                    const int64_t* shape, int64_t n_experts) {
  constexpr int64_t kUsual[][3] = {{2048, 1024, 1024}, {2048, 256, 256}, {2048, 256, 1024}, {2048, 1024, 256}};
  for (const auto& usual : kUsual) {
    const int64_t* s = shape != nullptr ? shape : usual;
    if (op == "weight_grad") add_weight_grad(cases, chip, rule, s[0], s[1], s[2], n_experts);
    if (op != "pack") {  // the forward's product of the same size, to compare with
      add_products(cases, chip, {DType::kF32, rule}, {s[0]}, s[2], s[1], false);
    }
    if (op == "product") add_view_product(cases, chip, rule, s[0], s[1], s[2]);
    if (op == "pack") {
      add_pack(cases, chip, rule, s[1], s[2], false);
      add_pack(cases, chip, rule, s[1], s[2], true);
    }
    if (shape != nullptr) return;
  }
}

void print(std::vector<Case>& cases) {
  for (Case& c : cases) {
    std::sort(c.rates.begin(), c.rates.end());
    const double median = c.rates[c.rates.size() / 2];
    fmt::print("{:<34} {:>9.1f} {:<6} ({:.1f} to {:.1f}); {:.3f} ms\n", c.name, median, c.unit, c.rates.front(),
               c.rates.back(), c.work / median * 1e-6);
  }
}

void run_rounds(std::vector<Case>& cases, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (Case& c : cases) measure_once(c, 0.02);
  }
}

const std::vector<Options::Option> kOptions = {
    {"--level", "level of the CPU chip (default: the best)"},
    {"--threads", "threads (default 0: all cores)"},
    {"--rounds", "rounds, of which the median is taken (default 7)"},
    {"--kind", "only weights of this dtype: f32, f16, bf16, i8, q8_0, ..."},
    {"--clock", "wall (default) or cpu: this process's own time; use one thread then"},
    {"--bf16-dot", "1: bf16 products by the dot instruction; 0: by f32 fma (default: as the chip chooses)"},
    {"--shape", "TxKxN: only this product, of T rows and a matrix [N, K]"},
    {"--op",
     "matmul (default), weight_grad ([N, K] from T slots), product ([T, K] by [N, K]) or pack ([N, K], from "
     "rows and from columns); all but matmul take the kinds f32 and bf16"},
    {"--experts", "groups of weight_grad (default 1)"},
};
constexpr std::string_view kHelp =
    "bench_kernels: speed of the CPU chip's products beside what the machine itself reaches in the same minute.";

struct Bench {
  contract::Chip& chip;
  const cpu::KernelTable& table;
  ThreadPool& pool;
  int rounds;
  std::string op;
  std::vector<int64_t> shape;  // T, K, N; empty: the usual ones
  int64_t n_experts;

  // Rounds of the machine's cases and `cases` in turn; prints the latter, or all where there are none.
  void measure(std::vector<Case> cases) const {
    std::vector<Case> all;
    add_machine_cases(all, table, pool);
    const auto n_machine = static_cast<int64_t>(cases.empty() ? 0 : all.size());
    std::move(cases.begin(), cases.end(), std::back_inserter(all));
    run_rounds(all, rounds);
    all.erase(all.begin(), all.begin() + n_machine);
    print(all);
  }

  void products_of(const Kind& kind) const {
    std::vector<Case> cases;
    if (!shape.empty()) {
      if (!dtype_bytes(kind.stored, shape[1])) {
        Options::refuse("--shape", fmt::format("has a K that no row of {} has", dtype_name(kind.stored)));
      }
      add_products(cases, chip, kind, {shape[0]}, shape[2], shape[1], shape[0] < 5);
      return measure(std::move(cases));
    }
    const int64_t inputs = 2048;
    add_products(cases, chip, kind, {512, 64}, 2048, inputs, false);
    // A matrix of about 160 MB streams from memory.
    const double row_bytes = static_cast<double>(*dtype_bytes(kind.stored, inputs));
    const int64_t outputs = round_up(static_cast<int64_t>(160e6 / row_bytes), 64);
    add_products(cases, chip, kind, {1, 2, 4, 8}, outputs, inputs, true);
    measure(std::move(cases));
  }
};

int run(const Options& options) {
  cpu::CpuOptions cpu_options;
  cpu_options.n_threads = static_cast<int>(options.number("--threads", 0, 0, 1024));
  if (options.has("--level")) cpu_options.level = options.text("--level");
  if (options.has("--bf16-dot")) cpu_options.bf16_dot = options.flag("--bf16-dot", true);
  const std::string only = options.text("--kind"), op = options.text("--op", "matmul");
  const auto is_known = [&](std::string_view name) {
    return std::any_of(std::begin(kKinds), std::end(kKinds),
                       [&](const Kind& k) { return dtype_name(k.stored) == name; });
  };
  if (!only.empty() && !is_known(only)) Options::refuse("--kind", "is no kind of weights");
  if (op != "matmul" && op != "weight_grad" && op != "product" && op != "pack") {
    Options::refuse("--op", "is none of matmul, weight_grad, product, pack");
  }
  auto made = cpu::make_cpu_chip(cpu_options);
  if (!made.ok()) {
    fmt::print(stderr, "{}\n", made.error().message);
    return 2;
  }
  contract::Chip& chip = **made;
  fmt::print("{}; level {}, {} threads\n", chip.info().detail, chip.info().level, chip.info().n_threads);
  is_cpu_clock = options.text("--clock", "wall") == "cpu";
  auto table = cpu::choose_level(std::string(chip.info().level));
  NARU_CHECK(table.ok());
  auto threads = ThreadPool::create(chip.info().n_threads, [table = *table] { cpu::prepare_thread(*table); });
  if (!threads.ok()) {
    fmt::print(stderr, "{}\n", threads.error().message);
    return 2;
  }
  ThreadPool& pool = **threads;
  const Bench bench{.chip = chip,
                    .table = **table,
                    .pool = pool,
                    .rounds = static_cast<int>(options.number("--rounds", 7, 1, 1000)),
                    .op = op,
                    .shape = options.sizes("--shape", 3),
                    .n_experts = options.number("--experts", 1, 1, 65536)};
  bench.measure({});
  for (const Kind& kind : kKinds) {
    if (!only.empty() && dtype_name(kind.stored) != only) continue;
    if (op == "matmul") {
      bench.products_of(kind);
    } else if (kind.stored == DType::kF32 || kind.stored == DType::kBF16) {
      std::vector<Case> cases;
      add_grad_cases(cases, chip, op, kind.rule, bench.shape.empty() ? nullptr : bench.shape.data(), bench.n_experts);
      bench.measure(std::move(cases));
    }
  }
  return 0;
}

}  // namespace
}  // namespace naru

int main(int argc, char** argv) {
  return naru::run(naru::Options(argc, argv, naru::kHelp, naru::kOptions));
}
