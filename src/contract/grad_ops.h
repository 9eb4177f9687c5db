// The ops of training: gradients of the ops of ops.h, refreshing packed matrices, and what optimizers need. Meaning,
// operands and order of arithmetic; the bits are defined in docs/arithmetic.md section 7 and by the reference chip.
// Legend as in ops.h; I slots (rows of a product), R rows. Operands are f32 Views unless said.
//
// The views of one list lie in one buffer, so that a chip may take them as a base and offsets.
//
// Gradients of parameters are *added*: out = out + value, so that micro-batches and tied weights join in a stated
// order. Gradients of activations are written; the tape (nn/tape.h) adds those that meet.
#pragma once

#include <cstdint>
#include <span>

#include "contract/cache.h"
#include "contract/matrix.h"
#include "contract/route.h"
#include "tensor/view.h"

namespace naru::contract {

// Refreshes a packed matrix of a float rule from f32 values: out holds what pack() would make of them.
struct Pack {
  static constexpr std::string_view kName = "pack";
  // One for each group of `out`: [outputs, inputs], or [inputs, outputs] where is_transposed.
  std::span<const View> groups;
  bool is_transposed = false;
  bool is_rounded_first = false;  // values are rounded to bf16 before the matrix's own rule (a router in mode bf16)
  PackedMatrix* out = nullptr;
};

// Section 3 over slots: for each group g and its slots i ascending, out[g][n][k] = out[g][n][k] + dot of dy[i][n] and
// x[i / rows_share][k]. g(i) = groups[i], or i mod the number of groups where `groups` is empty. The slots of a group
// close ranks: segments of 2048 and blocks of 32 are counted in its own list. A group without slots is left as it is.
struct WeightGrad {
  static constexpr std::string_view kName = "weight_grad";
  View dy;           // [I, N]
  View x;            // [I / rows_share, K]
  View groups = {};  // i32 [I, 1] or empty
  int64_t rows_share = 1;
  Rule rule = Rule::kF32;     // kF32 or kBF16: both operands are rounded
  std::span<const View> out;  // a view [N, K] for each group
};

// out[i][j] = dot over k of a(i, k) and b(j, k), by the rule: section 3.
struct Product {
  static constexpr std::string_view kName = "product";
  View a;  // [M, K], or [K, M] where a_transposed
  View b;  // [N, K], or [K, N] where b_transposed
  bool a_transposed = false;
  bool b_transposed = false;
  Rule rule = Rule::kF32;  // kF32 or kBF16
  View out;                // [M, N]
};

// out[c] = out[c] + the f32 dot over t of x[t][c] and 1.
struct ColumnSum {
  static constexpr std::string_view kName = "column_sum";
  View x;    // [T, C]
  View out;  // [1, C]
};

// out[t] = sum of the S rows x[t * S] ... from +0, ascending.
struct SumSlots {
  static constexpr std::string_view kName = "sum_slots";
  View x;    // [T * S, C]
  View out;  // [T, C]
};

// xh = x * r; g = dy * weight; c = (row sum of fma(g, xh)) / n; dx = r * fma(-xh, c, g);
// dweight[k] = dweight[k] + the f32 dot over t of dy[t][k] and xh[t][k].
struct RmsNormGrad {
  static constexpr std::string_view kName = "rms_norm_grad";
  View x;       // [T, C]
  View weight;  // [1, C]
  float eps = 0;
  View dy;            // [T, C]
  View dx;            // [T, C]; may be dy
  View dweight = {};  // [1, C] or empty
};

// da = fma(dA, c, dB * s), db = fma(dB, c, -(dA * s)).
struct RopeGrad {
  static constexpr std::string_view kName = "rope_grad";
  View dy;   // [T * rows_per_token, 2P]
  View cos;  // [T, P]
  View sin;  // [T, P]
  int64_t rows_per_token = 1;
  RopeLayout layout = RopeLayout::kHalfSplit;
  View dx;  // as dy; may be dy
};

// Section 7, of an Attention over documents. `stats` and `out` are what the forward gave. Positions of a document are
// one dot's elements; absent ones count as +0. Where an element of q or dout (as an operand) is not finite, its head's
// gradients of that document are NaN throughout. With `selected` sums over what a query sees (r, dq) are counted in its
// list; those over queries (dk, dv) by position, absent ones as +0, and all sequences begin at position 0.
//
// A sequence that begins behind position 0 has no queries before: they are absent. What its queries give the keys
// before lies in rows of its own, E of all sequences, behind those of the T tokens (SequenceRows::prefix_begin).
struct AttentionGrad {
  static constexpr std::string_view kName = "attention_grad";
  View q;  // [T * H, D], as the forward read it
  CacheStream key;
  CacheStream value;
  int64_t heads = 1;
  float scale = 1;
  SequencesRef sequences;
  View out;            // [T * H, value width]
  View stats;          // [T * H, 2]: m and l
  View dout;           // [T * H, value width]
  View dq;             // [T * H, D]
  View dk;             // [(T + E) * key heads, D]: rows as a CacheWrite with a row for each (token, head) has them
  View dv;             // [(T + E) * key heads, value width]
  View selected = {};  // i32 [T, K]: as the forward read them; or empty
};

// s = 1 / (1 + exp(-gate)); a = silu(gate); dup = dy * a; dgate = (dy * up) * fma(a, 1 - s, s).
struct SiluMulGrad {
  static constexpr std::string_view kName = "silu_mul_grad";
  View gate;   // [T, C]
  View up;     // [T, C]
  View dy;     // [T, C]
  View dgate;  // [T, C]; may be dy
  View dup;    // [T, C]
};

// dy[t * S + s] = gates[t][s] * dout[t]; dgates[t][s] = row sum of fma(dout[t], y[t * S + s]).
struct CombineGrad {
  static constexpr std::string_view kName = "combine_grad";
  View y;       // [T * S, C]
  View gates;   // [T, S]
  View dout;    // [T, C]
  View dy;      // [T * S, C]
  View dgates;  // [T, S]
};

// Scores a as in Route. h_s = dgates[s] * scale; where normalised: d = (sum of the chosen a) + 1e-20, n_s = a_s / d,
// c = row sum of fma(h, n) over the chosen, g_s = h_s - c, r = row sum of fma(g, n), u_s = (g_s - r) / d; else
// u_s = h_s. u is +0 for the others; then u = u + dscores where that is given. Sigmoid: dlogits = u * (a * b),
// b = 1 / (1 + exp(x)), x the logit. Softmax: c = row sum of fma(u, a) over all experts, e = u - c,
// r = row sum of fma(a, e), dlogits = a * (e - r).
struct RouteGrad {
  static constexpr std::string_view kName = "route_grad";
  View logits;        // [T, E]
  View experts;       // i32 [T, S]
  View dgates;        // [T, S]
  View dscores = {};  // [T, E] or empty
  Scoring scoring = Scoring::kSoftmax;
  bool normalise = false;
  float scale = 1;
  View dlogits;  // [T, E]
};

// V3's sequence-wise balance loss. For each sequence of n rows: f_e = (E / (S * n)) * (slots that chose e); scores a as
// in Route; sigmoid: D = row sum of a, a' = a / D; softmax: a' = a. P_e = (f32 dot over its rows of a' and 1) / n.
// loss = weight * (row sum over e of fma(f, P)). b_e = f_e * (weight / n). Softmax: dscores = b; sigmoid: c = row sum
// of fma(b, a'), dscores = (b - c) / D. Rows of no sequence get +0.
struct BalanceLoss {
  static constexpr std::string_view kName = "balance_loss";
  View logits;   // [T, E]
  View experts;  // i32 [T, S]
  Scoring scoring = Scoring::kSigmoid;
  float weight = 0;
  SequencesRef sequences;
  View loss;     // [sequences, 1]
  View dscores;  // [T, E]
};

// Of each row: m, l as in LogProb; loss = -((x[target] - m) - log(l)); e = exp(x - m); dlogits = (e / l) * weight, and
// -(s / l) * weight at the target, s the row sum of e with +0 in the target's place; all +0 where the weight is 0. A
// non-finite m or l is an error of the row.
struct CrossEntropy {
  static constexpr std::string_view kName = "cross_entropy";
  View logits;   // [R, V]
  View targets;  // i32 [R, 1]
  View weights;  // [R, 1]
  View loss;     // [R, 1]
  View dlogits;  // [R, V]; may be logits; empty: the loss alone
};

// out[v] = out[v] + (sum from +0 of dy[t] over the t with ids[t] == v, ascending); rows without tokens stay.
struct EmbedGrad {
  static constexpr std::string_view kName = "embed_grad";
  View ids;  // i32 [T, 1]
  View dy;   // [T, C]
  View out;  // [V, C]
};

// out = value, flushed.
struct Fill {
  static constexpr std::string_view kName = "fill";
  View out;
  float value = 0;
};

// out = fma(a, x, b * y); a * x where y is empty.
struct Axpby {
  static constexpr std::string_view kName = "axpby";
  View x;  // [R, C]
  View y;  // [R, C] or empty
  float a = 1;
  float b = 1;
  View out;  // [R, C]; may be x or y
};

// Of each tensor i by itself: out[i] = the aligned tree (section 3) over rows of the row sum of squares of each.
struct SumOfSquares {
  static constexpr std::string_view kName = "sum_of_squares";
  std::span<const View> x;  // each [R, C]
  View out;                 // [tensors, 1]
};

// Of each tensor: g = grad * grad_scale; m = fma(beta1, m, (1 - beta1) * g); v = fma(beta2, v, (1 - beta2) * (g * g));
// u = m / fma(sqrt(v), inverse_root_bias2, eps); w = fma(-step_size, u, w * decay). Factors that training makes of
// doubles are given rounded to f32.
struct AdamW {
  static constexpr std::string_view kName = "adamw";
  // A view [R, C] for each tensor; weight, m and v in place.
  std::span<const View> weight;
  std::span<const View> grad;
  std::span<const View> m;
  std::span<const View> v;
  std::span<const float> decay;  // of each tensor: 1 - lr * weight decay
  float grad_scale = 1;
  float beta1 = 0, one_minus_beta1 = 0;
  float beta2 = 0, one_minus_beta2 = 0;
  float inverse_root_bias2 = 1;  // 1 / sqrt(1 - beta2^t)
  float eps = 0;
  float step_size = 0;  // lr / (1 - beta1^t)
};

}  // namespace naru::contract
