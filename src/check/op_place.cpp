#include "check/op_place.h"

#include <fmt/format.h>

#include "contract/op_table.h"

namespace naru::check {

std::string place_text(const OpPlace& place) {
  std::string text = place.pass == 0 ? "" : fmt::format("pass {}, ", place.pass);
  text += fmt::format("{}, {}", place.where, contract::op_name(place.op));
  return place.count == 0 ? text : text + fmt::format(" {}", place.count + 1);
}

void PlaceTracker::begin_pass() {
  ++pass_;
  is_behind_layers_ = false;
  where_ = "before the layers";
  counts_.clear();
}

void PlaceTracker::set_place(const contract::Place& place) {
  if (pass_ == 0) return;
  if (!place.what.empty()) {
    is_behind_layers_ = true;
    where_ = fmt::format("{} {}", place.what, place.number);
  } else {
    where_ = is_behind_layers_ ? "behind the layers" : "before the layers";
  }
}

OpPlace PlaceTracker::next(const contract::Op& op) {
  const int index = static_cast<int>(op.index());
  return {.number = n_ops_++, .pass = pass_, .where = where_, .op = index, .count = counts_[{where_, index}]++};
}

}  // namespace naru::check
