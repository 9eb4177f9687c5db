#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/checked.h"
#include "base/double_math.h"

namespace naru::train {
namespace {

using models::ParameterUse;

// Newton-Schulz steps towards the nearest orthogonal matrix: eight fast ones, then two that settle.
struct Coefficients {
  float a, b, c;
};
constexpr Coefficients kFast = {3.4445f, -4.7750f, 2.0315f};
constexpr Coefficients kSettling = {2.0f, -1.5f, 0.5f};
constexpr int kFastSteps = 8, kSteps = 10;
constexpr double kMuonScale = 0.2;  // so that AdamW's learning rates serve

}  // namespace

Optimizer::Optimizer(const recipes::OptimizerRecipe& recipe, const TrainableModel& model)
    : recipe_(recipe), model_(&model) {}

Result<Optimizer> Optimizer::create(const recipes::OptimizerRecipe& recipe, const TrainableModel& model) {
  Optimizer result(recipe, model);
  contract::Chip& chip = model.chip();
  std::vector<bool> has_second = model.trained();
  for (size_t i = 0; i < has_second.size(); ++i) {
    const models::Parameter& parameter = model.parameters()[i];
    const bool is_muon = recipe.kind == "muon" && has_second[i] && parameter.is_matrix();
    result.is_muon_.push_back(is_muon);
    if (!is_muon) continue;
    has_second[i] = false;
    const int64_t side = std::min(parameter.rows(), parameter.cols());
    result.work_floats_ = std::max(result.work_floats_, round_up(parameter.n_elements(), 16));
    result.side_floats_ = std::max(result.side_floats_, round_up(side * side, 16));
  }
  const auto& parameters = model.parameters();
  result.by_name_.resize(parameters.size());
  std::iota(result.by_name_.begin(), result.by_name_.end(), size_t{0});
  std::sort(result.by_name_.begin(), result.by_name_.end(),
            [&](size_t a, size_t b) { return parameters[a].name < parameters[b].name; });
  NARU_ASSIGN(result.first_, ParameterBuffer::create(chip, model.parameters(), model.trained()));
  NARU_ASSIGN(result.second_, ParameterBuffer::create(chip, model.parameters(), has_second));
  NARU_ASSIGN(result.slots_, chip.allocate(static_cast<int64_t>(model.parameters().size()) * 4));
  if (result.work_floats_ > 0) {
    NARU_ASSIGN(result.work_, chip.allocate((2 * result.work_floats_ + 2 * result.side_floats_) * 4));
  }
  return result;
}

Result<std::vector<float>> Optimizer::read_slots(int64_t n) {
  contract::Chip& chip = model_->chip();
  std::vector<float> values(static_cast<size_t>(n));
  NARU_TRY(chip.wait());
  NARU_TRY(chip.copy_out(values.data(), slots_->address(), n * 4));
  return values;
}

Result<double> Optimizer::gradient_norm(const ParameterBuffer& grads) {
  std::vector<View> tensors;
  for (const size_t i : by_name_) {
    if (grads.holds(static_cast<int64_t>(i))) tensors.push_back(grads.view(static_cast<int64_t>(i)));
  }
  const auto n = static_cast<int64_t>(tensors.size());
  NARU_TRY(
      model_->chip().run(contract::SumOfSquares{.x = tensors, .out = make_view(slots_->address(), DType::kF32, n, 1)}));
  NARU_ASSIGN(const std::vector<float> sums, read_slots(n));
  double total = 0;
  for (const float sum : sums) total += static_cast<double>(sum);
  return std::sqrt(total);
}

double Optimizer::decay_of(int64_t index) const {
  switch (model_->parameters()[static_cast<size_t>(index)].use) {
    case ParameterUse::kMatrix:
    case ParameterUse::kResidual:
    case ParameterUse::kRouter: return recipe_.weight_decay;
    case ParameterUse::kEmbedding:
    case ParameterUse::kHead: return recipe_.decay_embeddings ? recipe_.weight_decay : 0;
    case ParameterUse::kNone:
    case ParameterUse::kNorm:
    case ParameterUse::kBias:
    case ParameterUse::kRoutingBias: return 0;
  }
  return 0;
}

Status Optimizer::adamw(const std::vector<int64_t>& indexes, const ParameterBuffer& grads, double lr, double grad_scale,
                        int64_t t) {
  std::vector<View> weights, gradients, first, second;
  std::vector<float> decays;
  for (const int64_t index : indexes) {
    weights.push_back(model_->values().view(index));
    gradients.push_back(grads.view(index));
    first.push_back(first_.view(index));
    second.push_back(second_.view(index));
    decays.push_back(static_cast<float>(1 - lr * decay_of(index)));
  }
  const auto steps = static_cast<double>(t);
  const double bias1 = 1 - pow_double(recipe_.beta1, steps), bias2 = 1 - pow_double(recipe_.beta2, steps);
  return model_->chip().run(contract::AdamW{.weight = weights,
                                            .grad = gradients,
                                            .m = first,
                                            .v = second,
                                            .decay = decays,
                                            .grad_scale = static_cast<float>(grad_scale),
                                            .beta1 = static_cast<float>(recipe_.beta1),
                                            .one_minus_beta1 = static_cast<float>(1 - recipe_.beta1),
                                            .beta2 = static_cast<float>(recipe_.beta2),
                                            .one_minus_beta2 = static_cast<float>(1 - recipe_.beta2),
                                            .inverse_root_bias2 = static_cast<float>(1 / std::sqrt(bias2)),
                                            .eps = static_cast<float>(recipe_.eps),
                                            .step_size = static_cast<float>(lr / bias1)});
}

Status Optimizer::axpby(View x, double a, View y, double b, View out) {
  return model_->chip().run(
      contract::Axpby{.x = x, .y = y, .a = static_cast<float>(a), .b = static_cast<float>(b), .out = out});
}

// The gradient with the momentum that it has moved, before it is made orthogonal.
Status Optimizer::muon_direction(int64_t index, View grad, double grad_scale, View x) {
  return axpby(grad, grad_scale, first_.view(index), recipe_.momentum, x);
}

Status Optimizer::muon_begin(int64_t index, View grad, double grad_scale, int64_t slot) {
  const View momentum = first_.view(index);
  const View x = make_view(work_->address(), DType::kF32, grad.rows, grad.cols);
  NARU_TRY(axpby(grad, grad_scale, momentum, recipe_.momentum, momentum));
  NARU_TRY(muon_direction(index, grad, grad_scale, x));
  const View out = make_view(slots_->address(), DType::kF32, static_cast<int64_t>(model_->parameters().size()), 1);
  return model_->chip().run(contract::SumOfSquares{.x = {&x, 1}, .out = out.slice_rows(slot, 1)});
}

Status Optimizer::muon_end(int64_t index, View grad, double lr, double grad_scale, double squares) {
  contract::Chip& chip = model_->chip();
  const View weight = model_->values().view(index);
  const int64_t rows = weight.rows, cols = weight.cols, side = std::min(rows, cols);
  const ChipAddress memory = work_->address();
  const View x = make_view(memory, DType::kF32, rows, cols);
  const View next = make_view(memory + 4 * work_floats_, DType::kF32, rows, cols);
  const View gram = make_view(memory + 8 * work_floats_, DType::kF32, side, side);
  const View square = make_view(memory + 8 * work_floats_ + 4 * side_floats_, DType::kF32, side, side);
  const auto product = [&](View a, bool a_transposed, View b, bool b_transposed, View out) {
    return chip.run(contract::Product{.a = a,
                                      .b = b,
                                      .a_transposed = a_transposed,
                                      .b_transposed = b_transposed,
                                      .rule = contract::Rule::kF32,
                                      .out = out});
  };
  const double decay = 1 - lr * decay_of(index);
  if (squares == 0) return axpby(weight, decay, {}, 0, weight);
  NARU_TRY(muon_direction(index, grad, grad_scale, x));
  NARU_TRY(axpby(x, 1 / std::sqrt(squares), {}, 0, x));
  const bool is_tall = rows > cols;
  for (int step = 0; step < kSteps; ++step) {
    const Coefficients k = step < kFastSteps ? kFast : kSettling;
    NARU_TRY(product(x, is_tall, x, is_tall, gram));      // X X^T, of the smaller side
    NARU_TRY(product(gram, false, gram, false, square));  // symmetric: its own transpose
    NARU_TRY(axpby(square, static_cast<double>(k.c), gram, static_cast<double>(k.b), gram));
    NARU_TRY(is_tall ? product(x, false, gram, false, next) : product(gram, false, x, true, next));
    NARU_TRY(axpby(x, static_cast<double>(k.a), next, 1, x));
  }
  const double scale = kMuonScale * std::sqrt(static_cast<double>(std::max(rows, cols)));
  return axpby(x, -lr * scale, weight, decay, weight);
}

Status Optimizer::update(const ParameterBuffer& grads, double lr, double grad_scale, int64_t t) {
  std::vector<int64_t> by_adamw, by_muon;
  for (int64_t i = 0; i < static_cast<int64_t>(model_->parameters().size()); ++i) {
    if (grads.holds(i)) (is_muon(i) ? by_muon : by_adamw).push_back(i);
  }
  NARU_TRY(adamw(by_adamw, grads, lr, grad_scale, t));
  // All sums of squares are read at once: what they scale is made again behind that, in the same memory.
  const auto n_muon = static_cast<int64_t>(by_muon.size());
  if (n_muon == 0) return {};
  for (int64_t i = 0; i < n_muon; ++i) {
    const int64_t index = by_muon[static_cast<size_t>(i)];
    NARU_TRY(muon_begin(index, grads.view(index), grad_scale, i));
  }
  NARU_ASSIGN(const std::vector<float> squares, read_slots(n_muon));
  for (size_t i = 0; i < by_muon.size(); ++i) {
    NARU_TRY(muon_end(by_muon[i], grads.view(by_muon[i]), lr, grad_scale, static_cast<double>(squares[i])));
  }
  return {};
}

}  // namespace naru::train
