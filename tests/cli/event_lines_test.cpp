// Server-sent events, however they are cut.
#include "cli/event_lines.h"

#include <gtest/gtest.h>

namespace naru::cli {
namespace {

TEST(EventLines, EveryCutGivesTheSameEvents) {
  const std::string text =
      ": a comment\r\n\r\ndata: one\r\n\r\nevent: x\ndata:two\ndata: lines\nid: 7\n\ndata:\r\rretry: 5\n\n\ndata: "
      "[DONE]\n\ndata: cut";
  const std::vector<std::string> wanted = {"one", "two\nlines", "", "[DONE]"};
  for (size_t part = 1; part <= text.size(); ++part) {
    EventLines lines;
    std::vector<std::string> events;
    for (size_t at = 0; at < text.size(); at += part) {
      auto more = lines.push(std::string_view(text).substr(at, part));
      ASSERT_TRUE(more.ok());
      events.insert(events.end(), more->begin(), more->end());
    }
    EXPECT_EQ(events, wanted) << part;
  }
}

TEST(EventLines, ALongEventIsRefused) {
  EventLines lines;
  const std::string part(1 << 20, 'a');
  ASSERT_TRUE(lines.push("data: ").ok());
  for (int i = 0; i < 15; ++i) ASSERT_TRUE(lines.push(part).ok());
  EXPECT_FALSE(lines.push(part + part).ok());
}

}  // namespace
}  // namespace naru::cli
