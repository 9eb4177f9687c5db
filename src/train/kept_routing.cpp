#include "train/kept_routing.h"

#include <fmt/format.h>

#include <cstring>

#include "base/bytes.h"

namespace naru::train {
namespace {

Error corrupt_routing(std::string_view what) {
  return {Code::kCorrupt, fmt::format("reading the experts of the rollout that a checkpoint keeps: {}; start from "
                                      "another checkpoint: move this one away",
                                      what)};
}

// Of every token ascending within [0, shape.experts).
bool are_choices(const std::vector<int32_t>& experts, const RoutingShape& shape) {
  for (size_t i = 0; i < experts.size(); ++i) {
    const bool is_first = static_cast<int64_t>(i) % shape.chosen == 0;
    if (experts[i] <= (is_first ? -1 : experts[i - 1]) || experts[i] >= shape.experts) return false;
  }
  return true;
}

}  // namespace

RoutingShape RoutingShape::of(const formats::ModelConfig& config) {
  RoutingShape shape{.layers = 0, .experts = config.moe.experts, .chosen = config.moe.experts_per_token};
  for (int64_t layer = 0; layer < config.layers; ++layer) shape.layers += config.is_moe_layer(layer) ? 1 : 0;
  return shape;
}

Status check_keeps_routing(const RoutingShape& shape) {
  if (shape.layers > 0) return {};
  return Error{Code::kInvalidArgument,
               "planning the rollouts: grpo.keep_routing is true and no layer of the model has experts, a mixture of "
               "experts was wanted; remove keep_routing: this model routes nothing"};
}

std::string with_routing(std::string_view batch_bytes, std::span<const data::StepBatch> batches) {
  const auto size = static_cast<uint64_t>(batch_bytes.size());
  std::string bytes(reinterpret_cast<const char*>(&size), sizeof(size));
  bytes += batch_bytes;
  for (size_t u = 1; u < batches.size(); ++u) {
    for (const data::MicroBatch& micro : batches[u].micro_batches) {
      for (const std::vector<int32_t>& layer : micro.experts) {
        bytes.append(reinterpret_cast<const char*>(layer.data()), layer.size() * sizeof(int32_t));
      }
    }
  }
  return bytes;
}

Result<RoutedBytes> split_routing(std::string_view bytes) {
  ByteCursor cursor(as_bytes(bytes));
  const auto size = cursor.read<uint64_t>();
  if (!size || *size > static_cast<uint64_t>(cursor.remaining()))
    return corrupt_routing("what stands before them is cut off");
  const std::string_view rest = bytes.substr(sizeof(uint64_t));
  return RoutedBytes{.batches = rest.substr(0, *size), .experts = rest.substr(*size)};
}

Status take_routing(std::string_view experts, const RoutingShape& shape, std::span<data::StepBatch> batches) {
  ByteCursor bytes(as_bytes(experts));
  for (size_t u = 1; u < batches.size(); ++u) {
    for (data::MicroBatch& micro : batches[u].micro_batches) {
      for (int64_t layer = 0; layer < shape.layers; ++layer) {
        const size_t n = micro.ids.size() * static_cast<size_t>(shape.chosen);
        const auto taken = bytes.take(n * sizeof(int32_t));
        if (!taken) return corrupt_routing(fmt::format("those of update {} are cut off", u));
        std::vector<int32_t>& of_layer = micro.experts.emplace_back(n);
        std::memcpy(of_layer.data(), taken->data(), taken->size());
        if (are_choices(of_layer, shape)) continue;
        return corrupt_routing(fmt::format("those of update {} in layer {} of the {} with experts are no {} of {}", u,
                                           layer, shape.layers, shape.chosen, shape.experts));
      }
    }
  }
  if (bytes.remaining() > 0) return corrupt_routing(fmt::format("{} bytes follow their end", bytes.remaining()));
  return {};
}

}  // namespace naru::train
