// One micro-batch forward and backward. Stretches of the tape: the embedding, each layer, each prediction layer; heads
// run by themselves (head_pass.h). With recompute a layer keeps its input only and runs again before
// it runs backwards.
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "train/document_pages.h"
#include "train/head_pass.h"
#include "train/micro_results.h"
#include "train/prediction_targets.h"
#include "train/trainable_state.h"

namespace naru::train {
namespace {

// Places of the micro-batch in the workspace, all live until the end of the pass.
struct Pass {
  nn::Context ctx;
  View ids;
  std::vector<View> x;          // the residual stream before each layer, and behind the last
  View before;                  // the gradient of the stream before the layer at work, in turn with heads[0].grad
  std::vector<HeadWork> heads;  // the model's, then by depth
  std::vector<View> seen;       // by depth: the tokens that a prediction layer sees, i32 [T, 1]
};

}  // namespace

bool TrainingRoom::fits(const data::MicroBatch& batch) const {
  return static_cast<int64_t>(batch.ids.size()) <= rows && pages_of(batch) <= pages &&
         static_cast<int64_t>(batch.documents.size()) <= documents;
}

namespace {

class MicroStep {
 public:
  MicroStep(contract::Chip& chip, const models::Decoder& decoder, nn::Workspace& values, nn::Workspace& shadow,
            const std::vector<nn::LayerCache>& cache, const nn::Bindings* bindings, bool recompute,
            bool shares_prompts = false)
      : chip_(chip),
        decoder_(decoder),
        values_(values),
        shadow_(shadow),
        cache_(cache),
        bindings_(bindings),
        recompute_(recompute),
        shares_prompts_(shares_prompts && bindings != nullptr) {}

  Result<TrainableModel::MicroResult> run(const data::MicroBatch& batch, const TrainableModel::StepScale& scale,
                                          const Objective& objective);
  Result<data::KeptExperts> choose(const data::MicroBatch& batch);

 private:
  bool wants_gradients() const { return bindings_ != nullptr; }
  Result<Pass> start(const SharedPrompts& shared, const MicroResults::Wanted& wanted);
  // The model's own layers take the experts that the batch keeps.
  void place_experts(nn::Context& ctx, size_t layer) const {
    ctx.chosen = results_.chosen(layer);
    ctx.is_chosen_given = keeps_experts_ && layer < decoder_.layers.size();
  }
  Status add_head(const nn::Norm& norm, const PredictionTargets& of, double weight, double divisor, Pass& pass);
  Status add_heads(const data::MicroBatch& batch, const TrainableModel::StepScale& scale, Pass& pass);
  Status forward(Pass& pass);
  Status predict(Pass& pass);
  Status run_heads(const SharedPrompts& shared, const Objective& objective, Pass& pass, WeighedRows& rows);
  template <typename Run>  // Result<View>(): the stretch once more
  Status backward_stretch(Pass& pass, size_t layer, View in, View in_grad, bool is_in_given, View out, View out_grad,
                          const Run& run);
  Status backward(Pass& pass);
  nn::Tape& new_tape() {
    tapes_.push_back(std::make_unique<nn::Tape>(chip_, *bindings_));
    tapes_.back()->set_prefix_rows(prefix_rows_);
    return *tapes_.back();
  }

  contract::Chip& chip_;
  const models::Decoder& decoder_;
  nn::Workspace& values_;
  nn::Workspace& shadow_;
  const std::vector<nn::LayerCache>& cache_;
  const nn::Bindings* bindings_;  // null: no gradients
  bool recompute_;
  bool shares_prompts_;
  View prefix_rows_;  // i32 [E, 1]
  bool keeps_experts_ = false;
  float balance_weight_ = 0;
  MicroResults results_;
  std::vector<std::unique_ptr<nn::Tape>> tapes_;  // embedding, then layers
};

Status MicroStep::add_head(const nn::Norm& norm, const PredictionTargets& of, double weight, double divisor,
                           Pass& pass) {
  HeadWork work;
  work.norm = &norm;
  work.row_weights = of.weights;
  work.weight = weight;
  work.divisor = divisor;
  NARU_ASSIGN(work.targets, models::upload(chip_, values_, of.targets));
  work.weights = values_.take(work.targets.rows, 1);
  work.losses = results_.losses(pass.heads.size());
  pass.heads.push_back(std::move(work));
  return {};
}

// The model's head; in training that of each prediction layer too.
Status MicroStep::add_heads(const data::MicroBatch& batch, const TrainableModel::StepScale& scale, Pass& pass) {
  NARU_TRY(add_head(decoder_.final_norm, {{}, batch.targets, batch.weights}, 1, scale.divisor, pass));
  if (!wants_gradients()) return {};
  const size_t n_depths = decoder_.predictions.size();
  for (size_t depth = 0; depth < n_depths; ++depth) {
    NARU_CHECK(scale.prediction_divisors.size() == n_depths, scale.prediction_divisors.size(), n_depths);
    const PredictionTargets targets = prediction_targets(batch, static_cast<int64_t>(depth));
    NARU_ASSIGN(const View seen, models::upload(chip_, values_, targets.ids));
    pass.seen.push_back(seen);
    NARU_TRY(add_head(decoder_.predictions[depth].head_norm, targets,
                      scale.prediction_weight / static_cast<double>(n_depths), scale.prediction_divisors[depth], pass));
  }
  for (HeadWork& work : pass.heads) work.grad = values_.take(pass.ids.rows, decoder_.width);
  pass.before = values_.take(pass.ids.rows, decoder_.width);
  return {};
}

Status MicroStep::forward(Pass& pass) {
  nn::Context& ctx = pass.ctx;
  const bool records = wants_gradients();
  values_.keep(records);
  if (records) {
    ctx.tape = &new_tape();
    ctx.tape->begin(values_);
  }
  NARU_ASSIGN(View x, decoder_.embed_rows(ctx, pass.ids));
  if (records) ctx.tape->end(values_);
  pass.x.push_back(x);
  if (records && recompute_) values_.keep(false);
  for (size_t layer = 0; layer < decoder_.layers.size(); ++layer) {
    if (records && !recompute_) {
      ctx.tape = &new_tape();
      ctx.tape->begin(values_);
    } else {
      ctx.tape = nullptr;
    }
    if (records && recompute_) {  // the layer runs in place on a copy
      const View next = values_.take(x.rows, x.cols);
      NARU_TRY(chip_.run(contract::Axpby{.x = x, .y = {}, .a = 1, .b = 0, .out = next}));
      x = next;
    }
    place_experts(ctx, layer);
    NARU_ASSIGN(x, decoder_.run_layer(ctx, layer, cache_[layer], x));
    if (ctx.tape != nullptr) ctx.tape->end(values_);
    pass.x.push_back(x);
  }
  ctx.tape = nullptr;
  values_.keep(false);
  return {};
}

// The prediction layers, forward: each a stretch of the tape as a layer is.
Status MicroStep::predict(Pass& pass) {
  nn::Context& ctx = pass.ctx;
  for (size_t depth = 0; depth + 1 < pass.heads.size(); ++depth) {
    const size_t layer = decoder_.layers.size() + depth;
    if (!recompute_) {
      values_.keep(true);
      ctx.tape = &new_tape();
      ctx.tape->begin(values_);
    }
    place_experts(ctx, layer);
    auto state = decoder_.run_prediction(ctx, depth, cache_[layer], pass.heads[depth].state, pass.seen[depth]);
    values_.keep(false);
    if (ctx.tape != nullptr) ctx.tape->end(values_);
    ctx.tape = nullptr;
    NARU_ASSIGN(pass.heads[depth + 1].state, std::move(state));
  }
  return {};
}

// The model's own head by the objective, whose losses come to the host where it has them there; those of prediction
// layers by cross entropy.
Status MicroStep::run_heads(const SharedPrompts& shared, const Objective& objective, Pass& pass, WeighedRows& rows) {
  static const nn::Bindings kNone;
  HeadPass heads(pass.ctx, decoder_, wants_gradients() ? *bindings_ : kNone, shared);
  if (const auto* by_log_probs = std::get_if<std::shared_ptr<const LogProbLoss>>(&objective)) {
    NARU_TRY(heads.run(pass.heads[0], **by_log_probs, rows));
  } else if (const auto* by_logits = std::get_if<std::shared_ptr<const LogitsLoss>>(&objective)) {
    NARU_TRY(heads.run(pass.heads[0], **by_logits, rows.statistics));
  } else {
    NARU_TRY(heads.run(pass.heads[0], CrossEntropyLoss()));
  }
  for (size_t i = 1; i < pass.heads.size(); ++i) NARU_TRY(heads.run(pass.heads[i], CrossEntropyLoss()));
  return {};
}

template <typename Run>
Status MicroStep::backward_stretch(Pass& pass, size_t layer, View in, View in_grad, bool is_in_given, View out,
                                   View out_grad, const Run& run) {
  const nn::WorkspaceScope scope(values_);
  if (recompute_) {
    pass.ctx.tape = &new_tape();
    pass.ctx.tape->begin(values_);
    values_.keep(true);
    place_experts(pass.ctx, layer);
    auto again = run();
    values_.keep(false);
    NARU_ASSIGN(out, std::move(again));
    pass.ctx.tape->end(values_);
  }
  nn::Tape& tape = *tapes_.back();
  if (balance_weight_ != 0) tape.set_balance(balance_weight_, *pass.ctx.sequences, results_.balance(layer));
  tape.outside(out, out_grad, true);
  tape.outside(in, in_grad, is_in_given);
  {
    const nn::PlaceScope place(chip_, {.what = "the gradients of layer", .number = static_cast<int64_t>(layer)});
    NARU_TRY(tape.backward(shadow_));
  }
  tapes_.pop_back();
  return {};
}

Status MicroStep::backward(Pass& pass) {
  for (size_t depth = pass.seen.size(); depth-- > 0;) {
    const size_t layer = decoder_.layers.size() + depth;
    const HeadWork &before = pass.heads[depth], &behind = pass.heads[depth + 1];
    NARU_TRY(backward_stretch(pass, layer, before.state, before.grad, true, behind.state, behind.grad, [&] {
      return decoder_.run_prediction(pass.ctx, depth, cache_[layer], before.state, pass.seen[depth]);
    }));
  }
  View behind = pass.heads[0].grad, before = pass.before;
  for (size_t layer = decoder_.layers.size(); layer-- > 0;) {
    NARU_TRY(backward_stretch(pass, layer, pass.x[layer], before, false, pass.x[layer + 1], behind,
                              [&] { return decoder_.run_layer(pass.ctx, layer, cache_[layer], pass.x[layer]); }));
    std::swap(behind, before);
  }
  nn::Tape& embedding = *tapes_.back();
  embedding.outside(pass.x[0], behind, true);
  return embedding.backward(shadow_);
}

Result<Pass> MicroStep::start(const SharedPrompts& shared, const MicroResults::Wanted& wanted) {
  values_.keep(false);
  values_.release(0);
  const data::MicroBatch& batch = shared.rows();
  const DocumentPages sequences(shared);
  models::Batch rows;
  rows.ids = batch.ids;
  rows.positions = batch.positions;
  rows.sequences = sequences.rows();
  if (shared.is_any()) rows.writes = sequences.writes();
  results_.place(values_, decoder_, batch, wanted);
  keeps_experts_ = !batch.experts.empty();
  if (keeps_experts_) NARU_TRY(results_.give(chip_, batch.experts));
  NARU_ASSIGN(models::Decoder::Start begun, decoder_.begin(chip_, values_, rows));
  prefix_rows_ = {};
  if (shared.is_any()) {
    NARU_ASSIGN(prefix_rows_, models::upload(chip_, values_, sequences.prefix_rows()));
  } else if (shares_prompts_ && chip_.info().is_planner) {
    values_.take(begun.ids.rows, 1, DType::kI32);
  }
  return Pass{.ctx = begun.ctx, .ids = begun.ids, .x = {}, .before = {}, .heads = {}, .seen = {}};
}

Result<data::KeptExperts> MicroStep::choose(const data::MicroBatch& batch) {
  NARU_ASSIGN(Pass pass, start(SharedPrompts(batch, false), {.experts = true}));
  NARU_TRY(forward(pass));
  return results_.read_experts(chip_);
}

Result<TrainableModel::MicroResult> MicroStep::run(const data::MicroBatch& batch,
                                                   const TrainableModel::StepScale& scale, const Objective& objective) {
  balance_weight_ = wants_gradients() ? static_cast<float>(scale.balance_weight) : 0;
  const SharedPrompts shared(batch, shares_prompts_);
  NARU_ASSIGN(Pass pass, start(shared, {.predictions = wants_gradients(),
                                        .experts = wants_gradients() || !batch.experts.empty(),
                                        .balance = balance_weight_ != 0}));
  NARU_TRY(add_heads(shared.rows(), scale, pass));
  NARU_TRY(forward(pass));
  pass.heads[0].state = pass.x.back();
  NARU_TRY(predict(pass));
  WeighedRows weighed;
  NARU_TRY(run_heads(shared, objective, pass, weighed));
  if (wants_gradients()) NARU_TRY(backward(pass));
  NARU_ASSIGN(TrainableModel::MicroResult result, results_.read(chip_));
  result.losses = weighed.losses.empty() ? shared.spread(result.losses) : std::move(weighed.losses);
  result.sums.policy = weighed.statistics;
  const auto finish = [&](const std::vector<float>& weights, std::vector<float>& of) {
    double sum = 0;
    for (size_t i = 0; i < of.size(); ++i) {
      if (weights[i] == 0) of[i] = 0;
      sum += static_cast<double>(weights[i]) * static_cast<double>(of[i]);
    }
    return sum;
  };
  result.sums.loss = finish(batch.weights, result.losses);
  for (size_t depth = 0; depth < result.prediction_losses.size(); ++depth) {
    result.sums.prediction_losses.push_back(finish(pass.heads[depth + 1].row_weights, result.prediction_losses[depth]));
  }
  for (const float loss : result.balance) result.sums.balance += static_cast<double>(loss);
  return result;
}

}  // namespace

Result<TrainingRoom> measure_room(const contract::Chip& chip, const formats::ModelConfig& config,
                                  const TrainableModel::Options& options, int64_t n_rows, int64_t n_documents,
                                  double balance_weight, const Objective& objective) {
  const auto planner = chip.planner();
  NARU_ASSIGN(TrainableModel model, TrainableModel::create(*planner, config, options, {}, 0));
  TrainingRoom room{.rows = n_rows, .pages = pages_max(n_rows, n_documents), .documents = n_documents};
  NARU_TRY(model.reserve(room));
  data::MicroBatch batch = planned_batch(n_rows, n_documents);
  batch.signals.assign(static_cast<size_t>(n_signals(objective)),
                       std::vector<float>(static_cast<size_t>(n_rows), 0.0f));
  NARU_ASSIGN(const GradientBuffer grads, model.make_gradients());
  NARU_TRY(model.run(batch,
                     {.divisor = 1,
                      .balance_weight = balance_weight,
                      .prediction_weight = 1,
                      .prediction_divisors = std::vector<double>(static_cast<size_t>(config.mtp_layers), 1)},
                     &grads, objective));
  const auto [values, shadow] = model.workspace_peaks();
  room.activation_bytes = values;
  room.gradient_bytes = shadow;
  room.scratch_bytes = planner->memory().scratch;
  return room;
}

Status TrainableModel::reserve(const TrainingRoom& room) {
  State& s = *state_;
  // What there was is given back first: a chip may not hold both.
  s.room = {};
  s.values_memory.reset();
  s.shadow_memory.reset();
  s.cache.clear();
  s.cache_memory.reset();
  const auto workspace = [&](int64_t bytes) {
    return s.chip->info().is_planner ? nn::Workspace::measuring(*s.chip) : nn::Workspace::create(*s.chip, bytes);
  };
  NARU_ASSIGN(nn::Workspace values, workspace(room.activation_bytes));
  NARU_ASSIGN(nn::Workspace shadow, workspace(room.gradient_bytes));
  s.values_memory = std::make_unique<nn::Workspace>(std::move(values));
  s.shadow_memory = std::make_unique<nn::Workspace>(std::move(shadow));
  NARU_TRY(s.reserve_cache(room.pages));
  s.room = room;
  return {};
}

// One buffer for all layers; with recompute one layer's rows are needed at a time, and all lie in the same memory.
Status TrainableModel::State::reserve_cache(int64_t n_pages) {
  const std::vector<nn::LayerCacheShape> shapes = decoder.cache_shapes(cache_dtype);
  const auto bytes_of = [&](const contract::CacheShape& shape) {
    return round_up(chip->cache_page_bytes(shape) * n_pages, int64_t{64});
  };
  int64_t bytes = 0, largest = 0;
  for (const nn::LayerCacheShape& layer : shapes) {
    int64_t of_layer = 0;
    for (const nn::StreamShape& stream : layer) of_layer += bytes_of(stream.shape);
    largest = std::max(largest, of_layer);
    bytes += of_layer;
    if (bytes > contract::kMeasuredBytesMax) {
      return Error{
          Code::kResourceExhausted,
          fmt::format("planning memory: a cache of {} pages takes more bytes than a plan counts to (2^50); use "
                      "fewer rows at once or a smaller model",
                      n_pages)};
    }
  }
  cache_bytes = options.recompute ? largest : bytes;
  cache.clear();
  NARU_ASSIGN(cache_memory, chip->allocate(std::max<int64_t>(cache_bytes, 1)));
  ChipAddress next = cache_memory->address();
  for (const nn::LayerCacheShape& layer : shapes) {
    if (options.recompute) next = cache_memory->address();
    const auto make = [&](const contract::CacheShape& shape) -> Result<contract::CacheStream> {
      const contract::CacheStream stream{shape, next, chip->cache_page_bytes(shape)};
      next += bytes_of(shape);
      return stream;
    };
    NARU_ASSIGN(cache.emplace_back(), nn::LayerCache::create(layer, make));
  }
  return {};
}

Result<TrainableModel::MicroResult> TrainableModel::run(const data::MicroBatch& batch, const StepScale& scale,
                                                        const GradientBuffer* grads, const Objective& objective) {
  State& s = *state_;
  s.check_room(batch);
  NARU_CHECK(std::ssize(batch.signals) == n_signals(objective), batch.signals.size(), n_signals(objective));
  MicroStep step(*s.chip, s.decoder, *s.values_memory, *s.shadow_memory, s.cache,
                 grads != nullptr ? &grads->bindings_ : nullptr, s.options.recompute,
                 s.options.shares_prompts && s.decoder.predictions.empty());
  return step.run(batch, scale, objective);
}

Result<data::KeptExperts> TrainableModel::choose_experts(const data::MicroBatch& batch) {
  State& s = *state_;
  s.check_room(batch);
  MicroStep step(*s.chip, s.decoder, *s.values_memory, *s.shadow_memory, s.cache, nullptr, s.options.recompute);
  return step.choose(batch);
}

void TrainableModel::State::check_room(const data::MicroBatch& batch) const {
  NARU_CHECK(room.fits(batch), batch.ids.size(), batch.documents.size(), pages_of(batch), room.rows, room.documents,
             room.pages);
}

namespace {

// Keeps what another loss of log-probabilities is given, and ends the pass there.
class Probe final : public LogProbLoss {
 public:
  explicit Probe(const LogProbLoss& of) : of_(of) {}
  int64_t n_signals() const override { return of_.n_signals(); }
  double temperature() const override { return of_.temperature(); }
  Status weigh(const data::MicroBatch&, std::span<const float> log_probs, std::span<float>,
               std::span<float>) const override {
    seen_.assign(log_probs.begin(), log_probs.end());
    return Error{Code::kCancelled, "probing log-probabilities: the pass ends before the gradient"};
  }
  const std::vector<float>& seen() const { return seen_; }

 private:
  const LogProbLoss& of_;
  mutable std::vector<float> seen_;
};

}  // namespace

Result<std::vector<float>> TrainableModel::log_probs(const data::MicroBatch& batch, const LogProbLoss& loss,
                                                     contract::Chip& through) {
  static const nn::Bindings kNone;  // recorded as for a gradient, which is not run
  State& s = *state_;
  s.check_room(batch);
  const auto probe = std::make_shared<const Probe>(loss);
  MicroStep step(through, s.decoder, *s.values_memory, *s.shadow_memory, s.cache, &kNone, s.options.recompute);
  const auto result =
      step.run(batch, {.prediction_divisors = std::vector<double>(s.decoder.predictions.size(), 1)}, probe);
  NARU_CHECK(!result.ok());
  if (probe->seen().empty()) return result.error();
  return probe->seen();
}

}  // namespace naru::train
