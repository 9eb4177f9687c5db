// A model on its thread: what becomes of its answers, and of those behind them, where the system gives no memory.
#include "server/served_model.h"

#include <gtest/gtest.h>

#include <new>

#include "server/service.h"
#include "tests/server/service_rig.h"

namespace naru::server {
namespace {

// Where an answer finds no memory.
enum class Without : uint8_t { kNothing, kBegin, kStep };

// Beginning an answer with it, or the step that looks at it, is one without memory.
class MemorylessConstraint final : public engine::Constraint {
 public:
  explicit MemorylessConstraint(Without at) : at_(at) {}
  std::unique_ptr<engine::ConstraintState> begin() const override {
    if (at_ == Without::kBegin) throw std::bad_alloc();
    return std::make_unique<State>();
  }

 private:
  class State final : public engine::ConstraintState {
   public:
    std::span<const uint64_t> allowed() override { throw std::bad_alloc(); }
    bool is_complete() override { return true; }
    void accept(int32_t) override {}
  };
  Without at_;
};

struct ServedModelTest : testing::Test {
  std::mutex mutex;
  std::condition_variable has_news;
  std::map<AnswerId, AnswerEvent> last;  // kDone or kError of each
  int n_unheard = 0;                     // events that find no memory to be told
  ServedModel model{{"m", open_fixture(), {}, 0},
                    {.parallel = 2, .queue = 16},
                    {[this](std::vector<AddressedEvent> events) { hear(std::move(events)); },
                     [this] {
                       const std::lock_guard lock(mutex);
                       has_news.notify_all();
                     }}};

  void hear(std::vector<AddressedEvent> events) {
    const std::lock_guard lock(mutex);
    for (AddressedEvent& each : events) {
      const bool is_last = each.event.kind == AnswerEvent::Kind::kDone || each.event.kind == AnswerEvent::Kind::kError;
      if (is_last && n_unheard > 0) {
        --n_unheard;
        throw std::bad_alloc();
      }
      if (is_last) last[each.answer] = std::move(each.event);
    }
    has_news.notify_all();
  }
  void wait_for(const std::function<bool()>& done) {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(has_news.wait_for(lock, std::chrono::seconds(60), done));
  }
  void load() {
    model.load();
    wait_for([this] { return model.state() == ModelState::kLoaded; });
  }
  AnswerMail mail(AnswerId id, int64_t n, Without without = Without::kNothing, const std::string& prompt = "a b") {
    AnswerRequest request;
    request.prompts = {prompt};
    request.max_tokens = n;
    request.ignores_end = true;
    PreparedAnswer answer = std::get<PreparedAnswer>(prepare(request, *model.facts(), 1, 0));
    if (without != Without::kNothing) {
      answer.prompts[0].constraint = std::make_shared<const MemorylessConstraint>(without);
    }
    return {id, std::move(answer), {}};
  }
};

TEST_F(ServedModelTest, AStepWithoutMemoryEndsItsAnswersAndNotTheModel) {
  load();
  AnswerMail running = mail(1, 100), failing = mail(2, 4, Without::kStep), behind = mail(3, 4);
  model.start(std::move(running));
  model.start(std::move(failing));
  wait_for([this] { return last.contains(1) && last.contains(2); });
  for (const AnswerId id : {2}) {  // the other may have come to its end before
    EXPECT_EQ(last[id].kind, AnswerEvent::Kind::kError) << id;
    EXPECT_EQ(last[id].error.status, 503);
    EXPECT_EQ(last[id].error.code, "overloaded");
  }
  model.start(std::move(behind));
  wait_for([this] { return last.contains(3); });
  EXPECT_EQ(last[3].kind, AnswerEvent::Kind::kDone);
  EXPECT_TRUE(model.is_at_rest());
  EXPECT_EQ(model.metrics().pages_used.get(), 0);
}

// Nobody knows which pages that step has filled: no later answer may begin with one that was shared before.
TEST_F(ServedModelTest, AfterAStepWithoutMemoryNoPageIsTakenFromTheCache) {
  load();
  std::string pages;  // more than one, of any tokenizer
  for (int i = 0; i < 40; ++i) pages += static_cast<char>('a' + i * 7 % 26);
  const auto cached_tokens_of = [&](AnswerId id) {
    model.start(mail(id, 2, Without::kNothing, pages));
    wait_for([&] { return last.contains(id); });
    EXPECT_EQ(last[id].kind, AnswerEvent::Kind::kDone);
    return last[id].usage.cached_tokens;
  };
  EXPECT_EQ(cached_tokens_of(1), 0);
  EXPECT_GT(cached_tokens_of(2), 0);
  model.start(mail(3, 2, Without::kStep, pages));
  wait_for([this] { return last.contains(3); });
  EXPECT_EQ(last[3].kind, AnswerEvent::Kind::kError);
  EXPECT_EQ(cached_tokens_of(4), 0);
}

TEST_F(ServedModelTest, AnAnswerThatFindsNoMemoryToBeginFailsAlone) {
  load();
  AnswerMail running = mail(1, 100), failing = mail(2, 4, Without::kBegin), behind = mail(3, 4);
  for (AnswerMail* each : {&running, &failing, &behind}) model.start(std::move(*each));
  wait_for([this] { return last.contains(1) && last.contains(3); });
  EXPECT_EQ(last[1].kind, AnswerEvent::Kind::kDone);
  EXPECT_EQ(last[3].kind, AnswerEvent::Kind::kDone);
  ASSERT_TRUE(last.contains(2)) << "its client waits for its deadline";  // told before 3 was begun
  EXPECT_EQ(last[2].kind, AnswerEvent::Kind::kError);
  EXPECT_EQ(last[2].error.status, 503);
  EXPECT_NE(last[2].error.message.find("beginning the answer"), std::string::npos) << last[2].error.message;
}

TEST_F(ServedModelTest, AnEndThatCouldNotBeToldIsAnErrorLater) {
  load();
  n_unheard = 2;  // its end, and the error once
  model.start(mail(1, 4));
  wait_for([this] { return last.contains(1); });
  EXPECT_EQ(last[1].kind, AnswerEvent::Kind::kError);
  model.start(mail(2, 4));
  wait_for([this] { return last.contains(2); });
  EXPECT_EQ(last[2].kind, AnswerEvent::Kind::kDone);
}

// ---- the threads beside it

TEST(ServiceMemory, ALoadIsToldWhenThereIsMemoryAgain) {
  Posted posted;
  std::atomic<int> n_thrown = 0;
  const Service::Post post = posted.post();
  ServiceOptions options;
  options.answering = {"m", 2, 16};
  bool is_loaded = false;
  Service service(
      options,
      [&](std::function<void()> work) {
        if (n_thrown < 2) {
          ++n_thrown;
          throw std::bad_alloc();
        }
        post(std::move(work));
      },
      [&](const Status& status) { is_loaded = status.ok(); });
  service.start(open_fixture());
  posted.run_until([&] { return is_loaded; });
  EXPECT_EQ(n_thrown, 2);
}

TEST(ServiceMemory, ARequestThatFindsNoneIsRefused) {
  Posted posted;
  ServiceOptions options;
  options.answering = {"m", 2, 16};
  bool has_memory = true;
  options.log = [&](const RequestLog&) {
    if (!std::exchange(has_memory, true)) throw std::bad_alloc();
  };
  bool is_loaded = false;
  Service service(options, posted.post(), [&](const Status&) { is_loaded = true; });
  service.start(open_fixture());
  posted.run_until([&] { return is_loaded; });
  has_memory = false;
  const auto heard = std::make_shared<Heard>();
  EXPECT_EQ(service.handle(http_get("/v1/models"), heard), 0u);
  ASSERT_TRUE(heard->whole.has_value());
  EXPECT_EQ(heard->whole->status, 503);
  EXPECT_EQ(service.n_answering(), 0);
}

}  // namespace
}  // namespace naru::server
