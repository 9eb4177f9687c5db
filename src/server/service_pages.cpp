// What the server says of itself: its health, its model, and itself.
#include <fmt/format.h>

#include "base/sha256.h"
#include "contract/kinds.h"
#include "server/json_bytes.h"
#include "server/ollama_pages.h"
#include "server/openapi.h"
#include "server/page.h"
#include "server/service.h"

namespace naru::server {
namespace {

const char* state_word(ModelState state) {
  switch (state) {
    case ModelState::kIdle: return "idle";
    case ModelState::kLoading: return "loading";
    case ModelState::kLoaded: return "loaded";
  }
  return "";
}

// How far a model is.
Json state_object(const ServedModel& model) {
  Json json = {{"id", model.source().name}, {"status", state_word(model.state())}};
  if (model.state() == ModelState::kLoading) json["progress"] = model.load_progress();
  return json;
}

Json model_object(const ServedModel& model, const ModelFacts* facts, const std::string& failure, int64_t created) {
  Json json = state_object(model);
  json["object"] = "model";
  json["created"] = facts != nullptr ? facts->created : created;
  json["owned_by"] = "naru";
  if (!failure.empty()) json["error"] = failure;
  if (facts == nullptr) return json;  // it was never loaded
  json["context_length"] = facts->context_tokens;
  json["parameters"] = facts->n_parameters;
  json["numerics_id"] = facts->numerics_id;
  return json;
}

// What the server says of a model that is or was loaded.
Json facts_object(const ModelFacts& facts, const std::optional<std::vector<FileHash>>& hashes) {
  const engine::SamplingOptions& o = facts.sampling;
  Json files = nullptr;
  if (hashes) {
    files = Json::array();
    for (const FileHash& file : *hashes) {
      files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
    }
  }
  return {{"model", facts.name},
          {"numerics_id", facts.numerics_id},
          {"system_fingerprint", facts.fingerprint},
          {"files", std::move(files)},  // null while their hashes are being made
          {"chip", facts.chip},
          {"context_length", facts.context_tokens},
          {"sampling",
           {{"temperature", o.temperature},
            {"top_k", o.top_k},
            {"top_p", o.top_p},
            {"min_p", o.min_p},
            {"repetition_penalty", o.repetition_penalty},
            {"defaults", facts.is_sampling_advised ? "makers" : "plain"}}}};
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
    case Page::kOllamaTags:
    case Page::kOllamaPs:
    case Page::kOllamaVersion: response = ollama_page(routed.route->page); break;
    case Page::kMetrics: response = metrics_page(metric_names_of(request)); break;
    case Page::kOpenApi: response.body = openapi_document(options_.version) + "\n"; break;
    case Page::kPage:
    case Page::kPageFile: return page_response(request);
    case Page::kRuns:
    case Page::kRun:
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
  if (!refuse_now()) {
    Json json = {{"status", "ok"}};
    if (waits_for_its_model()) {
      json["models"] = Json::array();
      for (size_t i = 0; i < models_.size(); ++i) json["models"].push_back(state_object(answering_->model(i)));
    }
    return json_response(json);
  }
  const double done = answering_ ? answering_->model(0).load_progress() : 0;
  HttpResponse response = json_response({{"status", "loading"}, {"progress", done}});
  response.status = 503;
  response.fields.push_back({"Retry-After", "1"});
  return response;
}

HttpResponse Service::models_page(const Routed& routed) const {
  if (!model_ && !waits_for_its_model()) return refusal_response(*refuse_now());
  const auto begin = std::chrono::duration_cast<std::chrono::seconds>(metrics_.begin.time_since_epoch()).count();
  const bool is_list = routed.route->page == Page::kModels;
  std::string name;
  Json list = Json::array();
  for (size_t i = 0; i < models_.size(); ++i) {
    const ShownModel& shown = models_[i];
    Json json = model_object(answering_->model(i), shown.facts.get(), shown.failure, begin);
    if (!is_list && percent_decode(routed.rest, name) && name == shown.name) return json_response(json);
    list.push_back(std::move(json));
  }
  if (is_list) return json_response({{"object", "list"}, {"data", std::move(list)}});
  return refusal_response({404, "reading the request: no model of that name is served here; GET /v1/models lists it",
                           "model", "model_not_found", 0});
}

HttpResponse Service::server_page() const {
  if (!model_ && !waits_for_its_model()) return refusal_response(*refuse_now());
  Json json = {{"version", options_.version},
               {"arithmetic", contract::kArithmeticVersion},
               {"parallel", options_.answering.parallel},
               {"queue", options_.answering.queue},
               {"answering", n_answering()}};
  if (!options_.questions.empty()) json["questions"] = options_.questions;
  if (models_.size() == 1) {
    if (model_) json.update(facts_object(*model_, models_[0].hashes));
    return json_response(json);
  }
  json["models"] = Json::array();
  for (size_t i = 0; i < models_.size(); ++i) {
    Json one = state_object(answering_->model(i));
    if (models_[i].facts) one.update(facts_object(*models_[i].facts, models_[i].hashes));
    json["models"].push_back(std::move(one));
  }
  return json_response(json);
}

HttpResponse Service::ollama_page(Page page) const {
  HttpResponse response;
  if (page == Page::kOllamaVersion) {
    response.body = ollama_version(options_.version) + "\n";
    return response;
  }
  std::vector<OllamaModel> listed;
  for (size_t i = 0; i < models_.size(); ++i) {
    const ShownModel& model = models_[i];
    const bool is_loaded = model.facts != nullptr && answering_->model(i).state() == ModelState::kLoaded;
    if (page == Page::kOllamaPs && !is_loaded) continue;
    // Of several files, one hash of their hashes.
    std::string digest;
    if (model.hashes) {
      for (const FileHash& file : *model.hashes) digest += file.sha256;
      if (model.hashes->size() > 1) {
        digest = sha256_hex({reinterpret_cast<const std::byte*>(digest.data()), digest.size()});
      }
    }
    listed.push_back({model.name, model.facts.get(), std::move(digest)});
  }
  response.body = (page == Page::kOllamaTags ? ollama_tags(listed) : ollama_ps(listed)) + "\n";
  return response;
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
    fields.push_back({"Access-Control-Allow-Headers",
                      "authorization, content-type, x-api-key, anthropic-version, anthropic-beta, x-naru-deadline-ms"});
    fields.push_back({"Access-Control-Max-Age", "600"});
  }
  for (HttpField& field : fields) response.fields.push_back(std::move(field));
  return response;
}

}  // namespace naru::server
