// ServedModel: a model, loaded or not, and while it is the thread that owns its engine. Between two steps that looks
// into its mailbox: what was cancelled is gone before the next one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "server/answer_job.h"
#include "server/engine_turn.h"
#include "server/metrics.h"
#include "server/model_facts.h"
#include "server/model_source.h"
#include "server/prepare.h"

namespace naru::server {

class RunningAnswers;

class ServedModel {
 public:
  struct Options {
    int64_t parallel = 4;
    int64_t queue = 512;
    const std::atomic<bool>* is_shared = nullptr;  // between several keys
    EngineTurn* turn = nullptr;                    // of several models
  };
  // What is told on the thread of the engine. Neither may wait.
  struct Callbacks {
    std::function<void(std::vector<AddressedEvent>)> events;
    std::function<void()> changed;  // it is loaded, could not be, or is at rest
  };

  ServedModel(ModelSource source, Options options, Callbacks callbacks);
  ~ServedModel();  // ends its thread, in a load too
  ServedModel(const ServedModel&) = delete;
  ServedModel& operator=(const ServedModel&) = delete;

  // On the thread that prepares answers; only it changes the state from idle, and back to it.
  void load();
  // The model must be at rest. Waits until its memory is free.
  void unload();
  void start(AnswerMail mail);
  // While loaded.
  std::shared_ptr<const ModelFacts> facts() const;
  // Why the last load failed; once. The state is idle again.
  std::optional<Error> take_failure();
  bool is_at_rest() const;

  // On any thread.
  void cancel(AnswerId answer);
  void stop();  // soon
  ModelState state() const { return state_.load(); }
  double load_progress() const { return load_progress_.load(); }  // of the weights, 0 to 1
  const ModelSource& source() const { return source_; }
  const ModelMetrics& metrics() const { return metrics_; }
  ModelMetrics& metrics() { return metrics_; }

 private:
  void run();
  void serve(ServedEngine& served);
  // Until it stops. std::bad_alloc: what was begun is in an unknown state.
  void answer_mail(RunningAnswers& running);
  // After that: whoever waits for what was begun is told, and the next mail is taken.
  void end_begun();
  void tell_no_memory(AnswerId answer);
  void take_mail(RunningAnswers& running);
  // Whether it has nothing to do, since this call.
  bool come_to_rest(const RunningAnswers& running);
  void end_load(Result<std::shared_ptr<const ModelFacts>> loaded);

  ModelSource source_;
  Options options_;
  Callbacks callbacks_;
  ModelMetrics metrics_;
  std::atomic<ModelState> state_ = ModelState::kIdle;
  std::atomic<double> load_progress_ = 0;
  std::atomic<bool> is_stopping_ = false;

  mutable std::mutex mutex_;
  std::condition_variable has_mail_;
  std::vector<AnswerMail> mail_;  // without what is prepared: cancel it
  bool is_working_ = false;       // the engine has answers
  std::set<AnswerId> open_;       // in the mail or begun: their last event is not told
  std::shared_ptr<const ModelFacts> facts_;
  std::optional<Error> failure_;
  std::thread thread_;
};

}  // namespace naru::server
