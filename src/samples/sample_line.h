// The lines of samples.jsonl and dropped.jsonl: written, and read back when a run goes on.
//
//   {"messages": [...], "sample": {"model": SHA-256, "seed": 1, "number": 7, "problem": "p.jsonl:8", "draw": 2,
//    "language": "en", "tokens": 31, "right": true, "pass_rate": 0.5, "reward": 1.2, "rewards": {"answer": 1.0, ...}}}
//   {"dropped": "wrong", "prompt": "...", "answer": "...", "sample": {...}}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "samples/filters.h"

namespace naru::samples {

// Of one answer.
struct SampleFacts {
  std::string model_sha256;
  uint64_t seed = 0;
  int64_t number = 0;    // of the problem in the run, from 0
  std::string problem;   // its key
  int64_t draw = 0;      // of the answers to it, from 0
  std::string language;  // of the question: "en", "ko", "zh", "other"
  int64_t n_tokens = 0;  // without the one that ended it
  bool is_right = false;
  double pass_rate = 0;  // of the problem
  double reward = 0;
  std::vector<std::pair<std::string, double>> rewards;  // by part, before weighting
};

// Whole lines with their ends. Bytes that are no UTF-8 become U+FFFD.
std::string kept_line(const std::string& learnt_part, const SampleFacts& facts);
std::string dropped_line(Reason reason, std::string_view prompt, std::string_view answer, const SampleFacts& facts);

struct ReadLine {
  std::string learnt_part;        // of a kept one
  std::optional<Reason> dropped;  // of another
  int64_t number = 0, draw = 0;
  std::string language;
  int64_t n_tokens = 0;
  bool is_right = false;
};
// Any bytes. kCorrupt where it is no such line.
Result<ReadLine> parse_line(std::string_view line, std::string_view place);

}  // namespace naru::samples
