// SampleSummary: what the lines of a run say together, of all answers and of those in each language.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "samples/sample_line.h"

namespace naru::samples {

struct SampleCounts {
  int64_t n_problems = 0;
  int64_t n_answers = 0;  // those that were not asked are none
  int64_t n_right = 0;
  int64_t n_kept = 0;
  int64_t n_solved = 0;                                   // problems of which one answer at least is kept
  int64_t n_tokens = 0;                                   // of all answers
  int64_t n_kept_tokens = 0;                              // of those that are kept
  std::array<int64_t, kReasonNames.size()> dropped = {};  // by Reason

  int64_t n_dropped() const;
  double pass_rate() const;         // right ones of all answers
  double mean_tokens() const;       // of all answers
  double mean_kept_tokens() const;  // of those that are kept
};

class SampleSummary {
 public:
  // Kept lines and dropped ones each in the order of their problems.
  void add(const ReadLine& line);

  const SampleCounts& all() const { return all_; }
  // By "en", "ko", "zh", "other", of those that there are.
  const std::map<std::string, SampleCounts>& by_language() const { return by_language_; }

 private:
  SampleCounts all_;
  std::map<std::string, SampleCounts> by_language_;
  int64_t last_kept_ = -1;  // the problem of the last kept line
};

}  // namespace naru::samples
