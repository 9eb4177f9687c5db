// Several models behind one service: loaded when they are asked for, unloaded for others, and what waits meanwhile.
#include <atomic>
#include <thread>

#include "server/service.h"
#include "tests/server/service_rig.h"

namespace naru::server {
namespace {

// How often a source was opened, and what it does the next time.
struct Opened {
  std::atomic<int> n_opened = 0;
  std::atomic<bool> is_corrupt = false, lacks_memory = false;
  std::shared_future<void> may_load;
};

struct SeveralModels : testing::Test {
  Posted posted;
  std::vector<std::shared_ptr<Opened>> opened;
  std::vector<ModelSource> sources;
  std::unique_ptr<Service> service;
  int n_loaded = 0;

  void add(const std::string& name, int64_t bytes = 10) {
    auto state = std::make_shared<Opened>();
    opened.push_back(state);
    sources.push_back({name,
                       [state](const models::LoadProgress& progress) -> Result<ServedEngine> {
                         ++state->n_opened;
                         if (state->may_load.valid()) {
                           progress(1, 2);
                           state->may_load.wait();
                         }
                         if (state->is_corrupt) return Error{Code::kCorrupt, "a bad file"};
                         if (state->lacks_memory.exchange(false))
                           return Error{Code::kResourceExhausted, "too little memory"};
                         return open_fixture()(progress);
                       },
                       {},
                       bytes});
  }
  void start(int64_t memory_bytes, std::vector<ApiKey> keys = {}) {
    ServiceOptions options;
    options.access.keys = std::move(keys);
    options.answering = {"", 2, 16};
    options.answering.memory_bytes = memory_bytes;
    service = std::make_unique<Service>(options, posted.post(), [this](const Status&) { ++n_loaded; });
    service->start(std::move(sources));
  }
  std::shared_ptr<Heard> ask(const HttpRequest& request, AnswerId* id = nullptr) {
    return ask_of(*service, request, id);
  }
  static HttpRequest of(const std::string& model, int64_t n = 4, uint64_t seed = 1) {
    return http_post(nlohmann::json{
        {"model", model},
        {"prompt", "a b"},
        {"max_tokens", n},
        {"ignore_eos", true},
        {"seed", seed},
        {"temperature",
         1}}.dump());
  }
  nlohmann::json page(const std::string& path) { return nlohmann::json::parse(ask(http_get(path))->whole->body); }
  std::string status_of_model(size_t i) { return page("/v1/models")["data"][i]["status"]; }
  const HttpResponse& answer_to(const HttpRequest& request) {
    last = ask(request);
    posted.run_until([this] { return last->whole.has_value(); });
    return *last->whole;
  }
  std::shared_ptr<Heard> last;
};

TEST_F(SeveralModels, AreLoadedWhenTheyAreAskedFor) {
  add("one");
  add("two");
  start(100);
  EXPECT_EQ(page("/health")["status"], "ok");
  EXPECT_EQ(page("/health")["models"][1]["status"], "idle");
  EXPECT_EQ(status_of_model(0), "idle");
  EXPECT_EQ(answer_to(of("two")).status, 200);
  EXPECT_EQ(nlohmann::json::parse(last->whole->body)["model"], "two");
  EXPECT_EQ(status_of_model(0), "idle");
  EXPECT_EQ(status_of_model(1), "loaded");
  EXPECT_EQ(page("/v1/models/two")["context_length"], 128);
  EXPECT_EQ(opened[0]->n_opened, 0);
  EXPECT_EQ(answer_to(of("one")).status, 200);
  EXPECT_EQ(answer_to(of("two")).status, 200);
  EXPECT_EQ(opened[0]->n_opened + opened[1]->n_opened, 2);  // both fit
  EXPECT_EQ(n_loaded, 2);
  EXPECT_TRUE(page("/v1/server")["models"][0].contains("numerics_id"));
}

TEST_F(SeveralModels, NamesAreKept) {
  add("one");
  add("two");
  start(100);
  EXPECT_EQ(answer_to(of("three")).status, 404);
  EXPECT_NE(last->whole->body.find("model_not_found"), std::string::npos);
  EXPECT_EQ(answer_to(http_post(R"({"prompt":"a"})")).status, 400);
  EXPECT_NE(last->whole->body.find("\"param\":\"model\""), std::string::npos) << last->whole->body;
  EXPECT_EQ(opened[0]->n_opened + opened[1]->n_opened, 0);
}

TEST_F(SeveralModels, RequestsWaitWhileTheirsIsLoaded) {
  add("one");
  add("two");
  std::promise<void> may_load;
  opened[0]->may_load = may_load.get_future().share();
  start(100);
  AnswerId gone = 0;
  const auto first = ask(of("one", 4, 5));
  const auto left = ask(of("one"), &gone);
  const auto second = ask(of("one", 4, 5));
  while (status_of_model(0) != "loading" || page("/health")["models"][0]["progress"] != 0.5) std::this_thread::yield();
  HttpRequest hurried = of("one");
  hurried.fields.push_back({"x-naru-deadline-ms", "20"});
  const auto late = ask(hurried);
  service->tick(Service::Clock::now() + std::chrono::milliseconds(100));
  ASSERT_TRUE(late->whole.has_value());
  EXPECT_EQ(late->whole->status, 504);
  EXPECT_FALSE(first->whole || second->whole);
  service->leave(gone);
  may_load.set_value();
  posted.run_until([&] { return first->whole && second->whole; });
  EXPECT_EQ(first->whole->status, 200);
  EXPECT_EQ(nlohmann::json::parse(first->whole->body)["choices"],
            nlohmann::json::parse(second->whole->body)["choices"]);
  EXPECT_FALSE(left->whole.has_value());
  EXPECT_EQ(service->n_answering(), 0);
}

TEST_F(SeveralModels, TheOldestOneAtRestMakesRoom) {
  add("one", 40);
  add("two", 40);
  add("three", 40);
  start(100);
  for (const char* name : {"one", "two", "one", "three"}) EXPECT_EQ(answer_to(of(name)).status, 200) << name;
  EXPECT_EQ(status_of_model(0), "loaded");
  EXPECT_EQ(status_of_model(1), "idle");
  EXPECT_EQ(status_of_model(2), "loaded");
  EXPECT_EQ(answer_to(of("two")).status, 200);
  EXPECT_EQ(status_of_model(0), "idle");
  EXPECT_EQ(opened[1]->n_opened, 2);
  EXPECT_EQ(page("/v1/models/one")["context_length"], 128);  // what is known of it stays known
}

// The other one's load ends when the test says so: until then nothing that came behind it is answered.
TEST_F(SeveralModels, OneThatIsAtWorkLeavesWhenItsAnswersAreWhole) {
  add("one", 60);
  add("two", 60);
  std::promise<void> may_load;
  opened[1]->may_load = may_load.get_future().share();
  start(100);
  std::vector<std::shared_ptr<Heard>> running;
  for (uint64_t i = 0; i < 8; ++i) running.push_back(ask(of("one", 100, i)));
  posted.run_until([&] { return n_loaded == 1; });
  const auto other = ask(of("two"));
  const auto behind = ask(of("one", 4));
  while (opened[1]->n_opened == 0) std::this_thread::yield();
  posted.run_until([last = ask(http_post("{}"))] { return last->whole.has_value(); });  // and all that was told before
  for (const auto& each : running) {
    ASSERT_TRUE(each->whole.has_value());
    EXPECT_EQ(nlohmann::json::parse(each->whole->body)["usage"]["completion_tokens"], 100);
  }
  EXPECT_FALSE(behind->whole.has_value()) << "whoever asks on would keep one from ever leaving";
  may_load.set_value();
  posted.run_until([&] { return other->whole && behind->whole; });
  EXPECT_EQ(other->whole->status, 200);
  EXPECT_EQ(behind->whole->status, 200);
}

// The third one is not loaded before the test says so: what it is waited for with cannot have been what others waited
// for.
TEST_F(SeveralModels, OnlyOneLeavesForTheNext) {
  for (const char* name : {"one", "two", "three"}) add(name, 40);
  std::promise<void> may_load;
  opened[2]->may_load = may_load.get_future().share();
  start(100);
  for (const char* name : {"one", "two"}) EXPECT_EQ(answer_to(of(name)).status, 200);
  std::vector<std::shared_ptr<Heard>> running;
  for (uint64_t i = 0; i < 13; ++i) running.push_back(ask(of(i < 11 ? "one" : "two", 120, i)));
  const auto other = ask(of("three"));
  const auto parked = ask(of("one"));  // behind the one that leaves: that is no reason for another to leave
  const auto free = ask(of("two", 1));
  AnswerId gone = 0;
  ask(of("three"), &gone);
  service->leave(gone);
  posted.run_until([&] { return free->whole.has_value(); });
  EXPECT_EQ(free->whole->status, 200) << "what two was asked for did not wait for another model";
  EXPECT_FALSE(other->whole.has_value());
  may_load.set_value();
  posted.run_until([&] { return other->whole && parked->whole; });
  posted.run_until([&] {
    return std::all_of(running.begin(), running.end(), [](const auto& heard) { return heard->whole.has_value(); });
  });
  EXPECT_EQ(other->whole->status, 200);
  EXPECT_EQ(parked->whole->status, 200);
}

TEST_F(SeveralModels, AnAnswerDoesNotDependOnTheOthers) {
  add("one");
  add("two");
  start(100);
  const std::string alone = nlohmann::json::parse(answer_to(of("one", 40, 9)).body)["choices"].dump();
  std::vector<std::shared_ptr<Heard>> crowd;
  for (uint64_t i = 0; i < 8; ++i) crowd.push_back(ask(of(i % 2 ? "one" : "two", 40, i < 4 ? 9 : i)));
  posted.run_until(
      [&] { return std::all_of(crowd.begin(), crowd.end(), [](const auto& h) { return h->whole.has_value(); }); });
  for (size_t i = 0; i < 4; ++i) {  // the same weights under two names
    EXPECT_EQ(nlohmann::json::parse(crowd[i]->whole->body)["choices"].dump(), alone);
  }
}

TEST_F(SeveralModels, OneThatCannotBeLoadedIsAnErrorToThoseWhoAsk) {
  add("one");
  add("bad");
  opened[1]->is_corrupt = true;
  start(100);
  EXPECT_EQ(answer_to(of("bad")).status, 500);
  EXPECT_NE(last->whole->body.find("loading the model bad: it failed (corrupt)"), std::string::npos);
  EXPECT_EQ(last->whole->body.find("a bad file"), std::string::npos) << "where the files lie is not for clients";
  EXPECT_EQ(status_of_model(1), "idle");
  EXPECT_EQ(page("/v1/models/bad")["error"], "corrupt");
  EXPECT_EQ(answer_to(of("one")).status, 200);
  opened[1]->is_corrupt = false;
  EXPECT_EQ(answer_to(of("bad")).status, 200);
  EXPECT_EQ(opened[1]->n_opened, 2);
  EXPECT_FALSE(page("/v1/models/bad").contains("error"));
}

TEST_F(SeveralModels, WhereMemoryIsShorterThanPlannedAnotherGoes) {
  add("one");
  add("two");
  start(100);
  EXPECT_EQ(answer_to(of("one")).status, 200);
  opened[1]->lacks_memory = true;
  EXPECT_EQ(answer_to(of("two")).status, 200);
  EXPECT_EQ(opened[1]->n_opened, 2);
  EXPECT_EQ(status_of_model(0), "idle");
  opened[0]->lacks_memory = true;  // and once more, where two is there
  EXPECT_EQ(answer_to(of("one")).status, 200);
}

// A stream that waits for its model is kept alive, and says in its header what is known by then.
TEST_F(SeveralModels, AStreamThatWaitsHasPings) {
  add("one");
  add("two");
  std::promise<void> may_load;
  opened[0]->may_load = may_load.get_future().share();
  start(100);
  const std::string more = R"("max_tokens":4,"ignore_eos":true,"stream":true,"no_such":1,"seed":7})";
  const auto stream = ask(http_post(R"({"model":"one","prompt":"a b",)" + more));
  const auto whole = ask(of("one"));
  const auto blocks =
      ask(http_post(R"({"model":"one","messages":[{"role":"user","content":"Hi"}],)" + more, "/v1/messages"));
  while (status_of_model(0) != "loading") std::this_thread::yield();
  // The word that they wait comes after those of the load; one more request is read behind them.
  posted.run_until([last = ask(http_post("{}"))] { return last->whole.has_value(); });
  service->tick(Service::Clock::now() + std::chrono::seconds(14));
  EXPECT_FALSE(stream->head.has_value());
  service->tick(Service::Clock::now() + std::chrono::seconds(16));
  ASSERT_TRUE(stream->head.has_value());
  EXPECT_EQ(stream->bytes, ": keep-alive\n\n");
  ASSERT_TRUE(blocks->head.has_value());
  EXPECT_EQ(blocks->bytes, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
  EXPECT_FALSE(whole->head || whole->whole);
  const auto field = [&](const std::string& name) {
    for (const HttpField& each : stream->head->fields) {
      if (each.name == name) return each.value;
    }
    return std::string();
  };
  EXPECT_EQ(field("x-naru-seed"), "7");
  EXPECT_EQ(field("x-naru-ignored"), "no_such");
  may_load.set_value();
  posted.run_until([&] { return stream->has_ended && whole->whole && blocks->has_ended; });
  EXPECT_TRUE(stream->bytes.ends_with("data: [DONE]\n\n")) << stream->bytes;
  EXPECT_NE(stream->bytes.find("\"model\":\"one\""), std::string::npos);
}

TEST_F(SeveralModels, AStreamThatHasPingsHearsThatItsModelIsNotToBeHad) {
  add("bad");
  add("two");
  std::promise<void> may_load;
  opened[0]->may_load = may_load.get_future().share();
  opened[0]->is_corrupt = true;
  start(100);
  const auto stream = ask(http_post(R"({"model":"bad","prompt":"a","stream":true})"));
  while (status_of_model(0) != "loading") std::this_thread::yield();
  posted.run_until([last = ask(http_post("{}"))] { return last->whole.has_value(); });
  service->tick(Service::Clock::now() + std::chrono::seconds(16));
  ASSERT_TRUE(stream->head.has_value());
  may_load.set_value();
  posted.run_until([&] { return stream->has_ended; });
  EXPECT_NE(stream->bytes.find("it failed (corrupt)"), std::string::npos) << stream->bytes;
  EXPECT_EQ(stream->bytes.find("[DONE]"), std::string::npos);
  EXPECT_EQ(service->n_answering(), 0);
}

TEST_F(SeveralModels, TheServerEndsWhileOneIsLoaded) {
  add("one");
  add("two");
  std::promise<void> may_load;
  opened[0]->may_load = may_load.get_future().share();
  start(100);
  const auto heard = ask(of("one"));
  while (status_of_model(0) != "loading") std::this_thread::yield();
  service->drain();
  service->cancel_all();
  ASSERT_TRUE(heard->whole.has_value());
  EXPECT_EQ(heard->whole->status, 503);
  may_load.set_value();
  service.reset();
}

TEST_F(SeveralModels, OneAloneMayBeLoadedLate) {
  add("one");
  ServiceOptions options;
  options.answering = {"", 2, 16};
  options.answering.loads_at_once = false;
  service = std::make_unique<Service>(options, posted.post(), [this](const Status&) { ++n_loaded; });
  service->start(std::move(sources));
  EXPECT_EQ(page("/health")["models"][0]["status"], "idle");
  EXPECT_EQ(answer_to(of("another")).status, 200);  // it is the only one
  EXPECT_EQ(opened[0]->n_opened, 1);
}

}  // namespace
}  // namespace naru::server
