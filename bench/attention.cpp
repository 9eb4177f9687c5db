// Speed of the CPU chip's attention and of its gradient, over packed documents of one length, in GFLOP/s of what the
// ops cost (contract/op_table.h; what is masked is not counted). All cases alternate; every line is the median of
// rounds.
// bench_attention --help lists its options.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "bench/options.h"
#include "chips/cpu/cpu_chip.h"
#include "chips/memory/host_memory.h"
#include "contract/op_table.h"

namespace naru {
namespace {

using contract::CacheStream;
using contract::CacheUse;
using contract::SequenceRows;

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

// A forward and its gradient, with their memory.
class Case {
 public:
  Case(contract::Chip& chip, const Shape& shape, DType dtype) : chip_(chip) {
    const int64_t n = shape.rows * shape.documents, pages_each = (shape.rows + 31) / 32;
    const int64_t value_width = shape.is_latent ? shape.width * 3 / 4 : shape.width;
    name_ = fmt::format("{} {} of {}, {} heads on {}, width {}{}{}", dtype_name(dtype), shape.documents, shape.rows,
                        shape.heads, shape.key_heads, shape.width, shape.is_latent ? " latent" : "",
                        shape.listed > 0 ? fmt::format(", {} selected", shape.listed) : "");
    pages_.resize(static_cast<size_t>(pages_each * shape.documents));
    std::iota(pages_.begin(), pages_.end(), 0);
    for (int64_t d = 0; d < shape.documents; ++d)
      sequences_.push_back({d * shape.rows, shape.rows, 0, pages_.data() + d * pages_each});
    list_ = chip.make_sequences(sequences_).value();
    const CacheStream key =
        stream({shape.key_heads, shape.width, dtype, shape.is_latent ? CacheUse::kKeyAndValue : CacheUse::kKey},
               pages_.size());
    const CacheStream value =
        shape.is_latent ? key : stream({shape.key_heads, value_width, dtype, CacheUse::kValue}, pages_.size());
    run(contract::CacheWrite{rows(n * shape.key_heads, shape.width), key, 0, *list_});
    if (!shape.is_latent) run(contract::CacheWrite{rows(n * shape.key_heads, value_width), value, 0, *list_});
    const View q = rows(n * shape.heads, shape.width), out = rows(n * shape.heads, value_width);
    const View stats = rows(n * shape.heads, 2);
    const View selected = shape.listed > 0 ? lists(shape) : View{};
    ops_.push_back(contract::Attention{q, key, value, shape.heads, 0.125f, *list_, out, stats, selected});
    ops_.push_back(contract::AttentionGrad{q, key, value, shape.heads, 0.125f, *list_, out, stats,
                                           rows(n * shape.heads, value_width), rows(n * shape.heads, shape.width),
                                           rows(n * shape.key_heads, shape.width),
                                           rows(n * shape.key_heads, value_width), selected});
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
  View rows(int64_t n, int64_t cols) {
    memory_.emplace_back(static_cast<size_t>(n * cols));
    for (float& x : memory_.back()) x = static_cast<float>(static_cast<int32_t>(random_())) * 0x1p-31f;
    return make_view(address_of(memory_.back().data()), DType::kF32, n, cols);
  }
  // Of each token `listed` positions in order, drawn without repetition.
  View lists(const Shape& shape) {
    const View view = rows(shape.rows * shape.documents, shape.listed);
    auto* list = reinterpret_cast<int32_t*>(memory_.back().data());
    for (int64_t t = 0; t < view.rows; ++t, list += shape.listed) {
      const int64_t n_seen = t % shape.rows + 1;
      int64_t n = 0, wanted = std::min(n_seen, shape.listed);
      for (int64_t j = 0; j < n_seen && n < wanted; ++j) {
        if (static_cast<int64_t>(random_() % static_cast<uint32_t>(n_seen - j)) < wanted - n)
          list[n++] = static_cast<int32_t>(j);
      }
      std::fill(list + n, list + shape.listed, -1);
    }
    return make_view(address_of(memory_.back().data()), DType::kI32, view.rows, shape.listed);
  }
  CacheStream stream(const contract::CacheShape& shape, size_t n_pages) {
    const int64_t page_bytes = chip_.cache_page_bytes(shape);
    buffers_.push_back(chip_.allocate(page_bytes * static_cast<int64_t>(n_pages)).value());
    return {shape, buffers_.back()->address(), page_bytes};
  }

  contract::Chip& chip_;
  std::string name_;
  std::mt19937 random_{1};
  std::vector<int32_t> pages_;
  std::vector<SequenceRows> sequences_;
  std::unique_ptr<contract::Sequences> list_;
  std::vector<std::vector<float>> memory_;
  std::vector<std::unique_ptr<contract::Buffer>> buffers_;
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
  if (!s.empty() && (s[2] % s[3] != 0 || s[4] > contract::kSegmentWidthMax || s[4] % 2 != 0)) {
    Options::refuse("--shape", "has heads that the key heads do not divide, or a width that no cache has");
  }
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
        {s[0], s[1], s[2], s[3], s[4], options.flag("--latent", false), options.number("--selected", 0, 0, 1 << 20)}};
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
