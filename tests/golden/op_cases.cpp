#include "tests/golden/op_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

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
                                                     .groups = m.ints({0, 2, 4, 0, 1, 2, 2, 3, 4, 0, 2, 3}, 12, 1),
                                                     .rows_share = 3,
                                                     .targets = {{m.matrix(s.dtype, s.rule, 5, 5, 17, narrow), out}}});
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

// A matrix of zeros is refreshed, then used: the bits of its products are those of a matrix packed anew.
std::vector<View> run_pack(CaseMemory& m, Rule rule, bool is_transposed, bool is_rounded_first) {
  constexpr int64_t kGroups = 2, kOutputs = 37, kInputs = 45;
  contract::PackedMatrix* matrix = m.blank_matrix(rule, kGroups, kOutputs, kInputs);
  std::vector<View> groups;
  for (uint32_t g = 0; g < kGroups; ++g) {
    groups.push_back(is_transposed ? m.random(30 + g, kInputs, kOutputs) : m.random(30 + g, kOutputs, kInputs));
  }
  m.run(contract::Pack{
      .groups = groups, .is_transposed = is_transposed, .is_rounded_first = is_rounded_first, .out = matrix});
  const View out = m.empty(6, kOutputs);
  m.run(contract::GroupedMatmul{.x = m.random(32, 6, kInputs), .groups = {}, .targets = {{matrix, out}}});
  return {out};
}

// Experts: group 1 has no slots, group 0 more than a segment. Heads: group i mod 3.
std::vector<View> run_weight_grad(CaseMemory& m, Rule rule, bool is_experts) {
  constexpr int64_t kSlots = 2 * 1260, kOutputs = 21, kInputs = 35, kGroups = 3;
  std::vector<int32_t> experts;
  for (int64_t i = 0; i < kSlots; ++i) experts.push_back(i % 7 == 3 ? 2 : 0);
  std::vector<View> out;
  for (uint32_t g = 0; g < kGroups; ++g) out.push_back(m.random(33 + g, kOutputs, kInputs));
  m.run(contract::WeightGrad{.dy = m.random(36, kSlots, kOutputs),
                             .x = m.random(37, kSlots / 2, kInputs),
                             .groups = is_experts ? m.ints(experts, kSlots, 1) : View{},
                             .rows_share = 2,
                             .rule = rule,
                             .out = out});
  return out;
}

std::vector<View> run_product(CaseMemory& m, Rule rule, bool a_transposed, bool b_transposed) {
  constexpr int64_t kRows = 19, kOutputs = 33, kInputs = 2081;
  const View out = m.empty(kRows, kOutputs);
  m.run(contract::Product{.a = a_transposed ? m.random(38, kInputs, kRows) : m.random(38, kRows, kInputs),
                          .b = b_transposed ? m.random(39, kInputs, kOutputs) : m.random(39, kOutputs, kInputs),
                          .a_transposed = a_transposed,
                          .b_transposed = b_transposed,
                          .rule = rule,
                          .out = out});
  return {out};
}

void add_training_products(std::vector<OpCase>& cases) {
  for (const Rule rule : {Rule::kF32, Rule::kBF16}) {
    const std::string_view name = contract::rule_name(rule);
    for (const bool is_second : {false, true}) {
      const std::string_view side = is_second ? "columns" : "rows";
      cases.push_back(
          {fmt::format("pack/{}/{}", name, side), [=](CaseMemory& m) { return run_pack(m, rule, is_second, false); }});
      cases.push_back({fmt::format("weight_grad/{}/{}", name, is_second ? "experts" : "heads"),
                       [=](CaseMemory& m) { return run_weight_grad(m, rule, is_second); }});
      cases.push_back({fmt::format("product/{}/a_{}_b_columns", name, side),
                       [=](CaseMemory& m) { return run_product(m, rule, is_second, true); }});
    }
    cases.push_back({fmt::format("product/{}/a_rows_b_rows", name),
                     [=](CaseMemory& m) { return run_product(m, rule, false, false); }});
  }
  cases.push_back({"pack/f32/rounded_first", [](CaseMemory& m) { return run_pack(m, Rule::kF32, false, true); }});
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

void add_row_grads(std::vector<OpCase>& cases) {
  for (const int64_t cols : {1, 33, 2049}) {
    cases.push_back({fmt::format("rms_norm_grad/{}", cols), [=](CaseMemory& m) {
                       const View dx = m.empty(5, cols), dweight = m.random(43, 1, cols);
                       m.run(contract::RmsNormGrad{.x = m.random(40, 5, cols),
                                                   .weight = m.random(41, 1, cols),
                                                   .eps = 1e-6f,
                                                   .dy = m.random(42, 5, cols),
                                                   .dx = dx,
                                                   .dweight = dweight});
                       return std::vector<View>{dx, dweight};
                     }});
    cases.push_back({fmt::format("silu_mul_grad/{}", cols), [=](CaseMemory& m) {
                       const View dgate = m.empty(3, cols), dup = m.empty(3, cols);
                       m.run(contract::SiluMulGrad{.gate = m.random(44, 3, cols),
                                                   .up = m.random(45, 3, cols),
                                                   .dy = m.random(46, 3, cols),
                                                   .dgate = dgate,
                                                   .dup = dup});
                       return std::vector<View>{dgate, dup};
                     }});
    cases.push_back({fmt::format("cross_entropy/{}", cols), [=](CaseMemory& m) {
                       const View loss = m.empty(3, 1), dlogits = m.empty(3, cols);
                       const auto last = static_cast<int32_t>(cols - 1);
                       m.run(contract::CrossEntropy{.logits = m.random(47, 3, cols),
                                                    .targets = m.ints({0, last, last / 2}, 3, 1),
                                                    .weights = m.floats({0.25f, 0.001f, 0.0f}, 3, 1),
                                                    .loss = loss,
                                                    .dlogits = dlogits});
                       return std::vector<View>{loss, dlogits};
                     }});
    cases.push_back({fmt::format("combine_grad/{}", cols), [=](CaseMemory& m) {
                       const View dy = m.empty(12, cols), dgates = m.empty(3, 4);
                       m.run(contract::CombineGrad{.y = m.random(48, 12, cols),
                                                   .gates = m.random(49, 3, 4),
                                                   .dout = m.random(50, 3, cols),
                                                   .dy = dy,
                                                   .dgates = dgates});
                       return std::vector<View>{dy, dgates};
                     }});
  }
  // Rows beyond a segment of 2048.
  cases.push_back({"column_sum", [](CaseMemory& m) {
                     const View out = m.random(51, 1, 19);
                     m.run(contract::ColumnSum{.x = m.random(52, 4101, 19), .out = out});
                     return std::vector<View>{out};
                   }});
  cases.push_back({"sum_slots", [](CaseMemory& m) {
                     const View out = m.empty(5, 45);
                     m.run(contract::SumSlots{.x = m.random(53, 30, 45), .out = out});
                     return std::vector<View>{out};
                   }});
  cases.push_back(
      {"embed_grad", [](CaseMemory& m) {
         const View out = m.random(54, 9, 45);
         m.run(contract::EmbedGrad{.ids = m.ints({3, 0, 8, 3, 3, 0}, 6, 1), .dy = m.random(55, 6, 45), .out = out});
         return std::vector<View>{out};
       }});
  for (const auto layout : {contract::RopeLayout::kInterleaved, contract::RopeLayout::kHalfSplit}) {
    const char* name = layout == contract::RopeLayout::kInterleaved ? "interleaved" : "half_split";
    cases.push_back({fmt::format("rope_grad/{}", name), [=](CaseMemory& m) {
                       const View dx = m.empty(12, 40);
                       m.run(contract::RopeGrad{.dy = m.random(56, 12, 40),
                                                .cos = m.random(57, 4, 20),
                                                .sin = m.random(58, 4, 20),
                                                .rows_per_token = 3,
                                                .layout = layout,
                                                .dx = dx});
                       return std::vector<View>{dx};
                     }});
  }
}

void add_expert_grads(std::vector<OpCase>& cases) {
  const std::vector<int32_t> experts = {0, 7, 23, 1, 2, 3, 5, 11, 22, 0, 8, 16, 4, 5, 6};
  for (const auto scoring : {contract::Scoring::kSoftmax, contract::Scoring::kSigmoid}) {
    const bool is_sigmoid = scoring == contract::Scoring::kSigmoid;
    const char* name = is_sigmoid ? "sigmoid" : "softmax";
    for (const bool normalise : {false, true}) {
      cases.push_back({fmt::format("route_grad/{}{}", name, normalise ? "/normalised" : ""), [=](CaseMemory& m) {
                         const View dlogits = m.empty(5, 24);
                         m.run(contract::RouteGrad{.logits = m.random(59, 5, 24),
                                                   .experts = m.ints(experts, 5, 3),
                                                   .dgates = m.random(60, 5, 3),
                                                   .dscores = normalise ? m.random(61, 5, 24) : View{},
                                                   .scoring = scoring,
                                                   .normalise = normalise,
                                                   .scale = 2.5f,
                                                   .dlogits = dlogits});
                         return std::vector<View>{dlogits};
                       }});
    }
    cases.push_back({fmt::format("balance_loss/{}", name), [=](CaseMemory& m) {
                       constexpr int32_t kNoPages[1] = {};
                       const contract::SequenceRows sequences[] = {{0, 3, 0, kNoPages}, {3, 1, 0, kNoPages}};
                       const View loss = m.empty(2, 1), dscores = m.empty(5, 24);
                       m.run(contract::BalanceLoss{.logits = m.random(62, 5, 24),
                                                   .experts = m.ints(experts, 5, 3),
                                                   .scoring = scoring,
                                                   .weight = 0.01f,
                                                   .sequences = m.sequences(sequences),
                                                   .loss = loss,
                                                   .dscores = dscores});
                       return std::vector<View>{loss, dscores};
                     }});
  }
}

void add_optimizer(std::vector<OpCase>& cases) {
  cases.push_back({"fill", [](CaseMemory& m) {
                     const View out = m.empty(3, 21);
                     m.run(contract::Fill{.out = out, .value = -1.75f});
                     return std::vector<View>{out};
                   }});
  cases.push_back({"axpby", [](CaseMemory& m) {
                     const View x = m.random(63, 3, 45), sum = m.empty(3, 45), scaled = m.empty(3, 45);
                     m.run(contract::Axpby{.x = x, .y = m.random(64, 3, 45), .a = 0.3f, .b = -7.0f, .out = sum});
                     m.run(contract::Axpby{.x = x, .y = {}, .a = 0.3f, .b = 1.0f, .out = scaled});
                     return std::vector<View>{sum, scaled};
                   }});
  cases.push_back({"sum_of_squares", [](CaseMemory& m) {
                     const View out = m.empty(1, 1);
                     const View x = m.random(65, 11, 2081);
                     m.run(contract::SumOfSquares{.x = {&x, 1}, .out = out});
                     return std::vector<View>{out};
                   }});
  cases.push_back({"adamw", [](CaseMemory& m) {
                     std::vector<float> squares = golden_floats(66, 3 * 45);
                     for (float& value : squares) value *= value;
                     const View weight = m.random(67, 3, 45), first = m.random(68, 3, 45);
                     const View second = m.floats(squares, 3, 45), grad = m.random(69, 3, 45);
                     const float decay = 0.9999f;
                     m.run(contract::AdamW{.weight = {&weight, 1},
                                           .grad = {&grad, 1},
                                           .m = {&first, 1},
                                           .v = {&second, 1},
                                           .decay = {&decay, 1},
                                           .grad_scale = 0.7f,
                                           .beta1 = 0.9f,
                                           .one_minus_beta1 = 0.1f,
                                           .beta2 = 0.95f,
                                           .one_minus_beta2 = 0.05f,
                                           .inverse_root_bias2 = 3.2f,
                                           .eps = 1e-8f,
                                           .step_size = 0.003f});
                     return std::vector<View>{weight, first, second};
                   }});
}

// Lists of selected positions for rows at positions[0], positions[1] ...: everything, six of seven, and few; padded.
View selected_lists(CaseMemory& m, const std::vector<int32_t>& positions) {
  const int32_t cols = *std::max_element(positions.begin(), positions.end()) + 1;
  std::vector<int32_t> lists;
  for (size_t row = 0; row < positions.size(); ++row) {
    const auto i = static_cast<int32_t>(row);
    const size_t end = lists.size() + static_cast<size_t>(cols);
    for (int32_t j = 0; j <= positions[row]; ++j) {
      const bool is_in = i % 3 == 0 ? true : i % 3 == 1 ? j % 7 != i % 7 : (j * j + i) % 11 == 0;
      if (is_in || (j == positions[row] && lists.size() + static_cast<size_t>(cols) == end)) lists.push_back(j);
    }
    lists.resize(end, -1);
  }
  return m.ints(lists, static_cast<int64_t>(positions.size()), cols);
}

// A sequence of 530 positions written at once, then queries at its end: across cache pages and a segment of 512.
std::vector<View> run_attention(CaseMemory& m, DType dtype, bool is_latent, bool is_selected) {
  constexpr int64_t kPositions = 530, kQueries = 21;
  const int64_t heads = 6, kv_heads = is_latent ? 1 : 2, width = is_latent ? 72 : 40, value_width = is_latent ? 56 : 24;
  const CacheShape key{kv_heads, width, dtype, is_latent ? CacheUse::kKeyAndValue : CacheUse::kKey};
  const CacheShape value{kv_heads, value_width, dtype, CacheUse::kValue};
  std::vector<int32_t> pages;
  for (int32_t i = 0; i < 17; ++i) pages.push_back(i * 5 % 17);
  const contract::SequenceRows written{
      .row_begin = 0, .n_rows = kPositions, .position_begin = 0, .pages = pages.data()};
  const contract::CacheStream keys = m.stream(key, 17);
  m.run(contract::CacheWrite{.x = m.random(19, kPositions * kv_heads, width),
                             .stream = keys,
                             .column = 0,
                             .sequences = m.sequences({&written, 1})});
  contract::CacheStream values = keys;
  if (!is_latent) {
    values = m.stream(value, 17);
    m.run(contract::CacheWrite{.x = m.random(20, kPositions * kv_heads, value_width),
                               .stream = values,
                               .column = 0,
                               .sequences = m.sequences({&written, 1})});
  }
  const contract::SequenceRows read{
      .row_begin = 0, .n_rows = kQueries, .position_begin = kPositions - kQueries, .pages = pages.data()};
  const View out = m.empty(kQueries * heads, value_width);
  std::vector<int32_t> positions(kQueries);
  std::iota(positions.begin(), positions.end(), static_cast<int32_t>(kPositions - kQueries));
  m.run(contract::Attention{.q = m.random(21, kQueries * heads, width),
                            .key = keys,
                            .value = values,
                            .heads = heads,
                            .scale = 0.0625f,
                            .sequences = m.sequences({&read, 1}),
                            .out = out,
                            .selected = is_selected ? selected_lists(m, positions) : View{}});
  return {out};
}

// Packed documents, long and short, forward with stats and then back.
std::vector<View> run_attention_grad(CaseMemory& m, DType dtype, bool is_latent, bool is_selected) {
  constexpr int64_t kRows = 105;
  const int64_t heads = 6, kv_heads = is_latent ? 1 : 2, width = is_latent ? 72 : 40, value_width = is_latent ? 56 : 24;
  const CacheShape key{kv_heads, width, dtype, is_latent ? CacheUse::kKeyAndValue : CacheUse::kKey};
  const CacheShape value{kv_heads, value_width, dtype, CacheUse::kValue};
  const std::vector<int32_t> pages = {3, 0, 6, 1, 2, 5, 4};
  const contract::SequenceRows documents[] = {
      {.row_begin = 33, .n_rows = 67, .position_begin = 0, .pages = pages.data()},
      {.row_begin = 0, .n_rows = 33, .position_begin = 0, .pages = pages.data() + 3},
      {.row_begin = 100, .n_rows = 3, .position_begin = 0, .pages = pages.data() + 5},
      {.row_begin = 103, .n_rows = 2, .position_begin = 0, .pages = pages.data() + 6}};
  const contract::CacheStream keys = m.stream(key, 7);
  m.run(contract::CacheWrite{
      .x = m.random(23, kRows * kv_heads, width), .stream = keys, .column = 0, .sequences = m.sequences(documents)});
  contract::CacheStream values = keys;
  if (!is_latent) {
    values = m.stream(value, 7);
    m.run(contract::CacheWrite{.x = m.random(24, kRows * kv_heads, value_width),
                               .stream = values,
                               .column = 0,
                               .sequences = m.sequences(documents)});
  }
  const View q = m.random(25, kRows * heads, width), out = m.empty(kRows * heads, value_width);
  const View stats = m.empty(kRows * heads, 2), dq = m.empty(kRows * heads, width);
  const View dk = m.empty(kRows * kv_heads, width), dv = m.empty(kRows * kv_heads, value_width);
  std::vector<int32_t> positions(kRows);
  for (const contract::SequenceRows& rows : documents)
    std::iota(positions.begin() + rows.row_begin, positions.begin() + rows.row_begin + rows.n_rows, 0);
  const View selected = is_selected ? selected_lists(m, positions) : View{};
  m.run(contract::Attention{.q = q,
                            .key = keys,
                            .value = values,
                            .heads = heads,
                            .scale = 0.0625f,
                            .sequences = m.sequences(documents),
                            .out = out,
                            .stats = stats,
                            .selected = selected});
  m.run(contract::AttentionGrad{.q = q,
                                .key = keys,
                                .value = values,
                                .heads = heads,
                                .scale = 0.0625f,
                                .sequences = m.sequences(documents),
                                .out = out,
                                .stats = stats,
                                .dout = m.random(26, kRows * heads, value_width),
                                .dq = dq,
                                .dk = dk,
                                .dv = dv,
                                .selected = selected});
  return {stats, dq, dk, dv};
}

}  // namespace

std::vector<OpCase> op_cases() {
  std::vector<OpCase> cases;
  add_products(cases);
  add_training_products(cases);
  add_rows(cases);
  add_experts(cases);
  add_row_grads(cases);
  add_expert_grads(cases);
  add_optimizer(cases);
  for (const bool is_selected : {false, true}) {
    const std::string_view name = is_selected ? "attention_selected" : "attention";
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const bool is_latent : {false, true}) {
        const std::string kind = fmt::format("{}/{}", dtype_name(dtype), is_latent ? "latent" : "grouped");
        cases.push_back({fmt::format("{}/{}", name, kind),
                         [=](CaseMemory& m) { return run_attention(m, dtype, is_latent, is_selected); }});
        cases.push_back({fmt::format("{}_grad/{}", name, kind),
                         [=](CaseMemory& m) { return run_attention_grad(m, dtype, is_latent, is_selected); }});
      }
    }
  }
  return cases;
}

}  // namespace naru
