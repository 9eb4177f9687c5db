// What the service answers while its model is loaded, when it is not to be had, when time runs out, and when the server
// ends: without a socket, and by a clock of the test's.
#include "server/service.h"

#include <new>
#include <thread>

#include "server/openai_answer.h"
#include "tests/server/service_rig.h"

namespace naru::server {
namespace {

HttpRequest post(const std::string& body) {
  return http_post(body);
}
HttpRequest get(const std::string& path) {
  return http_get(path);
}

struct ServiceTest : testing::Test {
  Posted posted;
  std::optional<Status> loaded;
  std::vector<std::string> log;
  std::unique_ptr<Service> service;

  void start(OpenEngine open) {
    ServiceOptions options;
    options.answering = {"tiny", 2, 4};
    options.log = [this](const RequestLog& line) { log.push_back(log_text(line)); };
    service = std::make_unique<Service>(options, posted.post(), [this](const Status& status) { loaded = status; });
    service->start(std::move(open));
  }
  void start_loaded() {
    start(open_fixture());
    posted.run_until([this] { return loaded.has_value(); });
    ASSERT_TRUE(loaded->ok());
  }
  std::shared_ptr<Heard> ask(const HttpRequest& request, AnswerId* id = nullptr) {
    return ask_of(*service, request, id);
  }
};

TEST_F(ServiceTest, WhileTheModelIsLoaded) {
  std::promise<void> may_load;
  start(open_fixture(may_load.get_future().share()));
  // The engine's thread says how far it is when it has come there.
  while (nlohmann::json::parse(ask(get("/health"))->whole->body)["progress"] != 0.25) std::this_thread::yield();
  EXPECT_EQ(ask(get("/health"))->whole->status, 503);
  for (const HttpRequest& request : {get("/v1/models"), get("/v1/server"), post(kLong)}) {
    const HttpResponse response = *ask(request)->whole;
    EXPECT_EQ(response.status, 503);
    EXPECT_NE(response.body.find("25 % is done"), std::string::npos) << response.body;
    ASSERT_FALSE(response.fields.empty());
    EXPECT_EQ(response.fields[0].name, "Retry-After");
  }
  may_load.set_value();
  posted.run_until([this] { return loaded.has_value(); });
  EXPECT_EQ(ask(get("/health"))->whole->status, 200);
  EXPECT_EQ(ask(get("/v1/models"))->whole->status, 200);
}

TEST_F(ServiceTest, AModelThatIsNotToBeHad) {
  start([](const models::LoadProgress&) -> Result<ServedEngine> { return Error{Code::kCorrupt, "a bad file"}; });
  posted.run_until([this] { return loaded.has_value(); });
  ASSERT_FALSE(loaded->ok());
  EXPECT_EQ(loaded->error().message, "a bad file");
}

TEST_F(ServiceTest, SilenceIsBrokenByAComment) {
  start_loaded();
  const auto heard = ask(post(kLong));
  posted.run_until([&] { return heard->head.has_value(); });
  const std::string before = heard->bytes;
  service->tick(Service::Clock::now() + std::chrono::seconds(5));
  EXPECT_EQ(heard->bytes, before);
  service->tick(Service::Clock::now() + std::chrono::seconds(16));
  EXPECT_EQ(heard->bytes, before + ": keep-alive\n\n");
  posted.run_until([&] { return heard->has_ended; });
  EXPECT_TRUE(heard->bytes.ends_with("data: [DONE]\n\n") && heard->keeps_alive);
}

TEST_F(ServiceTest, AnAnswerThatTakesTooLong) {
  start_loaded();
  const auto streamed = ask(post(kLong));
  const auto whole = ask(post(R"({"prompt":"a","max_tokens":100,"ignore_eos":true})"));
  posted.run_until([&] { return streamed->head.has_value(); });
  service->tick(Service::Clock::now() + std::chrono::seconds(1801));
  EXPECT_TRUE(streamed->has_ended && !streamed->keeps_alive);
  EXPECT_NE(streamed->bytes.find("deadline_exceeded"), std::string::npos);
  EXPECT_EQ(streamed->bytes.find("[DONE]"), std::string::npos);
  ASSERT_TRUE(whole->whole.has_value());
  EXPECT_EQ(whole->whole->status, 504);
  EXPECT_EQ(service->n_answering(), 0);
}

TEST_F(ServiceTest, TheEnd) {
  start_loaded();
  const auto heard = ask(post(kLong));
  posted.run_until([&] { return heard->head.has_value(); });
  service->drain();
  EXPECT_EQ(ask(post(kLong))->whole->status, 503);
  EXPECT_EQ(ask(get("/health"))->whole->status, 503);
  EXPECT_EQ(service->n_answering(), 1);
  service->cancel_all();
  EXPECT_TRUE(heard->has_ended);
  EXPECT_NE(heard->bytes.find("\"draining\""), std::string::npos);
  EXPECT_EQ(heard->bytes.find("[DONE]"), std::string::npos);
}

// An answer that finds no memory on the network's thread ends; the server does not.
TEST_F(ServiceTest, AnAnswerWithoutMemoryEndsAlone) {
  struct Memoryless final : Responder {
    bool is_abandoned = false;
    int n_told = 0;
    void tell() {
      ++n_told;
      throw std::bad_alloc();
    }
    void respond(HttpResponse) override { tell(); }
    void begin_stream(HttpResponse) override { tell(); }
    void stream(std::string) override { tell(); }
    void end_stream(bool) override { tell(); }
    void abandon() override { is_abandoned = true; }
  };
  start_loaded();
  const auto heard = std::make_shared<Memoryless>();
  ASSERT_NE(service->handle(post(kLong), heard), 0u);
  posted.run_until([&] { return heard->is_abandoned; });
  EXPECT_GE(heard->n_told, 2) << "its error was tried too";
  EXPECT_EQ(service->n_answering(), 0);
  const auto other = ask(post(R"({"prompt":"a","max_tokens":2})"));
  posted.run_until([&] { return other->whole.has_value(); });
  EXPECT_EQ(other->whole->status, 200);
}

// What a plan says beside its answer stands in the header.
TEST_F(ServiceTest, WarningsAndReplaysAreSaid) {
  std::promise<void> may_load;
  ServiceOptions options;
  options.answering = {"tiny", 2, 4};
  options.answering.loads_at_once = false;
  service = std::make_unique<Service>(options, posted.post(), [this](const Status& status) { loaded = status; });
  service->start(open_fixture(may_load.get_future().share()));
  AnswerId id = 0;
  const auto heard = ask(post(kLong), &id);
  AnswerPlan plan;
  plan.is_streamed = true;
  plan.warnings = {"one\nthing", "another"};
  plan.replayed_call = "call_1\r\nx: y";
  plan.writer = make_openai_writer({}, AnswerRequest());
  service->on_planned(id, std::move(plan));
  AnswerEvent begin;
  begin.kind = AnswerEvent::Kind::kBegin;
  std::vector<AddressedEvent> events;
  events.push_back({id, begin});
  service->on_events(std::move(events));
  posted.run_until([&] { return heard->head.has_value(); });
  std::string fields;
  for (const HttpField& field : heard->head->fields) fields += field.name + ": " + field.value + "\n";
  EXPECT_NE(fields.find("x-naru-warning: one?thing; another\n"), std::string::npos) << fields;
  EXPECT_NE(fields.find("x-naru-replayed: call_1??x:?y\n"), std::string::npos) << fields;
  service->leave(id);
  may_load.set_value();
}

TEST(EndTimes, SayHowSoonTheNextOneComes) {
  EndTimes ends;
  const EndTimes::Time begin{};
  const auto after = [&](double seconds) {
    return begin + std::chrono::duration_cast<EndTimes::Time::duration>(std::chrono::duration<double>(seconds));
  };
  EXPECT_EQ(ends.seconds_to_next(after(5)), 1) << "nothing has ended";
  for (int i = 0; i < 40; ++i) ends.add(after(3 * i));
  EXPECT_EQ(ends.seconds_to_next(after(3 * 40)), 3);
  EXPECT_EQ(ends.seconds_to_next(after(3 * 40 + 320)), 13) << "none has for a while";
  EXPECT_EQ(ends.seconds_to_next(after(1e6)), EndTimes::kSecondsMax);
  for (int i = 0; i < 40; ++i) ends.add(after(1000 + i * 0.01));
  EXPECT_EQ(ends.seconds_to_next(after(1000.4)), 1);
}

TEST_F(ServiceTest, WhoLeavesHearsNothing) {
  start_loaded();
  AnswerId id = 0;
  const auto heard = ask(post(kLong), &id);
  posted.run_until([&] { return heard->head.has_value(); });
  const std::string before = heard->bytes;
  service->leave(id);
  service->leave(id);
  EXPECT_EQ(service->n_answering(), 0);
  const auto next = ask(post(R"({"prompt":"a","max_tokens":3,"ignore_eos":true})"));
  posted.run_until([&] { return next->whole.has_value(); });
  EXPECT_EQ(next->whole->status, 200);
  EXPECT_EQ(heard->bytes, before);
  ASSERT_EQ(log.size(), 2u);
  EXPECT_TRUE(log[0].starts_with("POST /v1/completions left")) << log[0];
  EXPECT_TRUE(log[1].starts_with("POST /v1/completions 200 ")) << log[1];
}

TEST_F(ServiceTest, NamesOfFieldsCannotBreakAHeader) {
  start_loaded();
  const auto heard = ask(post(R"({"prompt":"a","max_tokens":1,"ignore_eos":true,"a\r\nSet-Cookie: b":1,"\u00e4":2})"));
  posted.run_until([&] { return heard->whole.has_value(); });
  std::string said;
  for (const HttpField& field : heard->whole->fields) {
    if (field.name == "x-naru-ignored") said = field.value;
  }
  EXPECT_EQ(said.find_first_of("\r\n"), std::string::npos);
  EXPECT_FALSE(said.empty());
}

TEST_F(ServiceTest, ABodyThatIsNoJsonIsToldSo) {
  start_loaded();
  const auto with = [](const char* name, const char* value) {
    HttpRequest request = post("{}");
    request.fields.push_back({name, value});
    return request;
  };
  for (const auto& [request, words] :
       {std::pair{with("content-type", "text/plain; charset=utf-8"), "with the header Content-Type: application/json"},
        {with("content-encoding", "gzip"), "without Content-Encoding"}}) {
    const HttpResponse response = *ask(request)->whole;
    EXPECT_EQ(response.status, 415);
    EXPECT_EQ(response.content_type, "application/json");
    const auto error = nlohmann::json::parse(response.body)["error"];
    EXPECT_EQ(error["code"], "unsupported_media_type");
    EXPECT_NE(error["message"].get<std::string>().find(words), std::string::npos) << error;
  }
  EXPECT_FALSE(service->examine(with("content-type", "application/json ; charset=utf-8")).has_value());
  for (const auto& [body, words] :
       {std::pair{"{\"a\": 1,\n]", "at line 2, column 1"}, {"", "its body is empty"}, {"[]", "an array"}}) {
    const auto heard = ask(post(body));
    posted.run_until([&] { return heard->whole.has_value(); });
    EXPECT_EQ(heard->whole->status, 400);
    const std::string& said = heard->whole->body;
    EXPECT_NE(said.find(words), std::string::npos) << said;
    EXPECT_NE(said.find("reading the request"), std::string::npos) << said;
    EXPECT_EQ(said.find("damaged"), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace naru::server
