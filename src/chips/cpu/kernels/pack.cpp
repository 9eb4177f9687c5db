// Packing: the rows of a source, one panel of 16 outputs after the other, into the layouts of chips/cpu/packed.h.
// Panels are filled by several threads; a row is pulled, written into its lane of the panel and forgotten.

#include <cstring>

#include "base/float_bits.h"
#include "chips/cpu/kernels/declarations.h"
#include "chips/cpu/kernels/matmul_kernels.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::MatrixSource;
using contract::Rule;

inline uint32_t load_u32(const std::byte* p) {
  uint32_t x;
  std::memcpy(&x, p, 4);
  return x;
}
inline uint16_t load_u16(const std::byte* p) {
  uint16_t x;
  std::memcpy(&x, p, 2);
  return x;
}
inline void store_u32(std::byte* p, uint32_t x) {
  std::memcpy(p, &x, 4);
}
inline void store_u16(std::byte* p, uint16_t x) {
  std::memcpy(p, &x, 2);
}
inline uint8_t byte_at(const std::byte* p, int64_t i) {
  return static_cast<uint8_t>(p[i]);
}

// Element k of a float row, rounded to bf16; +0 past the end.
inline uint16_t bf16_element(DType dtype, const std::byte* row, int64_t inputs, int64_t k) {
  if (k >= inputs) return 0;
  if (dtype == DType::kF32) return f32_to_bf16(std::bit_cast<float>(load_u32(row + 4 * k)));
  const uint16_t bits = load_u16(row + 2 * k);
  return f32_to_bf16(dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits));
}

void pack_float_row(const CpuMatrix& matrix, const std::byte* row, std::byte* panel, int64_t lane) {
  const int64_t inputs = matrix.inputs;
  if (matrix.layout == Layout::kF32) {
    for (int64_t k = 0; k < inputs; ++k) store_u32(panel + (k * kPanel + lane) * 4, load_u32(row + 4 * k));
    return;
  }
  if (matrix.layout == Layout::kF16 || matrix.layout == Layout::kBF16) {
    for (int64_t k = 0; k < inputs; ++k) store_u16(panel + (k * kPanel + lane) * 2, load_u16(row + 2 * k));
    return;
  }
  const bool is_dot = matrix.layout == Layout::kDotPairs;
  for (int64_t block = 0; block < ceil_div(inputs, 32); ++block) {
    uint16_t bits[32];
    for (int64_t i = 0; i < 32; ++i) bits[i] = bf16_element(matrix.stored, row, inputs, block * 32 + i);
    for (int64_t i = 0; i < 16; ++i) {
      const int64_t even = 4 * (i % 8) + i / 8;  // of kDotPairs: the input in the high half
      const uint32_t low = is_dot ? bits[even + 2] : bits[2 * i];
      const uint32_t high = is_dot ? bits[even] : bits[2 * i + 1];
      store_u32(panel + ((block * 16 + i) * kPanel + lane) * 4, low | high << 16);
    }
  }
}

void pack_bytes_row(const CpuMatrix& matrix, const std::byte* row, float scale, std::byte* panel, int64_t lane) {
  store_u32(panel + 4 * lane, std::bit_cast<uint32_t>(scale));
  std::byte* data = panel + kPanel * 4;
  const int64_t whole = matrix.inputs / 4;
  for (int64_t i = 0; i < ceil_div(matrix.inputs, 32) * 8; ++i) {
    uint32_t four = 0;
    if (i < whole) {
      four = load_u32(row + 4 * i);
    } else {
      for (int64_t k = 4 * i; k < matrix.inputs; ++k) four |= static_cast<uint32_t>(byte_at(row, k)) << (8 * (k % 4));
    }
    store_u32(data + (i * kPanel + lane) * 4, four ^ 0x80808080u);
  }
}

// The integers of one block of 32 in the packed order: nibbles, and the plane above them.
struct PackedIntegers {
  uint32_t nibbles[4] = {};
  uint32_t planes[2] = {};
};

// Bit e of `bits` belongs to input e: byte b of the plane gets bit g from input 4g + b.
uint32_t spread_fifth_bits(uint32_t bits) {
  uint32_t plane = 0;
  for (uint32_t b = 0; b < 4; ++b) {
    // Bits b, b + 4, ..., b + 28 brought together.
    uint32_t x = (bits >> b) & 0x11111111u;
    x = (x | x >> 3) & 0x03030303u;
    x = (x | x >> 6) & 0x000f000fu;
    plane |= ((x | x >> 12) & 0xffu) << (8 * b);
  }
  return plane;
}

// Blocks of 32 with their own scale: the file's dwords hold the nibbles in the packed order already.
void pack_simple_block(DType dtype, const BlockGeometry& geometry, const std::byte* block, std::byte* header,
                       std::byte* data, int64_t lane) {
  store_u16(header + 2 * lane, load_u16(block));
  const bool has_minimum = dtype == DType::kQ4_1 || dtype == DType::kQ5_1;
  block += 2;
  if (has_minimum) {
    store_u16(header + 32 + 2 * lane, load_u16(block));
    block += 2;
  }
  if (geometry.bits == 8) {
    for (int64_t i = 0; i < 8; ++i) store_u32(data + (i * kPanel + lane) * 4, load_u32(block + 4 * i) ^ 0x80808080u);
    return;
  }
  if (geometry.bits == 5) {
    store_u32(data + 4 * lane, spread_fifth_bits(load_u32(block)));
    data += 64;
    block += 4;
  }
  for (int64_t i = 0; i < 4; ++i) store_u32(data + (i * kPanel + lane) * 4, load_u32(block + 4 * i));
}

constexpr uint32_t kLowNibbles = 0x0f0f0f0fu;

// Sub-block j of Q4_K and Q5_K: sub-blocks 2p and 2p + 1 share 32 bytes, low and high nibbles. `fifth` holds bit j of
// 32 bytes, or is null.
PackedIntegers pack_k_integers(const std::byte* nibbles, const std::byte* fifth, int64_t j) {
  PackedIntegers packed;
  const std::byte* bytes = nibbles + j / 2 * 32;
  for (int64_t i = 0; i < 4; ++i) {
    const uint32_t first = load_u32(bytes + 4 * i), second = load_u32(bytes + 16 + 4 * i);
    packed.nibbles[i] = j % 2 == 0 ? (first & kLowNibbles) | (second & kLowNibbles) << 4
                                   : (first >> 4 & kLowNibbles) | (second & ~kLowNibbles);
  }
  for (int64_t group = 0; group < 8 && fifth != nullptr; ++group) {
    packed.planes[0] |= (load_u32(fifth + 4 * group) >> j & 0x01010101u) << group;
  }
  return packed;
}

// Sub-block j of Q6_K: of each half of the super-block, sub-blocks 0 and 1 are the low nibbles of 64 bytes, 2 and 3 the
// high ones; bit pair j % 4 of 32 bytes lies above.
PackedIntegers pack_q6_integers(const std::byte* low, const std::byte* high, int64_t j) {
  PackedIntegers packed;
  const std::byte* nibbles = low + j / 4 * 64 + j % 2 * 32;
  const std::byte* pairs = high + j / 4 * 32;
  const int64_t shift = j % 4 < 2 ? 0 : 4;
  for (int64_t i = 0; i < 4; ++i) {
    const uint32_t first = load_u32(nibbles + 4 * i) >> shift, second = load_u32(nibbles + 16 + 4 * i) >> shift;
    packed.nibbles[i] = (first & kLowNibbles) | (second & kLowNibbles) << 4;
    for (int64_t h = 0; h < 2; ++h) {
      packed.planes[h] |= (load_u32(pairs + 16 * h + 4 * i) >> (2 * (j % 4)) & 0x03030303u) << (2 * i);
    }
  }
  return packed;
}

void store_integers(const BlockGeometry& geometry, const PackedIntegers& packed, std::byte* data) {
  const int64_t planes = geometry.bits - 4;
  for (int64_t i = 0; i < planes; ++i) store_u32(data + 64 * i, packed.planes[i]);
  for (int64_t i = 0; i < 4; ++i) store_u32(data + 64 * (planes + i), packed.nibbles[i]);
}

// Twelve bytes hold eight 6-bit scales and eight 6-bit minimums.
void store_k_scales(const std::byte* bytes, std::byte* scales, std::byte* minimums) {
  for (int64_t j = 0; j < 4; ++j) {
    const int sc = byte_at(bytes, j), mn = byte_at(bytes, j + 4), both = byte_at(bytes, j + 8);
    scales[16 * j] = static_cast<std::byte>(sc & 63);
    minimums[16 * j] = static_cast<std::byte>(mn & 63);
    scales[16 * (j + 4)] = static_cast<std::byte>((both & 15) | sc >> 6 << 4);
    minimums[16 * (j + 4)] = static_cast<std::byte>(both >> 4 | mn >> 6 << 4);
  }
}

// A super-block of 256: a whole chunk.
void pack_super_block(DType dtype, const BlockGeometry& geometry, const std::byte* bytes, std::byte* chunk,
                      int64_t lane) {
  std::byte* data = chunk + geometry.header_chunk + 4 * lane;
  if (dtype == DType::kQ6_K) {
    store_u16(chunk + 2 * lane, load_u16(bytes + 208));
    for (int64_t i = 0; i < 16; ++i) chunk[64 + 16 * i + lane] = bytes[192 + i];
    for (int64_t j = 0; j < kChunkBlocks; ++j) {
      store_integers(geometry, pack_q6_integers(bytes, bytes + 128, j), data + j * geometry.block_bytes);
    }
    return;
  }
  store_u16(chunk + 2 * lane, load_u16(bytes));
  store_u16(chunk + 32 + 2 * lane, load_u16(bytes + 2));
  store_k_scales(bytes + 4, chunk + 64 + lane, chunk + 192 + lane);
  const std::byte* fifth = dtype == DType::kQ5_K ? bytes + 16 : nullptr;
  const std::byte* nibbles = bytes + (dtype == DType::kQ5_K ? 48 : 16);
  for (int64_t j = 0; j < kChunkBlocks; ++j) {
    store_integers(geometry, pack_k_integers(nibbles, fifth, j), data + j * geometry.block_bytes);
  }
}

void pack_block_row(const CpuMatrix& matrix, const std::byte* row, std::byte* panel, int64_t lane) {
  const BlockGeometry geometry = block_geometry(matrix.rule);
  const DTypeInfo& info = dtype_info(matrix.stored);
  const int64_t blocks = matrix.inputs / 32;
  for (int64_t first = 0; first < blocks; first += kChunkBlocks) {
    if (info.block_elements == 256) {
      pack_super_block(matrix.stored, geometry, row, panel, lane);
      row += info.block_bytes;
    } else {
      const int64_t n = std::min(kChunkBlocks, blocks - first);
      std::byte* data = panel + geometry.header_bytes(n);
      for (int64_t j = 0; j < n; ++j) {
        pack_simple_block(matrix.stored, geometry, row, panel + j * geometry.header_block,
                          data + j * geometry.block_bytes, lane);
        row += info.block_bytes;
      }
    }
    panel += geometry.chunk_bytes();
  }
}

void pack_panel(const MatrixSource& source, CpuMatrix& matrix, int64_t group, int64_t index, std::byte* scratch) {
  std::byte* panel = matrix.panel(group, index);
  for (int64_t lane = 0; lane < kPanel; ++lane) {
    const int64_t output = index * kPanel + lane;
    if (output >= matrix.outputs) break;
    const std::byte* row = source.row(group, output, scratch);
    switch (matrix.layout) {
      case Layout::kBlocks: pack_block_row(matrix, row, panel, lane); break;
      case Layout::kBytes:
        pack_bytes_row(matrix, row, source.scales[group * matrix.outputs + output], panel, lane);
        break;
      default: pack_float_row(matrix, row, panel, lane); break;
    }
  }
}

}  // namespace

Result<std::unique_ptr<contract::PackedMatrix>> pack(const MatrixSource& source, Rule rule, Work& work) {
  NARU_ASSIGN(std::unique_ptr<CpuMatrix> matrix, make_matrix(source, rule, has_bf16_dot(work)));
  const size_t scratch_bytes = static_cast<size_t>(source.inputs) * 4 + 64;
  work.pool.parallel_for(matrix->groups * matrix->panels, [&](int64_t i, int thread) {
    std::byte* scratch = work.scratch[static_cast<size_t>(thread)].get(scratch_bytes);
    pack_panel(source, *matrix, i / matrix->panels, i % matrix->panels, scratch);
  });
  return std::unique_ptr<contract::PackedMatrix>(std::move(matrix));
}

int64_t packed_bytes(DType stored, Rule rule, int64_t groups, int64_t outputs, int64_t inputs) {
  return groups * ceil_div(outputs, kPanel) * panel_bytes(layout_of(stored, rule, false), rule, inputs);
}

}  // namespace naru::cpu::NARU_LEVEL
