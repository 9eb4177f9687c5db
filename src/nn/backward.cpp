// Where gradients lie and which are there. Views are compared as sets of memory: the same, inside a contiguous one,
// or disjoint; anything between is a mistake of a layer.
#include "nn/backward.h"

namespace naru::nn {
namespace {

// Bytes from the first element to behind the last.
int64_t extent(const View& view) {
  return view.rows == 0 ? 0 : ((view.rows - 1) * view.row_stride + view.cols) * view.element_bytes();
}
bool is_contiguous(const View& view) {
  return view.rows <= 1 || view.row_stride == view.cols;
}

bool contains(const View& outer, const View& inner) {
  if (outer.address == inner.address && outer.rows == inner.rows && outer.cols == inner.cols &&
      outer.row_stride == inner.row_stride) {
    return true;
  }
  return is_contiguous(outer) && inner.address >= outer.address &&
         inner.address + extent(inner) <= outer.address + extent(outer);
}

bool overlaps(const View& a, const View& b) {
  if (a.address + extent(a) <= b.address || b.address + extent(b) <= a.address) return false;
  if (a.row_stride != b.row_stride || is_contiguous(a) || is_contiguous(b)) return true;
  // Columns of one matrix: their places within a row decide.
  const int64_t stride = a.row_stride * a.element_bytes();
  const int64_t distance = (b.address - a.address) % stride;
  const int64_t place = distance < 0 ? distance + stride : distance;
  return place < a.cols * a.element_bytes() || place + b.cols * b.element_bytes() > stride;
}

}  // namespace

Backward::Backward(Tape& tape, Workspace& shadow) : tape_(tape), chip_(tape.chip_), shadow_(shadow) {
  shadow_begin_ = shadow.take(1, ceil_div(tape.bytes_, int64_t{4})).address;
  for (const Tape::Outside& outside : tape.outside_) {
    if (outside.is_given) written_.push_back(outside.grad);
  }
}

View Backward::gradient_of(View value) const {
  for (const Tape::Outside& outside : tape_.outside_) {
    if (!contains(outside.value, value)) continue;
    View grad = value;
    grad.address = outside.grad.address + (value.address - outside.value.address);
    return grad;
  }
  const int64_t at = value.address - tape_.begin_;
  NARU_CHECK(at >= 0 && at + extent(value) <= tape_.bytes_, "a value of another stretch", at, tape_.bytes_);
  View grad = value;
  grad.address = shadow_begin_ + at;
  return grad;
}

bool Backward::has_gradient(View value) const {
  const View grad = gradient_of(value);
  int64_t covered = 0;
  for (const View& there : written_) {
    if (contains(there, grad)) return true;
    if (!overlaps(there, grad)) continue;
    NARU_CHECK(contains(grad, there), "a gradient that is there in part");
    covered += there.rows * there.cols;
  }
  NARU_CHECK(covered == 0 || covered == grad.rows * grad.cols, "a gradient that is there in part", covered, grad.rows,
             grad.cols);
  return covered > 0;
}

Backward::Target Backward::open(View value) {
  const View grad = gradient_of(value);
  if (has_gradient(value)) return {grad, shadow_.take(grad.rows, grad.cols), true};
  written_.push_back(grad);
  return {grad, grad, false};
}

Status Backward::close(const Target& target) {
  if (!target.is_added) return {};
  return run(contract::Add{.a = target.grad, .b = target.written, .out = target.grad});
}

Status Backward::copy(View from, View to) {
  return run(contract::Axpby{.x = from, .y = {}, .a = 1, .b = 0, .out = to});
}

}  // namespace naru::nn
