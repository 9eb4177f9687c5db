#include "check/input_hash.h"

#include <algorithm>
#include <cstring>

#include "base/sha256.h"
#include "check/op_outputs.h"
#include "check/op_values.h"
#include "contract/op_members.h"

namespace naru::check {

// Collects the views, and hashes all else in the order of the members.
class InputVisitor {
 public:
  explicit InputVisitor(const InputHash& hash) : hash_(hash) {}

  void operator()(const View& view) { views_.push_back(view); }
  void operator()(const contract::CacheStream& stream) {
    number(stream.shape.heads), number(stream.shape.width), number(static_cast<int64_t>(stream.shape.dtype));
    const auto found = hash_.caches_.find(stream.address);
    text(found == hash_.caches_.end() ? "" : found->second);
  }
  void operator()(const contract::SequencesRef& sequences) {
    for (const contract::SequenceRows& rows : sequences) {
      number(rows.row_begin), number(rows.n_rows), number(rows.position_begin);
    }
  }
  void operator()(const contract::PackedMatrix* const& matrix) { add(matrix); }
  void operator()(contract::PackedMatrix* const& matrix) { add(matrix); }
  void operator()(const std::span<const View>& list) { views_.insert(views_.end(), list.begin(), list.end()); }
  void operator()(const std::span<const float>& list) { digest_.update(std::as_bytes(list)); }
  template <typename T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void operator()(const T& scalar) {
    digest_.update(std::as_bytes(std::span(&scalar, 1)));
  }

  // The values of the views but those that the op only writes.
  Result<std::string> finish(contract::Chip& chip, const contract::Op& op) {
    for (const OpOutput& output : outputs_of(op)) {
      if (output.is_read) continue;
      const auto is_output = [&](const View& view) {
        return view.address == output.view.address && view.rows == output.view.rows && view.cols == output.view.cols &&
               view.row_stride == output.view.row_stride;
      };
      const auto found = std::find_if(views_.rbegin(), views_.rend(), is_output);
      if (found != views_.rend()) views_.erase(std::next(found).base());
    }
    for (const View& view : views_) {
      number(view.rows), number(view.cols);
      if (!has_values(view)) continue;
      NARU_ASSIGN(std::vector<uint32_t> values, read_values(chip, view));
      for (uint32_t& bits : values) bits = canonical(view.dtype, bits);
      digest_.update(std::as_bytes(std::span(values)));
    }
    return digest_.finish_hex();
  }

 private:
  void number(int64_t n) { digest_.update(std::as_bytes(std::span(&n, 1))); }
  void text(const std::string& text) {
    number(std::ssize(text));
    digest_.update(as_bytes(text));
  }
  void add(const contract::PackedMatrix* matrix) {
    if (matrix == nullptr) return;
    number(static_cast<int64_t>(matrix->rule)), number(matrix->groups);
    number(matrix->outputs), number(matrix->inputs);
    const auto found = hash_.matrices_.find(matrix);
    text(found == hash_.matrices_.end() ? "" : found->second);
  }

  const InputHash& hash_;
  Sha256 digest_;
  std::vector<View> views_;
};

Result<std::string> InputHash::of(contract::Chip& chip, const contract::Op& op) const {
  InputVisitor visitor(*this);
  std::visit([&](const auto& o) { contract::visit_members(o, visitor); }, op);
  return visitor.finish(chip, op);
}

void InputHash::ran(const contract::Op& op, const std::string& inputs) {
  if (const auto* write = std::get_if<contract::CacheWrite>(&op)) caches_[write->stream.address] = inputs;
  if (const auto* pack = std::get_if<contract::Pack>(&op)) matrices_[pack->out] = inputs;
}

}  // namespace naru::check
