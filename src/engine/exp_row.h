// exp of a row of scores on the host, for the sampler and for log-probabilities: the bits of contract::exp, eight at a
// time where the processor has AVX2 and fma.
#pragma once

#include <cstdint>
#include <span>

namespace naru::engine {

// e[i] = exp((x[i] - m) / temperature), each step that of contract/scalar.h. No x[i] is above m or NaN; m is finite,
// and temperature normal and positive.
void exp_row(const float* x, int64_t n, float m, float temperature, float* e);

// The largest of a row, NaN passed over; -inf where there is none.
float largest_of(std::span<const float> x);

// sums[i] = the weights (kept_softmax.h) of e[i * kWeightRun] and those behind it up to the next run's: of the last run
// those that are left.
constexpr int64_t kWeightRun = 64;
void sum_weights(const float* e, int64_t n, uint64_t* sums);

// contract::row_sum of values that are zero or positive normals, of which no sum is subnormal: plain adds.
float sum_exps(const float* e, int64_t n);

}  // namespace naru::engine
