// What the tests of the service share: the network's thread, played by the test, and whoever asks.
#pragma once

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>

#include "server/service.h"
#include "tests/engine/harness.h"

namespace naru::server {

// What the network's thread would do, done when the test says so.
class Posted {
 public:
  Service::Post post() {
    return [this](std::function<void()> work) {
      {
        const std::lock_guard lock(mutex_);
        works_.push_back(std::move(work));
      }
      has_work_.notify_one();
    };
  }
  // Runs one piece of work after the other until `done`.
  void run_until(const std::function<bool()>& done) {
    while (!done()) {
      std::unique_lock lock(mutex_);
      ASSERT_TRUE(has_work_.wait_for(lock, std::chrono::seconds(60), [this] { return !works_.empty(); }));
      const std::function<void()> work = std::move(works_.front());
      works_.pop_front();
      lock.unlock();
      work();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::function<void()>> works_;
};

struct Heard final : Responder {
  std::optional<HttpResponse> whole, head;
  std::string bytes;
  bool has_ended = false, keeps_alive = false, is_abandoned = false;

  void respond(HttpResponse response) override { whole = std::move(response); }
  void begin_stream(HttpResponse response) override { head = std::move(response); }
  void stream(std::string more) override { bytes += more; }
  void end_stream(bool stays) override { has_ended = true, keeps_alive = stays; }
  void abandon() override { is_abandoned = true; }
};

inline OpenEngine open_fixture(std::shared_future<void> may_load = {}) {
  return [may_load](const models::LoadProgress& progress) -> Result<ServedEngine> {
    if (may_load.valid()) {
      progress(1, 4);
      may_load.wait();
    }
    ServedEngine served;
    served.chip = engine::make_chip("cpu");
    NARU_ASSIGN(served.engine, engine::Engine::open(engine::fixture_model("gguf-llama-f32"),
                                                    engine::small_options(128, 2), *served.chip));
    served.chip_name = "cpu";
    return served;
  };
}

inline HttpRequest http_post(const std::string& body, const std::string& path = "/v1/completions") {
  HttpRequest request;
  request.method = "POST";
  request.target = path;
  request.fields = {{"host", "localhost"}};
  request.body = body;
  request.body_bytes = static_cast<int64_t>(body.size());
  return request;
}

inline HttpRequest http_get(const std::string& path) {
  HttpRequest request = http_post("", path);
  request.method = "GET";
  return request;
}

// What the network does with a request whose header and body are there.
inline std::shared_ptr<Heard> ask_of(Service& service, const HttpRequest& request, AnswerId* id = nullptr) {
  auto heard = std::make_shared<Heard>();
  if (auto early = service.examine(request)) {
    heard->respond(*early);
  } else {
    const AnswerId answer = service.handle(request, heard);
    if (id) *id = answer;
  }
  return heard;
}

inline const std::string kLong = R"({"prompt":"a","max_tokens":100,"ignore_eos":true,"stream":true})";

}  // namespace naru::server
