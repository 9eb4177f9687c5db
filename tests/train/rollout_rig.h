// Engines over a trainer's decoder, and what both say of the same tokens.
#pragma once

#include "contract/forwarding_chip.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "export/export.h"
#include "tests/train/rig.h"
#include "train/adapters.h"

namespace naru::train {

// Counts what makes or fills memory for weights.
class CountingChip : public contract::ForwardingChip {
 public:
  using ForwardingChip::ForwardingChip;
  int64_t n_packs() const { return n_packs_; }    // matrices packed from rows
  int64_t n_copied() const { return n_copied_; }  // bytes copied in
  int64_t n_uses() const {                        // kernels that ran, Pack among them
    int64_t n = 0;
    for (const contract::KernelUse& use : chip_.kernel_uses()) n += use.calls;
    return n;
  }

  Status copy_in(ChipAddress to, const void* from, int64_t bytes) override {
    n_copied_ += bytes;
    return chip_.copy_in(to, from, bytes);
  }
  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override {
    ++n_packs_;
    return chip_.pack(source, rule);
  }

 private:
  int64_t n_packs_ = 0;
  int64_t n_copied_ = 0;
};

inline std::unique_ptr<engine::Engine> borrow(const TrainableModel& model, int64_t context, int64_t sessions) {
  engine::BorrowOptions options;
  options.memory.context_tokens = context;
  options.memory.sessions_max = sessions;
  auto engine = engine::Engine::open({.model = model.held().value()}, options, model.chip());
  NARU_CHECK(engine.ok(), engine.ok() ? "" : engine.error().message);
  return std::move(engine).value();
}

// -log p of each next token, [n - 1].
inline std::vector<float> engine_losses(engine::Engine& engine, const std::vector<int32_t>& ids) {
  const auto session = engine.new_session();
  const auto logits = engine.feed(*session, ids, static_cast<int64_t>(ids.size()));
  NARU_CHECK(logits.ok(), logits.ok() ? "" : logits.error().message);
  std::vector<float> losses;
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    losses.push_back(0.0f - engine::LogProbs(logits->row(static_cast<int64_t>(i))).of(ids[i + 1]));
  }
  return losses;
}

inline std::vector<float> trainer_losses(TrainableModel& model, const std::vector<int32_t>& ids) {
  const auto result = model.run(batch_of({ids}), {.divisor = 1}, nullptr);
  NARU_CHECK(result.ok(), result.ok() ? "" : result.error().message);
  return {result->losses.begin(), result->losses.end() - 1};
}
inline std::vector<float> trainer_losses(TrainableModel&& model, const std::vector<int32_t>& ids) {
  return trainer_losses(model, ids);
}

// A prompt and its answer, sampled, with the log-probability of each of its tokens.
struct EngineAnswer {
  std::vector<int32_t> ids;
  size_t n_prompt = 0;
  std::vector<float> logprobs;
};

inline std::vector<EngineAnswer> sample_answers(engine::Engine& engine, const Source& source, size_t n,
                                                 int64_t n_tokens) {
  engine::Scheduler scheduler(engine);
  std::vector<EngineAnswer> answers(n);
  for (size_t i = 0; i < n; ++i) {
    answers[i].ids = slice(source.ids, i % 3, 4 + i * 3 % 11);  // some share their beginning
    answers[i].n_prompt = answers[i].ids.size();
    engine::Request request;
    request.ids = answers[i].ids;
    request.sampling.seed = i;
    request.max_tokens = n_tokens;
    request.top_logprobs = 0;
    NARU_CHECK(scheduler.submit(std::move(request)).ok());
  }
  while (!scheduler.is_idle()) {
    for (const engine::Event& event : scheduler.step()) {
      NARU_CHECK(!event.error, event.error ? event.error->message : "");
      if (event.kind != engine::Event::Kind::kToken) continue;
      answers[event.request - 1].ids.push_back(event.id);
      answers[event.request - 1].logprobs.push_back(event.logprob);
    }
  }
  return answers;
}

// Losses of the first prediction layer behind the engine's states, as training counts them.
inline std::vector<float> prediction_losses(const TrainableModel& model, const std::vector<int32_t>& ids) {
  contract::Chip& chip = model.chip();
  const models::Decoder& decoder = model.decoder();
  const auto n = static_cast<int64_t>(ids.size());
  const auto engine = borrow(model, n, 1);
  const auto session = engine->new_session();
  const engine::Feed feed{.session = session.get(), .ids = ids, .logit_rows = 0, .guesses = 0, .state_rows = n};
  const auto output = engine->step({&feed, 1})[0];
  NARU_CHECK(output.status.ok());

  const PredictionTargets of = prediction_targets(batch_of({ids}), 0);
  nn::Workspace workspace = nn::Workspace::create(chip, int64_t{1} << 26).value();
  const int64_t n_pages = n / contract::kCachePage + 1;
  std::vector<int32_t> pages, positions;
  for (int64_t i = 0; i < n_pages; ++i) pages.push_back(static_cast<int32_t>(i));
  for (int64_t i = 0; i < n; ++i) positions.push_back(static_cast<int32_t>(i));
  const models::Batch rows{.ids = of.ids,
                           .positions = positions,
                           .sequences = {{.row_begin = 0, .n_rows = n, .position_begin = 0, .pages = pages.data()}},
                           .logit_rows = {}};
  auto start = decoder.begin(chip, workspace, rows);
  NARU_CHECK(start.ok());
  const auto shape = decoder.cache_shapes(model.held()->cache_dtype)[decoder.layers.size()];
  std::vector<std::unique_ptr<contract::Buffer>> buffers;
  const auto stream = [&](const contract::CacheShape& of_stream) -> Result<contract::CacheStream> {
    const int64_t page_bytes = chip.cache_page_bytes(of_stream);
    buffers.push_back(chip.allocate(page_bytes * n_pages).value());
    return contract::CacheStream{of_stream, buffers.back()->address(), page_bytes};
  };
  const nn::LayerCache cache = nn::LayerCache::create(shape, stream).value();
  const View state = decoder.run_prediction(start->ctx, 0, cache, output.state, start->ids).value();
  const View normed = workspace.take(n, decoder.width), logits = workspace.take(n, decoder.vocab);
  NARU_CHECK(nn::rms_norm(start->ctx, decoder.predictions[0].head_norm, state, normed).ok());
  NARU_CHECK(nn::matmul(start->ctx, decoder.head, normed, logits).ok());
  NARU_CHECK(chip.wait().ok());
  std::vector<float> row(static_cast<size_t>(decoder.vocab)), losses;
  for (int64_t i = 0; i < n; ++i) {
    NARU_CHECK(chip.copy_out(row.data(), logits.slice_rows(i, 1).address, decoder.vocab * 4).ok());
    const auto k = static_cast<size_t>(i);
    losses.push_back(of.weights[k] == 0 ? 0.0f : 0.0f - engine::LogProbs(row).of(of.targets[k]));
  }
  return losses;
}

// What export_adapter() writes of a model.
inline exports::AdapterToExport adapter_of(TrainableModel& model, int64_t n_own, const recipes::LoraRecipe& lora) {
  exports::AdapterToExport adapter{
      .config = adapter_config(lora, model.parameters()), .base = "base", .parameters = {}, .read = {}};
  adapter.read = [&model, n_own](int64_t index, float* out) { return model.merged_value(n_own + index, out); };
  for (size_t i = static_cast<size_t>(n_own); i < model.parameters().size(); ++i) {
    models::Parameter parameter = model.parameters()[i];
    parameter.name.insert(0, models::kPeftPrefix);
    adapter.parameters.push_back(std::move(parameter));
  }
  return adapter;
}

}  // namespace naru::train
