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
#include <random>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/thread_pool.h"
#include "bench/options.h"
#include "chips/cpu/cpu_chip.h"
#include "chips/cpu/cpu_level.h"
#include "chips/cpu/memory.h"
#include "chips/cpu/peak_kernels.h"
#include "chips/memory/host_memory.h"

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

// A matrix of sensible random weights, all rows alike but for their position.
std::unique_ptr<contract::PackedMatrix> make_matrix(contract::Chip& chip, const Kind& kind, int64_t outputs,
                                                    int64_t inputs) {
  const int64_t row_bytes = *dtype_bytes(kind.stored, inputs);
  std::vector<std::byte> row(static_cast<size_t>(row_bytes));
  std::mt19937 random(1);
  const DTypeInfo& info = dtype_info(kind.stored);
  const uint16_t scale = 0x2c00;  // 1/16 as f16, about 1e-11 as bf16
  for (int64_t i = 0; i < row_bytes; ++i) row[static_cast<size_t>(i)] = static_cast<std::byte>(random());
  for (int64_t i = 0; i < inputs; i += info.block_elements) {
    std::byte* block = row.data() + i / info.block_elements * info.block_bytes;
    const float value = 0.01f + static_cast<float>(i % 7);
    if (kind.stored == DType::kF32) std::memcpy(block, &value, 4);
    if (kind.stored == DType::kF16) std::memcpy(block, &scale, 2);
    if (kind.stored == DType::kBF16) std::memcpy(block, reinterpret_cast<const std::byte*>(&value) + 2, 2);
    if (is_quantised(kind.stored)) {
      std::byte* at = kind.stored == DType::kQ6_K ? block + 208 : block;
      std::memcpy(at, &scale, 2);
      if (info.block_bytes == 20 || info.block_bytes == 24 || info.block_bytes == 144 || info.block_bytes == 176) {
        std::memcpy(at + 2, &scale, 2);
      }
    }
  }
  const std::vector<float> scales(static_cast<size_t>(outputs), 0.01f);
  const contract::MatrixSource source{
      .dtype = kind.stored,
      .groups = 1,
      .outputs = outputs,
      .inputs = inputs,
      .row = [&](int64_t, int64_t, std::byte*) -> const std::byte* { return row.data(); },
      .scales = scales.data()};
  auto packed = chip.pack(source, kind.rule);
  NARU_CHECK(packed.ok(), packed.ok() ? "" : packed.error().message);
  return std::move(*packed);
}

struct Product {
  std::shared_ptr<contract::PackedMatrix> weight;
  std::vector<float> x, out;
};

void add_product(std::vector<Case>& cases, contract::Chip& chip, const Kind& kind, int64_t rows, int64_t outputs,
                 int64_t inputs, std::shared_ptr<Product> product, bool is_bandwidth) {
  product->x.resize(static_cast<size_t>(rows * inputs));
  product->out.resize(static_cast<size_t>(rows * outputs));
  std::mt19937 random(2);
  for (float& value : product->x) value = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
  const double ops = 2.0 * static_cast<double>(rows * outputs) * static_cast<double>(inputs);
  const double work = is_bandwidth ? static_cast<double>(product->weight->bytes) : ops;
  cases.push_back(
      {fmt::format("{} of {} {}x{}x{}", contract::rule_name(kind.rule), dtype_name(kind.stored), rows, inputs, outputs),
       work,
       is_bandwidth ? "GB/s" : "GOP/s",
       [&chip, product, rows, outputs, inputs] {
         contract::Matmul op;
         op.x = make_view(address_of(product->x.data()), DType::kF32, rows, inputs);
         op.targets[0] = {product->weight.get(), View{},
                          make_view(address_of(product->out.data()), DType::kF32, rows, outputs)};
         NARU_CHECK(chip.run(op).ok());
       },
       {}});
}

// Operands of the ops of training, by the rule of a kind.
struct GradOperands {
  std::vector<float> x, dy;
  std::vector<int32_t> experts;
  std::vector<std::vector<float>> out;
  std::vector<View> out_views;
  std::vector<View> rows;
  std::shared_ptr<contract::PackedMatrix> matrix;
};

std::vector<float> random_floats(int64_t n) {
  std::mt19937 random(3);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
  return values;
}

View view_of(std::vector<float>& values, int64_t rows, int64_t cols) {
  return make_view(address_of(values.data()), DType::kF32, rows, cols);
}

void add_weight_grad(std::vector<Case>& cases, contract::Chip& chip, Rule rule, int64_t slots, int64_t inputs,
                     int64_t outputs, int64_t n_experts) {
  auto o = std::make_shared<GradOperands>();
  o->x = random_floats(slots * inputs);
  o->dy = random_floats(slots * outputs);
  for (int64_t i = 0; i < slots; ++i) o->experts.push_back(static_cast<int32_t>(i * 7 / 3 % n_experts));
  for (int64_t e = 0; e < n_experts; ++e) o->out.push_back(random_floats(outputs * inputs));
  for (auto& out : o->out) o->out_views.push_back(view_of(out, outputs, inputs));
  cases.push_back(
      {fmt::format("weight_grad {} {}x{}x{} of {}", contract::rule_name(rule), slots, inputs, outputs, n_experts),
       2.0 * static_cast<double>(slots * inputs) * static_cast<double>(outputs),
       "GOP/s",
       [&chip, o, rule, slots, inputs, outputs, n_experts] {
         const View experts = n_experts == 1 ? View{} : make_view(address_of(o->experts.data()), DType::kI32, slots, 1);
         NARU_CHECK(chip.run(contract::WeightGrad{.dy = view_of(o->dy, slots, outputs),
                                                  .x = view_of(o->x, slots, inputs),
                                                  .groups = experts,
                                                  .rule = rule,
                                                  .out = o->out_views})
                        .ok());
       },
       {}});
}

void add_view_product(std::vector<Case>& cases, contract::Chip& chip, Rule rule, int64_t rows, int64_t inputs,
                      int64_t outputs) {
  auto o = std::make_shared<GradOperands>();
  o->x = random_floats(rows * inputs);
  o->dy = random_floats(outputs * inputs);
  o->out.push_back(std::vector<float>(static_cast<size_t>(rows * outputs)));
  cases.push_back({fmt::format("product {} {}x{}x{}", contract::rule_name(rule), rows, inputs, outputs),
                   2.0 * static_cast<double>(rows * inputs) * static_cast<double>(outputs),
                   "GOP/s",
                   [&chip, o, rule, rows, inputs, outputs] {
                     NARU_CHECK(chip.run(contract::Product{.a = view_of(o->x, rows, inputs),
                                                           .b = view_of(o->dy, outputs, inputs),
                                                           .rule = rule,
                                                           .out = view_of(o->out[0], rows, outputs)})
                                    .ok());
                   },
                   {}});
}

void add_pack(std::vector<Case>& cases, contract::Chip& chip, Rule rule, int64_t inputs, int64_t outputs,
              bool is_transposed) {
  auto o = std::make_shared<GradOperands>();
  o->x = random_floats(inputs * outputs);
  o->rows = {is_transposed ? view_of(o->x, inputs, outputs) : view_of(o->x, outputs, inputs)};
  o->matrix = make_matrix(chip, {DType::kF32, rule}, outputs, inputs);
  const auto bytes = static_cast<double>(inputs * outputs * 4 + o->matrix->bytes);
  cases.push_back(
      {fmt::format("pack {} {}x{} from {}", contract::rule_name(rule), outputs, inputs,
                   is_transposed ? "columns" : "rows"),
       bytes,
       "GB/s",
       [&chip, o, is_transposed] {
         NARU_CHECK(
             chip.run(contract::Pack{.groups = o->rows, .is_transposed = is_transposed, .out = o->matrix.get()}).ok());
       },
       {}});
}

// The ops of training, of a shape or of a few usual ones.
void add_grad_cases(std::vector<Case>& cases, contract::Chip& chip, const std::string& op, Rule rule,
                    const int64_t* shape, int64_t n_experts) {
  constexpr int64_t kUsual[][3] = {{2048, 1024, 1024}, {2048, 256, 256}, {2048, 256, 1024}, {2048, 1024, 256}};
  for (const auto& usual : kUsual) {
    const int64_t* s = shape != nullptr ? shape : usual;
    if (op == "weight_grad") add_weight_grad(cases, chip, rule, s[0], s[1], s[2], n_experts);
    if (op != "pack") {  // the forward's product of the same size, to compare with
      auto forward = std::make_shared<Product>();
      forward->weight = make_matrix(chip, {DType::kF32, rule}, s[2], s[1]);
      add_product(cases, chip, {DType::kF32, rule}, s[0], s[2], s[1], forward, false);
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
    const auto add = [&](const std::shared_ptr<contract::PackedMatrix>& weight, int64_t rows, bool is_bandwidth) {
      auto product = std::make_shared<Product>();
      product->weight = weight;
      add_product(cases, chip, kind, rows, weight->outputs, weight->inputs, product, is_bandwidth);
    };
    if (!shape.empty()) {
      if (!dtype_bytes(kind.stored, shape[1])) {
        Options::refuse("--shape", fmt::format("has a K that no row of {} has", dtype_name(kind.stored)));
      }
      add(make_matrix(chip, kind, shape[2], shape[1]), shape[0], shape[0] < 5);
      return measure(std::move(cases));
    }
    const int64_t inputs = 2048;
    const std::shared_ptr<contract::PackedMatrix> small = make_matrix(chip, kind, 2048, inputs);
    for (const int64_t rows : {512, 64}) add(small, rows, false);
    // A matrix of about 160 MB streams from memory.
    const double row_bytes = static_cast<double>(*dtype_bytes(kind.stored, inputs));
    const int64_t outputs = round_up(static_cast<int64_t>(160e6 / row_bytes), 64);
    const std::shared_ptr<contract::PackedMatrix> big = make_matrix(chip, kind, outputs, inputs);
    for (const int64_t rows : {1, 2, 4, 8}) add(big, rows, true);
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
