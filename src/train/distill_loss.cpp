#include "train/distill_loss.h"

#include <algorithm>

#include "train/chip_values.h"
#include "train/drawn_rows.h"
#include "train/policy_loss.h"
#include "train/reverse_kl.h"

namespace naru::train {
namespace {

// One micro-batch.
class DistillPass final : public LogitsPass {
 public:
  DistillPass(contract::Chip& chip, nn::Workspace& workspace, const data::MicroBatch& batch,
              std::vector<Teacher>& teachers, float temperature)
      : chip_(chip),
        workspace_(workspace),
        batch_(batch),
        teachers_(teachers),
        temperature_(temperature),
        log_probs_(batch.ids.size(), 0.0f) {
    for (const Teacher& teacher : teachers) weight_ += static_cast<double>(static_cast<float>(teacher.weight()));
  }

  Status run(const LogitRows& rows) override;
  PolicyStatistics statistics() const override { return statistics_; }

 private:
  bool counts(int64_t row) const { return batch_.weights[static_cast<size_t>(row)] != 0; }
  Status compare_with_rollout(const LogitRows& rows);
  // The weighted sum of the teachers' logits, and of the logarithms of their sums, by row.
  Result<View> sum_teachers(const LogitRows& rows, std::vector<double>& log_sums);
  Status write_losses(const LogitRows& rows, View taught, const std::vector<double>& log_sums);
  // visit(i, logits [V]) for every row that counts.
  template <typename Visit>
  Status for_each_row(int64_t begin, View logits, const Visit& visit);
  Status copy_rows(View part, std::vector<float>& to) const {
    to.resize(static_cast<size_t>(part.rows * part.cols));
    return chip_.copy_out(to.data(), part.address, std::ssize(to) * 4);
  }
  int64_t rows_at_once(int64_t vocab) const { return std::max<int64_t>(1, kPieceFloats / vocab); }
  // One teacher of weight 1: its logits are the sum.
  bool is_one_alone() const { return teachers_.size() == 1 && weight_ == 1; }

  contract::Chip& chip_;
  nn::Workspace& workspace_;
  const data::MicroBatch& batch_;
  std::vector<Teacher>& teachers_;
  float temperature_;
  double weight_ = 0;             // of the teachers together
  std::vector<float> log_probs_;  // [T]: as the rollout has them
  ReverseKl kl_;
  std::vector<float> piece_, taught_piece_;  // rows on the host
  PolicyStatistics statistics_;
};

template <typename Visit>
Status DistillPass::for_each_row(int64_t begin, View logits, const Visit& visit) {
  const auto vocab = static_cast<size_t>(logits.cols);
  NARU_TRY(chip_.wait());
  for (int64_t first = 0; first < logits.rows; first += rows_at_once(logits.cols)) {
    const View part = logits.slice_rows(first, std::min(rows_at_once(logits.cols), logits.rows - first));
    NARU_TRY(copy_rows(part, taught_piece_));
    for (int64_t i = 0; i < part.rows; ++i) {
      if (!counts(begin + first + i)) continue;
      NARU_TRY(visit(static_cast<size_t>(first + i),
                     std::span<const float>(taught_piece_).subspan(static_cast<size_t>(i) * vocab, vocab)));
    }
  }
  return {};
}

Status DistillPass::compare_with_rollout(const LogitRows& rows) {
  const auto begin = static_cast<size_t>(rows.begin), n = static_cast<size_t>(rows.logits.rows);
  if (temperature_ == 1.0f && batch_.kept.rows() == 0) {
    NARU_TRY(chip_.run(contract::LogProb{.logits = rows.logits, .targets = rows.targets, .out = rows.losses}));
    NARU_TRY(chip_.wait());
    if (chip_.info().is_planner) return {};
    NARU_TRY(chip_.copy_out(log_probs_.data() + begin, rows.losses.address, rows.logits.rows * 4));
  } else {
    DrawnRows drawn(chip_, batch_, temperature_);
    NARU_TRY(drawn.log_probs(rows.logits, rows.begin, batch_.weights, log_probs_));
    if (chip_.info().is_planner) return {};
  }
  for (size_t i = begin; i < begin + n; ++i) {
    if (batch_.weights[i] == 0) continue;
    ++statistics_.n_tokens;
    if (batch_.signals[kOnPolicy][i] != 0) ++statistics_.n_compared;
    if (is_changed(batch_, log_probs_, i)) ++statistics_.n_changed;
  }
  return check_on_policy(batch_, std::span<const float>(log_probs_).first(begin + n));
}

Result<View> DistillPass::sum_teachers(const LogitRows& rows, std::vector<double>& log_sums) {
  const bool is_alone = is_one_alone(), is_planner = chip_.info().is_planner;
  const View sum = is_alone ? View{} : workspace_.take(rows.logits.rows, rows.logits.cols);
  if (is_planner) return sum;
  View last;
  for (size_t t = 0; t < teachers_.size(); ++t) {
    NARU_ASSIGN(last, teachers_[t].logits(rows.begin, rows.logits.rows));
    const auto weight = static_cast<float>(teachers_[t].weight());
    NARU_TRY(for_each_row(rows.begin, last, [&](size_t i, std::span<const float> logits) -> Status {
      NARU_ASSIGN(const double log_sum, kl_.log_sum(logits));
      log_sums[i] += static_cast<double>(weight) * log_sum;
      return {};
    }));
    if (is_alone) break;
    NARU_TRY(chip_.run(contract::Axpby{.x = last, .y = t == 0 ? View{} : sum, .a = weight, .b = 1, .out = sum}));
  }
  return is_alone ? last : sum;
}

Status DistillPass::write_losses(const LogitRows& rows, View taught, const std::vector<double>& log_sums) {
  const int64_t n_rows = rows.logits.rows, n_each = rows_at_once(rows.logits.cols);
  const auto vocab = static_cast<size_t>(rows.logits.cols);
  std::vector<float> losses(static_cast<size_t>(n_rows), 0.0f), weights(static_cast<size_t>(n_rows));
  NARU_TRY(chip_.wait());
  NARU_TRY(chip_.copy_out(weights.data(), rows.weights.address, n_rows * 4));
  for (int64_t first = 0; first < n_rows; first += n_each) {
    const int64_t n = std::min(n_each, n_rows - first);
    const View part = rows.logits.slice_rows(first, n);
    NARU_TRY(copy_rows(part, piece_));
    NARU_TRY(copy_rows(taught.slice_rows(first, n), taught_piece_));
    for (int64_t k = 0; k < n; ++k) {
      const auto i = static_cast<size_t>(first + k);
      const std::span<float> x = std::span<float>(piece_).subspan(static_cast<size_t>(k) * vocab, vocab);
      const auto y = std::span<const float>(taught_piece_).subspan(static_cast<size_t>(k) * vocab, vocab);
      if (!counts(rows.begin + first + k)) {
        std::fill(x.begin(), x.end(), 0.0f);
        continue;
      }
      NARU_ASSIGN(const ReverseKl::Row row, kl_.set(x, y, weight_, log_sums[i]));
      losses[i] = static_cast<float>(row.loss);
      statistics_.kl += row.loss;
      statistics_.entropy += row.entropy;
      kl_.gradient(weights[i], x, y, x);
    }
    if (rows.to_gradient) NARU_TRY(chip_.copy_in(part.address, piece_.data(), std::ssize(piece_) * 4));
  }
  return chip_.copy_in(rows.losses.address, losses.data(), n_rows * 4);
}

Status DistillPass::run(const LogitRows& rows) {
  const nn::WorkspaceScope scope(workspace_);
  NARU_TRY(compare_with_rollout(rows));
  std::vector<double> log_sums(static_cast<size_t>(rows.logits.rows), 0.0);
  NARU_ASSIGN(const View taught, sum_teachers(rows, log_sums));
  if (chip_.info().is_planner) return {};
  return write_losses(rows, taught, log_sums);
}

}  // namespace

int64_t DistillLoss::n_signals() const {
  return static_cast<int64_t>(kPolicySignals);
}

Result<std::unique_ptr<LogitsPass>> DistillLoss::begin(contract::Chip& chip, nn::Workspace& workspace,
                                                       const data::MicroBatch& batch) const {
  if (!chip.info().is_planner) {
    for (Teacher& teacher : *teachers_) NARU_TRY(teacher.read(batch));
  }
  return std::unique_ptr<LogitsPass>(
      std::make_unique<DistillPass>(chip, workspace, batch, *teachers_, static_cast<float>(temperature_)));
}

}  // namespace naru::train
