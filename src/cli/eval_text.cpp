// naru eval MODEL --text FILE: how well a model predicts a text, by itself or beside a second model.
#include "eval/text_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "cli/eval.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "formats/model_digest.h"
#include "formats/utf8.h"

namespace naru::cli {
namespace {

constexpr int64_t kWindowDefault = 2048;

struct TextFile {
  std::string name;
  std::string text;    // valid UTF-8, without a byte order mark
  std::string sha256;  // of the file
};

Result<TextFile> read_text(const std::string& path) {
  NARU_ASSIGN(const std::string bytes, read_file(path, kInputBytesMax));
  TextFile file{.name = short_name(path), .text = {}, .sha256 = sha256_hex(as_bytes(bytes))};
  file.text = repaired(std::string(formats::without_byte_order_mark(bytes)), file.name);
  return file;
}

// What is to be run: the text's tokens, and the window for them.
struct Plan {
  std::vector<int32_t> ids;
  std::vector<int32_t> prefix;
  int64_t first_bytes = 0;
  eval::TextNeeds needs;
};

Result<std::vector<int32_t>> ids_of(const EvalModel& model, const TextFile& file) {
  std::vector<int32_t> ids = model.text.tokenizer.encode(file.text, {.add_special = false, .parse_special = false});
  const size_t n_needed = model.text.tokenizer.prefix_ids().empty() ? 2 : 1;
  if (ids.size() >= n_needed) return ids;
  return Error{
      Code::kInvalidArgument,
      fmt::format("reading {}: {} makes {} of it, {} at least were wanted: the next one is predicted; give more "
                  "text",
                  file.name, model.name, ids.empty() ? "no token" : "one token", n_needed)};
}

Status check_window(const EvalModel& model, int64_t window) {
  const int64_t limit = model.files.config.max_positions;
  if (limit <= 0 || window <= limit) return {};
  return Error{Code::kOutOfRange, fmt::format("reading the command line: --window is {}, but {} was made for {} "
                                              "positions; give a shorter window",
                                              window, model.name, limit)};
}

Result<Plan> plan_windows(const EvalOptions& options, const EvalModel& model, const EvalModel* other,
                          const TextFile& file) {
  Plan plan;
  NARU_ASSIGN(plan.ids, ids_of(model, file));
  plan.prefix = model.text.tokenizer.prefix_ids();
  plan.first_bytes = std::ssize(model.text.tokenizer.piece(plan.ids.front()));
  int64_t window = options.text.window;
  if (window == 0) {
    window = kWindowDefault;
    for (const EvalModel* one : {&model, other}) {
      const int64_t limit = one == nullptr ? 0 : one->files.config.max_positions;
      if (limit > 0) window = std::min(window, limit);
    }
  }
  NARU_TRY(check_window(model, window));
  if (other != nullptr) NARU_TRY(check_window(*other, window));
  const int64_t room = window - std::ssize(plan.prefix);
  if (room < 2) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading the command line: --window is {}, {} at least were wanted: {} before a window and "
                    "two of the text; give a longer one",
                    window, std::ssize(plan.prefix) + 2, std::ssize(plan.prefix))};
  }
  plan.needs.window = window;
  plan.needs.stride = options.text.stride == 0 ? room / 2 : options.text.stride;
  if (plan.needs.stride < room) return plan;
  return Error{
      Code::kInvalidArgument,
      fmt::format("reading the command line: --stride is {}, at most {} was wanted: a token of each window of {} "
                  "at least stands before those that it scores; give a shorter one",
                  plan.needs.stride, room - 1, window)};
}

// Both models must speak of the same tokens.
Status check_alike(const EvalModel& model, const EvalModel& other, const Plan& plan, const TextFile& file) {
  const auto differ = [&](const std::string& what) -> Status {
    return Error{Code::kInvalidArgument,
                 fmt::format("comparing {} with {}: {}; only models of one vocabulary can be compared token by token",
                             model.name, other.name, what)};
  };
  const int64_t vocab = model.files.config.vocab, other_vocab = other.files.config.vocab;
  if (vocab != other_vocab) return differ(fmt::format("the one has {} ids, the other {}", vocab, other_vocab));
  for (int32_t id = 0; id < vocab; ++id) {
    if (model.text.tokenizer.piece(id) == other.text.tokenizer.piece(id)) continue;
    return differ(fmt::format("id {} is {} of the one and {} of the other", id,
                              json_string(model.text.tokenizer.piece(id)),
                              json_string(other.text.tokenizer.piece(id))));
  }
  NARU_ASSIGN(const std::vector<int32_t> ids, ids_of(other, file));
  if (ids == plan.ids && other.text.tokenizer.prefix_ids() == plan.prefix) return {};
  const auto at = std::mismatch(ids.begin(), ids.end(), plan.ids.begin(), plan.ids.end()).first - ids.begin();
  return differ(fmt::format("their tokenizers cut the text differently from its token {} on", at));
}

// Both models at once: each alone is planned again when it is opened.
Status check_memory_of_both(const EvalOptions& options, const EvalModel& model, const EvalModel& other,
                            const contract::Chip& chip, int64_t window) {
  int64_t needed = 0;
  std::string parts;
  for (const EvalModel* one : {&model, &other}) {
    NARU_ASSIGN(const models::ModelPlan plan, models::plan_model(one->files, chip, load_options(options.model)));
    engine::MemoryOptions memory_options;
    memory_options.context_tokens = window;
    memory_options.prefill_chunk = options.model.prefill_chunk;
    memory_options.memory_bytes = INT64_MAX / 4;
    NARU_ASSIGN(const engine::MemoryPlan memory, engine::plan_memory(plan, memory_options));
    needed += memory.needed_bytes();
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", one->name, format_bytes(memory.needed_bytes()));
  }
  const int64_t available = chip.memory().free;
  if (needed <= available) return {};
  return Error{
      Code::kResourceExhausted,
      fmt::format("planning two models at once: they need {} ({}), {} are available; give a shorter --window, a "
                  "smaller model, or a machine with more memory",
                  format_bytes(needed), parts, format_bytes(available))};
}

double per_token(double sum, const eval::TextScore& score) {
  return sum / static_cast<double>(std::max<int64_t>(score.n_tokens, 1));
}

Json score_json(const EvalModel& model, const eval::TextScore& score, const std::string& numerics_id) {
  return {{"model", model.name},
          {"perplexity", score.perplexity()},
          {"bits_per_byte", score.bits_per_byte()},
          {"nats_per_token", per_token(score.nats, score)},
          {"sha256", digest_of(model.digests)},
          {"files", digests_json(model.digests)},
          {"numerics_id", numerics_id}};
}

struct TextOutcome {
  const EvalModel& model;
  const EvalModel* other;
  const TextFile& file;
  const Plan& plan;
  const eval::TextScores& scores;
  std::string numerics_id = {}, other_numerics_id = {};
  double seconds = 0;
};

Json text_json(const TextOutcome& o) {
  Json json = score_json(o.model, o.scores.model, o.numerics_id);
  json["text"] = {{"name", o.file.name}, {"bytes", o.file.text.size()}, {"sha256", o.file.sha256}};
  json["tokens"] = o.scores.model.n_tokens;
  json["bytes"] = o.scores.model.n_bytes;
  json["window"] = o.plan.needs.window;
  json["stride"] = o.plan.needs.stride;
  json["windows"] = o.scores.n_windows;
  if (o.other != nullptr) {
    json["against"] = score_json(*o.other, o.scores.other, o.other_numerics_id);
    json["same_top"] = per_token(static_cast<double>(o.scores.n_same_top), o.scores.model);
    json["kl"] = per_token(o.scores.divergence, o.scores.model);
  }
  json["seconds"] = json_seconds(o.seconds);
  return json;
}

// Of a model that knows nothing of the text it may have any number of digits.
std::string perplexity_text(double value) {
  return value < 1e6 ? fmt::format("{:.4f}", value) : fmt::format("{:.4e}", value);
}

std::string text_table(const TextOutcome& o) {
  const eval::TextScores& s = o.scores;
  Sheet sheet(Stream::kOut);
  sheet.title(o.file.name, "");
  sheet.row("scored", fmt::format("{} tokens, {} bytes", grouped(s.model.n_tokens), grouped(s.model.n_bytes)));
  sheet.row("windows", fmt::format("{} of {} tokens, {} apart", grouped(s.n_windows), grouped(o.plan.needs.window),
                                   grouped(o.plan.needs.stride)));
  Table table({{"model"}, {"perplexity", true}, {"bits per byte", true}, {"nats per token", true}});
  const auto row = [&table](const EvalModel& model, const eval::TextScore& score) {
    table.row({Table::Cell(one_line(model.name)), Table::Cell(perplexity_text(score.perplexity()), Style::kBold),
               Table::Cell(fmt::format("{:.5f}", score.bits_per_byte())),
               Table::Cell(fmt::format("{:.5f}", per_token(score.nats, score)))});
  };
  row(o.model, s.model);
  if (o.other != nullptr) row(*o.other, s.other);
  Sheet rest(Stream::kOut);
  if (o.other != nullptr) {
    rest.heading("Side by side");
    rest.row("same top token",
             fmt::format("{:.3f} % of all", 100 * per_token(static_cast<double>(s.n_same_top), s.model)));
    rest.row("mean KL", fmt::format("{:.6g} nats per token: KL({}, {})", per_token(s.divergence, s.model), o.model.name,
                                    o.other->name));
  }
  rest.heading("SHA-256");
  rest.line(fmt::format("{}  {}", digest_of(o.model.digests), one_line(o.model.name)));
  if (o.other != nullptr) rest.line(fmt::format("{}  {}", digest_of(o.other->digests), one_line(o.other->name)));
  rest.line(fmt::format("{}  {}", o.file.sha256, one_line(o.file.name)));
  rest.paragraph(fmt::format("{} · {}", o.numerics_id, format_seconds(o.seconds)));
  return sheet.str() + "\n" + table.text(Stream::kOut) + rest.str();
}

// What a stopped evaluation knows.
Error stopped_scoring(const eval::TextScores& scores, int64_t n_tokens) {
  const int64_t n_done = scores.model.n_tokens;
  return {Code::kCancelled,
          fmt::format("scoring the text: stopped by you after {} of {} tokens{}", grouped(n_done), grouped(n_tokens),
                      n_done == 0 ? "" : "; perplexity so far " + perplexity_text(scores.model.perplexity()))};
}

}  // namespace

Status eval_text(const EvalOptions& options) {
  NARU_ASSIGN(const TextFile file, read_text(options.text.path));
  NARU_ASSIGN(EvalModel model, open_eval_model(options.model));
  std::optional<EvalModel> other;
  ModelOptions other_options = options.model;
  if (options.text.against) {
    other_options.path = *options.text.against;
    other_options.adapter.reset();
    NARU_ASSIGN(other, open_eval_model(other_options));
    if (other->name == model.name) {
      model.name = longer_name(options.model.path);
      other->name = longer_name(other_options.path);
    }
  }
  EvalModel* const second = other ? &*other : nullptr;
  NARU_ASSIGN(Plan plan, plan_windows(options, model, second, file));
  if (second != nullptr) {
    NARU_TRY(check_alike(model, *second, plan, file));
    NARU_ASSIGN(const auto chip, make_chip(options.model));
    NARU_TRY(check_memory_of_both(options, model, *second, *chip, plan.needs.window));
  }
  const OpenNeeds needs{.context_tokens = plan.needs.window, .share_prefixes = false};
  NARU_ASSIGN(const OpenModel opened, open_model(std::move(model.files), options.model, needs));
  OpenModel other_opened;
  if (second != nullptr) {
    NARU_ASSIGN(other_opened, open_model(std::move(second->files), other_options, needs));
  }
  NARU_ASSIGN(const auto pool, ThreadPool::create(opened.chip->info().n_threads));
  Progress progress("scoring", Progress::Unit::kTokens);
  plan.needs.progress = [&progress](int64_t done, int64_t total) {
    progress.update(done, total);
    return !is_interrupted();
  };
  const auto begin = std::chrono::steady_clock::now();
  eval::TextScores scores;
  const eval::ScoredText text{
      .ids = plan.ids, .prefix = plan.prefix, .n_bytes = std::ssize(file.text), .first_bytes = plan.first_bytes};
  const Status status = eval::score_text(*opened.engine, other_opened.engine.get(), text, plan.needs, *pool, scores);
  progress.clear();
  if (!status.ok() && status.error().code == Code::kCancelled) return stopped_scoring(scores, std::ssize(plan.ids));
  NARU_TRY(status);
  TextOutcome outcome{.model = model, .other = second, .file = file, .plan = plan, .scores = scores};
  outcome.numerics_id = opened.engine->model().numerics_id;
  if (second != nullptr) outcome.other_numerics_id = other_opened.engine->model().numerics_id;
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  NARU_TRY(write_out(options.json ? json_text(text_json(outcome)) : text_table(outcome)));
  if (options.model.explain) write_err(kernel_table(*opened.chip));
  return {};
}

}  // namespace naru::cli
