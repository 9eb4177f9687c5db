#include "server/service.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <new>
#include <variant>

#include "formats/utf8.h"
#include "server/openai_answer.h"

namespace naru::server {
namespace {

constexpr uint64_t kSeedBits = 53;  // drawn seeds are read back from JSON by every language

uint64_t draw_bits() {
  uint64_t bits = 0;
  const int failed = ::getentropy(&bits, sizeof bits);
  NARU_CHECK(failed == 0);  // the kernel has had its randomness since it began
  return bits;
}

// The time that a request gives its answer, from its arrival; nothing where it names none.
std::variant<std::optional<std::chrono::milliseconds>, Refusal> deadline_of(const HttpRequest& head) {
  const std::string* value = head.find("x-naru-deadline-ms");
  if (value == nullptr) return std::nullopt;
  int64_t ms = 0;
  const char* end = value->data() + value->size();
  const auto [at, error] = std::from_chars(value->data(), end, ms);
  if (error == std::errc() && at == end && ms >= 1 && ms <= kDeadlineMsMax) return std::chrono::milliseconds(ms);
  return Refusal{400,
                 fmt::format("reading the request: its x-naru-deadline-ms is no number of 1 to {}; give the "
                             "milliseconds that the answer may take",
                             kDeadlineMsMax),
                 "x-naru-deadline-ms", "", 0};
}

}  // namespace

Service::Service(ServiceOptions options, Post post, Loaded loaded)
    : options_(std::move(options)), post_(std::move(post)), loaded_(std::move(loaded)) {
  id_secret_[0] = draw_bits();
  id_secret_[1] = draw_bits();
  set_keys(std::exchange(options_.access.keys, {}));
  if (options_.runs.list) runs_ = std::make_unique<RunsDesk>(options_.runs);
}

void Service::set_keys(std::vector<ApiKey> keys) {
  std::vector<ApiKey>& before = options_.access.keys;
  if (keys.empty() && !before.empty()) return;  // nobody is let in by a mistake
  std::vector<std::shared_ptr<KeyLimits>> limits;
  for (const ApiKey& key : keys) {
    const auto same =
        std::find_if(before.begin(), before.end(), [&](const ApiKey& other) { return other.digest == key.digest; });
    if (same == before.end()) {
      limits.push_back(std::make_shared<KeyLimits>(++last_user_, key.requests, key.tokens));
    } else {
      limits.push_back(key_limits_[static_cast<size_t>(same - before.begin())]);
      limits.back()->set_rates(key.requests, key.tokens);
    }
  }
  before = std::move(keys);
  key_limits_ = std::move(limits);
  options_.answering.is_shared = before.size() > 1;
  if (answering_) answering_->share_queue(options_.answering.is_shared);
}

Service::~Service() {
  runs_.reset();
  answering_.reset();
}

void Service::start(std::vector<ModelSource> models) {
  for (const ModelSource& source : models) models_.push_back({source.name, nullptr, std::nullopt, ""});
  answering_ = std::make_unique<Answering>(options_.answering, std::move(models), *this);
}

void Service::start(OpenEngine open) {
  std::vector<ModelSource> models;
  models.push_back({options_.answering.model_name, std::move(open), {}, 0});
  start(std::move(models));
}

// ---- requests

HttpResponse Service::refusal_response(const Refusal& refusal, const HttpRequest* head) const {
  HttpResponse response;
  response.status = refusal.status;
  response.body = (head != nullptr ? error_body(*head, refusal) : openai_error(refusal)) + "\n";
  if (refusal.retry_after_seconds > 0) {
    response.fields.push_back({"Retry-After", fmt::format("{}", refusal.retry_after_seconds)});
  }
  if (refusal.status == 401) response.fields.push_back({"WWW-Authenticate", "Bearer"});
  if (head != nullptr) {
    for (HttpField& field : cross_origin_fields(options_.access, *head)) response.fields.push_back(std::move(field));
    response.is_head_only = head->method == "HEAD";
  }
  return response;
}

std::optional<HttpResponse> Service::examine(const HttpRequest& head) {
  const Routed routed = find_route(head);
  const bool is_options = head.method == "OPTIONS";
  const bool is_public = is_options || (routed.route != nullptr && routed.route->is_public);
  const Admission admission = admit(options_.access, head, is_public);
  std::optional<Refusal> refusal = admission.refusal;
  const std::string* expected = head.find("expect");
  const std::string* type = head.find("content-type");
  const std::string* coding = head.find("content-encoding");
  if (refusal) {
  } else if (is_options) {
    return options_page(head, routed);
  } else if (routed.route == nullptr) {
    refusal = routed.refusal;
  } else if (expected != nullptr && !head.expects_continue && !head.is_http_1_0) {
    refusal = Refusal{
        417, "reading the request: its Expect is not \"100-continue\", which alone is known; leave it out", "", "", 0};
  } else if (coding != nullptr && !equal_ignoring_case(*coding, "identity")) {
    refusal = Refusal{415,
                      "reading the request: its body is compressed, a plain one was wanted; send the JSON as it is, "
                      "without Content-Encoding",
                      "", "unsupported_media_type", 0};
  } else if (head.method == "POST" && type != nullptr) {
    std::string_view kind = std::string_view(*type).substr(0, type->find(';'));
    while (kind.ends_with(' ')) kind.remove_suffix(1);
    // Clients that say nothing of the type send what forms send.
    if (!equal_ignoring_case(kind, "application/json") &&
        !equal_ignoring_case(kind, "application/x-www-form-urlencoded")) {
      refusal =
          Refusal{415,
                  fmt::format("reading the request: its Content-Type is {}, application/json was wanted; send the "
                              "body as JSON, with the header Content-Type: application/json",
                              formats::printable(kind, 60)),
                  "", "unsupported_media_type", 0};
    }
  }
  if (!refusal && head.method == "POST") {
    const auto deadline = deadline_of(head);
    if (const auto* wrong = std::get_if<Refusal>(&deadline)) refusal = *wrong;
    if (!refusal) refusal = refuse_answer(limits_of(admission.key).get(), Clock::now());
  }
  if (!refusal) return std::nullopt;
  count_refusal(*refusal);
  HttpResponse response = refusal_response(*refusal, &head);
  if (refusal->status == 405) response.fields.push_back({"Allow", routed.allow});
  log_page(head, response.status, words_for_log(*refusal), admission.key);
  return response;
}

std::shared_ptr<KeyLimits> Service::limits_of(const ApiKey* key) const {
  return key != nullptr ? key_limits_[static_cast<size_t>(key - options_.access.keys.data())] : nullptr;
}

// Otherwise requests are refused while the one model is loaded: whoever started the server knows that it is on its way.
bool Service::waits_for_its_model() const {
  return models_.size() > 1 || !options_.answering.loads_at_once;
}

std::optional<Refusal> Service::refuse_now() const {
  if (is_draining_)
    return Refusal{503, "the server ends: it answers what it has begun; try another one", "", "draining", 1};
  if (!model_ && !waits_for_its_model()) {
    const double done = answering_ ? answering_->model(0).load_progress() : 0;
    return Refusal{503, fmt::format("the model is being loaded: {:.0f} % is done; try again", done * 100), "",
                   "loading", 1};
  }
  return std::nullopt;
}

std::optional<Refusal> Service::refuse_answer(KeyLimits* limits, Clock::time_point now) {
  if (auto refusal = refuse_now()) return refusal;
  const AnsweringOptions& o = options_.answering;
  if (!has_room(0, n_answering(), 1, o.parallel, o.queue, false)) {
    return Refusal{
        429, fmt::format("the queue is full: {} requests are being answered or wait; try again later", n_answering()),
        "", std::string(kQueueFull), queue_seconds()};
  }
  if (limits != nullptr && !has_room(limits->n_answering, n_answering(), 1, o.parallel, o.queue, o.is_shared)) {
    return Refusal{429,
                   fmt::format("the key's share of the queue is full: {} of its requests are being answered or wait, "
                               "and others shall find room; try again later",
                               limits->n_answering),
                   "", "queue_share_full", queue_seconds()};
  }
  if (waiting_body_bytes_ > kBodyBytesAllMax) {
    return Refusal{429,
                   fmt::format("the bodies of requests that wait have {} bytes together, at most {} were wanted; try "
                               "again later",
                               waiting_body_bytes_, kBodyBytesAllMax),
                   "", "waiting_bodies", 1};
  }
  return limits != nullptr ? limits->refuse(now) : std::nullopt;
}

AnswerId Service::handle(HttpRequest request, std::shared_ptr<Responder> responder) {
  const AnswerId last = last_id_;
  try {
    return try_to_handle(std::move(request), responder);
  } catch (const std::bad_alloc&) {
    const Refusal refusal{503, "taking the request: the system gave no more memory; try again later", "", "overloaded",
                          1};
    if (last_id_ != last && exchanges_.contains(last_id_)) {
      answering_->cancel(last_id_);
      take_error(last_id_, refusal);
    } else {
      count_refusal(refusal);
      responder->respond(refusal_response(refusal));
    }
    return 0;
  }
}

AnswerId Service::try_to_handle(HttpRequest request, const std::shared_ptr<Responder>& responder) {
  const Routed routed = find_route(request);
  NARU_CHECK(routed.route != nullptr);  // examine() has let it through
  if (routed.route->page == Page::kDialect) {
    return begin_answer(std::move(request), *routed.route->dialect, responder);
  }
  if (routed.route->page == Page::kRuns || routed.route->page == Page::kRun) {
    begin_runs(routed, std::move(request), responder);
    return 0;
  }
  HttpResponse response = page(routed, request);
  std::string refused;
  if (response.status == 404) refused = "model_not_found", ++metrics_.errors[refused];
  log_page(request, response.status, refused);
  responder->respond(std::move(response));
  return 0;
}

AnswerId Service::begin_answer(HttpRequest request, const Dialect& dialect, std::shared_ptr<Responder> responder) {
  const Admission admission = admit(options_.access, request, false);
  const ApiKey* key = admission.key;
  const std::shared_ptr<KeyLimits> limits = limits_of(key);
  const Clock::time_point now = Clock::now();
  // Since its header came, others have, and keys may be others.
  const auto refusal = admission.refusal ? admission.refusal : refuse_answer(limits.get(), now);
  if (refusal) {
    count_refusal(*refusal);
    HttpResponse response = refusal_response(*refusal, &request);
    log_page(request, response.status, words_for_log(*refusal), key);
    responder->respond(std::move(response));
    return 0;
  }
  const AnswerId id = ++last_id_;
  AnswerJob job;
  job.id = id;
  job.dialect = &dialect;
  job.identity.id = fmt::format("{}{:016x}{:016x}", dialect.id_prefix, id_secret_[0] ^ draw_bits(),
                                id_secret_[1] + id * 0x9e3779b97f4a7c15);
  job.identity.created = static_cast<int64_t>(std::time(nullptr));
  job.seed = draw_bits() >> (64 - kSeedBits);
  job.is_strict_model = options_.is_strict_model;
  job.arrival = now;

  Exchange exchange;
  if (key != nullptr) {
    limits->take_request();
    job.cache_scope = key->scope;
    job.account = limits->account();
    exchange.limits = limits;
    exchange.log.key_name = key->name;
  }
  exchange.responder = std::move(responder);
  exchange.dialect = &dialect;
  exchange.log.id = job.identity.id;
  exchange.log.request = fmt::format("{} {}", request.method, request.path());
  exchange.fields = cross_origin_fields(options_.access, request);
  exchange.begin = exchange.last_sent = now;
  exchange.deadline = now + options_.deadlines.answer;
  const auto own_deadline = deadline_of(request);
  if (const auto* own = std::get_if<0>(&own_deadline); own != nullptr && *own && now + **own < exchange.deadline) {
    exchange.deadline = now + **own;
    exchange.has_own_deadline = true;
  }
  exchange.body_bytes = static_cast<int64_t>(request.body.size());
  if (models_.size() == 1) exchange.log.model = models_[0].name;  // of several it is known when the body was read
  if (options_.logs_prompts) {
    exchange.log.body = request.body.substr(0, kLoggedBodyBytesMax);
    exchange.log.body_bytes = exchange.body_bytes;
  }
  const int64_t body_bytes = exchange.body_bytes;
  exchanges_.emplace(id, std::move(exchange));
  waiting_body_bytes_ += body_bytes;
  if (limits != nullptr) ++limits->n_answering;  // from here on end() takes it back
  job.body = std::exchange(request.body, {});
  job.head = std::move(request);
  answering_->submit(std::move(job));
  return id;
}

void Service::refuse_unread(const Refusal& refusal) {
  count_refusal(refusal);
  ++metrics_.requests[{"page", fmt::format("{}", refusal.status)}];
  if (!options_.log) return;
  RequestLog log;
  log.request = "(unread)";
  log.status = refusal.status;
  log.refused = refusal.message;  // of a header or a length: nothing in it was sent
  options_.log(log);
}

void Service::log_page(const HttpRequest& request, int status, const std::string& refused, const ApiKey* key) {
  ++metrics_.requests[{"page", fmt::format("{}", status)}];
  // What only asks whether all is well would fill the log, and so would all that a page is made of and looks at.
  const std::string_view path = request.path();
  const bool is_watching = path.ends_with("/health") || path.ends_with("/metrics") || path.starts_with("/page/") ||
                           path.starts_with("/v1/runs");
  if (!options_.log || ((status == 200 || status == 304) && is_watching)) return;
  RequestLog log;
  log.request = fmt::format("{} {}", request.method.substr(0, 16), request.path().substr(0, 200));
  log.status = status;
  log.refused = refused;
  if (key != nullptr) log.key_name = key->name;
  options_.log(log);
}

}  // namespace naru::server
