#include "server/answering.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <new>

#include "server/running_answers.h"

namespace naru::server {
namespace {

int64_t seconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace

Answering::Answering(AnsweringOptions options, OpenEngine open, AnswerListener& listener)
    : options_(std::move(options)), open_(std::move(open)), listener_(listener) {
  engine_thread_ = std::thread([this] { run_engine(); });
  prepare_thread_ = std::thread([this] { prepare_jobs(); });
}

Answering::~Answering() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  has_jobs_.notify_all();
  has_mail_.notify_all();
  prepare_thread_.join();
  engine_thread_.join();
}

void Answering::submit(AnswerJob job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  has_jobs_.notify_one();
}

void Answering::cancel(AnswerId answer) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(jobs_, [&](const AnswerJob& job) { return job.id == answer; });
    if (preparing_ == answer) is_preparing_cancelled_ = true;
    mail_.push_back({answer, std::nullopt});
  }
  has_mail_.notify_one();
}

void Answering::report(AnswerId answer, Refusal refusal) {
  AnswerEvent event;
  event.kind = AnswerEvent::Kind::kError;
  event.error = std::move(refusal);
  std::vector<AddressedEvent> events;
  events.push_back({answer, std::move(event)});
  listener_.on_events(std::move(events));
}

void Answering::prepare_jobs() {
  while (true) {
    AnswerJob job;
    {
      std::unique_lock lock(mutex_);
      preparing_ = 0;
      has_jobs_.wait(lock, [this] { return is_stopping_ || (model_ && !jobs_.empty()); });
      if (is_stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
      preparing_ = job.id;
      is_preparing_cancelled_ = false;
    }
    try {
      prepare_one(job);
    } catch (const std::bad_alloc&) {
      report(job.id, {503, "preparing the prompt: the system gave no more memory; send less, or try again later", "",
                      "overloaded", 1});
    }
  }
}

bool Answering::accept_model(const AnswerJob& job, const std::string& name, std::vector<std::string>& ignored) {
  if (name.empty() || name == model_->name) return true;
  if (!job.is_strict_model) {
    ignored.push_back("model");
    return true;
  }
  report(job.id, {404,
                  fmt::format("reading the request: the model it names is not served here, {} is; "
                              "GET /v1/models lists it",
                              model_->name),
                  "model", "model_not_found", 0});
  return false;
}

void Answering::prepare_one(AnswerJob& job) {
  ReadRequest read = job.dialect->read(job.body, job.head);
  job.body = {};
  if (auto* refusal = std::get_if<Refusal>(&read)) return report(job.id, std::move(*refusal));
  if (auto* page = std::get_if<PageRequest>(&read)) {
    if (!accept_model(job, page->model, page->ignored)) return;
    auto made = page->make(*model_);
    if (auto* refusal = std::get_if<Refusal>(&made)) return report(job.id, std::move(*refusal));
    return listener_.on_page(job.id, std::move(std::get<std::string>(made)), std::move(page->ignored));
  }
  AnswerRequest& request = std::get<AnswerRequest>(read);
  if (!accept_model(job, request.model, request.ignored)) return;
  auto prepared = prepare(request, *model_, job.seed, scope_of(job.key_name, request.cache_salt));
  if (auto* refusal = std::get_if<Refusal>(&prepared)) return report(job.id, std::move(*refusal));
  PreparedAnswer& answer = std::get<PreparedAnswer>(prepared);
  job.identity.model = model_->name;
  job.identity.fingerprint = model_->fingerprint;
  // What the request left open is decided: answers may say it.
  const engine::SamplingOptions& used = answer.choices.front().sampling;
  request.sampling.temperature = used.temperature;
  request.sampling.top_p = used.top_p;
  request.sampling.presence_penalty = used.presence_penalty;
  request.sampling.frequency_penalty = used.frequency_penalty;
  AnswerPlan plan;
  plan.is_streamed = request.is_streamed;
  plan.seed = answer.seed;
  plan.ignored = std::move(request.ignored);
  plan.ignored.insert(plan.ignored.end(), answer.ignored.begin(), answer.ignored.end());
  plan.writer = job.dialect->make_writer(std::move(job.identity), request);
  listener_.on_planned(job.id, std::move(plan));
  put_mail({job.id, std::move(answer)});
}

void Answering::put_mail(Mail mail) {
  {
    const std::lock_guard lock(mutex_);
    if (is_preparing_cancelled_) return;
    mail_.push_back(std::move(mail));
    preparing_ = 0;
  }
  has_mail_.notify_one();
}

std::vector<Answering::Mail> Answering::take_mail(bool has_work) {
  std::unique_lock lock(mutex_);
  has_mail_.wait(lock, [&] { return has_work || is_stopping_ || !mail_.empty(); });
  return std::exchange(mail_, {});
}

void Answering::run_engine() {
  auto opened = open_([this](int64_t done, int64_t total) {
    load_progress_ = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
    return !is_stopping_;
  });
  if (!opened.ok()) return listener_.on_loaded(std::move(opened).error());
  ServedEngine served = std::move(opened).value();
  load_progress_ = 1;
  auto facts = std::make_shared<const ModelFacts>(
      facts_of(*served.engine, options_.model_name, served.chip_name, seconds_now()));
  {
    const std::lock_guard lock(mutex_);
    model_ = facts;
  }
  listener_.on_loaded(facts);
  has_jobs_.notify_all();
  RunningAnswers running(*served.engine, options_.parallel, options_.queue);
  while (!is_stopping_) {
    for (Mail& mail : take_mail(running.has_work())) {
      if (mail.prepared) {
        try {
          running.start(mail.answer, std::move(*mail.prepared));
        } catch (const std::bad_alloc&) {
          running.fail(mail.answer, {503, "beginning the answer: the system gave no more memory; try again later", "",
                                     "overloaded", 1});
        }
      } else {
        running.cancel(mail.answer);
      }
    }
    if (is_stopping_) break;
    running.step();
    std::vector<AddressedEvent> events = running.take_events();
    if (!events.empty()) listener_.on_events(std::move(events));
  }
}

}  // namespace naru::server
