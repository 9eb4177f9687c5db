#include "train/micro_results.h"

#include <bit>

#include "base/checked.h"

namespace naru::train {
namespace {

constexpr int64_t kAlignWords = 16;

const nn::Experts* experts_of(const models::Decoder& decoder, size_t layer) {
  const size_t n = decoder.layers.size();
  const models::DecoderLayer& at = layer < n ? decoder.layers[layer] : decoder.predictions[layer - n].layer;
  return std::get_if<nn::Experts>(&at.feed_forward);
}

std::vector<float> floats_at(const std::vector<int32_t>& words, int64_t at, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::bit_cast<float>(words[static_cast<size_t>(at) + i]);
  return values;
}

}  // namespace

void MicroResults::place(nn::Workspace& workspace, const models::Decoder& decoder, const data::MicroBatch& batch,
                         const Wanted& wanted) {
  const auto n_rows = static_cast<int64_t>(batch.ids.size()), n_documents = std::ssize(batch.documents);
  const size_t n_heads = wanted.predictions ? 1 + decoder.predictions.size() : 1;
  int64_t words = 0;
  const auto slot = [&](int64_t rows, int64_t cols, DType dtype) {
    Slot result{{.address = {}, .dtype = dtype, .rows = rows, .cols = cols, .row_stride = cols}, words};
    words += round_up(rows * cols, kAlignWords);
    return result;
  };
  losses_.assign(n_heads, {});
  for (Slot& losses : losses_) losses = slot(n_rows, 1, DType::kF32);
  n_own_ = decoder.layers.size();
  layers_.assign(decoder.layers.size() + decoder.predictions.size(), {});
  for (size_t i = 0; wanted.experts && i < layers_.size(); ++i) {
    const nn::Experts* experts = experts_of(decoder, i);
    if (experts == nullptr) continue;
    layers_[i].n_experts = experts->router.outputs();
    layers_[i].chosen = slot(n_rows, experts->n_chosen, DType::kI32);
    if (wanted.balance) layers_[i].balance = slot(n_documents, 1, DType::kF32);
  }
  all_ = workspace.take(1, words);
  const auto settle = [&](Slot& slot_of) {
    if (slot_of.view.rows > 0)
      slot_of.view.address = all_.slice_cols(slot_of.at, slot_of.view.rows * slot_of.view.cols).address;
  };
  for (Slot& losses : losses_) settle(losses);
  for (Layer& layer : layers_) settle(layer.balance), settle(layer.chosen);
}

Status MicroResults::give(contract::Chip& chip, const data::KeptExperts& kept) const {
  size_t next = 0;
  for (size_t i = 0; i < n_own_; ++i) {
    const View& chosen = layers_[i].chosen.view;
    if (layers_[i].n_experts == 0) continue;
    NARU_CHECK(next < kept.size(), kept.size(), i);
    const std::vector<int32_t>& experts = kept[next++];
    NARU_CHECK(std::ssize(experts) == chosen.rows * chosen.cols, experts.size(), chosen.rows, chosen.cols);
    NARU_TRY(chip.copy_in(chosen.address, experts.data(), std::ssize(experts) * 4));
  }
  NARU_CHECK(next == kept.size(), next, kept.size());
  return {};
}

Result<std::vector<int32_t>> MicroResults::read_all(contract::Chip& chip) const {
  std::vector<int32_t> words(static_cast<size_t>(all_.cols));
  NARU_TRY(chip.wait());
  NARU_TRY(chip.copy_out(words.data(), all_.address, all_.cols * 4));
  return words;
}

Result<data::KeptExperts> MicroResults::read_experts(contract::Chip& chip) const {
  NARU_ASSIGN(const std::vector<int32_t> words, read_all(chip));
  data::KeptExperts kept;
  for (size_t i = 0; i < n_own_; ++i) {
    if (layers_[i].n_experts == 0) continue;
    const Slot& chosen = layers_[i].chosen;
    const auto begin = words.begin() + chosen.at;
    kept.emplace_back(begin, begin + chosen.view.rows * chosen.view.cols);
  }
  return kept;
}

Result<TrainableModel::MicroResult> MicroResults::read(contract::Chip& chip) const {
  NARU_ASSIGN(const std::vector<int32_t> words, read_all(chip));
  const auto floats_of = [&](const Slot& slot) { return floats_at(words, slot.at, slot.view.rows * slot.view.cols); };
  TrainableModel::MicroResult result;
  result.losses = floats_of(losses_[0]);
  for (size_t i = 1; i < losses_.size(); ++i) result.prediction_losses.push_back(floats_of(losses_[i]));
  for (const Layer& layer : layers_) {
    if (layer.n_experts == 0) continue;
    std::vector<int64_t>& load = result.sums.loads.emplace_back(static_cast<size_t>(layer.n_experts));
    const View& chosen = layer.chosen.view;
    for (int64_t i = 0; i < chosen.rows * chosen.cols; ++i) {
      const int32_t expert = words[static_cast<size_t>(layer.chosen.at + i)];
      NARU_CHECK(expert >= 0 && expert < layer.n_experts, expert, layer.n_experts);
      ++load[static_cast<size_t>(expert)];
    }
  }
  for (size_t i = layers_.size(); i-- > 0;) {
    const std::vector<float> losses = floats_of(layers_[i].balance);
    result.balance.insert(result.balance.end(), losses.begin(), losses.end());
  }
  return result;
}

}  // namespace naru::train
