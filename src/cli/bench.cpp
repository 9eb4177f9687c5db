// naru bench: how fast a prompt is read and an answer written at several depths of the cache, beside the limits of this
// machine. Token ids are drawn by counter, so every run does the same work.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/philox.h"
#include "base/shown_text.h"
#include "chips/cpu/machine_limits.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/limits_text.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/pass_cost.h"
#include "cli/progress.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "engine/sampler.h"

namespace naru::cli {
namespace {

using Clock = std::chrono::steady_clock;
using SessionPtr = std::unique_ptr<engine::Session>;

struct Row {
  int64_t depth = 0;
  int64_t batch = 1;
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  double prefill = 0;  // tokens/s, one sequence
  double decode = 0;   // tokens/s, all sequences together
  std::vector<double> prefill_runs = {}, decode_runs = {};
  // Of what the machine could do in that time: memory read, arithmetic done.
  double prefill_arithmetic = 0, prefill_memory = 0;
  double decode_arithmetic = 0, decode_memory = 0;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

class Bench {
 public:
  Bench(const BenchOptions& options, const OpenModel& model, const cpu::MachineLimits& limits)
      : options_(options), engine_(*model.engine), limits_(limits), progress_("measuring", Progress::Unit::kSteps) {}

  Result<std::vector<Row>> run(const std::vector<int64_t>& depths, const std::vector<int64_t>& batches) {
    const int64_t n_sessions = *std::max_element(batches.begin(), batches.end());
    const auto n_depths = static_cast<int64_t>(depths.size());
    n_steps_ = n_depths * options_.repeat * (1 + static_cast<int64_t>(batches.size())) + n_depths * n_sessions;
    for (int64_t i = 0; i < n_sessions; ++i) sessions_.push_back(engine_.new_session());
    NARU_TRY(warm_up());
    std::vector<Row> rows;
    for (const int64_t depth : depths) {
      NARU_TRY(fill(depth));
      Row row{.depth = depth, .prompt_tokens = options_.prompt_tokens, .new_tokens = options_.new_tokens};
      NARU_TRY(measure_prefill(row));
      for (const int64_t batch : batches) {
        row.batch = batch;
        NARU_TRY(measure_decode(row));
        rows.push_back(row);
      }
    }
    progress_.clear();
    return rows;
  }

 private:
  std::vector<int32_t> draw_ids(uint32_t sequence, int64_t begin, int64_t n) const {
    std::vector<int32_t> ids(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      const PhiloxBlock block = draw(0, DrawPurpose::kTest, sequence, static_cast<uint64_t>(begin + i));
      ids[static_cast<size_t>(i)] = static_cast<int32_t>(uniform_53(block) * static_cast<double>(engine_.vocab()));
    }
    return ids;
  }

  Status step_done() {
    progress_.update(++n_steps_done_, n_steps_);
    if (is_interrupted()) return Error{Code::kCancelled, "measuring: stopped by you"};
    return {};
  }

  Status warm_up() {
    constexpr int64_t kTokens = 16;
    const std::vector<int32_t> ids = draw_ids(0, 0, std::min(kTokens, engine_.context_tokens() - 1));
    NARU_TRY(engine_.feed(*sessions_[0], ids));
    NARU_TRY(engine_.feed(*sessions_[0], std::span(ids).first(1)));
    sessions_[0]->truncate(0);
    return {};
  }

  // Every session gets `depth` tokens of its own.
  Status fill(int64_t depth) {
    for (size_t s = 0; s < sessions_.size(); ++s) {
      engine::Session& session = *sessions_[s];
      const int64_t length = session.length();
      if (depth > length) {
        const std::vector<int32_t> ids = draw_ids(static_cast<uint32_t>(s), length, depth - length);
        NARU_TRY(engine_.feed(session, ids, 0));
      }
      NARU_TRY(step_done());
    }
    return {};
  }

  Status measure_prefill(Row& row) {
    const std::vector<int32_t> ids = draw_ids(0, row.depth, row.prompt_tokens);
    row.prefill_runs.clear();
    for (int64_t i = 0; i < options_.repeat; ++i) {
      const auto begin = Clock::now();
      NARU_TRY(engine_.feed(*sessions_[0], ids));
      row.prefill_runs.push_back(static_cast<double>(row.prompt_tokens) / seconds_since(begin));
      sessions_[0]->truncate(row.depth);
      NARU_TRY(step_done());
    }
    row.prefill = median(row.prefill_runs);
    const auto chunk = engine_.memory().prefill_chunk;
    double arithmetic = 0, bytes = 0;
    for (int64_t done = 0; done < row.prompt_tokens; done += chunk) {
      NARU_ASSIGN(const PassCost cost, cost_of(1, std::min(chunk, row.prompt_tokens - done), row.depth + done));
      arithmetic += arithmetic_seconds(cost);
      bytes += cost.bytes;
    }
    const double seconds = static_cast<double>(row.prompt_tokens) / row.prefill;
    row.prefill_arithmetic = arithmetic / seconds;
    row.prefill_memory = memory_share(bytes, seconds);
    return {};
  }

  Status measure_decode(Row& row) {
    row.decode_runs.clear();
    const auto n_tokens = static_cast<double>(row.new_tokens * row.batch);
    for (int64_t i = 0; i < options_.repeat; ++i) {
      NARU_ASSIGN(const double seconds, decode_once(row));
      row.decode_runs.push_back(n_tokens / seconds);
      for (const SessionPtr& session : sessions_) session->truncate(row.depth);
      NARU_TRY(step_done());
    }
    row.decode = median(row.decode_runs);
    NARU_ASSIGN(const PassCost cost, cost_of(row.batch, 1, row.depth + row.new_tokens / 2));
    const double seconds = static_cast<double>(row.batch) / row.decode;  // of one pass
    row.decode_arithmetic = arithmetic_seconds(cost) / seconds;
    row.decode_memory = memory_share(cost.bytes, seconds);
    return {};
  }

  // Greedy, as in an answer: each token needs the one before.
  Result<double> decode_once(const Row& row) {
    const auto n = static_cast<size_t>(row.batch);
    std::vector<int32_t> tokens(n);
    for (size_t s = 0; s < n; ++s) tokens[s] = draw_ids(static_cast<uint32_t>(s), row.depth, 1)[0];
    const auto begin = Clock::now();
    for (int64_t i = 0; i < row.new_tokens; ++i) {
      std::vector<engine::Feed> feeds;
      for (size_t s = 0; s < n; ++s) feeds.push_back({sessions_[s].get(), {&tokens[s], 1}});
      const std::vector<engine::FeedOutput> outputs = engine_.step(feeds);
      for (size_t s = 0; s < n; ++s) {
        NARU_TRY(outputs[s].status);
        tokens[s] = engine::Sampler::argmax(outputs[s].logits.row(0));
      }
      if (is_interrupted()) return Error{Code::kCancelled, "measuring: stopped by you"};
    }
    return seconds_since(begin);
  }

  static double seconds_since(Clock::time_point begin) {
    return std::max(1e-9, std::chrono::duration<double>(Clock::now() - begin).count());
  }

  Result<PassCost> cost_of(int64_t n_sequences, int64_t rows_each, int64_t depth) const {
    return pass_cost(engine_.model(), {.n_sequences = n_sequences, .rows_each = rows_each, .depth = depth});
  }
  double arithmetic_seconds(const PassCost& cost) const {
    return cost.f32_ops / limits_.f32.per_s + cost.bf16_ops / limits_.bf16.per_s + cost.int8_ops / limits_.int8.per_s;
  }
  double memory_share(double bytes, double seconds) const {
    return limits_.memory_bytes_per_s > 0 ? bytes / seconds / limits_.memory_bytes_per_s : 0;
  }

  const BenchOptions& options_;
  engine::Engine& engine_;
  const cpu::MachineLimits& limits_;
  Progress progress_;
  std::vector<SessionPtr> sessions_;
  int64_t n_steps_ = 0;
  int64_t n_steps_done_ = 0;
};

// "96.4", "1,829"
std::string speed(double tokens_per_s) {
  if (tokens_per_s < 100) return fmt::format("{:.1f}", tokens_per_s);
  return grouped(static_cast<int64_t>(std::min(tokens_per_s, 1e15) + 0.5));
}

Sheet head_sheet(const OpenModel& model, const cpu::MachineLimits& m, const BenchOptions& options) {
  const contract::ChipInfo info = model.chip->info();
  Sheet sheet(Stream::kOut);
  sheet.title(short_name(options.model.path), "");
  sheet.row("chip", info.level.empty() ? info.name : fmt::format("{}, level {}", info.name, info.level));
  sheet.row("threads", grouped(info.n_threads));
  sheet.row("numerics id", model.engine->model().numerics_id);
  add_limits(sheet, m);
  return sheet;
}

// Of each depth one row: the prompt is read by one sequence, whatever the batch.
std::string prefill_table(const std::vector<Row>& rows) {
  Table table({{"depth", true}, {"tokens/s", true}, {"of arithmetic", true}, {"of memory", true}});
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& r = rows[i];
    if (i > 0 && rows[i - 1].depth == r.depth) continue;
    table.row({grouped(r.depth), speed(r.prefill), share(r.prefill_arithmetic), memory_share_text(r.prefill_memory)});
  }
  return table.text(Stream::kOut);
}

std::string decode_table(const std::vector<Row>& rows) {
  Table table({{"depth", true}, {"batch", true}, {"tokens/s", true}, {"of arithmetic", true}, {"of memory", true}});
  for (const Row& r : rows) {
    table.row({grouped(r.depth), grouped(r.batch), speed(r.decode), share(r.decode_arithmetic),
               memory_share_text(r.decode_memory)});
  }
  return table.text(Stream::kOut);
}

std::string bench_text(const std::vector<Row>& rows, const OpenModel& model, const cpu::MachineLimits& m,
                       const BenchOptions& options) {
  Sheet sheet = head_sheet(model, m, options);
  sheet.heading(fmt::format("Prefill of {} tokens, one sequence", grouped(options.prompt_tokens)));
  std::string text = sheet.str() + prefill_table(rows);
  Sheet decode(Stream::kOut);
  decode.heading(fmt::format("Decode of {} tokens, all sequences of the batch together", grouped(options.new_tokens)));
  text += decode.str() + decode_table(rows);
  Sheet legend(Stream::kOut);
  const bool is_cached =
      std::any_of(rows.begin(), rows.end(), [](const Row& r) { return r.prefill_memory > 1 || r.decode_memory > 1; });
  legend.paragraph(
      fmt::format("Speeds are medians of {}; shares are of what the machine reached above.{}", options.repeat,
                  is_cached ? " In cache: what a pass reads came faster than memory gives it, so it lay in "
                              "the processor's caches."
                            : ""));
  legend.heading("Kernels that ran");
  return text + legend.str() + kernel_table(*model.chip, Stream::kOut);
}

Json json_form(const std::vector<Row>& rows, const OpenModel& model, const cpu::MachineLimits& m,
               const BenchOptions& options) {
  Json json;
  json["model"] = short_name(options.model.path);
  json["numerics_id"] = model.engine->model().numerics_id;
  json["machine"] = limits_json(m, model.chip->info().name);
  json["load_ms"] = model.load_ms;
  json["rows"] = Json::array();
  for (const Row& r : rows) {
    json["rows"].push_back({{"depth", r.depth},
                            {"batch", r.batch},
                            {"prompt_tokens", r.prompt_tokens},
                            {"new_tokens", r.new_tokens},
                            {"prefill_tokens_per_s", r.prefill},
                            {"decode_tokens_per_s", r.decode},
                            {"prefill_share_of_arithmetic", r.prefill_arithmetic},
                            {"prefill_share_of_memory", r.prefill_memory},
                            {"decode_share_of_arithmetic", r.decode_arithmetic},
                            {"decode_share_of_memory", r.decode_memory},
                            {"prefill_runs", r.prefill_runs},
                            {"decode_runs", r.decode_runs}});
  }
  json["kernels"] = Json::array();
  for (const contract::KernelUse& use : model.chip->kernel_uses()) {
    json["kernels"].push_back({{"op", use.op}, {"kernel", use.kernel}, {"calls", use.calls}});
  }
  return json;
}

// The depths to measure. Those of the default that the model has no room for are left out, or the deepest possible one
// takes their place.
std::vector<int64_t> depths_for(const BenchOptions& options, int64_t positions_max, int64_t tokens) {
  std::vector<int64_t> depths = options.depths;
  if (depths.empty()) {
    depths = {0, 512, 2048};
    const int64_t deepest = positions_max > 0 ? positions_max - tokens : depths.back();
    for (int64_t& depth : depths) depth = std::max<int64_t>(0, std::min(depth, deepest));
  }
  std::sort(depths.begin(), depths.end());
  depths.erase(std::unique(depths.begin(), depths.end()), depths.end());
  return depths;
}

}  // namespace

Status bench_command(const BenchOptions& options) {
  NARU_ASSIGN(models::ModelFiles files, models::open_model_files(options.model.path));
  const int64_t tokens = std::max(options.prompt_tokens, options.new_tokens);
  const std::vector<int64_t> depths = depths_for(options, files.config.max_positions, tokens);
  const std::vector<int64_t> batches = options.batches.empty() ? std::vector<int64_t>{1} : options.batches;
  OpenNeeds needs{.context_tokens = depths.back() + tokens,
                  .sessions_max = *std::max_element(batches.begin(), batches.end()),
                  .share_prefixes = false};
  NARU_ASSIGN(const OpenModel model, open_model(std::move(files), options.model, needs));
  const contract::ChipInfo info = model.chip->info();
  NARU_ASSIGN(const cpu::MachineLimits limits, cpu::measure_machine(info.level, info.n_threads));
  NARU_ASSIGN(const std::vector<Row> rows, Bench(options, model, limits).run(depths, batches));
  if (!options.json) return write_out(bench_text(rows, model, limits, options));
  return write_out(json_text(json_form(rows, model, limits, options)));
}

}  // namespace naru::cli
