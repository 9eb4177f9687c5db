// What the server says of itself: its health, its model, and itself.
#include <fmt/format.h>

#include "contract/kinds.h"
#include "server/json_bytes.h"
#include "server/openapi.h"
#include "server/service.h"

namespace naru::server {
namespace {

Json model_object(const ModelFacts& model) {
  return {{"id", model.name},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "naru"},
          {"context_length", model.context_tokens},
          {"parameters", model.n_parameters},
          {"numerics_id", model.numerics_id}};
}

HttpResponse json_response(const Json& json) {
  HttpResponse response;
  response.body = json_bytes(json) + "\n";
  return response;
}

}  // namespace

HttpResponse Service::page(const Routed& routed, const HttpRequest& request) const {
  HttpResponse response;
  switch (routed.route->page) {
    case Page::kHealth: response = health_page(); break;
    case Page::kModels:
    case Page::kModel: response = models_page(routed); break;
    case Page::kServer: response = server_page(); break;
    case Page::kOpenApi: response.body = openapi_document(options_.version) + "\n"; break;
    case Page::kDialect: NARU_CHECK(false, static_cast<int>(routed.route->page));
  }
  for (HttpField& field : cross_origin_fields(options_.access, request)) response.fields.push_back(std::move(field));
  response.is_head_only = request.method == "HEAD";
  return response;
}

HttpResponse Service::health_page() const {
  if (is_draining_) {
    HttpResponse response = json_response({{"status", "draining"}, {"answering", n_answering()}});
    response.status = 503;
    return response;
  }
  if (model_) return json_response({{"status", "ok"}});
  const double done = answering_ ? answering_->load_progress() : 0;
  HttpResponse response = json_response({{"status", "loading"}, {"progress", done}});
  response.status = 503;
  response.fields.push_back({"Retry-After", "1"});
  return response;
}

HttpResponse Service::models_page(const Routed& routed) const {
  if (!model_) return refusal_response(*refuse_now());
  if (routed.route->page == Page::kModels) {
    return json_response({{"object", "list"}, {"data", Json::array({model_object(*model_)})}});
  }
  std::string name;
  if (percent_decode(routed.rest, name) && name == model_->name) return json_response(model_object(*model_));
  return refusal_response({404, "reading the request: no model of that name is served here; GET /v1/models lists it",
                           "model", "model_not_found", 0});
}

HttpResponse Service::server_page() const {
  if (!model_) return refusal_response(*refuse_now());
  const engine::SamplingOptions& o = model_->sampling;
  Json files = nullptr;
  if (hashes_) {
    files = Json::array();
    for (const FileHash& file : *hashes_) {
      files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
    }
  }
  return json_response({{"version", options_.version},
                        {"arithmetic", contract::kArithmeticVersion},
                        {"model", model_->name},
                        {"numerics_id", model_->numerics_id},
                        {"system_fingerprint", model_->fingerprint},
                        {"files", std::move(files)},  // null while their hashes are being made
                        {"chip", model_->chip},
                        {"context_length", model_->context_tokens},
                        {"parallel", options_.answering.parallel},
                        {"queue", options_.answering.queue},
                        {"answering", n_answering()},
                        {"sampling",
                         {{"temperature", o.temperature},
                          {"top_k", o.top_k},
                          {"top_p", o.top_p},
                          {"min_p", o.min_p},
                          {"repetition_penalty", o.repetition_penalty},
                          {"defaults", model_->is_sampling_advised ? "makers" : "plain"}}}});
}

HttpResponse Service::options_page(const HttpRequest& head, const Routed& routed) const {
  HttpResponse response;
  response.status = 204;
  const std::string allow = head.target == "*" ? "GET, HEAD, POST, OPTIONS" : routed.allow;
  if (allow.empty()) return refusal_response(routed.refusal, &head);
  response.fields.push_back({"Allow", allow});
  auto fields = cross_origin_fields(options_.access, head);
  if (!fields.empty()) {
    fields.push_back({"Access-Control-Allow-Methods", allow});
    fields.push_back({"Access-Control-Allow-Headers", "authorization, content-type, x-api-key"});
    fields.push_back({"Access-Control-Max-Age", "600"});
  }
  for (HttpField& field : fields) response.fields.push_back(std::move(field));
  return response;
}

}  // namespace naru::server
