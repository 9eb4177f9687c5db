// The few tile instructions that the kernels of AMX use, behind one interface with two implementations: the
// instructions (level amx), and a plain model of them in the arithmetic of the contract (every level), against which
// packing, loops and edges are tested on any machine and real tiles are probed at start.
//
// Eight tiles of 16 rows x 64 bytes: accumulators 0 to 3, rows of activations 4 and 5, weights 6 and 7. Rows of tiles
// lie `stride` bytes apart in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/float_bits.h"
#include "contract/scalar.h"

namespace naru::cpu::NARU_LEVEL {

constexpr int kAmxTileRows = 16;
constexpr int kTileBytes = 1024;

// What the instructions do: docs/arithmetic.md section 3 for bf16; int32 sums that wrap for bytes.
class ModelTiles {
 public:
  template <int kTile>
  void zero() {
    std::memset(tiles_[kTile], 0, kTileBytes);
  }
  template <int kTile>
  void load(const void* from) {
    std::memcpy(tiles_[kTile], from, kTileBytes);
  }
  template <int kTile>
  void store(void* to, int64_t stride) const {
    for (int row = 0; row < kAmxTileRows; ++row) {
      std::memcpy(static_cast<std::byte*>(to) + row * stride, tiles_[kTile] + row * 64, 64);
    }
  }

  // tile kC += tile kA (activations, pairs of bf16) * tile kB (weights, pairs of bf16).
  template <int kC, int kA, int kB>
  void multiply_bf16() {
    for (int m = 0; m < kAmxTileRows; ++m) {
      for (int n = 0; n < 16; ++n) {
        float even = 0.0f, odd = 0.0f;
        for (int k = 0; k < 16; ++k) {
          even = contract::fma(bf16(kA, m, k, 0), bf16(kB, k, n, 0), even);
          odd = contract::fma(bf16(kA, m, k, 1), bf16(kB, k, n, 1), odd);
        }
        const float sum = contract::add(element<float>(kC, m, 4 * n), contract::add(even, odd));
        std::memcpy(tiles_[kC] + m * 64 + 4 * n, &sum, 4);
      }
    }
  }

  // tile kC += tile kA (activations, s8) * tile kB (weights, u8).
  template <int kC, int kA, int kB>
  void multiply_bytes() {
    for (int m = 0; m < kAmxTileRows; ++m) {
      for (int n = 0; n < 16; ++n) {
        uint32_t sum = element<uint32_t>(kC, m, 4 * n);
        for (int k = 0; k < 64; ++k) {
          const int a = element<int8_t>(kA, m, k);
          const int b = element<uint8_t>(kB, k / 4, 4 * n + k % 4);
          sum += static_cast<uint32_t>(a * b);
        }
        std::memcpy(tiles_[kC] + m * 64 + 4 * n, &sum, 4);
      }
    }
  }

 private:
  template <typename T>
  T element(int tile, int row, int byte) const {
    T x;
    std::memcpy(&x, tiles_[tile] + row * 64 + byte, sizeof(T));
    return x;
  }
  float bf16(int tile, int row, int dword, int half) const {
    return bf16_to_f32(element<uint16_t>(tile, row, 4 * dword + 2 * half));
  }

  alignas(64) std::byte tiles_[8][kTileBytes];
};

#if defined(NARU_LEVEL_amx)

// The instructions. The compiler knows nothing of tiles, so the numbers are ours alone; every access to memory is
// declared as one.
class MachineTiles {
 public:
  template <int kTile>
  void zero() {
    __asm__ volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  void load(const void* from) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(int64_t{64}), "i"(kTile) : "memory");
  }
  template <int kTile>
  void store(void* to, int64_t stride) const {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kC, int kA, int kB>
  void multiply_bf16() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
  template <int kC, int kA, int kB>
  void multiply_bytes() {
    __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
};

#endif

}  // namespace naru::cpu::NARU_LEVEL
