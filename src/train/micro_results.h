// MicroResults: what is read of a micro-batch once its pass is over, in one piece of chip memory and by one copy: the
// losses of its heads, and in training the balance losses of its layers and the experts that its tokens chose.
#pragma once

#include <vector>

#include "models/decoder.h"
#include "train/trainable_model.h"

namespace naru::train {

class MicroResults {
 public:
  // What there is room for beside the losses of the model's head.
  struct Wanted {
    bool predictions = false;  // losses of the prediction layers
    bool experts = false;
    bool balance = false;
  };
  // Takes the memory, for T rows. Layers are counted with the prediction layers behind them.
  void place(nn::Workspace& workspace, const models::Decoder& decoder, const data::MicroBatch& batch,
             const Wanted& wanted);
  // Puts the experts that the batch keeps where layers put those that they choose.
  Status give(contract::Chip& chip, const data::KeptExperts& kept) const;

  View losses(size_t head) const { return losses_[head].view; }             // [T, 1]
  View balance(size_t layer) const { return layers_[layer].balance.view; }  // [documents, 1]; empty: it has none
  View chosen(size_t layer) const { return layers_[layer].chosen.view; }    // i32 [T, n_chosen]; likewise

  // Waits for the chip. Losses of every row, whatever its weight; the sums of losses are not made here.
  Result<TrainableModel::MicroResult> read(contract::Chip& chip) const;
  // Waits too. Of the model's own layers, as a micro-batch keeps them.
  Result<data::KeptExperts> read_experts(contract::Chip& chip) const;

 private:
  Result<std::vector<int32_t>> read_all(contract::Chip& chip) const;

  struct Slot {
    View view;
    int64_t at = 0;  // word in the piece
  };
  struct Layer {
    int64_t n_experts = 0;
    Slot balance, chosen;
  };
  View all_;  // [1, words]
  std::vector<Slot> losses_;
  std::vector<Layer> layers_;
  size_t n_own_ = 0;  // layers that are no prediction layers
};

}  // namespace naru::train
