// One micro-batch forward and backward. Stretches of the tape: the embedding, each layer, each prediction layer; heads
// run by themselves in runs of kHeadRows token slots. With recompute a layer keeps its input only and runs again before
// it runs backwards.
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "train/prediction_targets.h"
#include "train/trainable_state.h"

namespace naru::train {
namespace {

using contract::kCachePage;

// The documents of a micro-batch as sequences of the engine, each with its own pages.
struct Sequences {
  std::vector<int32_t> pages;
  std::vector<contract::SequenceRows> rows;
};

void fill_sequences(const MicroBatch& batch, Sequences& out) {
  const int64_t n_pages = pages_of(batch);
  for (int64_t page = 0; page < n_pages; ++page) out.pages.push_back(static_cast<int32_t>(page));
  int64_t page = 0;
  for (const DocumentRows& document : batch.documents) {
    out.rows.push_back({document.row_begin, document.n_rows, 0, out.pages.data() + page});
    page += ceil_div(document.n_rows, kCachePage);
  }
}

// The head behind one residual stream: the model's own, or that of a prediction layer.
struct HeadWork {
  const nn::Norm* norm = nullptr;
  std::vector<uint8_t> mask;
  View ids;  // of a prediction layer: the tokens that it sees
  View targets, weights, losses;
  View grad;  // of the stream
};

// Places of the micro-batch in the workspace, all live until the end of the pass.
struct Pass {
  nn::Context ctx;
  View ids;
  std::vector<View> x;          // the residual stream before each layer, and behind the last
  View before;                  // the gradient of the stream before the layer at work, in turn with heads[0].grad
  std::vector<HeadWork> heads;  // the model's, then by depth
  std::vector<View> states;     // what each of them reads
};

}  // namespace

int64_t pages_of(const MicroBatch& batch) {
  int64_t n_pages = 0;
  for (const DocumentRows& document : batch.documents) n_pages += ceil_div(document.n_rows, kCachePage);
  return n_pages;
}

bool TrainingRoom::fits(const MicroBatch& batch) const {
  return static_cast<int64_t>(batch.ids.size()) <= rows && pages_of(batch) <= pages &&
         static_cast<int64_t>(batch.documents.size()) <= documents;
}

namespace {

class MicroStep {
 public:
  MicroStep(contract::Chip& chip, const models::Decoder& decoder, nn::Workspace& values, nn::Workspace& shadow,
            const std::vector<nn::LayerCache>& cache, const nn::Bindings& bindings, bool recompute)
      : chip_(chip),
        decoder_(decoder),
        values_(values),
        shadow_(shadow),
        cache_(cache),
        bindings_(bindings),
        recompute_(recompute) {}

  Result<TrainableModel::MicroResult> run(const MicroBatch& batch, const TrainableModel::StepScale& scale,
                                          bool wants_gradients);

 private:
  Result<View> upload(const void* data, int64_t n, DType dtype);
  Status add_head(const nn::Norm& norm, const PredictionTargets& of, float weight, Pass& pass);
  Status add_heads(const MicroBatch& batch, const TrainableModel::StepScale& scale, bool wants_gradients, Pass& pass);
  Status forward(Pass& pass, bool records);
  Status predict(Pass& pass);
  Status head(Pass& pass, size_t index, bool wants_gradients);
  Status head_rows(Pass& pass, size_t index, int64_t begin, int64_t n, bool wants_gradients);
  template <typename Run>  // Result<View>(): the stretch once more
  Status backward_stretch(Pass& pass, View in, View in_grad, bool is_in_given, View out, View out_grad, const Run& run);
  Status backward(Pass& pass);
  Result<std::vector<float>> losses_of(const HeadWork& work);
  Status count_loads(const nn::Tape& tape, std::vector<std::vector<int64_t>>& loads);
  nn::Tape& new_tape() {
    tapes_.push_back(std::make_unique<nn::Tape>(chip_, bindings_));
    return *tapes_.back();
  }

  contract::Chip& chip_;
  const models::Decoder& decoder_;
  nn::Workspace& values_;
  nn::Workspace& shadow_;
  const std::vector<nn::LayerCache>& cache_;
  const nn::Bindings& bindings_;
  bool recompute_;
  float balance_weight_ = 0;
  std::vector<std::unique_ptr<nn::Tape>> tapes_;  // embedding, then layers
  std::vector<std::vector<int64_t>> loads_;       // by layer, last first
  std::vector<float> balance_;
};

Result<View> MicroStep::upload(const void* data, int64_t n, DType dtype) {
  const View view = values_.take(n, 1, dtype);
  NARU_TRY(chip_.copy_in(view.address, data, n * 4));
  return view;
}

Status MicroStep::add_head(const nn::Norm& norm, const PredictionTargets& of, float weight, Pass& pass) {
  const auto n = static_cast<int64_t>(of.mask.size());
  std::vector<float> weights(of.mask.size());
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = of.mask[i] != 0 ? weight : 0.0f;
  HeadWork work;
  work.norm = &norm;
  work.mask = of.mask;
  if (!pass.heads.empty()) {
    NARU_ASSIGN(work.ids, upload(of.ids.data(), n, DType::kI32));
  }
  NARU_ASSIGN(work.targets, upload(of.targets.data(), n, DType::kI32));
  NARU_ASSIGN(work.weights, upload(weights.data(), n, DType::kF32));
  work.losses = values_.take(n, 1);
  pass.heads.push_back(std::move(work));
  return {};
}

// The model's head; in training that of each prediction layer too.
Status MicroStep::add_heads(const MicroBatch& batch, const TrainableModel::StepScale& scale, bool wants_gradients,
                            Pass& pass) {
  const auto share = [](double weight, int64_t n) {
    return static_cast<float>(weight / static_cast<double>(std::max<int64_t>(1, n)));
  };
  NARU_TRY(add_head(decoder_.final_norm, {batch.ids, batch.targets, batch.mask}, share(1.0, scale.n_targets), pass));
  const size_t n_depths = decoder_.predictions.size();
  for (size_t depth = 0; wants_gradients && depth < n_depths; ++depth) {
    NARU_CHECK(scale.n_prediction_targets.size() == n_depths, scale.n_prediction_targets.size(), n_depths);
    const float weight =
        share(scale.prediction_weight / static_cast<double>(n_depths), scale.n_prediction_targets[depth]);
    NARU_TRY(add_head(decoder_.predictions[depth].head_norm, prediction_targets(batch, static_cast<int64_t>(depth)),
                      weight, pass));
  }
  if (!wants_gradients) return {};
  for (HeadWork& work : pass.heads) work.grad = values_.take(pass.ids.rows, decoder_.width);
  pass.before = values_.take(pass.ids.rows, decoder_.width);
  return {};
}

Status MicroStep::forward(Pass& pass, bool records) {
  nn::Context& ctx = pass.ctx;
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
    NARU_ASSIGN(x, decoder_.run_layer(ctx, layer, cache_[layer], x));
    if (ctx.tape != nullptr) ctx.tape->end(values_);
    pass.x.push_back(x);
  }
  ctx.tape = nullptr;
  values_.keep(false);
  pass.states.push_back(x);
  return {};
}

// The prediction layers, forward: each a stretch of the tape as a layer is.
Status MicroStep::predict(Pass& pass) {
  nn::Context& ctx = pass.ctx;
  for (size_t depth = 0; depth + 1 < pass.heads.size(); ++depth) {
    const nn::LayerCache& cache = cache_[decoder_.layers.size() + depth];
    if (!recompute_) {
      values_.keep(true);
      ctx.tape = &new_tape();
      ctx.tape->begin(values_);
    }
    auto state = decoder_.run_prediction(ctx, depth, cache, pass.states[depth], pass.heads[depth + 1].ids);
    values_.keep(false);
    if (ctx.tape != nullptr) ctx.tape->end(values_);
    ctx.tape = nullptr;
    NARU_ASSIGN(const View next, std::move(state));
    pass.states.push_back(next);
  }
  return {};
}

Status MicroStep::head_rows(Pass& pass, size_t index, int64_t begin, int64_t n, bool wants_gradients) {
  const nn::WorkspaceScope scope(values_);
  nn::Context& ctx = pass.ctx;
  const HeadWork& work = pass.heads[index];
  const View x = pass.states[index].slice_rows(begin, n);
  const View normed = values_.take(n, x.cols);
  const View logits = values_.take(n, decoder_.vocab);
  NARU_TRY(nn::rms_norm(ctx, *work.norm, x, normed));
  NARU_TRY(nn::matmul(ctx, decoder_.head, normed, logits));
  NARU_TRY(chip_.run(contract::CrossEntropy{.logits = logits,
                                            .targets = work.targets.slice_rows(begin, n),
                                            .weights = work.weights.slice_rows(begin, n),
                                            .loss = work.losses.slice_rows(begin, n),
                                            .dlogits = wants_gradients ? logits : View{}}));
  if (!wants_gradients) return {};
  const nn::MatrixBinding& binding = bindings_.matrix(decoder_.head.weight.get());
  if (!binding.grads.empty()) {
    NARU_TRY(chip_.run(contract::WeightGrad{
        .dy = logits, .x = normed, .groups = {}, .rows_share = 1, .rule = binding.weight->rule, .out = binding.grads}));
  }
  const View dnormed = values_.take(n, x.cols);
  NARU_TRY(chip_.run(contract::Matmul{.x = logits, .targets = {{binding.transposed, {}, dnormed}}, .n_targets = 1}));
  return chip_.run(contract::RmsNormGrad{.x = x,
                                         .weight = work.norm->weight.view,
                                         .eps = work.norm->eps,
                                         .dy = dnormed,
                                         .dx = work.grad.slice_rows(begin, n),
                                         .dweight = bindings_.vector_grad(work.norm->weight.view)});
}

Status MicroStep::head(Pass& pass, size_t index, bool wants_gradients) {
  const HeadWork& work = pass.heads[index];
  const auto n_rows = static_cast<int64_t>(work.mask.size());
  for (int64_t begin = 0; begin < n_rows; begin += kHeadRows) {
    const int64_t n = std::min(kHeadRows, n_rows - begin);
    const auto first = work.mask.begin() + begin;
    if (std::any_of(first, first + n, [](uint8_t m) { return m != 0; })) {
      NARU_TRY(head_rows(pass, index, begin, n, wants_gradients));
      continue;
    }
    NARU_TRY(chip_.run(contract::Fill{.out = work.losses.slice_rows(begin, n), .value = 0}));
    if (wants_gradients) NARU_TRY(chip_.run(contract::Fill{.out = work.grad.slice_rows(begin, n), .value = 0}));
  }
  return {};
}

Status MicroStep::count_loads(const nn::Tape& tape, std::vector<std::vector<int64_t>>& loads) {
  for (const contract::Op& op : tape.ops()) {
    const auto* route = std::get_if<contract::Route>(&op);
    if (route == nullptr) continue;
    std::vector<int32_t> experts(static_cast<size_t>(route->experts.rows * route->experts.cols));
    NARU_TRY(chip_.wait());
    NARU_TRY(chip_.copy_out(experts.data(), route->experts.address, static_cast<int64_t>(experts.size()) * 4));
    std::vector<int64_t> load(static_cast<size_t>(route->logits.cols));
    for (const int32_t expert : experts) ++load[static_cast<size_t>(expert)];
    loads.push_back(std::move(load));
  }
  return {};
}

template <typename Run>
Status MicroStep::backward_stretch(Pass& pass, View in, View in_grad, bool is_in_given, View out, View out_grad,
                                   const Run& run) {
  const nn::WorkspaceScope scope(values_);
  if (recompute_) {
    pass.ctx.tape = &new_tape();
    pass.ctx.tape->begin(values_);
    values_.keep(true);
    auto again = run();
    values_.keep(false);
    NARU_ASSIGN(out, std::move(again));
    pass.ctx.tape->end(values_);
  }
  nn::Tape& tape = *tapes_.back();
  NARU_TRY(count_loads(tape, loads_));
  tape.set_balance(balance_weight_, pass.ctx.sequences);
  tape.outside(out, out_grad, true);
  tape.outside(in, in_grad, is_in_given);
  NARU_TRY(tape.backward(shadow_));
  for (const float loss : tape.take_balance_losses()) balance_.push_back(loss);
  tapes_.pop_back();
  return {};
}

Status MicroStep::backward(Pass& pass) {
  for (size_t depth = pass.heads.size() - 1; depth-- > 0;) {
    const nn::LayerCache& cache = cache_[decoder_.layers.size() + depth];
    NARU_TRY(backward_stretch(pass, pass.states[depth], pass.heads[depth].grad, true, pass.states[depth + 1],
                              pass.heads[depth + 1].grad, [&] {
                                return decoder_.run_prediction(pass.ctx, depth, cache, pass.states[depth],
                                                               pass.heads[depth + 1].ids);
                              }));
  }
  View behind = pass.heads[0].grad, before = pass.before;
  for (size_t layer = decoder_.layers.size(); layer-- > 0;) {
    NARU_TRY(backward_stretch(pass, pass.x[layer], before, false, pass.x[layer + 1], behind,
                              [&] { return decoder_.run_layer(pass.ctx, layer, cache_[layer], pass.x[layer]); }));
    std::swap(behind, before);
  }
  nn::Tape& embedding = *tapes_.back();
  embedding.outside(pass.x[0], behind, true);
  return embedding.backward(shadow_);
}

Result<std::vector<float>> MicroStep::losses_of(const HeadWork& work) {
  std::vector<float> losses(work.mask.size());
  NARU_TRY(chip_.copy_out(losses.data(), work.losses.address, static_cast<int64_t>(losses.size()) * 4));
  for (size_t i = 0; i < losses.size(); ++i) {
    if (work.mask[i] == 0) losses[i] = 0;
  }
  return losses;
}

Result<TrainableModel::MicroResult> MicroStep::run(const MicroBatch& batch, const TrainableModel::StepScale& scale,
                                                   bool wants_gradients) {
  values_.keep(false);
  values_.release(0);
  balance_weight_ = static_cast<float>(scale.balance_weight);
  Sequences sequences;
  fill_sequences(batch, sequences);
  models::Batch rows;
  rows.ids = batch.ids;
  rows.positions = batch.positions;
  rows.sequences = sequences.rows;
  NARU_ASSIGN(models::Decoder::Start start, decoder_.begin(chip_, values_, rows));
  Pass pass{.ctx = start.ctx, .ids = start.ids, .x = {}, .before = {}, .heads = {}, .states = {}};
  NARU_TRY(add_heads(batch, scale, wants_gradients, pass));
  NARU_TRY(forward(pass, wants_gradients));
  NARU_TRY(predict(pass));
  for (size_t i = 0; i < pass.heads.size(); ++i) NARU_TRY(head(pass, i, wants_gradients));
  if (wants_gradients) NARU_TRY(backward(pass));
  NARU_TRY(chip_.wait());
  TrainableModel::MicroResult result;
  NARU_ASSIGN(result.losses, losses_of(pass.heads[0]));
  for (size_t i = 1; i < pass.heads.size(); ++i) {
    NARU_ASSIGN(std::vector<float> losses, losses_of(pass.heads[i]));
    result.prediction_losses.push_back(std::move(losses));
  }
  result.balance = std::move(balance_);
  result.loads.assign(loads_.rbegin(), loads_.rend());
  return result;
}

}  // namespace

Result<TrainingRoom> measure_room(const contract::Chip& chip, const formats::ModelConfig& config,
                                  const TrainableModel::Options& options, int64_t n_rows, int64_t n_documents,
                                  double balance_weight) {
  const auto planner = chip.planner();
  NARU_ASSIGN(TrainableModel model, TrainableModel::create(*planner, config, options, {}, 0));
  TrainingRoom room{n_rows, ceil_div(n_rows, kCachePage) + n_documents, n_documents, 0, 0};
  NARU_TRY(model.reserve(room));
  MicroBatch batch;
  const auto n = static_cast<size_t>(n_rows);
  batch.ids.assign(n, 0);
  batch.positions.assign(n, 0);
  batch.targets.assign(n, 0);
  batch.mask.assign(n, 1);
  // The first documents have one token, the last one the rest.
  for (int64_t d = 0; d < n_documents; ++d) {
    const bool is_last = d + 1 == n_documents;
    batch.documents.push_back({d, is_last ? n_rows - d : 1});
  }
  NARU_ASSIGN(const ParameterBuffer grads, ParameterBuffer::create(*planner, model.parameters(), model.trained()));
  NARU_TRY(model.run(batch,
                     {.n_targets = 1,
                      .balance_weight = balance_weight,
                      .prediction_weight = 1,
                      .n_prediction_targets = std::vector<int64_t>(static_cast<size_t>(config.mtp_layers), 1)},
                     &grads));
  const auto [values, shadow] = model.workspace_peaks();
  room.activation_bytes = values;
  room.gradient_bytes = shadow;
  return room;
}

Status TrainableModel::reserve(const TrainingRoom& room) {
  State& s = *state_;
  s.room = room;
  const auto workspace = [&](int64_t bytes) {
    return s.chip->info().is_planner ? nn::Workspace::measuring(*s.chip) : nn::Workspace::create(*s.chip, bytes);
  };
  NARU_ASSIGN(nn::Workspace values, workspace(room.activation_bytes));
  NARU_ASSIGN(nn::Workspace shadow, workspace(room.gradient_bytes));
  s.values_memory = std::make_unique<nn::Workspace>(std::move(values));
  s.shadow_memory = std::make_unique<nn::Workspace>(std::move(shadow));
  return s.reserve_cache(room.pages);
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
    if (bytes > nn::kMeasuredBytesMax) {
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

Result<TrainableModel::MicroResult> TrainableModel::run(const MicroBatch& batch, const StepScale& scale,
                                                        const ParameterBuffer* grads) {
  State& s = *state_;
  NARU_CHECK(s.room.fits(batch), batch.ids.size(), batch.documents.size(), pages_of(batch), s.room.rows,
             s.room.documents, s.room.pages);
  nn::Bindings bindings;
  s.bind(grads, bindings);
  MicroStep step(*s.chip, s.decoder, *s.values_memory, *s.shadow_memory, s.cache, bindings, s.options.recompute);
  return step.run(batch, scale, grads != nullptr);
}

}  // namespace naru::train
