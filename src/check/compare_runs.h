// Two recordings of one run, compared. An op whose inputs are alike and whose outputs differ is a culprit on one of the
// two chips; an op whose inputs differ already may only follow from one.
#pragma once

#include <functional>

#include "check/difference_log.h"
#include "check/recorded_run.h"

namespace naru::check {

struct RunComparison {
  std::vector<OpDifference> culprits;  // in the order of the ops
  int64_t n_alike = 0;                 // ops with the same outputs
  int64_t n_followers = 0;             // others, whose inputs differ too
  int64_t n_ops = 0;
};

// kInvalidArgument where they are not of one run (check_comparable), or not of the same ops; kCorrupt where the values
// of either are not those that were recorded. Asks `go_on` between two
// ops: kCancelled where it says so.
Result<RunComparison> compare_runs(const OpenRecording& a, const OpenRecording& b, const std::function<bool()>& go_on);

}  // namespace naru::check
