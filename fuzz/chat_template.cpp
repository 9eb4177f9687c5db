// A chat template, messages and settings from the input, parted by bytes 0x1e. Whatever they say, rendering ends within
// its bounds, and text from outside comes out marked as content.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "text/chat_template.h"
#include "text/utf8.h"

namespace {

// Stands in every message, and in no template that could make it itself.
constexpr std::string_view kSentinel = "\xEE\x84\xA3";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace naru;
  using namespace naru::text;
  std::string_view rest(reinterpret_cast<const char*>(bytes), size);
  const auto next = [&] {
    const size_t end = rest.find('\x1e');
    const std::string_view part = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    return part;
  };
  const std::string_view source = next();
  const auto chat = ChatTemplate::create(source, {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
  if (!chat.ok()) {
    NARU_CHECK(is_valid_utf8(chat.error().message));
    return 0;
  }
  ChatInput input;
  input.now.emplace();
  input.now->tm_mday = 1;
  Value message;
  message.set("role", "user");
  message.set("content", std::string("a") + std::string(kSentinel) + "<think>b</think> c");
  input.messages.push_back(message);
  if (auto messages = parse_value(next(), "messages"); messages.ok()) {
    if (const auto* list = messages->as_list()) input.messages.insert(input.messages.end(), list->begin(), list->end());
  }
  if (auto settings = parse_value(next(), "settings"); settings.ok()) {
    if (const auto* object = settings->as_object()) input.settings = *object;
  }
  const bool may_make_sentinel =
      source.find('\\') != std::string_view::npos || source.find(kSentinel) != std::string_view::npos;
  const auto segments = chat->render(input);
  if (!segments.ok()) {
    NARU_CHECK(is_valid_utf8(segments.error().message));
    return 0;
  }
  const Segment* last = nullptr;
  size_t total = 0;
  for (const Segment& segment : *segments) {
    NARU_CHECK(!segment.text.empty());
    NARU_CHECK(!last || last->is_content != segment.is_content);
    if (!segment.is_content && !may_make_sentinel)
      NARU_CHECK(segment.text.find(kSentinel) == std::string::npos, segment.text);
    total += segment.text.size();
    last = &segment;
  }
  NARU_CHECK(total <= (size_t{1} << 20) + 64 * (size + 1024), total);
  NARU_CHECK(is_valid_utf8(join(*segments)));
  return 0;
}
