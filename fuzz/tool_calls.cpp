// The text of an answer in each form of calls: however it is cut, the same content and the same calls; a call is of a
// tool that there is, with a JSON object as arguments; and no byte is lost or told twice.
#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "text/json_prefix.h"
#include "text/tool_calls.h"
#include "text/value.h"

namespace {

using namespace naru;
using namespace naru::text;

ToolCallDelta split(const ToolCallOptions& options, std::string_view text, size_t step) {
  ToolCallSplitter splitter(options);
  ToolCallDelta all;
  const auto take = [&](ToolCallDelta delta) {
    all.content += delta.content;
    for (ToolCall& call : delta.calls) all.calls.push_back(std::move(call));
  };
  for (size_t at = 0; at < text.size(); at += step) take(splitter.push(text.substr(at, step)));
  take(splitter.finish());
  return all;
}

void check_same(const ToolCallDelta& a, const ToolCallDelta& b) {
  NARU_CHECK(a.content == b.content, a.content, b.content);
  NARU_CHECK(a.calls.size() == b.calls.size());
  for (size_t i = 0; i < a.calls.size(); ++i) {
    NARU_CHECK(a.calls[i].name == b.calls[i].name && a.calls[i].arguments == b.calls[i].arguments);
  }
}

// What the prefix takes whole the parser reads, but for keys that stand twice.
void check_prefix(std::string_view text) {
  JsonPrefix prefix;
  size_t n = 0;
  while (n < text.size() && prefix.push(text[n])) ++n;
  if (!prefix.is_whole()) return;
  const auto parsed = parse_value(text.substr(0, n), "t");
  NARU_CHECK(parsed.ok() || parsed.error().message.find("twice") != std::string::npos, parsed.error().message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  ToolCallOptions options{static_cast<ToolCallForm>(data[0] % 4), {"f", "get"}, data[0] & 4 ? "\n" : "", data[0] >> 6};
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  check_prefix(text);
  const ToolCallDelta whole = split(options, text, text.size() + 1);
  check_same(whole, split(options, text, 1));
  check_same(whole, split(options, text, 1 + data[1] % 32));
  size_t n_bytes = whole.content.size();
  for (const ToolCall& call : whole.calls) {
    NARU_CHECK(call.name == "f" || call.name == "get", call.name);
    const auto arguments = parse_value(call.arguments, "arguments");
    NARU_CHECK(arguments.ok() && arguments->as_object() != nullptr, call.arguments);
    const bool is_written = text.find(call.arguments) != std::string_view::npos;
    NARU_CHECK(is_written || call.arguments == "{}", call.arguments);
    if (is_written) n_bytes += call.arguments.size();
  }
  NARU_CHECK(n_bytes <= text.size(), n_bytes, text.size());
  if (whole.calls.empty()) NARU_CHECK(whole.content == text, whole.content);
  return 0;
}
