// Selection of experts (docs/arithmetic.md section 6).
#include <algorithm>

#include "chips/reference/ops.h"

namespace naru::reference {
namespace {

using contract::GroupScore;
using contract::ranks_before;
using contract::Route;

// Indices of the `count` best keys among `candidates`, in ranking order.
std::vector<int64_t> best(const std::vector<float>& keys, std::vector<int64_t> candidates, int64_t count) {
  std::sort(candidates.begin(), candidates.end(), [&](int64_t i, int64_t j) {
    return ranks_before(keys[static_cast<size_t>(i)], i, keys[static_cast<size_t>(j)], j);
  });
  candidates.resize(static_cast<size_t>(count));
  return candidates;
}

std::vector<int64_t> indices(int64_t begin, int64_t end) {
  std::vector<int64_t> result;
  for (int64_t i = begin; i < end; ++i) result.push_back(i);
  return result;
}

// Experts of the groups that stay, ascending.
std::vector<int64_t> candidates_of(const Route& op, const std::vector<float>& keys) {
  const int64_t n = op.logits.cols;
  if (op.group_score == GroupScore::kNone) return indices(0, n);
  const int64_t size = n / op.n_group;
  std::vector<float> group_keys;
  for (int64_t g = 0; g < op.n_group; ++g) {
    const std::vector<int64_t> top = best(keys, indices(g * size, (g + 1) * size), std::min<int64_t>(2, size));
    float key = keys[static_cast<size_t>(top[0])];
    if (op.group_score == GroupScore::kTopTwoSum && size > 1)
      key = contract::add(key, keys[static_cast<size_t>(top[1])]);
    group_keys.push_back(key);
  }
  std::vector<int64_t> kept = best(group_keys, indices(0, op.n_group), op.topk_group);
  std::sort(kept.begin(), kept.end());
  std::vector<int64_t> result;
  for (const int64_t g : kept) {
    for (int64_t e = g * size; e < (g + 1) * size; ++e) result.push_back(e);
  }
  return result;
}

}  // namespace

std::vector<float> expert_scores(const float* logits, int64_t n, contract::Scoring scoring) {
  std::vector<float> scores(static_cast<size_t>(n));
  if (scoring == contract::Scoring::kSigmoid) {
    for (int64_t e = 0; e < n; ++e) scores[static_cast<size_t>(e)] = contract::sigmoid(logits[e]);
    return scores;
  }
  const float m = contract::row_max(logits, n);
  for (int64_t e = 0; e < n; ++e) scores[static_cast<size_t>(e)] = contract::exp(contract::sub(logits[e], m));
  const float l = contract::row_sum(scores.data(), n);
  for (float& score : scores) score = contract::div(score, l);
  return scores;
}

namespace {

Status check_given(const Route& op) {
  for (int64_t t = 0; t < op.experts.rows; ++t) {
    int64_t before = -1;
    for (int64_t s = 0; s < op.experts.cols; ++s) {
      const int64_t expert = i32(op.experts, t)[s];
      if (expert <= before || expert >= op.logits.cols) {
        return contract::given_experts_error(op.experts.rows, t, s, expert, before, op.logits.cols);
      }
      before = expert;
    }
  }
  return {};
}

std::vector<int64_t> chosen_experts(const Route& op, int64_t t, const std::vector<float>& scores) {
  const int64_t n_chosen = op.experts.cols;
  if (op.is_given) return {i32(op.experts, t), i32(op.experts, t) + n_chosen};
  std::vector<float> keys = scores;
  for (size_t e = 0; e < keys.size() && !op.bias.empty(); ++e) keys[e] = contract::add(keys[e], f32(op.bias)[e]);
  std::vector<int64_t> chosen = best(keys, candidates_of(op, keys), n_chosen);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace

template <>
Status run(const Route& op) {
  if (op.is_given) NARU_TRY(check_given(op));
  const int64_t n_chosen = op.experts.cols;
  for (int64_t t = 0; t < op.logits.rows; ++t) {
    const std::vector<float> scores = expert_scores(f32(op.logits, t), op.logits.cols, op.scoring);
    const std::vector<int64_t> chosen = chosen_experts(op, t, scores);
    std::vector<float> gates;
    for (const int64_t e : chosen) gates.push_back(scores[static_cast<size_t>(e)]);
    const float sum = contract::row_sum(gates.data(), n_chosen);
    for (int64_t s = 0; s < n_chosen; ++s) {
      float gate = gates[static_cast<size_t>(s)];
      if (op.normalise) gate = contract::div(gate, contract::add(sum, 1e-20f));
      i32(op.experts, t)[s] = static_cast<int32_t>(chosen[static_cast<size_t>(s)]);
      f32(op.gates, t)[s] = contract::mul(gate, op.scale);
    }
  }
  return {};
}

}  // namespace naru::reference
