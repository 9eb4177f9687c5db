// What the service counts, and how it is shown.
#include <fmt/format.h>

#include <array>
#include <string_view>

#include "server/service.h"

namespace naru::server {
namespace {

// Codes of refusals that say that a limit was hit; of others only the status may.
constexpr std::array<std::string_view, 8> kLimitCodes = {
    "queue_full",          "queue_share_full",        "waiting_bodies",    "request_rate_exceeded",
    "token_rate_exceeded", "context_length_exceeded", "deadline_exceeded", "overloaded"};

std::string limit_of(const Refusal& refusal) {
  for (const std::string_view code : kLimitCodes) {
    if (refusal.code == code) return refusal.code;
  }
  switch (refusal.status) {
    case 408: return "read_deadline";
    case 413: return "body_bytes";
    case 431: return "header_bytes";
    default: return "";
  }
}

}  // namespace

void Service::count_refusal(const Refusal& refusal) {
  ++metrics_.errors[refusal.code.empty() ? fmt::format("{}", refusal.status) : refusal.code];
  const std::string limit = limit_of(refusal);
  if (!limit.empty()) count_limit(limit);
}

void Service::count_end(size_t model, EndReason reason) {
  ModelMetrics& metrics = answering_->metrics(model);
  switch (reason) {
    case EndReason::kStop: return metrics.ended_by_stop.add(1);
    case EndReason::kLength: return metrics.ended_by_length.add(1);
    case EndReason::kToolCalls: return metrics.ended_by_tool_calls.add(1);
  }
}

void Service::count_end(const Exchange& exchange, int status, const AnswerUsage& usage) {
  const std::string shown = status == 0 ? "left" : fmt::format("{}", status);
  ++metrics_.requests[{std::string(exchange.dialect->name), shown}];
  if (status == 0) ++metrics_.aborts[exchange.has_text ? "answering" : "waiting"];
  if (status != 200 || !exchange.plan.writer) return;
  ModelMetrics& metrics = answering_->metrics(exchange.plan.model);
  metrics.request.observe(std::chrono::duration<double>(Clock::now() - exchange.begin).count());
  metrics.request_prompt.observe(static_cast<double>(usage.prompt_tokens));
  metrics.request_generated.observe(static_cast<double>(usage.completion_tokens));
}

// Whoever knows one set of names asks for it: /metrics?names=naru
MetricNames Service::metric_names_of(const HttpRequest& request) const {
  const std::string_view query = std::string_view(request.target).substr(request.path().size());
  if (query == "?names=naru") return MetricNames::kNaru;
  if (query == "?names=vllm") return MetricNames::kVllm;
  return options_.metric_names;
}

HttpResponse Service::metrics_page(MetricNames names) const {
  std::vector<NamedMetrics> models;
  for (size_t i = 0; answering_ && i < answering_->n_models(); ++i) {
    const ServedModel& model = answering_->model(i);
    models.push_back({models_[i].name, model.state() == ModelState::kLoaded, &model.metrics()});
  }
  HttpResponse response;
  response.content_type = kMetricsContentType;
  response.body = metrics_text(metrics_, models, names);
  return response;
}

}  // namespace naru::server
