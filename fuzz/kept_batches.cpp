// The rollout that a checkpoint keeps: what is accepted has rows that fit together, and is written as it was read.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "train/answer_batch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto kept = train::batches_from_bytes(bytes, 16);
  if (!kept.ok()) return 0;
  for (const data::StepBatch& batch : kept->batches) {
    NARU_CHECK(!batch.micro_batches.empty());
    for (const data::MicroBatch& micro : batch.micro_batches) {
      NARU_CHECK(!micro.ids.empty() && micro.positions.size() == micro.ids.size());
      for (const int32_t id : micro.targets) NARU_CHECK(id >= 0 && id < 16, id);
    }
  }
  NARU_CHECK(train::batches_to_bytes(kept->index, kept->batches) == bytes);
  return 0;
}
