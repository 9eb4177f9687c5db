// Constraint: which tokens an answer may be made of: JSON, a schema, a list of choices. The sampler drops all others
// before anything else chooses (sampler.h says where in its order), so a constrained answer is a function of its
// request as every other is.
//
// A Constraint is what a request asks for, shared by all answers to it; each answer has a state of its own, which the
// scheduler tells of every token that becomes part of the answer, and of no other: not of guesses, and not of tokens
// that are computed again.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace naru::engine {

class ConstraintState {
 public:
  virtual ~ConstraintState() = default;
  // Bit i % 64 of word i / 64: token i may come next. Of as many ids as the logits have; valid until the next accept().
  // No bit at all: the answer is over, and ends as by an end token where it is complete. Empty: any token may come.
  virtual std::span<const uint64_t> allowed() = 0;
  // Whether the answer may end here. Where nothing may come and this is false, no token of the vocabulary goes on with
  // it: it is broken, and ends with an error.
  virtual bool is_complete() = 0;
  // `id` has come: one that was allowed. Behind any other nothing may come, and nothing is complete.
  virtual void accept(int32_t id) = 0;
};

class Constraint {
 public:
  virtual ~Constraint() = default;
  virtual std::unique_ptr<ConstraintState> begin() const = 0;
};

}  // namespace naru::engine
