// The loops of every op, under one declaration, and what they share.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chips/memory/host_memory.h"
#include "contract/ops.h"
#include "contract/rows.h"

namespace naru::reference {

// Float rules: the operands themselves (rounded to bf16 under that rule). w8a8: integers and scales. Block rules: the
// rows as stored, read block by block when used.
class Matrix : public contract::PackedMatrix {
 public:
  std::vector<float> values;      // [groups * outputs, inputs]
  std::vector<int8_t> integers;   // [groups * outputs, inputs]
  std::vector<float> scales;      // [groups * outputs]
  std::vector<std::byte> blocks;  // [groups * outputs] rows of stored bytes
};

Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source, contract::Rule rule);

// A cache page: [heads][kCachePage][width] f32, values already rounded.
inline int64_t cache_page_bytes(const contract::CacheShape& shape) {
  return shape.heads * contract::kCachePage * shape.width * static_cast<int64_t>(sizeof(float));
}
inline float* cache_row(const contract::CacheStream& stream, int32_t page, int64_t head, int64_t position) {
  auto* base = reinterpret_cast<float*>(pointer_of(stream.address) + page * stream.page_bytes);
  return base + (head * contract::kCachePage + position % contract::kCachePage) * stream.shape.width;
}

// The positions that batch row `row` sees, whose own is `own`: all up to it, or its list of `selected`; the list's
// error where it is none.
Result<std::vector<int64_t>> seen_positions(std::string_view op, const View& selected, int64_t row, int64_t own);

// a . b over n elements by the float rules, each from +0, with the final + (+0).
float dot_f32(const float* a, const float* b, int64_t n);
float dot_bf16(const float* a, const float* b, int64_t n);  // operands already rounded

// The f32 dot of section 3 over n rows: step(t, acc) is acc with row t in it.
float column_dot(int64_t n, const std::function<float(int64_t t, float acc)>& step);

// Scores of the experts of one token, from its n router logits: softmax of section 4, or sigmoid.
std::vector<float> expert_scores(const float* logits, int64_t n, contract::Scoring scoring);

// The rows of an op whose numbers went wrong.
class BadRows {
 public:
  BadRows(std::string_view op, int64_t n_rows) : op_(op), n_rows_(n_rows) {}
  // `what` of the row is not finite, but `found`.
  void add(int64_t row, std::string_view what, float found);
  void add(int64_t row, std::string message);
  // Once: the error of all, with the message of the one that came first.
  Status status();

 private:
  std::string_view op_;
  int64_t n_rows_;
  std::string message_;
  std::vector<int64_t> rows_;
};

// m = row max, e[k] = exp(x[k] - m), l = row sum of e; nothing, and a bad row, where m or l is not finite.
struct SoftmaxRow {
  float m = 0;
  float l = 0;
};
std::optional<SoftmaxRow> softmax_row(int64_t row, const float* x, int64_t n, float* e, BadRows& bad);

// The loops of an op: one specialisation for each, in the file of its family; a missing one does not link.
template <typename O>
Status run(const O& op);

}  // namespace naru::reference
