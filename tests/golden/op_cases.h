// Fixed cases of every op, with inputs drawn by counter, for the golden files.
#pragma once

#include <bit>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/float_bits.h"
#include "base/philox.h"
#include "contract/chip.h"
#include "tensor/quant_blocks.h"

namespace naru {

// Floats around 1 with a few zeros, large and tiny values among them: sign, exponent and mantissa come from one block.
inline float golden_float(uint32_t stream, uint64_t index) {
  const PhiloxBlock block = draw(20, DrawPurpose::kTest, stream, index);
  if (block[3] % 61 == 0) return 0.0f;
  const uint32_t spread = block[3] % 53 == 0 ? 60 : 6;
  const uint32_t exponent = 127 - spread / 2 + block[1] % (spread + 1) - 2;
  return std::bit_cast<float>((block[2] & 0x80000000u) | exponent << 23 | (block[0] & 0x007fffffu));
}

inline std::vector<float> golden_floats(uint32_t stream, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = golden_float(stream, i);
  return values;
}

// Rows of a stored kind: random bytes, with f16 scales set to modest finite values.
inline std::vector<std::byte> golden_rows(DType dtype, uint32_t stream, int64_t rows, int64_t cols) {
  const DTypeInfo& info = dtype_info(dtype);
  const int64_t n_blocks = rows * cols / info.block_elements;
  std::vector<std::byte> bytes(static_cast<size_t>(n_blocks * info.block_bytes));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(draw(21, DrawPurpose::kTest, stream, i)[0]);
  }
  const auto set_scale = [&](int64_t block, int64_t offset) {
    const uint32_t word = draw(22, DrawPurpose::kTest, stream, static_cast<uint64_t>(block * 256 + offset))[0];
    const auto half = static_cast<uint16_t>((word & 0x83ffu) | (8 + word / 65536 % 5) << 10);
    std::memcpy(bytes.data() + block * info.block_bytes + offset, &half, 2);
  };
  for (int64_t block = 0; block < n_blocks && is_quantised(dtype); ++block) {
    set_scale(block, dtype == DType::kQ6_K ? 208 : 0);
    if (dtype == DType::kQ4_1 || dtype == DType::kQ5_1 || dtype == DType::kQ4_K || dtype == DType::kQ5_K)
      set_scale(block, 2);
  }
  return bytes;
}

// Memory and matrices of one case on one chip.
class CaseMemory {
 public:
  explicit CaseMemory(contract::Chip& chip) : chip_(chip) {}

  View floats(const std::vector<float>& values, int64_t rows, int64_t cols) {
    return upload(values.data(), DType::kF32, rows, cols);
  }
  View ints(const std::vector<int32_t>& values, int64_t rows, int64_t cols) {
    return upload(values.data(), DType::kI32, rows, cols);
  }
  View random(uint32_t stream, int64_t rows, int64_t cols) {
    return floats(golden_floats(stream, rows * cols), rows, cols);
  }
  View empty(int64_t rows, int64_t cols, DType dtype = DType::kF32) { return view(dtype, rows, cols); }

  const contract::PackedMatrix* matrix(DType stored, contract::Rule rule, uint32_t stream, int64_t groups,
                                       int64_t outputs, int64_t inputs) {
    std::vector<std::byte> bytes;
    std::vector<float> scales;
    if (stored == DType::kF32) {
      const auto values = golden_floats(stream, groups * outputs * inputs);
      bytes.resize(values.size() * 4);
      std::memcpy(bytes.data(), values.data(), bytes.size());
    } else if (stored == DType::kBF16 || stored == DType::kF16) {
      for (const float value : golden_floats(stream, groups * outputs * inputs)) {
        const uint16_t bits = stored == DType::kBF16
                                  ? f32_to_bf16(value)
                                  : static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 3 & 0x3fff);
        const auto* pair = reinterpret_cast<const std::byte*>(&bits);
        bytes.insert(bytes.end(), pair, pair + 2);
      }
    } else {
      bytes = golden_rows(stored, stream, groups * outputs, inputs);
      scales = golden_floats(stream + 1, groups * outputs);
    }
    const int64_t row_bytes = *dtype_bytes(stored, inputs);
    contract::MatrixSource source;
    source.dtype = stored;
    source.groups = groups;
    source.outputs = outputs;
    source.inputs = inputs;
    source.scales = scales.data();
    source.row = [&](int64_t group, int64_t output, std::byte*) {
      return bytes.data() + (group * outputs + output) * row_bytes;
    };
    matrices_.push_back(chip_.pack(source, rule).value());
    return matrices_.back().get();
  }

  // F32 zeros, to be refreshed.
  contract::PackedMatrix* blank_matrix(contract::Rule rule, int64_t groups, int64_t outputs, int64_t inputs) {
    const std::vector<float> row(static_cast<size_t>(inputs));
    contract::MatrixSource source;
    source.groups = groups;
    source.outputs = outputs;
    source.inputs = inputs;
    source.row = [&](int64_t, int64_t, std::byte*) { return reinterpret_cast<const std::byte*>(row.data()); };
    matrices_.push_back(chip_.pack(source, rule).value());
    return matrices_.back().get();
  }

  contract::CacheStream stream(const contract::CacheShape& shape, int64_t n_pages) {
    const int64_t page_bytes = chip_.cache_page_bytes(shape);
    buffers_.push_back(chip_.allocate(page_bytes * n_pages).value());
    return {shape, buffers_.back()->address(), page_bytes};
  }

  const contract::Sequences& sequences(std::span<const contract::SequenceRows> rows) {
    sequences_.push_back(chip_.make_sequences(rows).value());
    return *sequences_.back();
  }

  std::vector<float> read(const View& v) {
    std::vector<float> values(static_cast<size_t>(v.rows * v.cols));
    for (int64_t row = 0; row < v.rows; ++row) {
      NARU_CHECK(chip_.copy_out(values.data() + row * v.cols, v.slice_rows(row, 1).address, v.cols * 4).ok());
    }
    return values;
  }

  contract::Chip& chip() { return chip_; }
  void run(const contract::Op& op) {
    const Status status = chip_.run(op);
    NARU_CHECK(status.ok(), status.ok() ? "" : status.error().message);
  }

 private:
  View view(DType dtype, int64_t rows, int64_t cols) {
    buffers_.push_back(chip_.allocate(std::max<int64_t>(1, rows * cols * 4)).value());
    return make_view(buffers_.back()->address(), dtype, rows, cols);
  }
  View upload(const void* values, DType dtype, int64_t rows, int64_t cols) {
    const View v = view(dtype, rows, cols);
    NARU_CHECK(chip_.copy_in(v.address, values, rows * cols * 4).ok());
    return v;
  }

  contract::Chip& chip_;
  std::vector<std::unique_ptr<contract::Buffer>> buffers_;
  std::vector<std::unique_ptr<contract::PackedMatrix>> matrices_;
  std::vector<std::unique_ptr<contract::Sequences>> sequences_;
};

// A case runs its op and returns the outputs whose bits count.
struct OpCase {
  std::string name;
  std::function<std::vector<View>(CaseMemory&)> run;
};
std::vector<OpCase> op_cases();

}  // namespace naru
