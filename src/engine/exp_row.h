// exp of a row of scores on the host, for the sampler and for log-probabilities: the bits of contract::exp, eight at a
// time where the processor has AVX2 and fma.
#pragma once

#include <cstdint>

namespace naru::engine {

// e[i] = exp((x[i] - m) / temperature), each step that of contract/scalar.h. No x[i] is above m or NaN; m is finite,
// and temperature normal and positive.
void exp_row(const float* x, int64_t n, float m, float temperature, float* e);

}  // namespace naru::engine
