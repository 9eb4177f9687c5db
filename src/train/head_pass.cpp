#include "train/head_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "train/drawn_rows.h"
#include "train/trainable_model.h"

namespace naru::train {
namespace {

// What the gradient's rows count, each made in double and rounded once.
std::vector<float> scaled(const HeadWork& work, const std::vector<float>& factors) {
  std::vector<float> weights(factors.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const double times = static_cast<double>(work.row_weights[i]) * static_cast<double>(factors[i]);
    weights[i] = static_cast<float>(quotient(times * work.weight, work.divisor));
  }
  return weights;
}

}  // namespace

template <typename Loss>
Status HeadPass::run_rows(const HeadWork& work, int64_t begin, int64_t n, bool to_gradient, const Loss& loss) {
  const nn::WorkspaceScope scope(ctx_.workspace);
  contract::Chip& chip = ctx_.chip;
  const View x = work.state.slice_rows(begin, n);
  const View normed = ctx_.workspace.take(n, x.cols);
  const View logits = ctx_.workspace.take(n, decoder_.vocab);
  {
    const nn::PlaceScope place(chip, {.what = {}, .number = 0, .row_begin = begin, .n_rows = work.state.rows});
    NARU_TRY(nn::rms_norm(ctx_, *work.norm, x, normed));
  }
  NARU_TRY(nn::matmul(ctx_, decoder_.head, normed, logits));
  NARU_TRY(loss(logits, begin));
  if (!to_gradient) return {};
  const nn::MatrixBinding& binding = bindings_.matrix(decoder_.head.weight.get());
  if (!binding.grads.empty()) {
    NARU_TRY(chip.run(contract::WeightGrad{
        .dy = logits, .x = normed, .groups = {}, .rows_share = 1, .rule = binding.weight->rule, .out = binding.grads}));
  }
  const View dnormed = ctx_.workspace.take(n, x.cols);
  NARU_TRY(chip.run(contract::Matmul{.x = logits, .targets = {{binding.transposed, {}, dnormed}}, .n_targets = 1}));
  return chip.run(contract::RmsNormGrad{.x = x,
                                        .weight = work.norm->weight.view,
                                        .eps = work.norm->eps,
                                        .dy = dnormed,
                                        .dx = work.grad.slice_rows(begin, n),
                                        .dweight = bindings_.vector_grad(work.norm->weight.view)});
}

// Runs in which nothing counts are not computed: their losses and gradients are +0.
template <typename Loss>
Status HeadPass::run_counted(const HeadWork& work, const std::vector<float>& counted, bool to_gradient,
                             const Loss& loss) {
  const auto n_rows = static_cast<int64_t>(counted.size());
  for (int64_t begin = 0; begin < n_rows; begin += kHeadRows) {
    const int64_t n = std::min(kHeadRows, n_rows - begin);
    const auto first = counted.begin() + begin;
    if (std::any_of(first, first + n, [](float weight) { return weight != 0; })) {
      NARU_TRY(run_rows(work, begin, n, to_gradient, loss));
      continue;
    }
    NARU_TRY(ctx_.chip.run(contract::Fill{.out = work.losses.slice_rows(begin, n), .value = 0}));
    if (to_gradient) NARU_TRY(ctx_.chip.run(contract::Fill{.out = work.grad.slice_rows(begin, n), .value = 0}));
  }
  return {};
}

Status HeadPass::put_weights(const HeadWork& work, const std::vector<float>& weights) {
  return ctx_.chip.copy_in(work.weights.address, weights.data(), static_cast<int64_t>(weights.size()) * 4);
}

// Of rows that count `weights`; pieces in which all of `counted` is 0 are left out.
Status HeadPass::cross_entropy(const HeadWork& work, const std::vector<float>& weights,
                               const std::vector<float>& counted) {
  const bool to_gradient = !work.grad.empty();
  NARU_TRY(put_weights(work, weights));
  return run_counted(work, counted, to_gradient, [&](View logits, int64_t begin) {
    return ctx_.chip.run(contract::CrossEntropy{.logits = logits,
                                                .targets = work.targets.slice_rows(begin, logits.rows),
                                                .weights = work.weights.slice_rows(begin, logits.rows),
                                                .loss = work.losses.slice_rows(begin, logits.rows),
                                                .dlogits = to_gradient ? logits : View{}});
  });
}

Status HeadPass::run(const HeadWork& work, CrossEntropyLoss) {
  return cross_entropy(work, scaled(work, std::vector<float>(work.row_weights.size(), 1.0f)), work.row_weights);
}

Status HeadPass::run(const HeadWork& work, const LogitsLoss& loss, PolicyStatistics& statistics) {
  const bool to_gradient = !work.grad.empty();
  NARU_TRY(put_weights(work, scaled(work, std::vector<float>(work.row_weights.size(), 1.0f))));
  NARU_ASSIGN(const std::unique_ptr<LogitsPass> pass, loss.begin(ctx_.chip, ctx_.workspace, batch_));
  NARU_TRY(run_counted(work, work.row_weights, to_gradient, [&](View logits, int64_t begin) {
    return pass->run({.begin = begin,
                      .logits = logits,
                      .targets = work.targets.slice_rows(begin, logits.rows),
                      .weights = work.weights.slice_rows(begin, logits.rows),
                      .losses = work.losses.slice_rows(begin, logits.rows),
                      .to_gradient = to_gradient});
  }));
  statistics = pass->statistics();
  return {};
}

Status HeadPass::log_probs(const HeadWork& work, std::vector<float>& out) {
  NARU_TRY(run_counted(work, work.row_weights, false, [&](View logits, int64_t begin) {
    return ctx_.chip.run(contract::LogProb{.logits = logits,
                                           .targets = work.targets.slice_rows(begin, logits.rows),
                                           .out = work.losses.slice_rows(begin, logits.rows)});
  }));
  NARU_TRY(ctx_.chip.wait());
  return ctx_.chip.copy_out(out.data(), work.losses.address, std::ssize(out) * 4);
}

Status HeadPass::drawn_log_probs(const HeadWork& work, float temperature, std::vector<float>& out) {
  DrawnRows rows(ctx_.chip, batch_, temperature);
  return run_counted(work, work.row_weights, false,
                     [&](View logits, int64_t begin) { return rows.log_probs(logits, begin, work.row_weights, out); });
}

Status HeadPass::drawn_gradient(const HeadWork& work, float temperature, const std::vector<float>& weights) {
  DrawnRows rows(ctx_.chip, batch_, temperature);
  return run_counted(work, weights, true,
                     [&](View logits, int64_t begin) { return rows.gradient(logits, begin, weights); });
}

Status HeadPass::run(const HeadWork& work, const LogProbLoss& loss, WeighedRows& rows) {
  const auto temperature = static_cast<float>(loss.temperature());
  const bool is_plain = temperature == 1.0f && batch_.kept.rows() == 0;
  std::vector<float> of_rows(work.row_weights.size());
  NARU_TRY(is_plain ? log_probs(work, of_rows) : drawn_log_probs(work, temperature, of_rows));
  for (size_t i = 0; i < of_rows.size(); ++i) {
    if (work.row_weights[i] == 0) of_rows[i] = 0;
  }
  const data::MicroBatch& whole = shared_.whole();
  const std::vector<float> at = shared_.spread(of_rows);
  std::vector<float> factors(at.size(), 1.0f);
  std::vector<float>& losses = rows.losses;
  losses.assign(at.size(), 0.0f);
  if (!ctx_.chip.info().is_planner) {
    NARU_TRY(loss.weigh(whole, at, losses, factors));
    rows.statistics = loss.statistics(whole, at);
  }
  for (size_t i = 0; i < at.size(); ++i) {
    if (whole.weights[i] == 0) losses[i] = factors[i] = 0;
    if (std::isfinite(factors[i])) continue;
    return Error{Code::kOutOfRange,
                 fmt::format("weighing the losses of a micro-batch: the factor of row {} is {}, at "
                             "a log-probability of {}, a finite number was wanted; have the objective bound it",
                             i, factors[i], at[i])};
  }
  if (work.grad.empty()) return {};
  const std::vector<float> weights = scaled(work, shared_.gather(factors));
  return is_plain ? cross_entropy(work, weights, weights) : drawn_gradient(work, temperature, weights);
}

}  // namespace naru::train
