// naru logits: token ids in, the logits of every position out, for comparing engines. Needs no tokenizer.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/memory.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/npy_writer.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/token_ids.h"

namespace naru::cli {
namespace {

constexpr int64_t kLogitsBytesMax = int64_t{64} << 20;  // of logits in memory at once

Result<std::vector<int32_t>> read_ids(const LogitsOptions& options, int64_t vocab) {
  NARU_ASSIGN(const MappedFile file, MappedFile::open(options.ids_path));
  const std::string name = short_name(options.ids_path);
  NARU_ASSIGN(std::vector<int32_t> ids, parse_ids_array(file.bytes(), name));
  if (ids.empty()) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading {}: the array is empty, one token id at least was wanted; give ids to run", name)};
  }
  NARU_TRY(check_ids(ids, vocab, name));
  return ids;
}

// The context that the ids need, checked against the model's own before anything is loaded.
Result<int64_t> context_for(const LogitsOptions& options, const formats::ModelConfig& config, int64_t n_ids) {
  const int64_t wanted = options.model.context;
  if (wanted > 0 && n_ids > wanted) {
    return Error{Code::kOutOfRange,
                 fmt::format("reading {}: it has {} ids, but --context is {}; give a longer context or "
                             "fewer ids",
                             short_name(options.ids_path), n_ids, wanted)};
  }
  if (config.max_positions > 0 && n_ids > config.max_positions) {
    return Error{Code::kOutOfRange,
                 fmt::format("reading {}: it has {} ids, but the model was made for {} positions; give "
                             "fewer ids",
                             short_name(options.ids_path), n_ids, config.max_positions)};
  }
  return std::max(wanted, n_ids);
}

Status write_logits(engine::Engine& engine, std::span<const int32_t> ids, NpyWriter& out) {
  const auto n_ids = static_cast<int64_t>(ids.size());
  const int64_t row_bytes = engine.vocab() * int64_t{sizeof(float)};
  const int64_t piece_max = std::clamp<int64_t>(kLogitsBytesMax / row_bytes, 1, engine.memory().prefill_chunk);
  const auto session = engine.new_session();
  Progress progress("running", Progress::Unit::kTokens);
  for (int64_t begin = 0; begin < n_ids; begin += piece_max) {
    if (is_interrupted()) {
      return Error{Code::kCancelled,
                   fmt::format("running token {} of {}: stopped by you; nothing was written", begin, n_ids)};
    }
    const auto piece = ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(std::min(piece_max, n_ids - begin)));
    NARU_ASSIGN(const engine::Logits logits, engine.feed(*session, piece, static_cast<int64_t>(piece.size())));
    NARU_TRY(out.write({logits.data, static_cast<size_t>(logits.rows * logits.vocab)}));
    progress.update(begin + static_cast<int64_t>(piece.size()), n_ids);
  }
  return {};
}

}  // namespace

Status logits_command(const LogitsOptions& options) {
  NARU_ASSIGN(models::ModelFiles files, open_files(options.model));
  NARU_ASSIGN(const std::vector<int32_t> ids, read_ids(options, files.config.vocab));
  const auto n_ids = static_cast<int64_t>(ids.size());
  NARU_ASSIGN(const int64_t context, context_for(options, files.config, n_ids));
  // The output's place is tried before any work is done.
  NARU_ASSIGN(NpyWriter out, NpyWriter::create(options.out_path, options.existing, n_ids, files.config.vocab));
  NARU_ASSIGN(const OpenModel model,
              open_model(std::move(files), options.model, {.context_tokens = context, .share_prefixes = false}));
  const auto begin = std::chrono::steady_clock::now();
  NARU_TRY(write_logits(*model.engine, ids, out));
  NARU_TRY(out.finish());
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  if (options.json) {
    const Json json = {{"tokens", n_ids},
                       {"vocab", model.engine->vocab()},
                       {"out", options.out_path},
                       {"load_ms", model.load_ms},
                       {"run_ms", ms},
                       {"numerics_id", model.engine->model().numerics_id}};
    NARU_TRY(write_out(json_text(json)));
  } else if (stderr_is_terminal()) {
    write_err(fmt::format("{}: float32 [{}, {}], {} in {}, {}\n", one_line(options.out_path), n_ids,
                          model.engine->vocab(), format_bytes(n_ids * model.engine->vocab() * 4),
                          format_seconds(ms / 1000), model.engine->model().numerics_id));
  }
  if (options.model.explain) write_err(kernel_table(*model.chip));
  return {};
}

}  // namespace naru::cli
