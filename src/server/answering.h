// Answering: the two threads behind the network. One turns bodies into prompts, so that a megabyte of text stops
// nobody's answer; the other owns the engine, and runs its scheduler from step to step. Between two steps it looks into
// its mailbox: what was cancelled is gone before the next one.
//
// Whoever listens is told on these threads, in order for each answer, and must not wait.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "contract/chip.h"
#include "engine/engine.h"
#include "models/weight_loader.h"
#include "server/answer_event.h"
#include "server/dialect.h"
#include "server/model_facts.h"
#include "server/prepare.h"

namespace naru::server {

using AnswerId = uint64_t;

// A model on its chip, as the thread of the engine makes it.
struct ServedEngine {
  std::unique_ptr<contract::Chip> chip;
  std::unique_ptr<engine::Engine> engine;  // freed before the chip
  std::string chip_name;
};
using OpenEngine = std::function<Result<ServedEngine>(const models::LoadProgress& progress)>;

// A request whose body nobody has looked at.
struct AnswerJob {
  AnswerId id = 0;
  std::string body;
  const Dialect* dialect = nullptr;
  HttpRequest head;              // without its body
  AnswerIdentity identity;       // its model and fingerprint are filled in
  std::string key_name;          // of whoever asks; empty: nobody in particular
  uint64_t seed = 0;             // where the request names none
  bool is_strict_model = false;  // another name than the model's is refused
};

// What is known of a request when its body was read.
struct AnswerPlan {
  std::unique_ptr<AnswerWriter> writer;
  bool is_streamed = false;
  uint64_t seed = 0;
  std::vector<std::string> ignored;
};

struct AddressedEvent {
  AnswerId answer = 0;
  AnswerEvent event;
};

class AnswerListener {
 public:
  virtual ~AnswerListener() = default;
  // The model is there, or not to be had; once.
  virtual void on_loaded(Result<std::shared_ptr<const ModelFacts>> model) = 0;
  // Before the first event of an answer, unless that is an error.
  virtual void on_planned(AnswerId answer, AnswerPlan plan) = 0;
  // In the place of a plan and events: the whole body of the answer, JSON, which the engine had no part in.
  virtual void on_page(AnswerId answer, std::string body, std::vector<std::string> ignored) = 0;
  virtual void on_events(std::vector<AddressedEvent> events) = 0;
};

struct AnsweringOptions {
  std::string model_name;
  int64_t parallel = 4;  // choices computed at once
  int64_t queue = 512;   // choices that wait
};

class Answering {
 public:
  // The listener must outlive it.
  Answering(AnsweringOptions options, OpenEngine open, AnswerListener& listener);
  ~Answering();  // cancels everything, and waits
  Answering(const Answering&) = delete;
  Answering& operator=(const Answering&) = delete;

  // From any thread.
  void submit(AnswerJob job);
  void cancel(AnswerId answer);
  // Of the weights, 0 to 1.
  double load_progress() const { return load_progress_.load(); }

 private:
  struct Mail {
    AnswerId answer = 0;
    std::optional<PreparedAnswer> prepared;  // absent: cancel it
  };
  class Running;

  void prepare_jobs();
  void prepare_one(AnswerJob& job);
  // Whether the model that a request names is to be had; else it is refused.
  bool accept_model(const AnswerJob& job, const std::string& name, std::vector<std::string>& ignored);
  void run_engine();
  // What came since the last call; waits for some where there is nothing to do.
  std::vector<Mail> take_mail(bool has_work);
  void put_mail(Mail mail);
  void report(AnswerId answer, Refusal refusal);

  AnsweringOptions options_;
  OpenEngine open_;
  AnswerListener& listener_;
  std::atomic<double> load_progress_ = 0;
  std::atomic<bool> is_stopping_ = false;

  std::mutex mutex_;
  std::condition_variable has_jobs_, has_mail_;
  std::deque<AnswerJob> jobs_;
  AnswerId preparing_ = 0;  // the job that is out of the queue and not in the mail yet
  bool is_preparing_cancelled_ = false;
  std::vector<Mail> mail_;
  std::shared_ptr<const ModelFacts> model_;  // once it is there

  std::thread engine_thread_, prepare_thread_;
};

}  // namespace naru::server
