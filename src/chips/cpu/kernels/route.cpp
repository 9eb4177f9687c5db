// Selection of experts: scores, ranking of score (+ bias) among the experts of the groups that stay, gates.
#include "chips/cpu/kernels/expert_scores.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::GroupScore;
using contract::Route;

// contract::ranks_before by key: descending, NaN last, then index ascending.
NARU_INLINE bool ranks_before(const float* keys, int64_t i, int64_t j) {
  const float a = keys[i], b = keys[j];
  if (is_nan(a) != is_nan(b)) return is_nan(b);
  if (!is_nan(a) && a != b) return a > b;
  return i < j;
}

// Puts candidate `index` in its place among the best `count`; `n` of them are there already, in ranking order.
NARU_INLINE void offer(const float* keys, int32_t index, int32_t* best, int64_t& n, int64_t count) {
  if (n == count && !ranks_before(keys, index, best[n - 1])) return;
  int64_t place = n < count ? n++ : n - 1;
  for (; place > 0 && ranks_before(keys, index, best[place - 1]); --place) best[place] = best[place - 1];
  best[place] = index;
}

// Offers [begin, end), then leaves the best `count`, which must be there, in ranking order.
NARU_INLINE int64_t best_of(const float* keys, int64_t begin, int64_t end, int32_t* best, int64_t count) {
  int64_t n = 0;
  for (int64_t i = begin; i < end; ++i) offer(keys, static_cast<int32_t>(i), best, n, count);
  return n;
}

void sort_ascending(int32_t* x, int64_t n) {
  for (int64_t i = 1; i < n; ++i) {
    const int32_t value = x[i];
    int64_t place = i;
    for (; place > 0 && x[place - 1] > value; --place) x[place] = x[place - 1];
    x[place] = value;
  }
}

struct RouteScratch {
  float* scores;      // [E]
  float* keys;        // [E]
  float* group_keys;  // [groups]
  int32_t* groups;    // [groups], those that stay
};

// The chosen experts of one row, in ranking order.
void choose(const Route& op, const RouteScratch& scratch, int32_t* chosen) {
  const int64_t n = op.logits.cols, n_chosen = op.experts.cols;
  if (op.group_score == GroupScore::kNone) {
    best_of(scratch.keys, 0, n, chosen, n_chosen);
    return;
  }
  const int64_t size = n / op.n_group;
  for (int64_t g = 0; g < op.n_group; ++g) {
    int32_t top[2] = {};
    const int64_t found = best_of(scratch.keys, g * size, (g + 1) * size, top, 2);
    const float key = scratch.keys[top[0]];
    const bool is_sum = op.group_score == GroupScore::kTopTwoSum && found > 1;
    scratch.group_keys[g] = is_sum ? add(key, scratch.keys[top[1]]) : key;
  }
  best_of(scratch.group_keys, 0, op.n_group, scratch.groups, op.topk_group);
  sort_ascending(scratch.groups, op.topk_group);
  int64_t found = 0;
  for (int64_t k = 0; k < op.topk_group; ++k) {
    const int64_t begin = scratch.groups[k] * size;
    for (int64_t e = begin; e < begin + size; ++e)
      offer(scratch.keys, static_cast<int32_t>(e), chosen, found, n_chosen);
  }
}

void choose_row(const Route& op, int64_t t, const RouteScratch& scratch) {
  const int64_t n = op.logits.cols;
  for_lanes(n, [&](int64_t i, int64_t) {
    const F32x16 score = load_at(scratch.scores, i, n);
    store_at(scratch.keys, i, n, op.bias.empty() ? score : add(score, load_at(f32(op.bias), i, n)));
  });
  int32_t* experts = i32(op.experts, t);
  choose(op, scratch, experts);
  sort_ascending(experts, op.experts.cols);
}

void route_row(const Route& op, int64_t t, const RouteScratch& scratch) {
  const int64_t n = op.logits.cols, n_chosen = op.experts.cols;
  make_scores(f32(op.logits, t), n, op.scoring, scratch.scores);
  if (!op.is_given) choose_row(op, t, scratch);
  const int32_t* experts = i32(op.experts, t);
  float* gates = f32(op.gates, t);
  for (int64_t s = 0; s < n_chosen; ++s) gates[s] = scratch.scores[experts[s]];
  const float sum = add(row_sum(gates, n_chosen), 1e-20f);
  for (int64_t s = 0; s < n_chosen; ++s) {
    const float gate = op.normalise ? div(gates[s], sum) : gates[s];
    gates[s] = mul(gate, op.scale);
  }
}

// The entry of row t that makes it no list of given experts, or -1.
int64_t wrong_entry(const Route& op, int64_t t) {
  const int32_t* experts = i32(op.experts, t);
  int32_t before = -1;
  for (int64_t s = 0; s < op.experts.cols; ++s) {
    if (experts[s] <= before || experts[s] >= op.logits.cols) return s;
    before = experts[s];
  }
  return -1;
}

Status check_given(const Route& op, Work& work) {
  BadIndices bad;
  for_row_ranges(work, op.experts.rows, op.experts.cols, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      if (wrong_entry(op, t) >= 0) return bad.report(t);
    }
  });
  if (!bad.found()) return {};
  const int64_t t = bad.first(), s = wrong_entry(op, t);
  const int32_t* experts = i32(op.experts, t);
  return contract::given_experts_error(op.experts.rows, t, s, experts[s], s > 0 ? experts[s - 1] : -1, op.logits.cols);
}

}  // namespace

template <>
Status run(const Route& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  if (op.is_given) NARU_TRY(check_given(op, work));
  const int64_t n = op.logits.cols;
  for_row_ranges(work, op.logits.rows, 8 * n, [&](int64_t begin, int64_t end, int thread) {
    const auto bytes = static_cast<size_t>(2 * (n + op.n_group)) * sizeof(float);
    auto* memory = reinterpret_cast<float*>(work.scratch[static_cast<size_t>(thread)].get(bytes));
    const RouteScratch scratch{memory, memory + n, memory + 2 * n,
                               reinterpret_cast<int32_t*>(memory + 2 * n + op.n_group)};
    for (int64_t t = begin; t < end; ++t) route_row(op, t, scratch);
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
