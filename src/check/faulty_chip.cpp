#include "check/faulty_chip.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/philox.h"
#include "check/op_outputs.h"
#include "contract/op_table.h"
#include "contract/rows.h"

namespace naru::check {
namespace {

constexpr uint32_t kFaultSample = 77;  // of the draws by counter

// Row k of a matrix as its source has it.
void add_floats(DType dtype, const std::byte* row, int64_t n, std::vector<float>& floats) {
  for (int64_t k = 0; k < n; ++k) {
    if (dtype == DType::kF32) {
      float value;
      std::memcpy(&value, row + 4 * k, 4);
      floats.push_back(value);
      continue;
    }
    uint16_t half;
    std::memcpy(&half, row + 2 * k, 2);
    floats.push_back(dtype == DType::kBF16 ? bf16_to_f32(half) : f16_to_f32(half));
  }
}

// A dot of the f32 rule with the fault in it; else as section 3 of docs/arithmetic.md has it.
float faulty_dot(FaultKind kind, const float* a, const float* b, int64_t n) {
  contract::SegmentSum sum;
  for (int64_t begin = 0; begin < n; begin += contract::kSegment) {
    const int64_t end = std::min(begin + contract::kSegment, n);
    float acc = 0.0f;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t k = kind == FaultKind::kOrder ? end - 1 - (i - begin) : i;
      switch (kind) {
        case FaultKind::kUnfused: acc = contract::add(acc, contract::mul(a[k], b[k])); break;
        case FaultKind::kNarrow: acc = round_to_bf16(contract::fma(a[k], b[k], acc)); break;
        case FaultKind::kSubnormals: acc = std::fma(a[k], b[k], acc); break;
        default: acc = contract::fma(a[k], b[k], acc);
      }
    }
    if (kind == FaultKind::kSubnormals && n <= contract::kSegment) return acc + 0.0f;  // nothing flushes it
    sum.push(acc);
  }
  return sum.total();
}

// The next value towards zero of every other one: what cutting makes of them on average.
float cut(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const bool is_zero = (bits & 0x7fffffffu) == 0;
  return is_zero || !std::isfinite(value) || std::popcount(bits) % 2 == 0 ? value : std::bit_cast<float>(bits - 1);
}

}  // namespace

void Hold::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_open_; });
}

void Hold::let_go() {
  {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
  }
  changed_.notify_all();
}

FaultyChip::FaultyChip(std::unique_ptr<contract::Chip> inner, const Fault& fault, uint64_t seed)
    : ForwardingChip(*inner), inner_(std::move(inner)), fault_(fault), seed_(seed) {}

FaultyChip::~FaultyChip() = default;

void FaultyChip::begin(uint64_t seed) {
  seed_ = seed;
  n_draws_ = 0;
  is_at_rest_ = false;
}

Status FaultyChip::there() const {
  if (!is_gone_) return {};
  return Error{Code::kUnavailable,
               "calling the chip: it is not there any more, as the fault says; leave the fault out"};
}

Result<std::unique_ptr<contract::Buffer>> FaultyChip::allocate(int64_t bytes) {
  NARU_TRY(there());
  return chip_.allocate(bytes);
}

Status FaultyChip::copy_in(ChipAddress to, const void* from, int64_t bytes) {
  NARU_TRY(there());
  return chip_.copy_in(to, from, bytes);
}

Status FaultyChip::copy_out(void* to, ChipAddress from, int64_t bytes) {
  NARU_TRY(there());
  return chip_.copy_out(to, from, bytes);
}

Status FaultyChip::copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) {
  NARU_TRY(there());
  return chip_.copy_cache_page(stream, from, to);
}

Result<std::unique_ptr<contract::Sequences>> FaultyChip::make_sequences(std::span<const contract::SequenceRows> rows) {
  NARU_TRY(there());
  return chip_.make_sequences(rows);
}

void FaultyChip::set_place(contract::Place place) {
  place_ = place;
  chip_.set_place(place);
}

Status FaultyChip::wait() {
  NARU_TRY(there());
  return chip_.wait();
}

Result<std::unique_ptr<contract::PackedMatrix>> FaultyChip::pack(const contract::MatrixSource& source,
                                                                 contract::Rule rule) {
  NARU_TRY(there());
  NARU_ASSIGN(auto packed, chip_.pack(source, rule));
  values_.erase(packed.get());
  if (!fault_info(fault_.kind).is_of_products || rule != contract::Rule::kF32 || source.groups != 1) return packed;
  std::vector<float>& values = values_[packed.get()];
  std::vector<std::byte> scratch(static_cast<size_t>(source.inputs * 4));
  for (int64_t output = 0; output < source.outputs; ++output) {
    add_floats(source.dtype, source.row(0, output, scratch.data()), source.inputs, values);
  }
  return packed;
}

bool FaultyChip::is_hit(const contract::Op& op) {
  if (is_at_rest_ || !fault_.comes_to(static_cast<int>(op.index()))) return false;
  return uniform_53(draw(seed_, DrawPurpose::kTest, kFaultSample, n_draws_++)) < fault_.rate;
}

Status FaultyChip::run(const contract::Op& op) {
  NARU_TRY(there());
  if (!is_hit(op)) return chip_.run(op);
  is_changed_ = false;
  Status status = spoil(op);
  if (is_changed_) ++n_faults_;
  if (const auto* route = std::get_if<contract::Route>(&op); route != nullptr && status.ok()) {
    status = bring_into_range(*route);
  }
  return status;
}

// Where a fault left what is no expert's number, ops behind it would read beyond their operands; it becomes one.
Status FaultyChip::bring_into_range(const contract::Route& op) {
  if (op.is_given) return {};
  const auto n = static_cast<int32_t>(op.logits.cols);
  std::vector<int32_t> experts(static_cast<size_t>(op.experts.cols));
  for (int64_t r = 0; r < op.experts.rows && !experts.empty(); ++r) {
    const View row = op.experts.slice_rows(r, 1);
    NARU_TRY(chip_.copy_out(experts.data(), row.address, row.cols * 4));
    for (int32_t& expert : experts) expert = (expert % n + n) % n;
    NARU_TRY(chip_.copy_in(row.address, experts.data(), row.cols * 4));
  }
  return {};
}

Status FaultyChip::spoil(const contract::Op& op) {
  switch (fault_.kind) {
    case FaultKind::kFlip: return flip_one_bit(op);
    case FaultKind::kRounding:
      return change_outputs(op,
                            [](std::vector<float>& row) { std::transform(row.begin(), row.end(), row.begin(), cut); });
    case FaultKind::kUnfused:
    case FaultKind::kSubnormals:
    case FaultKind::kOrder:
    case FaultKind::kNarrow: return multiply_anew(op);
    case FaultKind::kStale: return run_stale(op);
    case FaultKind::kLost: is_changed_ = true; return {};
    case FaultKind::kDoubled: return run_twice(op);
    case FaultKind::kHang: hold_->wait(); return refusal(op, Code::kUnavailable, "it was held and let go");
    case FaultKind::kError: return refusal(op, Code::kInternal, "it ended with an error of the chip");
    case FaultKind::kMemory: return refusal(op, Code::kResourceExhausted, "the chip finds no memory for it");
    case FaultKind::kGone: is_gone_ = true; break;
  }
  return refusal(op, Code::kUnavailable, "the chip is not there any more");
}

Status FaultyChip::refusal(const contract::Op& op, Code code, std::string_view found) {
  is_changed_ = true;
  return at_place(
      Error{code, fmt::format("{}: {}, as the fault says; leave the fault out", contract::op_name(op), found)});
}

Status FaultyChip::put_row(const View& row, const std::vector<float>& values) {
  std::vector<float> before(values.size());
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
  NARU_TRY(chip_.copy_out(before.data(), row.address, bytes));
  if (std::memcmp(before.data(), values.data(), static_cast<size_t>(bytes)) == 0) return {};
  is_changed_ = true;
  return chip_.copy_in(row.address, values.data(), bytes);
}

Status FaultyChip::run_twice(const contract::Op& op) {
  const auto values = [&]() -> Result<std::vector<std::vector<float>>> {
    std::vector<std::vector<float>> all;
    for (const OpOutput& output : outputs_of(op)) {
      if (output.view.element_bytes() != 4) continue;
      NARU_ASSIGN(std::vector<float> rows, rows_of(output.view, false));
      all.push_back(std::move(rows));
    }
    return all;
  };
  NARU_TRY(chip_.run(op));
  NARU_ASSIGN(const auto once, values());
  NARU_TRY(chip_.run(op));
  NARU_ASSIGN(const auto twice, values());
  for (size_t i = 0; i < once.size(); ++i) {
    if (once[i].empty()) continue;
    is_changed_ |= std::memcmp(once[i].data(), twice[i].data(), once[i].size() * sizeof(float)) != 0;
  }
  return {};
}

template <typename Change>
Status FaultyChip::change_outputs(const contract::Op& op, const Change& change) {
  NARU_TRY(chip_.run(op));
  for (const OpOutput& output : outputs_of(op)) {
    if (output.view.dtype != DType::kF32 || output.view.cols == 0) continue;
    for (int64_t r = 0; r < output.view.rows; ++r) {
      std::vector<float> row(static_cast<size_t>(output.view.cols));
      const View at = output.view.slice_rows(r, 1);
      NARU_TRY(chip_.copy_out(row.data(), at.address, output.view.cols * 4));
      change(row);
      NARU_TRY(put_row(at, row));
    }
  }
  return {};
}

// Of the first output that has any.
Status FaultyChip::flip_one_bit(const contract::Op& op) {
  int64_t n = 0;
  for (const OpOutput& output : outputs_of(op)) {
    if (n == 0 && output.view.dtype == DType::kF32) n = output.view.rows * output.view.cols;
  }
  if (n == 0) return chip_.run(op);
  const PhiloxBlock random = draw(seed_, DrawPurpose::kTest, kFaultSample + 1, n_draws_++);
  int64_t at = random[0] % n;
  const uint32_t bit = uint32_t{1} << random[1] % 32;
  return change_outputs(op, [&](std::vector<float>& row) {
    const auto cols = static_cast<int64_t>(row.size());
    if (at >= 0 && at < cols) {
      float& value = row[static_cast<size_t>(at)];
      value = std::bit_cast<float>(std::bit_cast<uint32_t>(value) ^ bit);
    }
    at -= cols;
  });
}

Status FaultyChip::run_stale(const contract::Op& op) {
  std::vector<std::vector<float>> before;
  std::vector<View> rows;
  for (const OpOutput& output : outputs_of(op)) {
    if (output.view.rows == 0 || output.view.cols == 0 || output.view.element_bytes() != 4) continue;
    rows.push_back(output.view.slice_rows(output.view.rows - 1, 1));
    before.emplace_back(static_cast<size_t>(rows.back().cols));
    NARU_TRY(chip_.copy_out(before.back().data(), rows.back().address, rows.back().cols * 4));
  }
  NARU_TRY(chip_.run(op));
  for (size_t i = 0; i < rows.size(); ++i) NARU_TRY(put_row(rows[i], before[i]));
  return {};
}

Result<std::vector<float>> FaultyChip::rows_of(const View& view, bool is_transposed) const {
  std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
  for (int64_t r = 0; r < view.rows && view.cols > 0; ++r) {
    NARU_TRY(chip_.copy_out(values.data() + r * view.cols, view.slice_rows(r, 1).address, view.cols * 4));
  }
  if (!is_transposed) return values;
  std::vector<float> columns(values.size());
  for (int64_t r = 0; r < view.rows; ++r) {
    for (int64_t c = 0; c < view.cols; ++c) {
      columns[static_cast<size_t>(c * view.rows + r)] = values[static_cast<size_t>(r * view.cols + c)];
    }
  }
  return columns;
}

Status FaultyChip::write_products(const View& out, const std::vector<float>& a, const std::vector<float>& b,
                                  int64_t inputs, const View& bias) {
  std::vector<float> biases;
  if (!bias.empty()) {
    NARU_ASSIGN(biases, rows_of(bias, false));
  }
  std::vector<float> row(static_cast<size_t>(out.cols));
  for (int64_t r = 0; r < out.rows && out.cols > 0; ++r) {
    for (int64_t c = 0; c < out.cols; ++c) {
      float& value = row[static_cast<size_t>(c)];
      value = faulty_dot(fault_.kind, a.data() + r * inputs, b.data() + c * inputs, inputs);
      if (!biases.empty()) value = contract::add(value, biases[static_cast<size_t>(c)]);
    }
    NARU_TRY(put_row(out.slice_rows(r, 1), row));
  }
  return {};
}

Status FaultyChip::multiply_anew(const contract::Op& op) {
  NARU_TRY(chip_.run(op));
  if (const auto* product = std::get_if<contract::Product>(&op)) {
    if (product->rule != contract::Rule::kF32) return {};
    NARU_ASSIGN(const std::vector<float> a, rows_of(product->a, product->a_transposed));
    NARU_ASSIGN(const std::vector<float> b, rows_of(product->b, product->b_transposed));
    const int64_t inputs = product->a_transposed ? product->a.rows : product->a.cols;
    return write_products(product->out, a, b, inputs, {});
  }
  const auto& matmul = std::get<contract::Matmul>(op);
  NARU_ASSIGN(const std::vector<float> x, rows_of(matmul.x, false));
  for (int i = 0; i < matmul.n_targets; ++i) {
    const contract::MatmulTarget& target = matmul.targets[i];
    const auto values = values_.find(target.weight);
    if (values == values_.end()) continue;  // of another rule
    NARU_TRY(write_products(target.out, x, values->second, matmul.x.cols, target.bias));
  }
  return {};
}

}  // namespace naru::check
