// The CPU chip's form of a matrix: K-major panels of 16 outputs. A panel holds all inputs of its outputs in the order
// in which kernels read them, so a product streams each panel once, front to back. Absent outputs of the last panel,
// and inputs that fill up a block, are zero weights.
//
//   layout     one step of K       what lies in a step (o = output 0..15 of the panel)
//   kF32       1 input             f32 [o]
//   kF16       1 input             f16 [o], widened by the kernel (rule f32)
//   kBF16      1 input             bf16 [o], widened by the kernel (rule f32)
//   kPairs     block of 32         16 x dword [o], dword i = inputs (2i, 2i + 1), low half first: a tile of AMX
//   kDotPairs  block of 32         16 x dword [o]: for VDPBF16PS, which adds the high half first. Dwords 0..7 are
//                                  the even chain (high 4i, low 4i + 2), dwords 8..15 the odd chain (high 4i + 1,
//                                  low 4i + 3)
//   kBytes     block of 32         rule w8a8. First 16 f32 scales of the outputs; then 8 x dword [o] of four inputs,
//                                  each q + 128 as u8; filled up to pairs of blocks (a tile of AMX)
//   kBlocks    chunk of 256        GGUF kinds; below
//
// A chunk holds up to eight blocks of 32 (the last chunk of a panel may hold fewer): a header with the scales of all of
// them, padded to 64 bytes, then the integers of each block.
//   header: Q8_0 Q4_0 Q5_0   a block: f16 d[o]
//           Q4_1 Q5_1        a block: f16 d[o], f16 m[o]
//           Q4_K Q5_K        f16 d[o], f16 dmin[o], u8 sc[8][o], u8 mn[8][o]
//           Q6_K             f16 d[o], 32 bytes unused, i8 sc[16][o]
//   integers, always >= 0 (offset 128, 8, 16 or 32 added), in groups of four inputs, a dword an output:
//           8 bits   8 x dword [o]
//           4 bits   4 x dword [o]: low nibbles group j, high nibbles group j + 4
//           5 bits   first a plane of fifth bits, byte [o][4]: bit g of byte b is input 4g + b; then as 4 bits
//           6 bits   first two planes of bit pairs, byte [o][4]: pair j of plane h is group 4h + j; then as 4 bits
#pragma once

#include <cstdint>
#include <memory>

#include "base/checked.h"
#include "chips/cpu/memory.h"
#include "contract/kinds.h"
#include "contract/matrix.h"

namespace naru::cpu {

constexpr int64_t kPanel = 16;       // outputs of a panel
constexpr int64_t kChunkBlocks = 8;  // blocks of 32 in a chunk
constexpr int64_t kW8A8InputsMax = 131072;

enum class Layout : uint8_t { kF32, kF16, kBF16, kPairs, kDotPairs, kBytes, kBlocks };

class CpuMatrix : public contract::PackedMatrix {
 public:
  ~CpuMatrix() override;

  const std::byte* panel(int64_t group, int64_t index) const {
    return memory.data() + (group * panels + index) * panel_bytes;
  }
  std::byte* panel(int64_t group, int64_t index) { return memory.data() + (group * panels + index) * panel_bytes; }

  Layout layout = Layout::kF32;
  int64_t panels = 0;       // of a group
  int64_t panel_bytes = 0;  // a multiple of 64
  Memory memory;
};

// Geometry of the kinds in Layout::kBlocks.
struct BlockGeometry {
  int bits;              // of an integer
  int offset;            // added to make it >= 0
  int64_t header_block;  // header bytes a block; 0 where the chunk has one header of fixed size
  int64_t header_chunk;  // header bytes of a full chunk
  int64_t block_bytes;   // integer bytes of a block

  constexpr int64_t chunk_bytes() const { return header_chunk + kChunkBlocks * block_bytes; }
  constexpr int64_t header_bytes(int64_t blocks) const {
    return header_block == 0 ? header_chunk : (blocks * header_block + 63) / 64 * 64;
  }
};

constexpr BlockGeometry block_geometry(contract::Rule rule) {
  switch (rule) {
    case contract::Rule::kQ8_0: return {8, 128, 32, 256, 512};
    case contract::Rule::kQ4_0: return {4, 8, 32, 256, 256};
    case contract::Rule::kQ4_1: return {4, 0, 64, 512, 256};
    case contract::Rule::kQ5_0: return {5, 16, 32, 256, 320};
    case contract::Rule::kQ5_1: return {5, 0, 64, 512, 320};
    case contract::Rule::kQ4_K: return {4, 0, 0, 320, 256};
    case contract::Rule::kQ5_K: return {5, 0, 0, 320, 320};
    case contract::Rule::kQ6_K: return {6, 32, 0, 320, 384};
    default: return {0, 0, 0, 0, 0};
  }
}

// The layout that a source takes under a rule; `bf16_dot` chooses between kDotPairs and kPairs.
Layout layout_of(DType stored, contract::Rule rule, bool bf16_dot);
int64_t panel_bytes(Layout layout, contract::Rule rule, int64_t inputs);

// An empty matrix with its memory, all weights zero; refuses what the rule cannot hold.
Result<std::unique_ptr<CpuMatrix>> make_matrix(const contract::MatrixSource& source, contract::Rule rule,
                                               bool bf16_dot);

}  // namespace naru::cpu
