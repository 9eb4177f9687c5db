#include "eval/asking.h"

#include <fmt/format.h>

#include <unordered_map>

#include "engine/scheduler.h"

namespace naru::eval {
namespace {

// The answers of one problem, some of which are still written.
struct Asked {
  std::vector<GivenAnswer> answers;
  int64_t n_open = 0;
};

class Asker {
 public:
  Asker(engine::Engine& engine, const std::vector<std::vector<int32_t>>& prompts, const Asking& asking,
        const TakeAnswers& take)
      : engine_(engine),
        prompts_(prompts),
        asking_(asking),
        take_(take),
        scheduler_(engine, {.running_max = asking.at_once}),
        asked_(prompts.size()) {
    NARU_CHECK(std::ssize(prompts) <= kProblemsMax && asking.samples <= kSamplesMax, prompts.size(), asking.samples);
    NARU_CHECK(n_each() > 0 && asking.first >= 0 && asking.first <= std::ssize(prompts), n_each(), asking.first);
    n_given_ = asking.first;
    n_submitted_ = asking.first * n_each();
  }

  Status run() {
    while (true) {
      while (n_submitted_ < n_all() && scheduler_.n_waiting() < asking_.at_once) NARU_TRY(submit(n_submitted_++));
      NARU_TRY(give());
      if (scheduler_.is_idle()) return {};
      if (asking_.progress && !asking_.progress(n_whole_, n_tokens_)) {
        return Error{Code::kCancelled, "asking problems: stopped"};
      }
      for (const engine::Event& event : scheduler_.step()) NARU_TRY(take_event(event));
    }
  }

 private:
  int64_t n_each() const { return n_greedy() + asking_.samples; }
  int64_t n_greedy() const { return asking_.has_greedy ? 1 : 0; }
  int64_t n_all() const { return std::ssize(prompts_) * n_each(); }

  Status submit(int64_t index) {
    const int64_t problem = index / n_each(), draw = index % n_each() - n_greedy();  // below 0: the greedy one
    Asked& asked = asked_[static_cast<size_t>(problem)];
    const std::vector<int32_t>& ids = prompts_[static_cast<size_t>(problem)];
    GivenAnswer& answer = asked.answers.emplace_back();
    if (ids.empty() || std::ssize(ids) >= engine_.context_tokens()) {
      answer.is_asked = false;
      ++n_whole_;
      return {};
    }
    engine::Request request;
    request.ids = ids;
    request.max_tokens = asking_.max_tokens;
    if (draw < 0) {
      request.sampling.temperature = 0;
    } else {
      request.sampling = asking_.sampling;
      request.sample = static_cast<uint32_t>(problem * kSamplesMax + draw);  // below 2^32
    }
    auto id = scheduler_.submit(std::move(request));
    if (!id.ok()) return at_problem(problem, id.error());
    index_of_[*id] = index;
    ++asked.n_open;
    return {};
  }

  static Error at_problem(int64_t problem, const Error& error) {
    return {error.code, fmt::format("answering problem {}: {}", problem, error.message)};
  }

  Status take_event(const engine::Event& event) {
    const int64_t index = index_of_.at(event.request);
    Asked& asked = asked_[static_cast<size_t>(index / n_each())];
    GivenAnswer& answer = asked.answers[static_cast<size_t>(index % n_each())];
    if (event.error) return at_problem(index / n_each(), *event.error);
    if (event.kind == engine::Event::Kind::kToken) {
      ++answer.n_tokens, ++n_tokens_;
      if (!event.is_stop_token) answer.ids.push_back(event.id);
    } else if (event.kind == engine::Event::Kind::kFinished) {
      answer.is_cut = event.reason == engine::FinishReason::kLength;
      index_of_.erase(event.request);
      --asked.n_open, ++n_whole_;
    }
    return {};
  }

  // Problems all of whose answers are whole, in their order.
  Status give() {
    for (; n_given_ < std::ssize(asked_); ++n_given_) {
      Asked& asked = asked_[static_cast<size_t>(n_given_)];
      if (std::ssize(asked.answers) < n_each() || asked.n_open > 0) return {};
      NARU_TRY(take_(n_given_, asked.answers));
      asked.answers = {};
    }
    return {};
  }

  engine::Engine& engine_;
  const std::vector<std::vector<int32_t>>& prompts_;
  const Asking& asking_;
  const TakeAnswers& take_;
  engine::Scheduler scheduler_;
  std::vector<Asked> asked_;  // by problem
  std::unordered_map<engine::RequestId, int64_t> index_of_;
  int64_t n_submitted_ = 0, n_given_ = 0, n_whole_ = 0, n_tokens_ = 0;
};

}  // namespace

Status ask(engine::Engine& engine, const std::vector<std::vector<int32_t>>& prompts, const Asking& asking,
           const TakeAnswers& take) {
  return Asker(engine, prompts, asking, take).run();
}

}  // namespace naru::eval
