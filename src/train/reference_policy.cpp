#include "train/reference_policy.h"

#include <algorithm>

#include "train/chip_values.h"

namespace naru::train {
namespace {

// log p of every target, as its loss.
class LogProbsAlone final : public LogProbLoss {
 public:
  LogProbsAlone(int64_t n_signals, double temperature) : n_signals_(n_signals), temperature_(temperature) {}

  int64_t n_signals() const override { return n_signals_; }
  double temperature() const override { return temperature_; }
  Status weigh(const data::MicroBatch&, std::span<const float> log_probs, std::span<float> losses,
               std::span<float>) const override {
    std::copy(log_probs.begin(), log_probs.end(), losses.begin());
    return {};
  }

 private:
  int64_t n_signals_;
  double temperature_;
};

// Bits as they are, a piece at a time: an op of the chip would round what is subnormal.
Status exchange_values(contract::Chip& chip, View a, View b) {
  const int64_t n = a.rows * a.cols;
  std::vector<float> of_a(static_cast<size_t>(std::min(n, kPieceFloats))), of_b = of_a;
  for (int64_t begin = 0; begin < n; begin += kPieceFloats) {
    const int64_t bytes = 4 * std::min(kPieceFloats, n - begin);
    NARU_TRY(chip.copy_out(of_a.data(), a.address + begin * 4, bytes));
    NARU_TRY(chip.copy_out(of_b.data(), b.address + begin * 4, bytes));
    NARU_TRY(chip.copy_in(a.address + begin * 4, of_b.data(), bytes));
    NARU_TRY(chip.copy_in(b.address + begin * 4, of_a.data(), bytes));
  }
  return {};
}

}  // namespace

Result<ReferencePolicy> ReferencePolicy::create(const TrainableModel& model) {
  ReferencePolicy reference;
  std::vector<bool> is_held(model.parameters().size(), true);
  if (model.has_adapters()) is_held = model.trained();
  NARU_ASSIGN(reference.values_, ParameterBuffer::create(model.chip(), model.parameters(), is_held));
  if (!model.chip().info().is_planner) NARU_TRY(reference.renew(model));
  return reference;
}

Status ReferencePolicy::set(contract::Chip& chip, int64_t index, const float* values) {
  const View view = values_.view(index);
  return chip.copy_in(view.address, values, view.rows * view.cols * 4);
}

Status ReferencePolicy::renew(const TrainableModel& model) {
  contract::Chip& chip = model.chip();
  NARU_TRY(chip.wait());
  for (int64_t i = 0; i < std::ssize(model.parameters()); ++i) {
    if (!holds(i)) continue;
    const View to = values_.view(i);
    NARU_TRY(for_each_piece(chip, model.values().view(i), [&](std::span<const float> piece, int64_t begin) {
      return chip.copy_in(to.address + begin * 4, piece.data(), std::ssize(piece) * 4);
    }));
  }
  return {};
}

Result<std::string> ReferencePolicy::sha256(contract::Chip& chip) const {
  Sha256 hash;
  NARU_TRY(hash_values(chip, values_.all(), hash));
  return hash.finish_hex();
}

Status ReferencePolicy::exchange(TrainableModel& model) const {
  NARU_TRY(model.chip().wait());
  for (int64_t i = 0; i < std::ssize(model.parameters()); ++i) {
    if (holds(i)) NARU_TRY(exchange_values(model.chip(), model.values().view(i), values_.view(i)));
  }
  NARU_TRY(model.refresh());
  return model.chip().wait();
}

Status ReferencePolicy::refer(TrainableModel& model, double temperature, std::vector<data::StepBatch>& batches,
                              const std::function<bool()>& should_stop) const {
  NARU_TRY(exchange(model));
  const auto ask = [&](data::MicroBatch& micro) -> Status {
    if (should_stop && should_stop()) return Error{Code::kCancelled, "asking the reference: stopped"};
    const std::shared_ptr<const LogProbLoss> objective =
        std::make_shared<LogProbsAlone>(std::ssize(micro.signals), temperature);
    NARU_ASSIGN(auto result, model.run(micro, {}, nullptr, objective));
    micro.signals.push_back(std::move(result.losses));
    return {};
  };
  Status status;
  for (data::StepBatch& batch : batches) {
    for (data::MicroBatch& micro : batch.micro_batches) {
      if (status.ok()) status = ask(micro);
    }
  }
  NARU_TRY(exchange(model));
  return status;
}

}  // namespace naru::train
