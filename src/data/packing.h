// Order and packing of documents, as functions of numbers alone.
//
// Packing is best-fit-decreasing: documents in the order of falling length, each into the row with the least room that
// still holds it. Which row a document gets depends on lengths only, so the plan is made once: an epoch shuffles
// documents of equal length among their places, and then the rows. Every epoch has the same number of rows, and row k
// of all epochs is found without counting.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace naru::data {

// A permutation of 0 .. n-1, n < 2^31 (Fisher-Yates, one block of random numbers a swap). `stream` keeps the shuffles
// of one epoch apart; epoch < 2^32.
std::vector<int32_t> shuffled(uint64_t seed, uint32_t stream, int64_t epoch, int64_t n);

// Rows by ranks: a document's rank is its place in the order of falling length.
struct RowPlan {
  std::vector<int32_t> ranks;    // [documents], row by row
  std::vector<int64_t> offsets;  // [rows + 1] into ranks
  int64_t n_rows() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

// `lengths` falls and lies in [1, context].
RowPlan plan_rows(std::span<const int32_t> lengths, int64_t context);

// Rows dealt to sources by shares: of the first r rows, each source's count is off its share of r by less than the
// number of sources, for every r. A closed formula: nothing is counted.
class Mixture {
 public:
  // Parts: at least one, each >= 1, their sum below 2^60.
  explicit Mixture(std::vector<int64_t> parts);

  struct Place {
    int64_t source;
    int64_t row;  // of that source's own
  };
  Place place(int64_t row) const;

  // How many of the first `rows` rows are of `source`.
  int64_t count(int64_t source, int64_t rows) const;
  // The least number of first rows that hold `count` rows of `source`.
  int64_t rows_until(int64_t source, int64_t count) const;

  int64_t n_sources() const { return static_cast<int64_t>(parts_.size()); }

 private:
  std::vector<int64_t> parts_;
  std::vector<int64_t> from_here_;  // the sum of parts_[i] and those behind it
};

// Shares as parts for a Mixture: equal ratios of weights are equal ratios of parts up to 2^-40. Weights are > 0.
std::vector<int64_t> mixture_parts(std::span<const double> weights);

}  // namespace naru::data
