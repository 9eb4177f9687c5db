// Tally: the answers of a model graded as they come, and counted: right ones, their language and length. And the room
// that a model needs to write them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "engine/memory_plan.h"
#include "eval/asking.h"
#include "eval/grading.h"
#include "eval/problem_set.h"
#include "eval/scores.h"

namespace naru::eval {

// One graded answer.
struct TakenAnswer {
  int64_t problem = 0;
  int64_t draw = 0;  // -1: the greedy one
  const std::string& language;
  const GivenAnswer& answer;
  const std::string& text;  // without special tokens
  Grade grade;
};

class Tally {
 public:
  // All of them outlive it.
  Tally(const ProblemSet& set, const Prompts& prompts, const text::Tokenizer& tokenizer, Grading grading)
      : set_(set), prompts_(prompts), tokenizer_(tokenizer), grading_(std::move(grading)) {}

  // The answers to the next problem: the greedy one first. `each` sees every one of them; its error ends the taking.
  Status take(int64_t problem, const std::vector<GivenAnswer>& answers,
              const std::function<Status(const TakenAnswer&)>& each = {});

  // Of the problems whose answers are whole, in their order.
  const std::vector<ProblemScore>& scores() const { return scores_; }
  int64_t n_answers() const { return n_answers_; }
  int64_t n_cut() const { return n_cut_; }
  int64_t n_tokens() const { return n_tokens_; }
  int64_t n_unasked() const { return n_unasked_; }  // problems longer than the context
  // Of the ids of all prompts and answers. Ends the taking.
  std::string finish_sha256() { return hash_.finish_hex(); }

 private:
  void add_ids(const std::vector<int32_t>& ids);

  const ProblemSet& set_;
  const Prompts& prompts_;
  const text::Tokenizer& tokenizer_;
  Grading grading_;
  std::vector<ProblemScore> scores_;
  int64_t n_answers_ = 0, n_cut_ = 0, n_tokens_ = 0, n_unasked_ = 0;
  Sha256 hash_;
};

// The context of one answer, and how many are written together: as many as fit, for none of it changes an answer.
struct AnsweringRoom {
  int64_t context_tokens = 0;
  int64_t at_once = 1;
};
// `max_tokens` of an answer, `n_answers` in all. kResourceExhausted where not even one fits.
Result<AnsweringRoom> room_for_answers(const models::ModelPlan& plan, const Prompts& prompts, int64_t max_tokens,
                                       int64_t n_answers, int64_t at_once_max, int64_t prefill_chunk);

}  // namespace naru::eval
