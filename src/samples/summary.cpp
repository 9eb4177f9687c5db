#include "samples/summary.h"

#include <numeric>

namespace naru::samples {
namespace {

double ratio(int64_t part, int64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

}  // namespace

int64_t SampleCounts::n_dropped() const {
  return std::accumulate(dropped.begin(), dropped.end(), int64_t{0});
}
double SampleCounts::pass_rate() const {
  return ratio(n_right, n_answers);
}
double SampleCounts::mean_tokens() const {
  return ratio(n_tokens, n_answers);
}
double SampleCounts::mean_kept_tokens() const {
  return ratio(n_kept_tokens, n_kept);
}

void SampleSummary::add(const ReadLine& line) {
  const bool is_first_kept = !line.dropped && line.number != last_kept_;
  if (!line.dropped) last_kept_ = line.number;
  for (SampleCounts* counts : {&all_, &by_language_[line.language]}) {
    counts->n_problems += line.draw == 0 ? 1 : 0;
    counts->n_solved += is_first_kept ? 1 : 0;
    if (line.dropped) ++counts->dropped[static_cast<size_t>(*line.dropped)];
    if (line.dropped == Reason::kNoRoom) continue;
    ++counts->n_answers;
    counts->n_right += line.is_right ? 1 : 0;
    counts->n_tokens += line.n_tokens;
    if (line.dropped) continue;
    ++counts->n_kept;
    counts->n_kept_tokens += line.n_tokens;
  }
}

}  // namespace naru::samples
