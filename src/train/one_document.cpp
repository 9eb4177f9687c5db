#include "train/one_document.h"

#include <fmt/format.h>

namespace naru::train {

Result<data::MicroBatch> one_document(std::span<const int32_t> ids, const formats::ModelConfig& config) {
  const int64_t n = std::ssize(ids);
  if (n < 2) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading the ids: there are {}, two at least were wanted: the loss is of the next token; "
                             "give more ids",
                             n)};
  }
  if (config.max_positions > 0 && n > config.max_positions) {
    return Error{Code::kOutOfRange, fmt::format("reading the ids: there are {}, but the model was made for {} "
                                                "positions; give fewer ids",
                                                n, config.max_positions)};
  }
  data::MicroBatch batch;
  batch.ids.assign(ids.begin(), ids.end());
  for (int64_t i = 0; i < n; ++i) {
    const bool is_last = i + 1 == n;
    batch.positions.push_back(static_cast<int32_t>(i));
    batch.targets.push_back(is_last ? 0 : ids[static_cast<size_t>(i + 1)]);
    batch.weights.push_back(is_last ? 0.0f : 1.0f);
  }
  batch.documents.push_back({0, n});
  return batch;
}

}  // namespace naru::train
