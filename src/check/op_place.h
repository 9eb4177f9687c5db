// Where the ops of a run stand, learnt from its calls alone: make_sequences() begins a pass, and Chip::set_place()
// tells layers apart. Two runs of one program have the same places in the same order.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "contract/chip.h"

namespace naru::check {

struct OpPlace {
  int64_t number = 0;  // among the ops of the run, from 0
  int64_t pass = 0;    // from 1; 0: before the first, while a model is made
  std::string where;   // "layer 3", "the gradients of layer 3", "before the layers", "behind the layers"
  int op = 0;          // index in the variant
  int64_t count = 0;   // ops of this kind before it there, in this pass

  bool operator==(const OpPlace&) const = default;
};

// "pass 2, layer 3, matmul 2": the second one of a kind and later ones have their number.
std::string place_text(const OpPlace& place);

class PlaceTracker {
 public:
  void begin_pass();
  void set_place(const contract::Place& place);
  // Of the op that runs next.
  OpPlace next(const contract::Op& op);

 private:
  int64_t n_ops_ = 0, pass_ = 0;
  bool is_behind_layers_ = false;
  std::string where_ = "making the model";
  std::map<std::pair<std::string, int>, int64_t> counts_;
};

}  // namespace naru::check
