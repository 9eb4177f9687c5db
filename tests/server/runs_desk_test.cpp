#include "server/runs_desk.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/server/service_rig.h"

namespace naru::server {
namespace {

TEST(RunsDesk, AnswersInOrderAndTakesNoMoreThanItsLimit) {
  std::promise<void> go;
  const std::shared_future<void> may_go = go.get_future().share();
  std::promise<void> has_begun;
  std::vector<std::string> said;
  {
    RunsDesk desk({[&]() -> Result<std::string> {
                     has_begun.set_value();
                     may_go.wait();
                     return std::string("all");
                   },
                   [](const std::string& name) -> Result<std::string> { return name + "!"; }});
    const auto hear = [&said](Result<std::string> json) { said.push_back(*json); };
    ASSERT_TRUE(desk.ask("", hear));
    has_begun.get_future().wait();
    for (int64_t i = 0; i + 1 < kRunsAskedMax; ++i) ASSERT_TRUE(desk.ask("a", hear));
    std::promise<void> is_done;
    ASSERT_TRUE(desk.ask("b", [&](Result<std::string> json) {
      hear(std::move(json));
      is_done.set_value();
    }));
    EXPECT_FALSE(desk.ask("c", hear));
    go.set_value();
    is_done.get_future().wait();
  }
  ASSERT_EQ(said.size(), static_cast<size_t>(kRunsAskedMax) + 1);
  EXPECT_EQ(said.front(), "all");
  EXPECT_EQ(said.back(), "b!");
}

TEST(RunsDesk, EndsWithQuestionsThatWait) {
  RunsDesk desk({[]() -> Result<std::string> { return std::string(); }, {}});
  for (int i = 0; i < 8; ++i) desk.ask("", [](Result<std::string>) {});
}

// Through the service: the name is percent-decoded, and errors of the source become statuses.
TEST(RunsPages, NamesAndErrors) {
  Posted posted;
  ServiceOptions options;
  options.runs = {[]() -> Result<std::string> { return std::string("[]"); },
                  [](const std::string& name) -> Result<std::string> {
                    if (name == "a/b c") return std::string("{}");
                    return Error{name == "gone" ? Code::kNotFound : Code::kUnavailable, "reading: no"};
                  }};
  Service service(options, posted.post(), [](const Status&) {});
  const auto ask_run = [&](const std::string& path) {
    const auto heard = ask_of(service, http_get(path));
    posted.run_until([&] { return heard->whole.has_value(); });
    return *heard->whole;
  };
  EXPECT_EQ(ask_run("/v1/runs").body, "[]\n");
  EXPECT_EQ(ask_run("/runs/a/b%20c").body, "{}\n");
  EXPECT_EQ(ask_run("/v1/runs/gone").status, 404);
  EXPECT_EQ(ask_run("/v1/runs/broken").status, 500);
  EXPECT_EQ(ask_run("/v1/runs/%zz").status, 400);

  Service without(ServiceOptions{}, posted.post(), [](const Status&) {});
  const auto none = ask_of(without, http_get("/v1/runs"));
  ASSERT_TRUE(none->whole);
  EXPECT_EQ(none->whole->status, 404);
  EXPECT_NE(none->whole->body.find("no_runs"), std::string::npos);
}

}  // namespace
}  // namespace naru::server
