// What becomes of an answer: from the events of the threads behind it to bytes for whoever asked.
#include <fmt/format.h>

#include <new>
#include <utility>

#include "server/service.h"

namespace naru::server {
namespace {

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

double seconds_between(Service::Clock::time_point a, Service::Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

// Several warnings stand in one field. Their words are the server's own, but for the places of a request.
std::string warning_line(const std::vector<std::string>& warnings) {
  std::string line;
  for (const std::string& warning : warnings) {
    line += line.empty() ? "" : "; ";
    for (const char c : warning) line += c >= ' ' && c < '\x7f' ? c : '?';
  }
  return line;
}

// What the header of an answer says of its plan.
std::vector<HttpField> fields_of(const AnswerPlan& plan) {
  std::vector<HttpField> fields;
  if (!plan.ignored.empty()) fields.push_back({"x-naru-ignored", ignored_line(plan.ignored)});
  if (!plan.warnings.empty()) fields.push_back({"x-naru-warning", warning_line(plan.warnings)});
  if (!plan.replayed_call.empty()) fields.push_back({"x-naru-replayed", ignored_line({plan.replayed_call})});
  return fields;
}

Refusal memory_refusal(std::string_view doing) {
  return {503, fmt::format("{}: the system gave no more memory; try again later", doing), "", "overloaded", 1};
}

}  // namespace

// ---- what the threads of Answering say

template <typename Work>
void Service::guard(AnswerId answer, std::string_view doing, const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
  }
  try {
    answering_->cancel(answer);
    return take_error(answer, memory_refusal(doing));
  } catch (const std::bad_alloc&) {
  }
  // Not even that can be said. The connection's end is heard, and its answer stops where nobody waits for it.
  const auto at = exchanges_.find(answer);
  if (at == exchanges_.end()) return;
  const std::shared_ptr<Responder> responder = at->second.responder;
  if (at->second.limits != nullptr) --at->second.limits->n_answering;
  waiting_body_bytes_ -= at->second.body_bytes;
  exchanges_.erase(at);
  responder->abandon();
}

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
  post_([this, answer, plan = std::make_shared<AnswerPlan>(std::move(plan))] {
    guard(answer, "beginning the answer", [&] { take_planned(answer, std::move(*plan)); });
  });
}

void Service::on_parked(AnswerId answer, AnswerPlan plan) {
  post_([this, answer, plan = std::make_shared<AnswerPlan>(std::move(plan))] {
    const auto at = exchanges_.find(answer);
    if (at == exchanges_.end()) return;
    at->second.plan = std::move(*plan);
    at->second.is_parked = true;
  });
}

void Service::on_page(AnswerId answer, std::string body, std::vector<std::string> ignored) {
  post_([this, answer, body = std::move(body), ignored = std::move(ignored)] {
    guard(answer, "writing the answer", [&] { take_page(answer, body, ignored); });
  });
}

void Service::on_events(std::vector<AddressedEvent> events) {
  post_([this, events = std::make_shared<std::vector<AddressedEvent>>(std::move(events))] {
    for (const AddressedEvent& each : *events) {
      guard(each.answer, "writing the answer", [&] { take(each.answer, each.event); });
    }
  });
}

// ---- answers

void Service::take_planned(AnswerId answer, AnswerPlan plan) {
  const auto at = exchanges_.find(answer);
  if (at == exchanges_.end()) return;
  Exchange& exchange = at->second;
  waiting_body_bytes_ -= std::exchange(exchange.body_bytes, 0);
  exchange.plan = std::move(plan);
  exchange.is_parked = false;
  exchange.log.model = models_[exchange.plan.model].name;
  add_seed(exchange);
  for (HttpField& field : fields_of(exchange.plan)) exchange.fields.push_back(std::move(field));
}

void Service::add_seed(Exchange& exchange) {
  exchange.fields.push_back({"x-naru-seed", fmt::format("{}", exchange.plan.seed)});
}

void Service::begin_stream(Exchange& exchange) {
  HttpResponse head;
  head.content_type = exchange.plan.writer->content_type();
  head.fields = exchange.fields;
  head.fields.push_back({"Cache-Control", "no-cache"});
  exchange.has_begun = true;
  exchange.responder->begin_stream(std::move(head));
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
  if (event.kind == AnswerEvent::Kind::kBegin && is_streamed && !exchange.has_begun) begin_stream(exchange);
  std::string bytes = exchange.plan.writer->take(event);
  const bool is_done = event.kind == AnswerEvent::Kind::kDone;
  if (is_streamed) {
    if (event.kind == AnswerEvent::Kind::kBegin && exchange.has_begun_parked) bytes = late_comments(exchange) + bytes;
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

// Of a stream that began before its model was there.
std::string Service::late_comments(const Exchange& exchange) {
  if (!exchange.plan.writer->content_type().starts_with("text/event-stream")) return {};
  std::string text;
  for (const HttpField& field : fields_of(exchange.plan)) text += fmt::format(": {}: {}\n\n", field.name, field.value);
  return text;
}

// A stream that waits for its model begins with what is known of it, so that nobody on the way takes it for dead. What
// the model says besides can then stand in no header any more; where the form has comments it is one of them.
void Service::keep_alive(Exchange& exchange) {
  const std::string ping(exchange.plan.writer->ping());
  if (ping.empty()) return;
  if (!exchange.has_begun) {
    exchange.has_begun_parked = true;
    const size_t n_fields = exchange.fields.size();
    add_seed(exchange);
    for (HttpField& field : fields_of(exchange.plan)) exchange.fields.push_back(std::move(field));
    begin_stream(exchange);
    exchange.fields.resize(n_fields);
  }
  send(exchange, ping);
}

void Service::take_error(AnswerId answer, Refusal refusal) {
  const auto at = exchanges_.find(answer);
  if (at == exchanges_.end()) return;
  if (refusal.code == kQueueFull) refusal.retry_after_seconds = queue_seconds();
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
  if (status == 200) ends_.add(Clock::now());
  exchanges_.erase(at);
}

int Service::queue_seconds() const {
  return ends_.seconds_to_next(Clock::now());
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
    const bool is_stream = exchange.has_begun || (exchange.is_parked && exchange.plan.is_streamed);
    if (is_stream && now - exchange.last_sent > options_.deadlines.ping) silent.push_back(id);
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
    if (at != exchanges_.end()) guard(id, "writing the answer", [&] { keep_alive(at->second); });
  }
}

}  // namespace naru::server
