// Service: what a request means, between the network and the answers. It is the one place where both meet: the network
// gives it requests and a Responder each, the threads of Answering give it events. All calls come on the network's
// thread, but those of AnswerListener, which it hands over to there itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/access.h"
#include "server/answering.h"
#include "server/end_times.h"
#include "server/http_message.h"
#include "server/key_limits.h"
#include "server/limits.h"
#include "server/metrics_text.h"
#include "server/request_log.h"
#include "server/routes.h"
#include "server/runs_desk.h"

namespace naru::server {

// The way back to whoever asked. One answer: respond(), or begin_stream(), stream() and end_stream().
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void respond(HttpResponse response) = 0;
  virtual void begin_stream(HttpResponse head) = 0;
  virtual void stream(std::string bytes) = 0;
  virtual void end_stream(bool keeps_alive) = 0;
  // Nothing more comes, and nothing can be said of it: the connection ends.
  virtual void abandon() = 0;
};

struct ServiceOptions {
  AccessRules access;
  AnsweringOptions answering;
  Deadlines deadlines;
  std::string version;           // of the program
  bool is_strict_model = false;  // a request for another model is refused; several models do so always
  MetricNames metric_names = MetricNames::kNaru;
  std::function<void(const RequestLog&)> log;  // one a request, when it has ended; may be empty
  bool logs_prompts = false;                   // with the bodies that asked
  RunsSource runs;                             // that the page shows; may be empty
  std::vector<std::string> questions;          // that the page offers where nothing was asked; may be empty
};

class Service final : public AnswerListener {
 public:
  using Clock = std::chrono::steady_clock;
  // Runs work on the network's thread; from any thread.
  using Post = std::function<void(std::function<void()>)>;
  // Told there when a model is loaded; and where the only one cannot be when it is to be there from the start, why.
  using Loaded = std::function<void(const Status&)>;

  Service(ServiceOptions options, Post post, Loaded loaded);
  ~Service() override;

  // One model is loaded at once, unless the options say otherwise; several when they are asked for.
  void start(std::vector<ModelSource> models);
  void start(OpenEngine open);  // of the one model that the options name

  // What a header alone says: an answer to it, where its body need not be read.
  std::optional<HttpResponse> examine(const HttpRequest& head);
  // Answers through the responder, at once (0) or later (the id of the answer). Whoever goes away says so by leave().
  AnswerId handle(HttpRequest request, std::shared_ptr<Responder> responder);
  void leave(AnswerId answer);
  void tick(Clock::time_point now);

  // These in the place of those there were, none of which may become none. A key that stays keeps what it has used;
  // answers to one that goes are finished.
  void set_keys(std::vector<ApiKey> keys);

  // From here on only what is under way is answered.
  void drain() { is_draining_ = true; }
  void cancel_all();
  int64_t n_answering() const { return static_cast<int64_t>(exchanges_.size()); }

  size_t n_models() const { return models_.size(); }
  // Whether it is loaded, or once was.
  bool is_known(size_t model) const { return models_[model].facts != nullptr; }
  // The hashes of a model's files, once they are made.
  void set_hashes(size_t model, std::vector<FileHash> hashes) { models_[model].hashes = std::move(hashes); }

  // For /metrics: a request that was refused before it came here; a limit that something ran into.
  void count_refusal(const Refusal& refusal);
  // The same with a line of the log.
  void refuse_unread(const Refusal& refusal);
  void count_limit(const std::string& name) { ++metrics_.limits[name]; }

  // In the shape of the dialect that `head` has asked in.
  HttpResponse refusal_response(const Refusal& refusal, const HttpRequest* head = nullptr) const;

  // AnswerListener, on other threads.
  void on_loaded(size_t model, Result<std::shared_ptr<const ModelFacts>> facts) override;
  void on_parked(AnswerId answer, AnswerPlan plan) override;
  void on_planned(AnswerId answer, AnswerPlan plan) override;
  void on_page(AnswerId answer, std::string body, std::vector<std::string> ignored) override;
  void on_events(std::vector<AddressedEvent> events) override;

 private:
  // A request that is being answered.
  struct Exchange {
    std::shared_ptr<Responder> responder;
    AnswerPlan plan;
    const Dialect* dialect = nullptr;
    RequestLog log;
    std::vector<HttpField> fields;      // of the answer's header
    std::shared_ptr<KeyLimits> limits;  // of the key; nullptr: nobody's in particular
    Clock::time_point begin, first_text, last_sent, deadline;
    bool has_own_deadline = false;  // that the request has named
    bool is_parked = false;         // it waits for its model, and the plan is what its body says
    bool has_begun = false;         // the header of a stream is sent
    bool has_begun_parked = false;  // before its model was there
    bool has_text = false;
    int64_t body_bytes = 0;  // that wait to be read
  };

  // A model as it is shown.
  struct ShownModel {
    std::string name;
    std::shared_ptr<const ModelFacts> facts;  // of its last load; nullptr before the first
    std::optional<std::vector<FileHash>> hashes;
    std::string failure;  // of its last load, one word; empty: there was none
  };

  // As handle(), which catches what is thrown where memory is short.
  AnswerId try_to_handle(HttpRequest request, const std::shared_ptr<Responder>& responder);
  AnswerId begin_answer(HttpRequest request, const Dialect& dialect, std::shared_ptr<Responder> responder);
  void take(AnswerId answer, const AnswerEvent& event);
  void take_planned(AnswerId answer, AnswerPlan plan);
  void take_page(AnswerId answer, std::string body, const std::vector<std::string>& ignored);
  void take_error(AnswerId answer, Refusal refusal);
  // Work for one answer on the network's thread: where it finds no memory the answer ends, and nothing else does.
  template <typename Work>
  void guard(AnswerId answer, std::string_view doing, const Work& work);
  static void add_seed(Exchange& exchange);
  static void begin_stream(Exchange& exchange);
  static std::string late_comments(const Exchange& exchange);
  void keep_alive(Exchange& exchange);
  // Until a place of the queue may be free, as answers have ended lately.
  int queue_seconds() const;
  void send(Exchange& exchange, std::string bytes);
  void end(AnswerId answer, int status, const AnswerUsage& usage, const std::string& refused = "");
  // Whoever asks, and for whatever.
  std::optional<Refusal> refuse_now() const;
  // An answer to whoever has this key.
  std::optional<Refusal> refuse_answer(KeyLimits* limits, Clock::time_point now);
  std::shared_ptr<KeyLimits> limits_of(const ApiKey* key) const;
  bool waits_for_its_model() const;
  void count_end(size_t model, EndReason reason);
  void count_end(const Exchange& exchange, int status, const AnswerUsage& usage);

  HttpResponse page(const Routed& routed, const HttpRequest& request) const;
  // An answer that comes later: runs are read on a thread of their own.
  void begin_runs(const Routed& routed, HttpRequest request, std::shared_ptr<Responder> responder);
  HttpResponse metrics_page(MetricNames names) const;
  MetricNames metric_names_of(const HttpRequest& request) const;
  HttpResponse health_page() const;
  HttpResponse server_page() const;
  HttpResponse models_page(const Routed& routed) const;
  HttpResponse ollama_page(Page page) const;
  HttpResponse options_page(const HttpRequest& head, const Routed& routed) const;
  void log_page(const HttpRequest& request, int status, const std::string& refused = "", const ApiKey* key = nullptr);

  ServiceOptions options_;
  Post post_;
  Loaded loaded_;
  std::shared_ptr<const ModelFacts> model_;  // of the first that was loaded
  std::vector<ShownModel> models_;
  std::vector<std::shared_ptr<KeyLimits>> key_limits_;  // in the order of the keys
  engine::UserId last_user_ = 0;
  ServerMetrics metrics_;
  EndTimes ends_;  // of answers that came whole
  bool is_draining_ = false;
  AnswerId last_id_ = 0;
  uint64_t id_secret_[2] = {};  // ids of answers cannot be guessed
  int64_t waiting_body_bytes_ = 0;
  std::map<AnswerId, Exchange> exchanges_;
  std::unique_ptr<RunsDesk> runs_;        // none: no runs are shown
  std::unique_ptr<Answering> answering_;  // ends first: it calls the listener
};

}  // namespace naru::server
