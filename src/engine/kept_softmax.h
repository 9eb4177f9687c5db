// KeptSoftmax: the distribution that the sampler draws a token from, softmax(x / temperature) over the tokens that
// truncation keeps, as its integer weights define it (sampler.h, step 3). Its sum is exact, so that whoever has the
// same logits has the same bits, whatever the order.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

namespace naru::engine {

constexpr double kTokenWeightOne = 0x1p40;  // the weight of the first token; 2^22 of them fit 64 bits

// The integer nearest to e * 2^40, ties to even: read from the low bits of a double whose unit is 1.
inline uint64_t token_weight(float e) {
  const double scaled = static_cast<double>(e) * kTokenWeightOne + 0x1p52;
  return std::bit_cast<uint64_t>(scaled) - std::bit_cast<uint64_t>(0x1p52);
}

// log p = (x - m) / temperature - log(total / 2^40), m the largest x and total the sum of the weights: in double,
// rounded once. It is finite where the weight of x itself is 0.
float drawn_log_prob(float x, float m, float temperature, uint64_t total);

// Holds room to work in.
class KeptSoftmax {
 public:
  // The logits of the kept tokens: finite, at least one. `temperature`: a normal f32 above 0.
  void set(std::span<const float> x, float temperature);
  // Of token i of those.
  float log_prob(size_t i) const { return drawn_log_prob(x_[i], m_, temperature_, total_); }
  // d log_prob(of) / d x[i] = ((i == of) - p[i]) / temperature.
  double slope(size_t i, size_t of) const;

 private:
  std::span<const float> x_;
  float m_ = 0, temperature_ = 1;
  std::vector<float> e_;
  std::vector<uint64_t> weights_;
  uint64_t total_ = 0;
};

}  // namespace naru::engine
