// The experts of the rollout that a checkpoint keeps: what is accepted are choices of the model, and is written as it
// was read.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "train/kept_routing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const train::RoutingShape shape{.layers = 2, .experts = 5, .chosen = 2};
  const auto parts = train::split_routing(bytes);
  if (!parts.ok()) return 0;
  // Batches of a fixed shape, so that the experts' bytes are reached whatever stands before them.
  std::vector<data::StepBatch> batches(2);
  for (size_t u = 0; u < 2; ++u) batches[u].micro_batches.emplace_back().ids.assign(1 + u, 0);
  if (!train::take_routing(parts->experts, shape, batches).ok()) return 0;
  for (const std::vector<int32_t>& layer : batches[1].micro_batches[0].experts) {
    NARU_CHECK(layer.size() == 4, layer.size());
    for (size_t i = 0; i < 4; i += 2) {
      NARU_CHECK(layer[i] >= 0 && layer[i] < layer[i + 1] && layer[i + 1] < 5, layer[i], layer[i + 1]);
    }
  }
  NARU_CHECK(train::with_routing(parts->batches, batches) == bytes);
  return 0;
}
