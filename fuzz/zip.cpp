// A ZIP archive: a member is found inside of it, and gives exactly the bytes that its entry says, or an error. The
// input's members are looked for by the name a.
#include "hub/zip.h"

#include <cstdint>

#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::hub;
  const auto member = find_zip_member({reinterpret_cast<const std::byte*>(data), size}, "a", "a.whl");
  if (!member.ok()) return 0;
  int64_t done = 0;
  const Status outcome = unpack_zip_member(*member, "a.whl", [&](Bytes bytes) -> Status {
    done += static_cast<int64_t>(bytes.size());
    NARU_CHECK(done <= member->bytes);
    return {};
  });
  NARU_CHECK(!outcome.ok() || done == member->bytes);
  return 0;
}
