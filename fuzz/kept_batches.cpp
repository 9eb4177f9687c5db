// The rollout that a checkpoint keeps: what is accepted has rows that fit together, and is written as it was read.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "train/answer_batch.h"

namespace {

void read_as(std::string_view bytes, const naru::train::BatchForm& form) {
  using namespace naru;
  const auto kept = train::batches_from_bytes(bytes, 16, form);
  if (!kept.ok()) return;
  for (const data::StepBatch& batch : kept->batches) {
    NARU_CHECK(!batch.micro_batches.empty());
    for (const data::MicroBatch& micro : batch.micro_batches) {
      NARU_CHECK(!micro.ids.empty() && micro.positions.size() == micro.ids.size());
      for (const int32_t id : micro.targets) NARU_CHECK(id >= 0 && id < 16, id);
      NARU_CHECK(micro.signals.size() == form.n_signals, micro.signals.size());
      NARU_CHECK(micro.kept.rows() == (form.keeps_tokens ? micro.ids.size() : 0), micro.kept.rows());
    }
  }
  NARU_CHECK(train::batches_to_bytes(kept->index, kept->batches) == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_as(bytes, {});
  read_as(bytes, {.n_signals = naru::train::kPolicySignals + 1, .keeps_tokens = true});
  return 0;
}
