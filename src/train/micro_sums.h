// MicroSums: what a step keeps of one micro-batch beside its gradient. Whichever process computed it, sums are folded
// by the micro-batch's index, ascending.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "train/peers.h"
#include "train/policy_statistics.h"

namespace naru::train {

struct MicroSums {
  double loss = 0;                          // of its rows, weighted
  std::vector<double> prediction_losses;    // by depth, likewise
  double balance = 0;                       // balance losses, weighted
  std::vector<std::vector<int64_t>> loads;  // layers with experts, prediction layers last: slots that chose each
  PolicyStatistics policy;                  // of an objective that has any
};

// The sums of every micro-batch by index, from those that each process computed. `own` says how this process fared; an
// error of any is the error of all: that of the lowest rank.
Result<std::vector<MicroSums>> gather_sums(Peers& peers, std::vector<std::optional<MicroSums>> mine, const Status& own);

// sum / divisor; where the divisor is 0 nothing counts, and the sum stays as it is.
inline double quotient(double sum, double divisor) {
  return divisor == 0 ? sum : sum / divisor;
}

}  // namespace naru::train
