#include "server/answering.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "server/limits.h"

namespace naru::server {

Answering::Answering(AnsweringOptions options, std::vector<ModelSource> models, AnswerListener& listener)
    : options_(std::move(options)), listener_(listener), is_shared_(options_.is_shared), places_(models.size()) {
  NARU_CHECK(!models.empty());
  if (options_.replays_turns) sampled_turns_ = std::make_shared<SampledTurns>(kSampledTurnsBytesMax);
  const ServedModel::Options each{.parallel = options_.parallel,
                                  .queue = options_.queue,
                                  .is_shared = &is_shared_,
                                  .turn = models.size() > 1 ? &turn_ : nullptr};
  const auto changed = [this] {
    {
      const std::lock_guard lock(mutex_);
      has_news_ = true;
    }
    has_jobs_.notify_one();
  };
  for (ModelSource& source : models) {
    models_.push_back(std::make_unique<ServedModel>(
        std::move(source), each,
        ServedModel::Callbacks{[this](std::vector<AddressedEvent> events) { listener_.on_events(std::move(events)); },
                               changed}));
  }
  if (models_.size() == 1 && options_.loads_at_once) models_[0]->load();
  prepare_thread_ = std::thread([this] { prepare_jobs(); });
}

Answering::~Answering() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  has_jobs_.notify_all();
  for (const auto& model : models_) model->stop();
  prepare_thread_.join();
  models_.clear();  // their threads call this
}

// ---- from any thread

void Answering::submit(AnswerJob job) {
  {
    const std::lock_guard lock(mutex_);
    const engine::UserId user = job.user();
    jobs_.push(user, 0, std::move(job));
  }
  has_jobs_.notify_one();
}

void Answering::cancel(AnswerId answer) {
  const std::lock_guard lock(mutex_);
  if (jobs_.take_if([answer](const AnswerJob& job) { return job.id == answer; })) return;
  for (Place& place : places_) {
    if (std::erase_if(place.parked, [answer](const ParkedJob& job) { return job.asked.id == answer; }) > 0) return;
  }
  if (preparing_ == answer) is_preparing_cancelled_ = true;
  for (const auto& model : models_) model->cancel(answer);
}

// ---- jobs

void Answering::report(AnswerId answer, Refusal refusal) {
  AnswerEvent event;
  event.kind = AnswerEvent::Kind::kError;
  event.error = std::move(refusal);
  std::vector<AddressedEvent> events;
  events.push_back({answer, std::move(event)});
  listener_.on_events(std::move(events));
}

// Nothing of it is done any more. Told in the end or never: then its deadline ends it.
void Answering::report_no_memory(AnswerId answer) {
  for (int i = 0; i < 100; ++i) {
    try {
      cancel(answer);
      return report(answer, {503, "preparing the prompt: the system gave no more memory; send less, or try again later",
                             "", "overloaded", 1});
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

std::optional<AnswerJob> Answering::take_job() {
  std::unique_lock lock(mutex_);
  preparing_ = 0;
  jobs_.rest();
  has_jobs_.wait(lock, [this] { return is_stopping_ || has_news_ || !jobs_.empty(); });
  if (is_stopping_ || std::exchange(has_news_, false)) return std::nullopt;
  preparing_ = jobs_.next().id;
  is_preparing_cancelled_ = false;
  AnswerJob job = jobs_.pop();
  // Reading costs by the byte; a key that sends many small ones has no advantage either.
  jobs_.charge(job.user(), static_cast<int64_t>(job.body.size()) + 1024);
  return job;
}

void Answering::prepare_jobs() {
  look_at_models();
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (is_stopping_) return;
    }
    try {
      prepare_next();
    } catch (const std::bad_alloc&) {
      if (preparing_ != 0) report_no_memory(preparing_);
    }
  }
}

void Answering::prepare_next() {
  std::optional<AnswerJob> job = take_job();
  if (!job) return look_at_models();
  const AnswerId id = job->id;
  try {
    prepare_one(std::move(*job));
  } catch (const std::bad_alloc&) {
    report_no_memory(id);
  }
}

std::optional<size_t> Answering::find_model(const AnswerJob& job, const std::string& name,
                                            std::vector<std::string>& ignored) {
  for (size_t i = 0; i < models_.size(); ++i) {
    if (models_[i]->source().name == name) return i;
  }
  if (models_.size() == 1 && (name.empty() || !job.is_strict_model)) {
    if (!name.empty()) ignored.push_back("model");
    return 0;
  }
  if (name.empty()) {
    report(job.id, {400,
                    fmt::format("reading the request: it names no model, one of the {} that are served was wanted; "
                                "GET /v1/models lists them",
                                models_.size()),
                    "model", "model_required", 0});
    return std::nullopt;
  }
  const bool is_one = models_.size() == 1;
  report(job.id, {404,
                  fmt::format("reading the request: the model it names is not served here, {}; GET /v1/models lists {}",
                              is_one ? fmt::format("{} is", models_[0]->source().name)
                                     : fmt::format("{} others are", models_.size()),
                              is_one ? "it" : "them"),
                  "model", "model_not_found", 0});
  return std::nullopt;
}

void Answering::prepare_one(AnswerJob job) {
  ReadRequest read = job.dialect->read(job.body, job.head);
  job.body = {};
  if (auto* refusal = std::get_if<Refusal>(&read)) return report(job.id, std::move(*refusal));
  auto* page = std::get_if<PageRequest>(&read);
  auto* request = std::get_if<AnswerRequest>(&read);
  const auto model = find_model(job, page ? page->model : request->model, page ? page->ignored : request->ignored);
  if (!model) return;
  Place& place = places_[*model];
  if (models_[*model]->state() == ModelState::kLoaded && place.is_known && !place.is_leaving) {
    return prepare_for(job, read, *model);
  }
  if (request != nullptr && request->is_streamed) tell_parked(job, *request, *model);
  {
    const std::lock_guard lock(mutex_);
    if (is_preparing_cancelled_) return;
    preparing_ = 0;
    place.parked.push_back({std::move(job), std::move(read)});
  }
  look_at_models();
}

void Answering::tell_parked(const AnswerJob& job, const AnswerRequest& request, size_t model) {
  AnswerIdentity identity = job.identity;
  identity.model = models_[model]->source().name;
  AnswerPlan plan;
  plan.is_streamed = true;
  plan.seed = request.sampling.seed.value_or(job.seed);
  plan.model = model;
  plan.ignored = request.ignored;
  plan.writer = job.dialect->make_writer(std::move(identity), request);
  listener_.on_parked(job.id, std::move(plan));
}

void Answering::prepare_for(AnswerJob& job, ReadRequest& read, size_t model) {
  places_[model].last_use = ++n_uses_;  // not for one that is parked: whoever leaves stays the one that leaves
  const std::shared_ptr<const ModelFacts> facts = models_[model]->facts();
  if (auto* page = std::get_if<PageRequest>(&read)) {
    auto made = page->make(*facts);
    if (auto* refusal = std::get_if<Refusal>(&made)) return report(job.id, std::move(*refusal));
    return listener_.on_page(job.id, std::move(std::get<std::string>(made)), std::move(page->ignored));
  }
  AnswerRequest& request = std::get<AnswerRequest>(read);
  auto prepared = prepare(request, *facts, job.seed, scope_of(job.cache_scope, request.cache_salt), sampled_turns_);
  if (auto* refusal = std::get_if<Refusal>(&prepared)) return report(job.id, std::move(*refusal));
  PreparedAnswer& answer = std::get<PreparedAnswer>(prepared);
  job.identity.model = facts->name;
  job.identity.fingerprint = facts->fingerprint;
  // What the request left open is decided: answers may say it.
  const engine::SamplingOptions& used = answer.prompts.front().sampling;
  request.sampling.temperature = used.temperature;
  request.sampling.top_p = used.top_p;
  request.sampling.presence_penalty = used.presence_penalty;
  request.sampling.frequency_penalty = used.frequency_penalty;
  AnswerPlan plan;
  plan.is_streamed = request.is_streamed;
  plan.seed = answer.seed;
  plan.model = model;
  plan.ignored = std::move(request.ignored);
  plan.ignored.insert(plan.ignored.end(), answer.ignored.begin(), answer.ignored.end());
  plan.warnings = answer.warnings;
  plan.replayed_call = answer.replayed_call;
  plan.writer = job.dialect->make_writer(std::move(job.identity), request);
  listener_.on_planned(job.id, std::move(plan));
  put_mail(model, {job.id, std::move(answer), {job.account, job.arrival}});
}

void Answering::put_mail(size_t model, AnswerMail mail) {
  const std::lock_guard lock(mutex_);
  if (is_preparing_cancelled_) return;
  preparing_ = 0;
  models_[model]->start(std::move(mail));
}

// ---- models

void Answering::look_at_models() {
  try {
    try_to_look();
  } catch (const std::bad_alloc&) {
    std::unique_lock lock(mutex_);
    preparing_ = 0;
    has_jobs_.wait_for(lock, std::chrono::milliseconds(50), [this] { return is_stopping_; });
    has_news_ = true;
  }
}

void Answering::try_to_look() {
  for (size_t i = 0; i < models_.size(); ++i) {
    if (auto error = models_[i]->take_failure()) take_failure(i, *error);
    if (models_[i]->state() == ModelState::kLoaded && !places_[i].is_known) take_loaded(i);
  }
  const auto is_loading = [](const auto& model) { return model->state() == ModelState::kLoading; };
  if (std::any_of(models_.begin(), models_.end(), is_loading)) return;  // one after the other: each finds what is left
  for (;;) {
    const std::optional<size_t> next = next_to_load();
    if (!next) break;
    bool has_gone = true;
    if (has_room_for(*next) || !make_room(has_gone)) {
      places_[*next].lacks_memory = false;
      models_[*next]->load();
      return;
    }
    if (!has_gone) return;
    places_[*next].lacks_memory = false;
  }
  // Nobody waits for room any more.
  for (size_t i = 0; i < models_.size(); ++i) {
    if (std::exchange(places_[i].is_leaving, false)) unpark(i);
  }
}

void Answering::take_loaded(size_t model) {
  listener_.on_loaded(model, models_[model]->facts());
  places_[model].is_known = true;
  places_[model].last_use = ++n_uses_;
  unpark(model);
}

void Answering::take_failure(size_t model, const Error& error) {
  const auto is_loaded = [](const auto& each) { return each->state() == ModelState::kLoaded; };
  if (error.code == Code::kResourceExhausted && std::any_of(models_.begin(), models_.end(), is_loaded)) {
    places_[model].lacks_memory = true;  // the plan was wrong, or others have taken memory
    return;
  }
  // What the error says of files is for whoever runs the server.
  Refusal refusal = refusal_of(error);
  refusal.status = std::max(refusal.status, 500);
  refusal.message = fmt::format(
      "loading the model {}: it failed ({}), and the server's log says why; the next request "
      "tries again",
      models_[model]->source().name, code_name(error.code));
  if (refusal.code.empty()) refusal.code = "model_not_loaded";
  listener_.on_loaded(model, error);
  for (;;) {
    AnswerId id = 0;
    {
      const std::lock_guard lock(mutex_);
      std::deque<ParkedJob>& parked = places_[model].parked;
      if (parked.empty()) return;
      id = parked.front().asked.id;
      parked.pop_front();
    }
    try {
      report(id, refusal);
    } catch (const std::bad_alloc&) {
      report_no_memory(id);
    }
  }
}

std::optional<size_t> Answering::next_to_load() {
  const std::lock_guard lock(mutex_);
  std::optional<size_t> next;
  for (size_t i = 0; i < models_.size(); ++i) {
    const Place& place = places_[i];
    if (place.parked.empty() || models_[i]->state() != ModelState::kIdle) continue;
    if (!next || place.parked.front().asked.id < places_[*next].parked.front().asked.id) next = i;
  }
  return next;
}

bool Answering::has_room_for(size_t model) const {
  if (places_[model].lacks_memory) return false;
  if (options_.memory_bytes == 0) return true;
  int64_t bytes = models_[model]->source().bytes;
  for (const auto& each : models_) {
    if (each->state() == ModelState::kLoaded) bytes += each->source().bytes;
  }
  return bytes <= options_.memory_bytes;
}

bool Answering::make_room(bool& has_gone) {
  std::optional<size_t> oldest, resting;
  bool is_one_leaving = false;
  for (size_t i = 0; i < models_.size(); ++i) {
    if (models_[i]->state() != ModelState::kLoaded) continue;
    const auto is_older = [&](const std::optional<size_t>& than) {
      return !than || places_[i].last_use < places_[*than].last_use;
    };
    is_one_leaving = is_one_leaving || places_[i].is_leaving;
    if (is_older(oldest)) oldest = i;
    if (models_[i]->is_at_rest() && is_older(resting)) resting = i;
  }
  has_gone = resting.has_value();
  if (resting) {
    models_[*resting]->unload();
    places_[*resting].is_known = false;
    places_[*resting].is_leaving = false;
  } else if (oldest && !is_one_leaving) {  // one after the other: it may be room enough
    places_[*oldest].is_leaving = true;
  }
  return oldest.has_value();
}

void Answering::unpark(size_t model) {
  for (;;) {
    std::optional<ParkedJob> job;
    {
      const std::lock_guard lock(mutex_);
      std::deque<ParkedJob>& parked = places_[model].parked;
      preparing_ = 0;
      if (is_stopping_ || parked.empty()) return;
      job.emplace(std::move(parked.front()));
      parked.pop_front();
      preparing_ = job->asked.id;
      is_preparing_cancelled_ = false;
    }
    const AnswerId id = job->asked.id;
    try {
      prepare_for(job->asked, job->read, model);
    } catch (const std::bad_alloc&) {
      report_no_memory(id);
    }
  }
}

}  // namespace naru::server
