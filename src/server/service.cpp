#include "server/service.h"

#include <fmt/format.h>
#include <sys/random.h>

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

// Why a request was refused, as the log may say it: messages can quote what was sent.
std::string words_for_log(const Refusal& refusal) {
  if (refusal.status >= 500 || refusal.status == 429) return refusal.message;
  return refusal.param.empty() ? refusal.code : refusal.param + (refusal.code.empty() ? "" : " " + refusal.code);
}

double seconds_between(Service::Clock::time_point a, Service::Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
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

// Fields of requests are foreign text: only what can stand in a header is shown of their names.
std::string ignored_line(const std::vector<std::string>& names) {
  std::string line;
  for (size_t i = 0; i < names.size(); ++i) {
    if (static_cast<int64_t>(i) == kIgnoredFieldsShownMax) return line + fmt::format(", and {} more", names.size() - i);
    if (i > 0) line += ", ";
    for (const char c : names[i].substr(0, 64)) line += c > ' ' && c < '\x7f' && c != ',' ? c : '?';
  }
  return line;
}

}  // namespace

Service::Service(ServiceOptions options, Post post, Loaded loaded)
    : options_(std::move(options)), post_(std::move(post)), loaded_(std::move(loaded)) {
  id_secret_[0] = draw_bits();
  id_secret_[1] = draw_bits();
  const std::vector<ApiKey>& keys = options_.access.keys;
  for (size_t i = 0; i < keys.size(); ++i) key_limits_.emplace_back(i + 1, keys[i].requests, keys[i].tokens);
  options_.answering.is_shared = keys.size() > 1;
  if (options_.runs.list) runs_ = std::make_unique<RunsDesk>(options_.runs);
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

// ---- what the threads of Answering say

void Service::on_loaded(size_t model, Result<std::shared_ptr<const ModelFacts>> facts) {
  if (facts.ok() && models_.size() > 1) {
    // One of several may be unloaded before this is looked at.
    facts = std::make_shared<const ModelFacts>(lasting_facts(**facts));
  }
  post_([this, model, facts = std::move(facts)] {
    models_[model].failure = facts.ok() ? "" : std::string(code_name(facts.error().code));
    if (facts.ok()) {
      models_[model].facts = *facts;
      if (!model_) model_ = *facts;
    }
    if (facts.ok()) {
      loaded_({});
    } else if (!waits_for_its_model() && !model_) {
      loaded_(facts.error());
    }
  });
}

void Service::on_planned(AnswerId answer, AnswerPlan plan) {
  // A std::function must be copyable.
  post_(
      [this, answer, plan = std::make_shared<AnswerPlan>(std::move(plan))] { take_planned(answer, std::move(*plan)); });
}

void Service::on_page(AnswerId answer, std::string body, std::vector<std::string> ignored) {
  post_([this, answer, body = std::move(body), ignored = std::move(ignored)] { take_page(answer, body, ignored); });
}

void Service::on_events(std::vector<AddressedEvent> events) {
  post_([this, events = std::make_shared<std::vector<AddressedEvent>>(std::move(events))] {
    for (const AddressedEvent& each : *events) {
      try {
        take(each.answer, each.event);
      } catch (const std::bad_alloc&) {
        take_error(each.answer,
                   {503, "writing the answer: the system gave no more memory; try again later", "", "overloaded", 1});
      }
    }
  });
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
    if (!refusal) refusal = refuse_answer(limits_of(admission.key), Clock::now());
  }
  if (!refusal) return std::nullopt;
  count_refusal(*refusal);
  HttpResponse response = refusal_response(*refusal, &head);
  if (refusal->status == 405) response.fields.push_back({"Allow", routed.allow});
  log_page(head, response.status, words_for_log(*refusal), admission.key);
  return response;
}

KeyLimits* Service::limits_of(const ApiKey* key) {
  return key != nullptr ? &key_limits_[static_cast<size_t>(key - options_.access.keys.data())] : nullptr;
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
        "", "queue_full", 1};
  }
  if (limits != nullptr && !has_room(limits->n_answering, n_answering(), 1, o.parallel, o.queue, o.is_shared)) {
    return Refusal{429,
                   fmt::format("the key's share of the queue is full: {} of its requests are being answered or wait, "
                               "and others shall find room; try again later",
                               limits->n_answering),
                   "", "queue_share_full", 1};
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
  const ApiKey* key = admit(options_.access, request, false).key;
  KeyLimits* limits = limits_of(key);
  const Clock::time_point now = Clock::now();
  if (const auto refusal = refuse_answer(limits, now)) {  // since its header came, others have
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

// ---- answers

void Service::take_planned(AnswerId answer, AnswerPlan plan) {
  const auto at = exchanges_.find(answer);
  if (at == exchanges_.end()) return;
  Exchange& exchange = at->second;
  waiting_body_bytes_ -= std::exchange(exchange.body_bytes, 0);
  exchange.plan = std::move(plan);
  exchange.log.model = models_[exchange.plan.model].name;
  exchange.fields.push_back({"x-naru-seed", fmt::format("{}", exchange.plan.seed)});
  if (!exchange.plan.ignored.empty()) {
    exchange.fields.push_back({"x-naru-ignored", ignored_line(exchange.plan.ignored)});
  }
}

void Service::take_page(AnswerId answer, std::string body, const std::vector<std::string>& ignored) {
  const auto at = exchanges_.find(answer);
  if (at == exchanges_.end()) return;
  HttpResponse response;
  response.body = std::move(body) + "\n";
  response.fields = std::move(at->second.fields);
  if (!ignored.empty()) response.fields.push_back({"x-naru-ignored", ignored_line(ignored)});
  const std::shared_ptr<Responder> responder = at->second.responder;
  end(answer, 200, {});
  responder->respond(std::move(response));
}

void Service::send(Exchange& exchange, std::string bytes) {
  if (bytes.empty()) return;
  exchange.last_sent = Clock::now();
  exchange.responder->stream(std::move(bytes));
}

void Service::take(AnswerId answer, const AnswerEvent& event) {
  const auto at = exchanges_.find(answer);
  if (at == exchanges_.end()) return;  // it has left
  Exchange& exchange = at->second;
  if (event.kind == AnswerEvent::Kind::kError) return take_error(answer, event.error);
  if (event.kind == AnswerEvent::Kind::kText && !exchange.has_text) {
    exchange.has_text = true;
    exchange.first_text = Clock::now();
    answering_->metrics(exchange.plan.model).first_token.observe(seconds_between(exchange.begin, exchange.first_text));
  }
  if (event.kind == AnswerEvent::Kind::kEnd) count_end(exchange.plan.model, event.reason);
  const bool is_streamed = exchange.plan.is_streamed;
  if (event.kind == AnswerEvent::Kind::kBegin && is_streamed) {
    HttpResponse head;
    head.content_type = exchange.plan.writer->content_type();
    head.fields = exchange.fields;
    head.fields.push_back({"Cache-Control", "no-cache"});
    exchange.has_begun = true;
    exchange.responder->begin_stream(std::move(head));
  }
  std::string bytes = exchange.plan.writer->take(event);
  const bool is_done = event.kind == AnswerEvent::Kind::kDone;
  if (is_streamed) {
    send(exchange, std::move(bytes));
    // A reader that is too slow has been let go of meanwhile.
    if (is_done && exchanges_.contains(answer)) {
      const std::shared_ptr<Responder> responder = exchange.responder;
      end(answer, 200, event.usage);
      responder->end_stream(!is_draining_);
    }
  } else if (is_done) {
    HttpResponse response;
    response.body = std::move(bytes) + "\n";
    response.content_type = exchange.plan.writer->content_type();
    response.fields = std::move(exchange.fields);
    const std::shared_ptr<Responder> responder = exchange.responder;
    end(answer, 200, event.usage);
    responder->respond(std::move(response));
  }
}

void Service::take_error(AnswerId answer, const Refusal& refusal) {
  const auto at = exchanges_.find(answer);
  if (at == exchanges_.end()) return;
  Exchange& exchange = at->second;
  const std::shared_ptr<Responder> responder = exchange.responder;
  count_refusal(refusal);
  if (exchange.has_begun) {
    AnswerEvent event;
    event.kind = AnswerEvent::Kind::kError;
    event.error = refusal;
    send(exchange, exchange.plan.writer->take(event));
    if (!exchanges_.contains(answer)) return;
    end(answer, refusal.status, {}, words_for_log(refusal));
    responder->end_stream(false);
    return;
  }
  HttpResponse response = refusal_response(refusal);
  response.body = exchange.dialect->error(refusal) + "\n";
  for (HttpField& field : exchange.fields) response.fields.push_back(std::move(field));
  end(answer, refusal.status, {}, words_for_log(refusal));
  responder->respond(std::move(response));
}

void Service::end(AnswerId answer, int status, const AnswerUsage& usage, const std::string& refused) {
  const auto at = exchanges_.find(answer);
  Exchange& exchange = at->second;
  count_end(exchange, status, usage);
  if (exchange.limits != nullptr) --exchange.limits->n_answering;
  if (options_.log) {
    RequestLog& log = exchange.log;
    log.status = status;
    log.refused = refused;
    log.usage = usage;
    if (exchange.has_text) log.first_seconds = seconds_between(exchange.begin, exchange.first_text);
    log.seconds = seconds_between(exchange.begin, Clock::now());
    options_.log(log);
  }
  waiting_body_bytes_ -= exchange.body_bytes;
  exchanges_.erase(at);
}

void Service::leave(AnswerId answer) {
  if (!exchanges_.contains(answer)) return;
  answering_->cancel(answer);
  end(answer, 0, {});
}

void Service::cancel_all() {
  while (!exchanges_.empty()) {
    const AnswerId answer = exchanges_.begin()->first;
    answering_->cancel(answer);
    take_error(answer, {503, "the server ends before this answer does; try another one", "", "draining", 1});
    if (exchanges_.contains(answer)) end(answer, 503, {});
  }
}

void Service::tick(Clock::time_point now) {
  std::vector<AnswerId> late, silent;
  for (const auto& [id, exchange] : exchanges_) {
    if (now > exchange.deadline) late.push_back(id);
    if (exchange.has_begun && now - exchange.last_sent > options_.deadlines.ping) silent.push_back(id);
  }
  for (const AnswerId id : late) {
    answering_->cancel(id);
    const Exchange& exchange = exchanges_.at(id);
    const auto time = std::chrono::duration<double>(exchange.deadline - exchange.begin).count();
    take_error(id, {504,
                    exchange.has_own_deadline
                        ? fmt::format("the answer was not whole after {} s, the time that x-naru-deadline-ms gave it; "
                                      "give more, or ask for fewer tokens",
                                      time)
                        : fmt::format("the answer took more than {} seconds, the most that one may; ask for fewer "
                                      "tokens",
                                      time),
                    "", "deadline_exceeded", 0});
  }
  for (const AnswerId id : silent) {
    const auto at = exchanges_.find(id);
    if (at != exchanges_.end()) send(at->second, std::string(at->second.plan.writer->ping()));
  }
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
