// The bytes of a connection: the same requests however they are cut, and never more held than may be.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "server/http_reader.h"
#include "server/limits.h"

namespace {

using naru::server::HttpReader;
using State = HttpReader::State;

constexpr int64_t kBodyBytes = 256;

std::vector<std::string> read_all(std::string_view bytes, size_t step) {
  HttpReader reader(kBodyBytes);
  std::vector<std::string> found;
  for (size_t at = 0; at < bytes.size() && reader.state() != State::kRefused; at += step) {
    reader.push(bytes.substr(at, step));
    while (reader.state() == State::kHead || reader.state() == State::kWhole) {
      if (reader.state() == State::kHead) {
        NARU_CHECK(static_cast<int64_t>(reader.head().fields.size()) <= naru::server::kHeaderFieldsMax);
        reader.go_on();
        continue;
      }
      const auto request = reader.take();
      NARU_CHECK(static_cast<int64_t>(request.body.size()) <= kBodyBytes);
      found.push_back(request.method + " " + request.target + " " + request.body);
    }
  }
  if (reader.state() == State::kRefused) {
    NARU_CHECK(reader.refusal().status >= 400);
    found.emplace_back("refused");
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = read_all(bytes, bytes.size() + 1);
  const auto cut = read_all(bytes, data[0] % 16 + 1);
  // A line before a chunk that is too long is seen earlier where it comes in pieces.
  const bool is_refused = !cut.empty() && cut.back() == "refused";
  const size_t n = is_refused ? cut.size() - 1 : cut.size();
  NARU_CHECK(whole.size() >= n && std::equal(cut.begin(), cut.begin() + static_cast<int64_t>(n), whole.begin()));
  NARU_CHECK(is_refused || whole.size() == n, whole.size(), n);
  return 0;
}
