// Answering: what is behind the network: a thread that turns bodies into prompts, so that a megabyte of text stops
// nobody's answer, and for each model that is loaded one that owns its engine (ServedModel).
//
// A model is loaded when a request names it, and the requests wait until it is there. Where the memory is full, the
// model that has had no request for longest is unloaded: at once where it is at rest, else when its answers are whole,
// and new requests for it wait meanwhile. All of that is decided on the thread that prepares.
//
// Whoever listens is told on these threads, in order for each answer, and must not wait.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/fair_queue.h"
#include "server/answer_job.h"
#include "server/served_model.h"

namespace naru::server {

class AnswerListener {
 public:
  virtual ~AnswerListener() = default;
  // The model is there, or not to be had. What it says of tokenizer and template is for the thread it comes on.
  virtual void on_loaded(size_t model, Result<std::shared_ptr<const ModelFacts>> facts) = 0;
  // A streamed answer waits for its model: what is known of it, with a writer for pings and errors. A whole plan comes
  // later.
  virtual void on_parked(AnswerId answer, AnswerPlan plan) = 0;
  // Before the first event of an answer, unless that is an error.
  virtual void on_planned(AnswerId answer, AnswerPlan plan) = 0;
  // In the place of a plan and events: the whole body of the answer, JSON, which the engine had no part in.
  virtual void on_page(AnswerId answer, std::string body, std::vector<std::string> ignored) = 0;
  virtual void on_events(std::vector<AddressedEvent> events) = 0;
};

struct AnsweringOptions {
  std::string model_name;      // where there is one model, and nothing else says its name
  int64_t parallel = 4;        // choices computed at once, of each model
  int64_t queue = 512;         // choices that wait, of each model; and requests, of all
  bool is_shared = false;      // between several keys, none of which may fill the queue
  int64_t memory_bytes = 0;    // for all models that are loaded, as ModelSource counts; 0: no bound
  bool replays_turns = false;  // those with calls are kept as they were sampled, and put back so
  bool loads_at_once = true;   // a model that is the only one does not wait for a request
};

class Answering {
 public:
  // The listener must outlive it. At least one model.
  Answering(AnsweringOptions options, std::vector<ModelSource> models, AnswerListener& listener);
  ~Answering();  // cancels everything, and waits
  Answering(const Answering&) = delete;
  Answering& operator=(const Answering&) = delete;

  // From any thread.
  void submit(AnswerJob job);
  void cancel(AnswerId answer);
  void share_queue(bool is_shared) { is_shared_ = is_shared; }  // as AnsweringOptions::is_shared
  size_t n_models() const { return models_.size(); }
  const ServedModel& model(size_t i) const { return *models_[i]; }
  ModelMetrics& metrics(size_t i) { return models_[i]->metrics(); }

 private:
  // A job whose body was read, and which waits for its model.
  struct ParkedJob {
    AnswerJob asked;
    ReadRequest read;
  };
  // A model, as the thread that prepares sees it.
  struct Place {
    std::deque<ParkedJob> parked;  // wait for it; in order of their ids
    uint64_t last_use = 0;         // rises with each request that is prepared, of any model
    bool is_leaving = false;       // it makes room for another
    bool is_known = false;         // that it is loaded was said
    bool lacks_memory = false;     // its last load found too little: another must go first
  };

  void prepare_jobs();
  void prepare_next();
  // The next one, or nothing where the models are to be looked at first.
  std::optional<AnswerJob> take_job();
  void prepare_one(AnswerJob job);
  void tell_parked(const AnswerJob& job, const AnswerRequest& request, size_t model);
  void prepare_for(AnswerJob& job, ReadRequest& read, size_t model);
  // Which model a request names; nothing where it was refused.
  std::optional<size_t> find_model(const AnswerJob& job, const std::string& name, std::vector<std::string>& ignored);
  void report(AnswerId answer, Refusal refusal);
  void report_no_memory(AnswerId answer);
  void put_mail(size_t model, AnswerMail mail);

  // What became of the models, and which is to be loaded next. Where memory is short: soon, again.
  void look_at_models();
  void try_to_look();
  void take_loaded(size_t model);
  void take_failure(size_t model, const Error& error);
  // Of those that are waited for and not there, the one that is waited for longest.
  std::optional<size_t> next_to_load();
  bool has_room_for(size_t model) const;
  // Unloads one, or says that one shall leave. False where there is none.
  bool make_room(bool& has_gone);
  // Prepares what waits for a model that is there.
  void unpark(size_t model);

  AnsweringOptions options_;
  AnswerListener& listener_;
  std::atomic<bool> is_shared_;
  EngineTurn turn_;
  std::shared_ptr<SampledTurns> sampled_turns_;  // null: none are kept
  std::vector<std::unique_ptr<ServedModel>> models_;
  std::vector<Place> places_;  // one a model; parked is guarded by mutex_
  uint64_t n_uses_ = 0;

  std::mutex mutex_;
  std::condition_variable has_jobs_;
  bool is_stopping_ = false;
  bool has_news_ = false;  // of a model
  engine::FairQueue<AnswerJob> jobs_;
  AnswerId preparing_ = 0;  // the job that is out of the queue and neither parked nor in the mail yet
  bool is_preparing_cancelled_ = false;

  std::thread prepare_thread_;
};

}  // namespace naru::server
