// Packed matrices: from rows of the host, from f32 values of the device, and rows out of them (embed).
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/float_bits.h"
#include "chips/gpu/ops.h"
#include "contract/rows.h"

namespace naru::gpu {
namespace {

using contract::MatrixSource;
using contract::Rule;

bool is_float_rule(Rule rule) {
  return !contract::has_integer_activations(rule);
}
int64_t float_bytes(Rule rule) {
  return rule == Rule::kBF16 ? 2 : 4;
}

// ROW_BYTES of text/integers.cl.
int64_t w8a8_row_bytes(int64_t inputs) {
  return round_up(inputs, contract::kBlock);
}

// Element k of a row of a float kind, widened exactly.
float widened(DType dtype, const std::byte* row, int64_t k) {
  float value = 0;
  uint16_t half = 0;
  switch (dtype) {
    case DType::kF32: std::memcpy(&value, row + 4 * k, 4); return value;
    case DType::kF16: std::memcpy(&half, row + 2 * k, 2); return f16_to_f32(half);
    case DType::kBF16: std::memcpy(&half, row + 2 * k, 2); return bf16_to_f32(half);
    default: NARU_CHECK(false, "no float kind:", dtype_name(dtype));
  }
  return 0;
}

// Panel by panel: what the host holds of a matrix at once is one panel.
Status write_panels(Device& device, const MatrixSource& source, Rule rule, const DeviceMemory& memory) {
  const int64_t bytes = float_bytes(rule), panels = ceil_div(source.outputs, kPanel);
  std::vector<std::byte> panel(static_cast<size_t>(source.inputs * kPanel * bytes));
  std::vector<std::byte> scratch(static_cast<size_t>(source.inputs) * 4 + 64);
  for (int64_t g = 0; g < source.groups; ++g) {
    for (int64_t p = 0; p < panels; ++p) {
      std::fill(panel.begin(), panel.end(), std::byte{0});
      for (int64_t lane = 0; lane < kPanel && p * kPanel + lane < source.outputs; ++lane) {
        const std::byte* row = source.row(g, p * kPanel + lane, scratch.data());
        for (int64_t k = 0; k < source.inputs; ++k) {
          const float value = widened(source.dtype, row, k);
          std::byte* to = panel.data() + (k * kPanel + lane) * bytes;
          const uint16_t rounded = f32_to_bf16(value);
          std::memcpy(to, rule == Rule::kBF16 ? static_cast<const void*>(&rounded) : &value,
                      static_cast<size_t>(bytes));
        }
      }
      const auto size = static_cast<int64_t>(panel.size());
      NARU_TRY(device.driver().write({&memory, (g * panels + p) * size}, panel.data(), size));
    }
  }
  return {};
}

// Rows of int8 at multiples of 32 bytes, some at a time (text/integers.cl), and the scales behind them.
Status write_w8a8(Device& device, const MatrixSource& source, const DeviceMemory& memory) {
  constexpr int64_t kChunk = int64_t{1} << 20;
  const int64_t n_rows = source.groups * source.outputs, row_bytes = w8a8_row_bytes(source.inputs);
  const int64_t at_once = std::max<int64_t>(kChunk / std::max<int64_t>(row_bytes, 1), 1);
  std::vector<std::byte> chunk, scratch(static_cast<size_t>(source.inputs) * 4 + 64);
  for (int64_t begin = 0; row_bytes > 0 && begin < n_rows; begin += at_once) {
    const int64_t n = std::min(at_once, n_rows - begin);
    chunk.assign(static_cast<size_t>(n * row_bytes), std::byte{0});
    for (int64_t i = 0; i < n; ++i) {
      const std::byte* row = source.row((begin + i) / source.outputs, (begin + i) % source.outputs, scratch.data());
      std::memcpy(chunk.data() + i * row_bytes, row, static_cast<size_t>(source.inputs));
    }
    NARU_TRY(device.driver().write({&memory, begin * row_bytes}, chunk.data(), n * row_bytes));
  }
  return device.driver().write({&memory, n_rows * row_bytes}, source.scales, n_rows * 4);
}

// Where in a block the two bytes are that make it no multiple of four, -1 in other kinds (HEADER_... of
// text/blocks.cl).
int64_t half_place(DType dtype, int64_t block_bytes) {
  if (block_bytes % 4 == 0) return -1;
  return dtype == DType::kQ6_K ? block_bytes - 2 : 0;
}

// A block of one output into its places of the 32 of a panel.
void interleave(const std::byte* block, int64_t block_bytes, int64_t half, int64_t lane, std::byte* to) {
  if (half >= 0) {
    std::memcpy(to + lane * 2, block + half, 2);
    to += kPanel * 2;
    if (half == 0) block += 2;
  }
  for (int64_t word = 0; word < block_bytes / 4; ++word) {
    std::memcpy(to + (word * kPanel + lane) * 4, block + word * 4, 4);
  }
}

// Panels of 32 outputs, block by block (text/blocks.cl).
Status write_blocks(Device& device, const MatrixSource& source, const DeviceMemory& memory) {
  const int64_t elements = dtype_info(source.dtype).block_elements, bytes = dtype_info(source.dtype).block_bytes;
  const int64_t blocks = source.inputs / elements, panels = ceil_div(source.outputs, kPanel);
  const int64_t half = half_place(source.dtype, bytes);
  std::vector<std::byte> panel(static_cast<size_t>(blocks * bytes * kPanel));
  std::vector<std::byte> scratch(static_cast<size_t>(source.inputs) * 4 + 64);
  for (int64_t p = 0; p < source.groups * panels; ++p) {
    const int64_t g = p / panels, first = p % panels * kPanel;
    std::fill(panel.begin(), panel.end(), std::byte{0});
    for (int64_t lane = 0; lane < std::min(kPanel, source.outputs - first); ++lane) {
      const std::byte* row = source.row(g, first + lane, scratch.data());
      for (int64_t b = 0; b < blocks; ++b) {
        interleave(row + b * bytes, bytes, half, lane, panel.data() + b * bytes * kPanel);
      }
    }
    const auto size = static_cast<int64_t>(panel.size());
    NARU_TRY(device.driver().write({&memory, p * size}, panel.data(), size));
  }
  return {};
}

Status write_matrix(Device& device, const MatrixSource& source, Rule rule, const DeviceMemory& memory) {
  if (source.inputs == 0 && rule != Rule::kW8A8) return {};
  if (is_float_rule(rule)) return write_panels(device, source, rule, memory);
  return contract::is_block_rule(rule) ? write_blocks(device, source, memory) : write_w8a8(device, source, memory);
}

}  // namespace

int64_t packed_bytes(DType stored, Rule rule, int64_t groups, int64_t outputs, int64_t inputs) {
  if (is_float_rule(rule)) return groups * round_up(outputs, kPanel) * inputs * float_bytes(rule);
  if (contract::is_block_rule(rule))
    return groups * round_up(outputs, kPanel) * dtype_bytes(stored, inputs).value_or(0);
  return groups * outputs * (w8a8_row_bytes(inputs) + 4);
}

Result<std::unique_ptr<contract::PackedMatrix>> pack(const SharedDevice& device, const MatrixSource& source,
                                                     Rule rule) {
  if (contract::is_block_rule(rule)) {
    NARU_CHECK(source.dtype == contract::block_dtype(rule) && source.inputs % contract::rule_block(rule) == 0);
  } else if (rule == Rule::kW8A8) {
    NARU_CHECK(source.dtype == DType::kI8 && source.scales != nullptr);
    if (source.inputs > 131072) {
      return Error{Code::kUnsupported,
                   fmt::format("packing a w8a8 matrix: it has {} inputs, at most 131072 keep the int32 sum exact; use "
                               "another kind",
                               source.inputs)};
    }
  }
  const int64_t bytes = packed_bytes(source.dtype, rule, source.groups, source.outputs, source.inputs);
  NARU_ASSIGN(Memory memory, device->take(std::max<int64_t>(bytes, 1)));
  auto matrix = std::make_unique<Matrix>(device, std::move(memory));
  matrix->rule = rule;
  matrix->stored = source.dtype;
  matrix->groups = source.groups;
  matrix->outputs = source.outputs;
  matrix->inputs = source.inputs;
  matrix->bytes = bytes;
  NARU_TRY(write_matrix(*device, source, rule, *matrix->memory));
  return std::unique_ptr<contract::PackedMatrix>(std::move(matrix));
}

Status run(Device& device, const contract::Pack& op) {
  const auto& matrix = static_cast<const Matrix&>(*op.out);
  const int64_t places = round_up(matrix.outputs, kPanel);
  const int64_t group_bytes = places * matrix.inputs * float_bytes(matrix.rule);
  for (int64_t g = 0; g < matrix.groups; ++g) {
    const View& from = op.groups[static_cast<size_t>(g)];
    const MemoryPlace to{matrix.memory.get(), g * group_bytes};
    if (matrix.rule == Rule::kBF16) {
      NARU_TRY(device.launch_elements("pack_bf16", matrix.inputs, places, from, to, matrix.outputs, matrix.inputs,
                                      op.is_transposed));
    } else {
      NARU_TRY(device.launch_elements("pack_f32", matrix.inputs, places, from, to, matrix.outputs, matrix.inputs,
                                      op.is_transposed, op.is_rounded_first));
    }
  }
  return {};
}

Status run(Device& device, const contract::Embed& op) {
  const auto& table = static_cast<const Matrix&>(*op.table);
  const std::string kernel = fmt::format("embed_{}", contract::rule_name(table.rule));
  NARU_ASSIGN(const MemoryPlace marks, device.watch(op.ids.rows, no_row_fails(op.kName)));
  return device.launch_elements(kernel, op.ids.rows, table.inputs, op.ids, table.place(), op.out, marks, op.ids.rows,
                                table.outputs, table.inputs);
}

}  // namespace naru::gpu
