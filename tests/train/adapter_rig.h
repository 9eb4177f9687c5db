// Models with adapters whose B is not zero.
#pragma once

#include "tests/train/rig.h"

namespace naru::train {

inline TrainableModel::Options with_adapters(TrainableModel::Options options, const Source& source) {
  options.lora.rank = 3;
  options.lora.alpha = 6;
  options.lora.targets = {"o_proj", "gate_proj", "up_proj", "down_proj"};
  const std::vector<std::string> more = !is_mla(source) ? std::vector<std::string>{"q_proj", "k_proj", "v_proj"}
                                                        : std::vector<std::string>{"kv_a_proj_with_mqa"};
  options.lora.targets.insert(options.lora.targets.end(), more.begin(), more.end());
  return options;
}

// B begins at zero, where A's gradient is zero too: random values instead, other ones for each seed.
inline void draw_adapters(TrainableModel& model, int64_t n_own, uint64_t seed = 3) {
  for (int64_t i = n_own; i < static_cast<int64_t>(model.parameters().size()); ++i) {
    const View view = model.values().view(i);
    std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
    for (size_t k = 0; k < values.size(); ++k) {
      const double u = uniform_53(draw(seed, DrawPurpose::kTest, static_cast<uint32_t>(i), k));
      values[k] = static_cast<float>(0.2 * (2 * u - 1));
    }
    NARU_CHECK(model.chip().copy_in(view.address, values.data(), view.rows * view.cols * 4).ok());
  }
  NARU_CHECK(model.refresh().ok());
}

}  // namespace naru::train
