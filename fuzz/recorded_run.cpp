// The list of a recording's ops.
#include "check/recorded_run.h"

#include <cstdlib>

#include "fuzz/own_digest.h"

namespace {

void check(std::string_view text) {
  const auto run = naru::check::parse_recording(naru::as_bytes(text), "fuzz");
  if (!run.ok()) return;
  int64_t begin = 0;
  for (const auto& op : run->ops) {
    for (const auto& output : op.outputs) {
      if (output.rows < 1 || output.cols < 1 || output.begin != begin) std::abort();
      begin += output.bytes();
    }
  }
  if (begin != run->values_bytes() || begin > naru::check::kRecordedValuesBytesMax) std::abort();
  const auto again = naru::check::recording_text(*run);
  if (!again.ok()) return;
  const auto back = naru::check::parse_recording(naru::as_bytes(*again), "again");
  if (!back.ok() || back->ops.size() != run->ops.size() || back->identity.ids != run->identity.ids) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return with_own_digest(data, size, check);
}
