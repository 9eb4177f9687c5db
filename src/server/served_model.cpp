#include "server/served_model.h"

#include <fmt/format.h>

#include <new>
#include <system_error>
#include <utility>

#include "server/running_answers.h"

namespace naru::server {
namespace {

int64_t seconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace

ServedModel::ServedModel(ModelSource source, Options options, Callbacks callbacks)
    : source_(std::move(source)), options_(options), callbacks_(std::move(callbacks)) {}

ServedModel::~ServedModel() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void ServedModel::load() {
  if (thread_.joinable()) thread_.join();  // of a load that failed
  load_progress_ = 0;
  state_ = ModelState::kLoading;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    end_load(Error{
        Code::kResourceExhausted,
        fmt::format("loading {}: the system gives no more threads ({}); try again later", source_.name, error.what())});
  }
}

void ServedModel::unload() {
  stop();
  thread_.join();
  const std::lock_guard lock(mutex_);
  facts_ = nullptr;
  is_stopping_ = false;
  state_ = ModelState::kIdle;
  for (Counted* each : {&metrics_.running, &metrics_.waiting, &metrics_.pages_total, &metrics_.pages_used}) {
    each->set(0);
  }
}

void ServedModel::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  has_mail_.notify_all();
}

void ServedModel::start(AnswerMail mail) {
  {
    const std::lock_guard lock(mutex_);
    if (mail.prepared) open_.insert(mail.id);
    mail_.push_back(std::move(mail));
  }
  has_mail_.notify_one();
}

void ServedModel::cancel(AnswerId answer) {
  if (state() != ModelState::kLoaded) return;
  start({answer, std::nullopt, {}});
}

std::shared_ptr<const ModelFacts> ServedModel::facts() const {
  const std::lock_guard lock(mutex_);
  return facts_;
}

std::optional<Error> ServedModel::take_failure() {
  const std::lock_guard lock(mutex_);
  return std::exchange(failure_, std::nullopt);
}

bool ServedModel::is_at_rest() const {
  const std::lock_guard lock(mutex_);
  return state() == ModelState::kLoaded && !is_working_ && mail_.empty();
}

// ---- on the thread of the engine

void ServedModel::end_load(Result<std::shared_ptr<const ModelFacts>> loaded) {
  {
    const std::lock_guard lock(mutex_);
    is_working_ = false;
    mail_.clear();
    open_.clear();
    if (loaded.ok()) {
      facts_ = *loaded;
    } else {
      failure_ = std::move(loaded).error();
    }
    state_ = facts_ ? ModelState::kLoaded : ModelState::kIdle;
  }
  callbacks_.changed();
}

void ServedModel::run() {
  const Error no_memory{Code::kResourceExhausted,
                        fmt::format("loading {}: the system gave no more memory; try again later", source_.name)};
  try {
    auto opened = source_.open([this](int64_t done, int64_t total) {
      load_progress_ = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
      return !is_stopping_;
    });
    if (!opened.ok()) return end_load(std::move(opened).error());
    ServedEngine served = std::move(opened).value();
    load_progress_ = 1;
    metrics_.loads.add(1);
    end_load(std::make_shared<const ModelFacts>(
        facts_of(*served.engine, source_.name, served.chip_name, seconds_since_1970())));
    serve(served);
  } catch (const std::bad_alloc&) {
    if (state() == ModelState::kLoading) return end_load(no_memory);
    throw;
  }
}

void ServedModel::serve(ServedEngine& served) {
  while (!is_stopping_) {
    try {
      RunningAnswers running(*served.engine, {.parallel = options_.parallel,
                                              .queue = options_.queue,
                                              .is_shared = options_.is_shared,
                                              .metrics = &metrics_,
                                              .turn = options_.turn});
      answer_mail(running);
      return;
    } catch (const std::bad_alloc&) {
      // What it held is free; nobody knows whether a page was filled.
      served.engine->drop_prefix_cache();
      end_begun();
    }
  }
}

void ServedModel::answer_mail(RunningAnswers& running) {
  while (!is_stopping_) {
    take_mail(running);
    if (is_stopping_) return;
    running.step();
    // Whoever hears the end of its answer finds the model at rest.
    const bool has_come_to_rest = come_to_rest(running);
    std::vector<AddressedEvent> events = running.take_events();
    std::vector<AnswerId> ended;
    for (const AddressedEvent& each : events) {
      const AnswerEvent::Kind kind = each.event.kind;
      if (kind == AnswerEvent::Kind::kDone || kind == AnswerEvent::Kind::kError) ended.push_back(each.answer);
    }
    if (!events.empty()) callbacks_.events(std::move(events));
    if (!ended.empty()) {
      const std::lock_guard lock(mutex_);
      for (const AnswerId id : ended) open_.erase(id);
    }
    if (has_come_to_rest) callbacks_.changed();
  }
}

void ServedModel::end_begun() {
  std::set<AnswerId> begun;
  bool has_come_to_rest = false;
  {
    const std::lock_guard lock(mutex_);
    begun.swap(open_);
    for (const AnswerMail& each : mail_) {
      if (each.prepared) open_.insert(begun.extract(each.id));
    }
    has_come_to_rest = mail_.empty();
    if (has_come_to_rest) is_working_ = false;
  }
  for (const AnswerId id : begun) tell_no_memory(id);
  if (has_come_to_rest) callbacks_.changed();
}

// Others free memory meanwhile; without a word whoever asked would wait for its deadline.
void ServedModel::tell_no_memory(AnswerId answer) {
  while (!is_stopping_) {
    try {
      std::vector<AddressedEvent> events(1);
      events[0].answer = answer;
      events[0].event.kind = AnswerEvent::Kind::kError;
      events[0].event.error = {503,
                               "computing the answer: the system gave no more memory; send less, or try again later",
                               "", "overloaded", 1};
      return callbacks_.events(std::move(events));
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

bool ServedModel::come_to_rest(const RunningAnswers& running) {
  const std::lock_guard lock(mutex_);
  return mail_.empty() && !running.has_work() && std::exchange(is_working_, false);
}

// What came since the last call; waits for some where there is nothing to do.
void ServedModel::take_mail(RunningAnswers& running) {
  std::vector<AnswerMail> mail;
  {
    std::unique_lock lock(mutex_);
    has_mail_.wait(lock, [&] { return running.has_work() || is_stopping_ || !mail_.empty(); });
    mail = std::exchange(mail_, {});
    if (!mail.empty()) is_working_ = true;
  }
  for (AnswerMail& each : mail) {
    if (!each.prepared) {
      running.cancel(each.id);
      const std::lock_guard lock(mutex_);
      open_.erase(each.id);
      continue;
    }
    try {
      running.start(each.id, std::move(*each.prepared), each.asker);
    } catch (const std::bad_alloc&) {
      running.fail(each.id,
                   {503, "beginning the answer: the system gave no more memory; try again later", "", "overloaded", 1});
    }
  }
}

}  // namespace naru::server
