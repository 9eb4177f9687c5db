// Embed: one output of a packed matrix read back as a row, exact value rounded once to f32 (rule bf16: to bf16). The
// elements of a row lie 16 outputs apart, so a row touches the whole of its panel; rows are few.

#include <cstring>

#include "base/float_bits.h"
#include "chips/cpu/kernels/row_loops.h"
#include "chips/cpu/packed.h"
#include "contract/scalar.h"
#include "tensor/quant_blocks.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

template <typename T>
inline T element(const std::byte* p) {
  T x;
  std::memcpy(&x, p, sizeof(T));
  return x;
}

// Reads one output of a panel into `out`.
void read_float_row(const CpuMatrix& matrix, const std::byte* panel, int64_t lane, float* out) {
  for (int64_t k = 0; k < matrix.inputs; ++k) {
    float value = 0;
    switch (matrix.layout) {
      case Layout::kF32: value = element<float>(panel + (k * kPanel + lane) * 4); break;
      case Layout::kF16: value = f16_to_f32(element<uint16_t>(panel + (k * kPanel + lane) * 2)); break;
      case Layout::kBF16: value = bf16_to_f32(element<uint16_t>(panel + (k * kPanel + lane) * 2)); break;
      case Layout::kPairs:
        value = bf16_to_f32(element<uint16_t>(panel + (k / 2 * kPanel + lane) * 4 + k % 2 * 2));
        break;
      default: {  // kDotPairs: of four inputs, 0 and 1 lie in high halves, 2 and 3 in low ones
        const int64_t dword = k / 32 * 16 + k % 2 * 8 + k % 32 / 4;
        value = bf16_to_f32(element<uint16_t>(panel + (dword * kPanel + lane) * 4 + (k % 4 < 2 ? 2 : 0)));
      }
    }
    out[k] = contract::flush(value);
  }
}

void read_bytes_row(const CpuMatrix& matrix, const std::byte* panel, int64_t lane, float* out) {
  const float scale = element<float>(panel + 4 * lane);
  const std::byte* data = panel + kPanel * 4;
  for (int64_t k = 0; k < matrix.inputs; ++k) {
    const int q = static_cast<int>(static_cast<uint8_t>(data[(k / 4 * kPanel + lane) * 4 + k % 4])) - 128;
    out[k] = contract::mul(static_cast<float>(q), scale);
  }
}

// The unsigned integer of input e of the block at `data`.
int block_integer(int bits, const std::byte* data, int64_t e, int64_t lane) {
  const int64_t group = e / 4, at = 4 * lane + e % 4;
  const auto byte = [&](int64_t vector) { return static_cast<int>(static_cast<uint8_t>(data[vector * 64 + at])); };
  if (bits == 8) return byte(group);
  const int64_t planes = bits - 4;
  const int nibble = (byte(planes + group % 4) >> (group < 4 ? 0 : 4)) & 15;
  if (bits == 5) return nibble | (byte(0) >> group & 1) << 4;
  if (bits == 6) return nibble | (byte(group / 4) >> (2 * (group % 4)) & 3) << 4;
  return nibble;
}

void read_block_row(const CpuMatrix& matrix, const std::byte* panel, int64_t lane, float* out) {
  const BlockGeometry geometry = block_geometry(matrix.rule);
  const int64_t blocks = matrix.inputs / 32;
  const int64_t elements = dtype_info(matrix.stored).block_elements;
  for (int64_t first = 0; first < blocks; first += kChunkBlocks) {
    const int64_t n = std::min(kChunkBlocks, blocks - first);
    const std::byte* data = panel + geometry.header_bytes(n);
    QuantBlock block;
    if (elements == 256) {
      block.d = f16_to_f32(element<uint16_t>(panel + 2 * lane));
      block.m = f16_to_f32(element<uint16_t>(panel + 32 + 2 * lane));
      const int n_scales = geometry.bits == 6 ? 16 : 8;
      for (int i = 0; i < n_scales; ++i) block.sc[i] = static_cast<int8_t>(panel[64 + 16 * i + lane]);
      for (int i = 0; i < 8; ++i) block.mn[i] = static_cast<uint8_t>(panel[192 + 16 * i + lane]);
    }
    for (int64_t j = 0; j < n; ++j) {
      const int64_t q0 = elements == 256 ? 32 * j : 0;
      if (elements == 32) {
        block.d = f16_to_f32(element<uint16_t>(panel + j * geometry.header_block + 2 * lane));
        if (geometry.header_block == 64) block.m = f16_to_f32(element<uint16_t>(panel + j * 64 + 32 + 2 * lane));
      }
      for (int64_t e = 0; e < 32; ++e) {
        block.q[q0 + e] = static_cast<int8_t>(block_integer(geometry.bits, data + j * geometry.block_bytes, e, lane) -
                                              geometry.offset);
        out[(first + j) * 32 + e] = contract::flush(quant_block_value(matrix.stored, block, q0 + e));
      }
    }
    panel += geometry.chunk_bytes();
  }
}

void read_row(const CpuMatrix& matrix, int64_t output, float* out) {
  const std::byte* panel = matrix.panel(0, output / kPanel);
  const int64_t lane = output % kPanel;
  switch (matrix.layout) {
    case Layout::kBlocks: return read_block_row(matrix, panel, lane, out);
    case Layout::kBytes: return read_bytes_row(matrix, panel, lane, out);
    default: return read_float_row(matrix, panel, lane, out);
  }
}

}  // namespace

template <>
Status run(const contract::Embed& op, Work& work, std::string_view* kernel) {
  *kernel = "embed_panels";
  const auto& table = static_cast<const CpuMatrix&>(*op.table);
  constexpr int64_t kElementWork = 4;  // an element is a cache line of its own in the panel
  for_row_ranges(work, op.ids.rows, kElementWork * op.out.cols, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t id = *i32(op.ids, t);
      NARU_CHECK(id >= 0 && id < table.outputs, id, table.outputs);
      read_row(table, id, f32(op.out, t));
    }
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
