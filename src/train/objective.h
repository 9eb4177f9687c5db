// Objective: what a run minimises, as the model's head meets it. Which of three it is says what it reads, and with that
// how often the head runs:
//
//   CrossEntropyLoss   nothing: the weighted cross entropy of the targets, loss and gradient in one pass over the head
//   LogProbLoss        log p of every target of the micro-batch before any gradient: two passes over the head
//   LogitsLoss         rows of logits, kHeadRows at a time: it writes their losses and their gradient itself, in one
//   pass
//                      over the head
//
// An objective is a function of the micro-batch and what it reads, and of nothing else: the same wherever and however
// often it is asked. What differs from row to row (advantages, what an older policy said) comes as the micro-batch's
// signals. A row's loss counts `weight` times and is divided by the step's divisor; rows of weight 0 have none.
// Prediction layers (MTP) learn by cross entropy whatever the objective is.
#pragma once

#include <memory>
#include <span>
#include <variant>

#include "contract/chip.h"
#include "data/batches.h"
#include "nn/workspace.h"
#include "train/policy_statistics.h"

namespace naru::train {

struct CrossEntropyLoss {};

class LogProbLoss {
 public:
  virtual ~LogProbLoss() = default;

  // How many signals it reads of a micro-batch.
  virtual int64_t n_signals() const = 0;

  // What log p is of: softmax(logits / temperature), over the tokens that the micro-batch keeps of the row where it
  // keeps any. At 1 and over all tokens it is the LogProb op's.
  virtual double temperature() const { return 1; }

  // Everything is [T]. Of each row with a weight: its loss before weighting, and factor = -d loss / d log p, how many
  // times the gradient of cross entropy it takes; 1 where loss = -log p. Rows of weight 0 are +0 in log_probs, and what
  // is written for them is not read. Factors that are not finite are an error of the row. Not asked while memory is
  // planned.
  virtual Status weigh(const data::MicroBatch& batch, std::span<const float> log_probs, std::span<float> losses,
                       std::span<float> factors) const = 0;

  // What a step's metrics say of the same rows.
  virtual PolicyStatistics statistics(const data::MicroBatch& batch, std::span<const float> log_probs) const {
    (void)batch, (void)log_probs;
    return {};
  }
};

// Rows [begin, begin + n) of a micro-batch, on the chip.
struct LogitRows {
  int64_t begin = 0;
  View logits;   // [n, V]; where `to_gradient` to be overwritten by weight * d loss / d logits
  View targets;  // i32 [n, 1]
  View weights;  // [n, 1]: as the gradient counts them, divided by the step's divisor; 0: the row has no target
  View losses;   // [n, 1] to be written: before weighting
  bool to_gradient = false;
};

// A micro-batch under a LogitsLoss: what was computed for it, and its rows.
class LogitsPass {
 public:
  virtual ~LogitsPass() = default;

  // By ops of the chip, or on the host between copies, which wait. Rows come ascending; those of pieces in which none
  // has a weight do not come. Gradients of rows of weight 0 are +0.
  virtual Status run(const LogitRows& rows) = 0;
  // What a step's metrics say of the rows that came.
  virtual PolicyStatistics statistics() const { return {}; }
};

class LogitsLoss {
 public:
  virtual ~LogitsLoss() = default;

  virtual int64_t n_signals() const = 0;

  // Chip, workspace and batch outlive the pass. While memory is planned it runs on a chip that computes nothing.
  virtual Result<std::unique_ptr<LogitsPass>> begin(contract::Chip& chip, nn::Workspace& workspace,
                                                    const data::MicroBatch& batch) const = 0;
};

using Objective = std::variant<CrossEntropyLoss, std::shared_ptr<const LogProbLoss>, std::shared_ptr<const LogitsLoss>>;

// Signals that the micro-batches of the objective carry.
inline int64_t n_signals(const Objective& objective) {
  if (const auto* loss = std::get_if<std::shared_ptr<const LogProbLoss>>(&objective)) return (*loss)->n_signals();
  if (const auto* loss = std::get_if<std::shared_ptr<const LogitsLoss>>(&objective)) return (*loss)->n_signals();
  return 0;
}

}  // namespace naru::train
