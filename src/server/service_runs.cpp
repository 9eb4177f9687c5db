// Training runs over HTTP: questions go to the desk, and come back to the network's thread with what was read.
#include "server/service.h"

namespace naru::server {
namespace {

Refusal refusal_of_runs(const Error& error) {
  const int status = error.code == Code::kNotFound ? 404 : error.code == Code::kResourceExhausted ? 503 : 500;
  return {status, error.message, "", status == 404 ? "run_not_found" : "", status == 503 ? 1 : 0};
}

}  // namespace

void Service::begin_runs(const Routed& routed, HttpRequest request, std::shared_ptr<Responder> responder) {
  const auto refuse = [this](const HttpRequest& head, Responder& to, const Refusal& refusal) {
    count_refusal(refusal);
    log_page(head, refusal.status, refusal.code);
    to.respond(refusal_response(refusal, &head));
  };
  if (!runs_) {
    return refuse(request, *responder,
                  {404, "reading the request: no training runs are shown here; start the server with --runs FOLDER", "",
                   "no_runs", 0});
  }
  std::string name;
  if (routed.route->page == Page::kRun && (!percent_decode(routed.rest, name) || name.empty())) {
    return refuse(
        request, *responder,
        {400, "reading the request: the name of the run is not well written; GET /v1/runs lists them", "", "", 0});
  }
  const auto head = std::make_shared<const HttpRequest>(std::move(request));
  const bool is_taken = runs_->ask(std::move(name), [this, head, responder, refuse](Result<std::string> json) {
    post_([this, head, responder, refuse, json = std::move(json)] {
      if (!json.ok()) return refuse(*head, *responder, refusal_of_runs(json.error()));
      HttpResponse response;
      response.body = *json + "\n";
      response.is_head_only = head->method == "HEAD";
      response.fields = cross_origin_fields(options_.access, *head);
      log_page(*head, response.status);
      responder->respond(std::move(response));
    });
  });
  if (!is_taken) {
    refuse(*head, *responder,
           {429, "the runs are asked for by too many at once; try again later", "", "queue_full", 1});
  }
}

}  // namespace naru::server
