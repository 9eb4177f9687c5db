// Many users at once: what each may take, who waits for whom, and what is left when all have gone.
#include <set>
#include <thread>

#include "server/running_answers.h"
#include "tests/server/service_rig.h"

namespace naru::server {
namespace {

// ---- the service, with keys

const std::string kAnna = "anna-0123456789abcdef", kBert = "bert-0123456789abcdef";

struct ManyUsers : testing::Test {
  Posted posted;
  std::optional<Status> loaded;
  std::unique_ptr<Service> service;

  void start(const std::string& keys, int64_t parallel = 2, int64_t queue = 8) {
    ServiceOptions options;
    if (!keys.empty()) options.access.keys = parse_keys(keys, "keys").value();
    options.answering = {"tiny", parallel, queue};
    service = std::make_unique<Service>(options, posted.post(), [this](const Status& status) { loaded = status; });
    service->start(open_fixture());
    posted.run_until([this] { return loaded.has_value(); });
  }
  std::shared_ptr<Heard> ask(HttpRequest request, const std::string& key, AnswerId* id = nullptr) {
    if (!key.empty()) request.fields.push_back({"authorization", "Bearer " + key});
    return ask_of(*service, request, id);
  }
  static HttpRequest words(int64_t n, uint64_t seed = 1) {
    return http_post(nlohmann::json{{"prompt", "a b"}, {"max_tokens", n}, {"ignore_eos", true}, {"seed", seed}}.dump());
  }
  void wait_for(const std::vector<std::shared_ptr<Heard>>& all) {
    posted.run_until(
        [&] { return std::all_of(all.begin(), all.end(), [](const auto& h) { return h->whole || h->has_ended; }); });
  }
  std::string metrics() { return ask(http_get("/metrics"), kAnna)->whole->body; }
  // The value of a line of /metrics.
  double metric(const std::string& line) {
    const std::string text = "\n" + metrics();
    const size_t at = text.find("\n" + line + " ");
    EXPECT_NE(at, std::string::npos) << line << text;
    return at == std::string::npos ? -1 : std::stod(text.substr(at + line.size() + 2));
  }
};

std::string header_of(const HttpResponse& response, const std::string& name) {
  for (const HttpField& field : response.fields) {
    if (field.name == name) return field.value;
  }
  return "";
}

TEST_F(ManyUsers, RatesAreOfEachKey) {
  start(kAnna + " anna rate=2/h\n" + kBert + " bert tokens=8/m\n");
  const auto first = ask(words(2), kAnna), second = ask(words(2), kAnna), third = ask(words(2), kAnna);
  ASSERT_TRUE(third->whole.has_value());
  EXPECT_EQ(third->whole->status, 429);
  EXPECT_EQ(header_of(*third->whole, "Retry-After"), "1800");
  const auto other = ask(words(20), kBert);
  wait_for({first, second, other});
  EXPECT_EQ(other->whole->status, 200);
  const auto refused = ask(words(2), kBert);
  ASSERT_TRUE(refused->whole.has_value()) << "more tokens than a minute's were computed for it";
  EXPECT_EQ(refused->whole->status, 429);
  EXPECT_GE(std::stoi(header_of(*refused->whole, "Retry-After")), 60);
  EXPECT_EQ(metric("naru_limits_hit_total{limit=\"token_rate_exceeded\"}"), 1);
  EXPECT_EQ(ask(http_get("/v1/models"), kBert)->whole->status, 200);
}

TEST_F(ManyUsers, AnswersOfWhoHasLeftAreCountedToo) {
  start(kAnna + " anna tokens=5/d\n");
  AnswerId id = 0;
  HttpRequest request = http_post(R"({"prompt":"a b","max_tokens":100,"ignore_eos":true,"stream":true})");
  const auto heard = ask(request, kAnna, &id);
  posted.run_until([&] { return heard->bytes.size() > 2000; });
  service->leave(id);
  EXPECT_EQ(ask(words(2), kAnna)->whole->status, 429);
}

// Keys that are read again: those that stay keep what they have used, answers to one that goes are finished.
TEST_F(ManyUsers, KeysCanBeOthers) {
  start(kAnna + " anna rate=2/d\n" + kBert + " bert\n");
  const auto first = ask(words(2), kAnna);
  const auto under_way = ask(words(30), kBert);
  const std::string carl = "carls-key-0123456789";
  service->set_keys(parse_keys(kAnna + " anna rate=2/d\n" + carl + " carl\n", "f").value());
  EXPECT_EQ(ask(words(2), kBert)->whole->status, 401);
  const auto second = ask(words(2), kAnna);
  const auto other = ask(words(2), carl);
  wait_for({first, under_way, second, other});
  for (const auto& each : {first, under_way, second, other}) EXPECT_EQ(each->whole->status, 200);
  const auto third = ask(words(2), kAnna);
  ASSERT_TRUE(third->whole.has_value());
  EXPECT_EQ(third->whole->status, 429) << "its rate goes on";
  // Another rate begins anew. No keys at all let nobody in who was kept out.
  service->set_keys(parse_keys(kAnna + " anna rate=3/d\n", "f").value());
  const auto fourth = ask(words(2), kAnna);
  wait_for({fourth});
  EXPECT_EQ(fourth->whole->status, 200);
  service->set_keys({});
  EXPECT_EQ(ask(words(2), carl)->whole->status, 401);
  // A key that goes between a request's header and its body.
  HttpRequest request = words(2);
  request.fields.push_back({"authorization", "Bearer " + kAnna});
  ASSERT_FALSE(service->examine(request).has_value());
  service->set_keys(parse_keys(carl + " carl\n", "f").value());
  const auto late = std::make_shared<Heard>();
  service->handle(request, late);
  ASSERT_TRUE(late->whole.has_value());
  EXPECT_EQ(late->whole->status, 401);
}

TEST_F(ManyUsers, NoKeyFillsTheQueue) {
  start(kAnna + " anna\n" + kBert + " bert\n", 1, 8);
  std::vector<std::shared_ptr<Heard>> all;
  for (int i = 0; i < 20; ++i) all.push_back(ask(words(30), kAnna));
  const auto n_refused = std::count_if(all.begin(), all.end(), [](const auto& h) { return h->whole.has_value(); });
  EXPECT_EQ(n_refused, 20 - (1 + 4));  // half of the queue waits
  EXPECT_NE(all.back()->whole->body.find("queue_share_full"), std::string::npos);
  for (int i = 0; i < 2; ++i) {
    const auto other = ask(words(3), kBert);
    EXPECT_FALSE(other->whole.has_value());
    all.push_back(other);
  }
  wait_for(all);
}

TEST_F(ManyUsers, WhoComesLaterDoesNotWaitForAllOthers) {
  start(kAnna + " anna\n" + kBert + " bert\n", 2, 200);
  std::vector<std::shared_ptr<Heard>> crowd;
  for (uint64_t i = 0; i < 90; ++i) crowd.push_back(ask(words(60, i), kAnna));
  posted.run_until([&] { return crowd[0]->whole.has_value(); });
  const auto other = ask(words(5), kBert);
  posted.run_until([&] { return other->whole.has_value(); });
  EXPECT_EQ(other->whole->status, 200);
  const auto n_done = std::count_if(crowd.begin(), crowd.end(), [](const auto& h) { return h->whole.has_value(); });
  EXPECT_LT(n_done, 60) << "nearly all others went before";
  service->cancel_all();
}

TEST_F(ManyUsers, DeadlinesOfRequests) {
  start("");
  HttpRequest wrong = words(2);
  for (const char* value : {"", "0", "-5", "1.5", "soon", "604800001", "10 "}) {
    wrong.fields = {{"host", "localhost"}, {"x-naru-deadline-ms", value}};
    const auto heard = ask(wrong, "");
    ASSERT_TRUE(heard->whole.has_value()) << value;
    EXPECT_EQ(heard->whole->status, 400);
    EXPECT_NE(heard->whole->body.find("x-naru-deadline-ms"), std::string::npos);
  }
  HttpRequest request = words(100);
  request.fields.push_back({"x-naru-deadline-ms", "5000"});
  HttpRequest stream = http_post(R"({"prompt":"a","max_tokens":100,"ignore_eos":true,"stream":true})");
  stream.fields.push_back({"x-naru-deadline-ms", "5000"});
  const auto whole = ask(request, "");
  service->tick(Service::Clock::now() + std::chrono::milliseconds(4000));
  EXPECT_FALSE(whole->whole.has_value());
  service->tick(Service::Clock::now() + std::chrono::milliseconds(5001));
  ASSERT_TRUE(whole->whole.has_value());
  EXPECT_EQ(whole->whole->status, 504);
  EXPECT_NE(whole->whole->body.find("after 5 s"), std::string::npos) << whole->whole->body;
  const auto streamed = ask(stream, "");
  posted.run_until([&] { return streamed->head.has_value(); });
  EXPECT_FALSE(streamed->has_ended);
  service->tick(Service::Clock::now() + std::chrono::milliseconds(5001));
  ASSERT_TRUE(streamed->has_ended);
  EXPECT_NE(streamed->bytes.find("deadline_exceeded"), std::string::npos);
  EXPECT_EQ(streamed->bytes.find("[DONE]"), std::string::npos);
  EXPECT_EQ(metric("naru_limits_hit_total{limit=\"deadline_exceeded\"}"), 2);
}

TEST_F(ManyUsers, ScopesShareComputedPrompts) {
  const std::string c = "0011223344556677";
  start(kAnna + " anna scope=team\n" + kBert + " bert scope=team\n" + c + " carl\n");
  const std::string body = R"({"prompt":")" + std::string(90, 'x') + R"(","max_tokens":2,"ignore_eos":true})";
  const auto cached = [&](const std::string& key) -> int64_t {
    const auto heard = ask(http_post(body), key);
    posted.run_until([&] { return heard->whole.has_value(); });
    return nlohmann::json::parse(heard->whole->body)["usage"]["prompt_cache_hit_tokens"];
  };
  EXPECT_EQ(cached(kAnna), 0);
  EXPECT_GT(cached(kBert), 0);
  EXPECT_EQ(cached(c), 0);
}

TEST_F(ManyUsers, MetricsAddUp) {
  start("", 2, 8);
  std::vector<std::shared_ptr<Heard>> all;
  for (uint64_t i = 0; i < 4; ++i) all.push_back(ask(words(10, i), ""));
  wait_for(all);
  AnswerId id = 0;
  const auto left = ask(http_post(kLong), "", &id);
  posted.run_until([&] { return left->bytes.size() > 500; });
  service->leave(id);
  EXPECT_EQ(ask(http_get("/metrics"), "")->whole->content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(metric(R"(naru_requests_total{dialect="openai.completion",status="200"})"), 4);
  EXPECT_EQ(metric(R"(naru_requests_total{dialect="openai.completion",status="left"})"), 1);
  EXPECT_EQ(metric(R"(naru_aborts_total{stage="answering"})"), 1);
  EXPECT_EQ(metric(R"(naru_answers_total{model="tiny",reason="length"})"), 4);
  EXPECT_EQ(metric(R"(naru_request_seconds_count{model="tiny"})"), 4);
  EXPECT_EQ(metric(R"(naru_request_generated_tokens_sum{model="tiny"})"), 40);
  EXPECT_GE(metric(R"(naru_generated_tokens_total{model="tiny"})"), 41);
  EXPECT_GE(metric(R"(naru_inter_token_seconds_count{model="tiny"})"), 36);
  EXPECT_EQ(metric(R"(naru_ttft_seconds_count{model="tiny"})"), 5);
  EXPECT_EQ(metric(R"(naru_queue_seconds_count{model="tiny"})"), 5);
  EXPECT_EQ(metric(R"(naru_prefill_seconds_count{model="tiny"})"), 5);
  EXPECT_GT(metric(R"(naru_step_seconds_total{model="tiny"})"), 0);
  EXPECT_GT(metric(R"(naru_between_steps_seconds_total{model="tiny"})"), 0);
  EXPECT_GT(metric(R"(naru_steps_total{model="tiny"})"), 20);
  EXPECT_EQ(metric(R"(naru_cache_pages_total{model="tiny"})"), 8);
  EXPECT_EQ(metric(R"(naru_model_loaded{model="tiny"})"), 1);
  EXPECT_GT(metric("process_resident_memory_bytes"), 1e6);
  // What the engine holds is free as soon as it has looked into its mail.
  while (metric(R"(naru_cache_pages_used{model="tiny"})") > 0) std::this_thread::yield();
  EXPECT_EQ(metric(R"(naru_requests_running{model="tiny"})"), 0);
}

TEST(MetricsText, NamesAndLabels) {
  ServerMetrics server;
  server.errors["a\"b\\c\nd"] = 3;
  ModelMetrics model;
  model.running.set(2);
  model.pages_total.set(8);
  model.pages_used.set(2);
  model.queue.observe(0.003);
  model.queue.observe(1e9);
  const std::vector<NamedMetrics> models = {{"m", true, &model}};
  const std::string ours = metrics_text(server, models, MetricNames::kNaru);
  EXPECT_NE(ours.find(R"(naru_errors_total{code="a\"b\\c\nd"} 3)"), std::string::npos);
  EXPECT_NE(ours.find("\nnaru_requests_running{model=\"m\"} 2\n"), std::string::npos);
  EXPECT_NE(ours.find("naru_queue_seconds_bucket{model=\"m\",le=\"0.0025\"} 0\n"), std::string::npos);
  EXPECT_NE(ours.find("naru_queue_seconds_bucket{model=\"m\",le=\"0.005\"} 1\n"), std::string::npos);
  EXPECT_NE(ours.find("naru_queue_seconds_bucket{model=\"m\",le=\"+Inf\"} 2\n"), std::string::npos);
  EXPECT_NE(ours.find("naru_queue_seconds_count{model=\"m\"} 2\n"), std::string::npos);
  EXPECT_EQ(ours.find("vllm:"), std::string::npos);
  const std::string theirs = metrics_text(server, models, MetricNames::kVllm);
  EXPECT_NE(theirs.find("\nvllm:num_requests_running{model_name=\"m\"} 2\n"), std::string::npos);
  EXPECT_NE(theirs.find("\nvllm:kv_cache_usage_perc{model_name=\"m\"} 0.25\n"), std::string::npos);
  EXPECT_NE(theirs.find("\nnaru_step_seconds_total{model_name=\"m\"} 0\n"), std::string::npos);
  // Each family is said once, and its lines follow it.
  for (const std::string& text : {ours, theirs}) {
    std::set<std::string> families;
    std::string family;
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      const std::string line = text.substr(at, text.find('\n', at) - at);
      if (line.starts_with("# TYPE ")) {
        family = line.substr(7, line.find(' ', 7) - 7);
        EXPECT_TRUE(families.insert(family).second) << family;
      } else if (!line.starts_with("# ")) {
        EXPECT_TRUE(line.starts_with(family)) << line;
      }
    }
  }
}

// ---- the engine's side

using engine::Rig;

AnswerRequest user_request(uint64_t i) {
  AnswerRequest request;
  request.prompts = {std::string(i % 3 ? "same " : "") + std::string(1 + i % 12, static_cast<char>('a' + i % 7))};
  request.sampling.seed = i;
  request.sampling.temperature = 1.0;
  request.max_tokens = 40 + static_cast<int64_t>(i * 7 % 60);
  request.ignores_end = true;
  request.priority = static_cast<int64_t>(i % 5) - 2;
  return request;
}

PreparedAnswer prepare_for_user(const AnswerRequest& request, engine::Engine& engine) {
  auto made = prepare(request, facts_of(engine, "m", "cpu", 0), 0, 0);
  return std::move(std::get<PreparedAnswer>(made));
}

// Texts of the answers that are whole.
using Texts = std::map<AnswerId, std::string>;

void take_texts(RunningAnswers& running, Texts& texts, std::set<AnswerId>& done) {
  for (const AddressedEvent& each : running.take_events()) {
    ASSERT_NE(each.event.kind, AnswerEvent::Kind::kError) << each.event.error.message;
    texts[each.answer] += each.event.content;
    if (each.event.kind == AnswerEvent::Kind::kDone) done.insert(each.answer);
  }
}

std::string text_alone(uint64_t i) {
  Rig rig = engine::open_rig(engine::fixture_model("gguf-llama-f32"), "cpu", engine::small_options(256, 1));
  RunningAnswers running(*rig, 1, 1);
  running.start(1, prepare_for_user(user_request(i), *rig));
  Texts texts;
  std::set<AnswerId> done;
  while (running.has_work()) {
    running.step();
    take_texts(running, texts, done);
  }
  return texts[1];
}

// Pages run out again and again, some leave, and every answer that ends is the one that it is alone.
TEST(ManyAnswers, InASmallPoolWithAbortsAsAlone) {
  constexpr uint64_t kAnswers = 24;
  ModelMetrics metrics;
  Rig rig = engine::open_rig(engine::fixture_model("gguf-llama-f32"), "cpu", engine::small_options(256, 1, 32));
  std::vector<std::shared_ptr<KeyAccount>> accounts;
  for (uint64_t user = 1; user <= 3; ++user) {
    accounts.push_back(std::make_shared<KeyAccount>());
    accounts.back()->user = user;
  }
  Texts texts;
  std::set<AnswerId> done, left;
  {
    const std::atomic<bool> is_shared = true;
    RunningAnswers running(*rig, {.parallel = 6, .queue = 100, .is_shared = &is_shared, .metrics = &metrics});
    for (uint64_t i = 0; i < kAnswers; ++i) {
      running.start(i + 1, prepare_for_user(user_request(i), *rig),
                    {accounts[i % 3], std::chrono::steady_clock::now()});
      if (i % 2 == 0) running.step();
      if (i % 5 == 4) {
        running.cancel(i);
        left.insert(i);
      }
      take_texts(running, texts, done);
    }
    while (running.has_work()) {
      running.step();
      take_texts(running, texts, done);
    }
    EXPECT_EQ(running.n_answers(), 0);
  }
  EXPECT_GT(metrics.preemptions.get(), 0);
  EXPECT_EQ(metrics.running.get() + metrics.waiting.get() + metrics.pages_used.get(), 0);
  for (uint64_t i = 0; i < kAnswers; ++i) {
    if (left.contains(i + 1)) continue;
    EXPECT_TRUE(done.contains(i + 1)) << i;
    EXPECT_EQ(texts[i + 1], text_alone(i)) << i;
  }
  EXPECT_GT(accounts[0]->tokens.load(), 0);
  engine::expect_no_pages_held(*rig);
}

}  // namespace
}  // namespace naru::server
