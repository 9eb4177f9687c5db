// The ops of the contract: what each means, its operands, and in one line its order of arithmetic. The bits are defined
// in docs/arithmetic.md (section numbers below) and by the reference chip. Legend: T rows of a batch (tokens), C model
// width, K inputs and N outputs of a product, H heads, D width of a head, E experts, S chosen experts a token.
//
// Operands are Views on chip memory, f32 unless said; every output may alias nothing but what its comment names. Shapes
// are checked by validate() (op_table.h) before a chip sees the op: a mismatch is a mistake of ours. The variant Op
// below is the one list of ops: names (kName), costs, checks and the chips' tables are made over it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "contract/cache.h"
#include "contract/grad_ops.h"
#include "contract/matrix.h"
#include "tensor/view.h"

namespace naru::contract {

// out[t] = row ids[t] of the table as its rule holds it: exact value rounded once to f32 (rule bf16: to bf16).
struct Embed {
  static constexpr std::string_view kName = "embed";
  View ids;  // i32 [T, 1]
  const PackedMatrix* table = nullptr;
  View out;  // [T, C]
};

// Section 4. r = 1/sqrt(ss/n + eps); out = (x * r) * weight. A non-finite sum of squares is an error of the row.
struct RmsNorm {
  static constexpr std::string_view kName = "rms_norm";
  View x;       // [T, C]
  View weight;  // [1, C]
  float eps = 0;
  View out;  // [T, C]; may be x
};

// Section 3. out = x W^T, then + bias. One to three matrices share x, its rounding and its quantisation.
struct MatmulTarget {
  const PackedMatrix* weight = nullptr;  // [N, K], one group
  View bias;                             // [1, N] or empty
  View out;                              // [T, N]
};
struct Matmul {
  static constexpr std::string_view kName = "matmul";
  static constexpr int kTargetsMax = 3;
  View x;  // [T, K]
  MatmulTarget targets[kTargetsMax];
  int n_targets = 1;
};

// Section 3, one matrix of many for each row: out[i] = W[g(i)] x[i / rows_share], where g(i) = groups[i], or i mod the
// number of groups where `groups` is empty (heads). Experts: i = t * S + s; heads: i = t * H + h. Targets share x, its
// rounding and its quantisation, and the groups; all have as many matrices.
struct GroupedTarget {
  const PackedMatrix* weight = nullptr;  // groups x [N, K]
  View out;                              // [I, N]
};
struct GroupedMatmul {
  static constexpr std::string_view kName = "grouped_matmul";
  static constexpr int kTargetsMax = 2;
  View x;       // [I / rows_share, K]
  View groups;  // i32 [I, 1] or empty
  int64_t rows_share = 1;
  GroupedTarget targets[kTargetsMax];
  int n_targets = 1;
};

// Section 4. angle = f32(position) * frequency; cos and sin of that f32 in double, rounded, times factor.
struct RopeTable {
  static constexpr std::string_view kName = "rope_table";
  View positions;    // i32 [T, 1]
  View frequencies;  // [1, P], P pairs
  float factor = 1;
  View cos;  // [T, P]
  View sin;  // [T, P]
};

// Section 4. Rotates the pairs of each row: (fma(a,c,-(b*s)), fma(a,s,b*c)). Row i takes the angles of token
// i / rows_per_token.
struct Rope {
  static constexpr std::string_view kName = "rope";
  View x;    // [T * rows_per_token, 2P]
  View cos;  // [T, P]
  View sin;  // [T, P]
  int64_t rows_per_token = 1;
  RopeLayout layout = RopeLayout::kHalfSplit;
  View out;  // as x; may be x
};

// Rounds every element to bf16 (section 1), kept as f32. For f32 caches nothing is rounded and the op is not issued.
struct RoundBF16 {
  static constexpr std::string_view kName = "round_bf16";
  View x;    // [T, C]
  View out;  // [T, C]; may be x
};

// Section 5. Rounds rows to the stream's dtype and stores them at their positions, in columns [column, column + x.cols)
// of each head. x has one row for each (token, head), or one for each token, which all heads get. A token may be of
// several sequences, and is stored in each. A non-finite value (after rounding) is an error.
struct CacheWrite {
  static constexpr std::string_view kName = "cache_write";
  View x;  // [T * H, W] or [T, W]
  CacheStream stream;
  int64_t column = 0;
  SequencesRef sequences;
};

// Section 5. out = softmax(scale * q k^T) v over the positions up to each row's own, by segments of 512. Query head h
// reads key head h / (H / key heads). q is rounded to the cache dtype here. Where value.shape.use is kKeyAndValue the
// value of a position is the first out.cols columns of its row.
//
// With `selected` all heads of a token see the positions of its list in place of all up to its own, and segments, lanes
// and blocks are counted in the list. A list ascends, holds at least one position and none above the token's own; -1
// ends it, and what lies behind is not read. Any other list is an error of its row, and reads nothing outside the
// cache.
struct Attention {
  static constexpr std::string_view kName = "attention";
  View q;  // [T * H, D]
  CacheStream key;
  CacheStream value;
  int64_t heads = 1;
  float scale = 1;
  SequencesRef sequences;
  View out;            // [T * H, value width]
  View stats = {};     // [T * H, 2]: the merged m and l of each row, for the gradient; or empty
  View selected = {};  // i32 [T, K]: a list of positions a token; or empty
};

// out = silu(gate) * up.
struct SiluMul {
  static constexpr std::string_view kName = "silu_mul";
  View gate;  // [T, C]
  View up;    // [T, C]
  View out;   // [T, C]; may be gate or up
};

// out = a + b.
struct Add {
  static constexpr std::string_view kName = "add";
  View a;    // [T, C]
  View b;    // [T, C]
  View out;  // may be a or b
};

// Section 6. Scores, selection by ranking of score (+ bias), and the weights of the chosen, ascending by expert.
// Groups (E / n_group experts each, contiguous): the best topk_group by their max, or by the sum of their two largest
// keys, stay; others are absent. gate = score, divided by (sum over the chosen + 1e-20) where `normalise`, times scale.
//
// Where `is_given` the experts are read and not chosen: bias and groups are not looked at, gates are made as ever. Each
// row ascends within [0, E); any other one is an error of its row, and nothing is written.
struct Route {
  static constexpr std::string_view kName = "route";
  View logits;  // [T, E]
  View bias;    // [1, E] or empty
  Scoring scoring = Scoring::kSoftmax;
  GroupScore group_score = GroupScore::kNone;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  bool normalise = false;
  float scale = 1;
  View experts;           // i32 [T, S], ascending: out, or read where they are given
  View gates;             // out: [T, S]
  bool is_given = false;  // kept routing
};

// Section 6. out = residual + ((fma(g_s, y_s, acc) from +0, s ascending) + shared).
struct Combine {
  static constexpr std::string_view kName = "combine";
  View y;         // [T * S, C]
  View gates;     // [T, S]
  View shared;    // [T, C] or empty
  View residual;  // [T, C]
  View out;       // [T, C]; may be residual
};

// Section 4. out[t] = (x[target] - m) - log(l) of row t; a non-finite m or l is an error of the row.
struct LogProb {
  static constexpr std::string_view kName = "log_prob";
  View logits;   // [T, V]
  View targets;  // i32 [T, 1]
  View out;      // [T, 1]
};

using Op = std::variant<Embed, RmsNorm, Matmul, GroupedMatmul, RopeTable, Rope, RoundBF16, CacheWrite, Attention,
                        SiluMul, Add, Route, Combine, LogProb, Pack, WeightGrad, Product, ColumnSum, SumSlots,
                        RmsNormGrad, RopeGrad, AttentionGrad, SiluMulGrad, CombineGrad, RouteGrad, BalanceLoss,
                        CrossEntropy, EmbedGrad, Fill, Axpby, SumOfSquares, AdamW>;
constexpr int kOpCount = static_cast<int>(std::variant_size_v<Op>);

}  // namespace naru::contract
