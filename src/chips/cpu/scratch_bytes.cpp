#include "chips/cpu/scratch_bytes.h"

namespace naru::cpu {
namespace {

int64_t bytes_of(const View& view) {
  return view.rows * view.cols * view.element_bytes();
}

int64_t held(const contract::Matmul& op) {
  return bytes_of(op.x);
}
int64_t held(const contract::GroupedMatmul& op) {
  return bytes_of(op.x) + op.x.rows * op.rows_share * 16;  // slots in order of their groups
}
int64_t held(const contract::WeightGrad& op) {
  return bytes_of(op.dy) + bytes_of(op.x);
}
int64_t held(const contract::Product& op) {
  return bytes_of(op.a) + bytes_of(op.b);
}
int64_t held(const contract::AttentionGrad& op) {
  return bytes_of(op.q) + bytes_of(op.dout) + bytes_of(op.dk) + bytes_of(op.dv);
}
template <typename Other>
int64_t held(const Other&) {
  return 0;
}

}  // namespace

int64_t scratch_bytes(const contract::Op& op) {
  return std::visit([](const auto& o) { return held(o); }, op);
}

}  // namespace naru::cpu
