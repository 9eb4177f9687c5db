#include "tests/golden/op_cases.h"

#include <fmt/format.h>

#include "contract/op_table.h"

namespace naru {
namespace {

using contract::CacheShape;
using contract::CacheUse;
using contract::Rule;

struct Stored {
  DType dtype;
  Rule rule;
};
constexpr Stored kStored[] = {{DType::kF32, Rule::kF32},   {DType::kF16, Rule::kF32},   {DType::kBF16, Rule::kF32},
                              {DType::kF32, Rule::kBF16},  {DType::kBF16, Rule::kBF16}, {DType::kI8, Rule::kW8A8},
                              {DType::kQ8_0, Rule::kQ8_0}, {DType::kQ4_0, Rule::kQ4_0}, {DType::kQ4_1, Rule::kQ4_1},
                              {DType::kQ5_0, Rule::kQ5_0}, {DType::kQ5_1, Rule::kQ5_1}, {DType::kQ4_K, Rule::kQ4_K},
                              {DType::kQ5_K, Rule::kQ5_K}, {DType::kQ6_K, Rule::kQ6_K}};

void add_products(std::vector<OpCase>& cases) {
  for (const Stored& s : kStored) {
    const std::string kind = fmt::format("{}_as_{}", dtype_name(s.dtype), rule_name(s.rule));
    // Block kinds: one segment and a block into the next; float kinds: an odd row beyond a segment.
    const int64_t inputs = contract::is_block_rule(s.rule) ? 2304 : 2081;
    for (const int64_t rows : {1, 9}) {
      cases.push_back({fmt::format("matmul/{}/rows_{}", kind, rows), [=](CaseMemory& m) {
                         const View out = m.empty(rows, 35);
                         contract::Matmul op{.x = m.random(1, rows, inputs), .targets = {}, .n_targets = 1};
                         op.targets[0] = {m.matrix(s.dtype, s.rule, 2, 1, 35, inputs), m.random(3, 1, 35), out};
                         m.run(op);
                         return std::vector<View>{out};
                       }});
    }
    const int64_t narrow = contract::is_block_rule(s.rule) ? 256 : 77;
    cases.push_back({fmt::format("grouped_matmul/{}", kind), [=](CaseMemory& m) {
                       const View out = m.empty(12, 17);
                       m.run(contract::GroupedMatmul{.x = m.random(4, 4, narrow),
                                                     .weight = m.matrix(s.dtype, s.rule, 5, 5, 17, narrow),
                                                     .groups = m.ints({0, 2, 4, 0, 1, 2, 2, 3, 4, 0, 2, 3}, 12, 1),
                                                     .rows_share = 3,
                                                     .out = out});
                       return std::vector<View>{out};
                     }});
    cases.push_back({fmt::format("embed/{}", kind), [=](CaseMemory& m) {
                       const View out = m.empty(4, narrow);
                       m.run(contract::Embed{.ids = m.ints({3, 0, 18, 3}, 4, 1),
                                             .table = m.matrix(s.dtype, s.rule, 6, 1, 19, narrow),
                                             .out = out});
                       return std::vector<View>{out};
                     }});
  }
}

void add_rows(std::vector<OpCase>& cases) {
  for (const int64_t cols : {1, 33, 2049}) {
    cases.push_back({fmt::format("rms_norm/{}", cols), [=](CaseMemory& m) {
                       const View out = m.empty(3, cols);
                       m.run(contract::RmsNorm{
                           .x = m.random(7, 3, cols), .weight = m.random(8, 1, cols), .eps = 1e-6f, .out = out});
                       return std::vector<View>{out};
                     }});
    cases.push_back({fmt::format("elementwise/{}", cols), [=](CaseMemory& m) {
                       const View a = m.random(9, 3, cols), b = m.random(10, 3, cols);
                       const View silu = m.empty(3, cols), sum = m.empty(3, cols), rounded = m.empty(3, cols);
                       m.run(contract::SiluMul{.gate = a, .up = b, .out = silu});
                       m.run(contract::Add{.a = a, .b = b, .out = sum});
                       m.run(contract::RoundBF16{.x = a, .out = rounded});
                       return std::vector<View>{silu, sum, rounded};
                     }});
    cases.push_back({fmt::format("log_prob/{}", cols), [=](CaseMemory& m) {
                       const View out = m.empty(3, 1);
                       const auto last = static_cast<int32_t>(cols - 1);
                       m.run(contract::LogProb{
                           .logits = m.random(11, 3, cols), .targets = m.ints({0, last, last / 2}, 3, 1), .out = out});
                       return std::vector<View>{out};
                     }});
  }
  for (const auto layout : {contract::RopeLayout::kInterleaved, contract::RopeLayout::kHalfSplit}) {
    cases.push_back(
        {fmt::format("rope/{}", layout == contract::RopeLayout::kInterleaved ? "interleaved" : "half_split"),
         [=](CaseMemory& m) {
           std::vector<float> frequencies;
           for (int i = 0; i < 20; ++i) frequencies.push_back(1.0f / static_cast<float>(1 << i));
           const View cos = m.empty(4, 20), sin = m.empty(4, 20), out = m.empty(12, 40);
           m.run(contract::RopeTable{.positions = m.ints({0, 1, 511, 163839}, 4, 1),
                                     .frequencies = m.floats(frequencies, 1, 20),
                                     .factor = 1.25f,
                                     .cos = cos,
                                     .sin = sin});
           m.run(contract::Rope{
               .x = m.random(12, 12, 40), .cos = cos, .sin = sin, .rows_per_token = 3, .layout = layout, .out = out});
           return std::vector<View>{cos, sin, out};
         }});
  }
}

void add_experts(std::vector<OpCase>& cases) {
  for (const auto scoring : {contract::Scoring::kSoftmax, contract::Scoring::kSigmoid}) {
    for (const auto group_score :
         {contract::GroupScore::kNone, contract::GroupScore::kMax, contract::GroupScore::kTopTwoSum}) {
      const bool is_sigmoid = scoring == contract::Scoring::kSigmoid;
      cases.push_back(
          {fmt::format("route/{}/groups_{}", is_sigmoid ? "sigmoid" : "softmax", static_cast<int>(group_score)),
           [=](CaseMemory& m) {
             const View experts = m.empty(5, 3, DType::kI32), gates = m.empty(5, 3);
             m.run(contract::Route{.logits = m.random(13, 5, 24),
                                   .bias = is_sigmoid ? m.random(14, 1, 24) : View{},
                                   .scoring = scoring,
                                   .group_score = group_score,
                                   .n_group = 4,
                                   .topk_group = 2,
                                   .normalise = is_sigmoid,
                                   .scale = 2.5f,
                                   .experts = experts,
                                   .gates = gates});
             return std::vector<View>{experts, gates};
           }});
    }
  }
  cases.push_back({"combine", [](CaseMemory& m) {
                     const View out = m.empty(3, 45);
                     m.run(contract::Combine{.y = m.random(15, 12, 45),
                                             .gates = m.random(16, 3, 4),
                                             .shared = m.random(17, 3, 45),
                                             .residual = m.random(18, 3, 45),
                                             .out = out});
                     return std::vector<View>{out};
                   }});
}

// A sequence of 530 positions written at once, then queries at its end: across cache pages and a segment of 512.
std::vector<View> run_attention(CaseMemory& m, DType dtype, bool is_latent) {
  constexpr int64_t kPositions = 530, kQueries = 21;
  const int64_t heads = 6, kv_heads = is_latent ? 1 : 2, width = is_latent ? 72 : 40, value_width = is_latent ? 56 : 24;
  const CacheShape key{kv_heads, width, dtype, is_latent ? CacheUse::kKeyAndValue : CacheUse::kKey};
  const CacheShape value{kv_heads, value_width, dtype, CacheUse::kValue};
  std::vector<int32_t> pages;
  for (int32_t i = 0; i < 17; ++i) pages.push_back(i * 5 % 17);
  const contract::SequenceRows written{
      .row_begin = 0, .n_rows = kPositions, .position_begin = 0, .pages = pages.data()};
  const contract::CacheStream keys = m.stream(key, 17);
  m.run(contract::CacheWrite{
      .x = m.random(19, kPositions * kv_heads, width), .stream = keys, .column = 0, .sequences = {&written, 1}});
  contract::CacheStream values = keys;
  if (!is_latent) {
    values = m.stream(value, 17);
    m.run(contract::CacheWrite{.x = m.random(20, kPositions * kv_heads, value_width),
                               .stream = values,
                               .column = 0,
                               .sequences = {&written, 1}});
  }
  const contract::SequenceRows read{
      .row_begin = 0, .n_rows = kQueries, .position_begin = kPositions - kQueries, .pages = pages.data()};
  const View out = m.empty(kQueries * heads, value_width);
  m.run(contract::Attention{.q = m.random(21, kQueries * heads, width),
                            .key = keys,
                            .value = values,
                            .heads = heads,
                            .scale = 0.0625f,
                            .sequences = {&read, 1},
                            .out = out});
  return {out};
}

// Two packed documents, forward with stats and then back.
std::vector<View> run_attention_grad(CaseMemory& m, DType dtype, bool is_latent) {
  constexpr int64_t kRows = 100;
  const int64_t heads = 6, kv_heads = is_latent ? 1 : 2, width = is_latent ? 72 : 40, value_width = is_latent ? 56 : 24;
  const CacheShape key{kv_heads, width, dtype, is_latent ? CacheUse::kKeyAndValue : CacheUse::kKey};
  const CacheShape value{kv_heads, value_width, dtype, CacheUse::kValue};
  const std::vector<int32_t> pages = {3, 0, 4, 1, 2};
  const contract::SequenceRows documents[] = {
      {.row_begin = 33, .n_rows = 67, .position_begin = 0, .pages = pages.data()},
      {.row_begin = 0, .n_rows = 33, .position_begin = 0, .pages = pages.data() + 3}};
  const contract::CacheStream keys = m.stream(key, 5);
  m.run(contract::CacheWrite{
      .x = m.random(23, kRows * kv_heads, width), .stream = keys, .column = 0, .sequences = documents});
  contract::CacheStream values = keys;
  if (!is_latent) {
    values = m.stream(value, 5);
    m.run(contract::CacheWrite{
        .x = m.random(24, kRows * kv_heads, value_width), .stream = values, .column = 0, .sequences = documents});
  }
  const View q = m.random(25, kRows * heads, width), out = m.empty(kRows * heads, value_width);
  const View stats = m.empty(kRows * heads, 2), dq = m.empty(kRows * heads, width);
  const View dk = m.empty(kRows * kv_heads, width), dv = m.empty(kRows * kv_heads, value_width);
  m.run(contract::Attention{.q = q,
                            .key = keys,
                            .value = values,
                            .heads = heads,
                            .scale = 0.0625f,
                            .sequences = documents,
                            .out = out,
                            .stats = stats});
  m.run(contract::AttentionGrad{.q = q,
                                .key = keys,
                                .value = values,
                                .heads = heads,
                                .scale = 0.0625f,
                                .sequences = documents,
                                .out = out,
                                .stats = stats,
                                .dout = m.random(26, kRows * heads, value_width),
                                .dq = dq,
                                .dk = dk,
                                .dv = dv});
  return {stats, dq, dk, dv};
}

}  // namespace

std::vector<OpCase> op_cases() {
  std::vector<OpCase> cases;
  add_products(cases);
  add_rows(cases);
  add_experts(cases);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool is_latent : {false, true}) {
      cases.push_back({fmt::format("attention/{}/{}", dtype_name(dtype), is_latent ? "latent" : "grouped"),
                       [=](CaseMemory& m) { return run_attention(m, dtype, is_latent); }});
    }
  }
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool is_latent : {false, true}) {
      cases.push_back({fmt::format("attention_grad/{}/{}", dtype_name(dtype), is_latent ? "latent" : "grouped"),
                       [=](CaseMemory& m) { return run_attention_grad(m, dtype, is_latent); }});
    }
  }
  return cases;
}

}  // namespace naru
