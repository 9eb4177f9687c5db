// Golden files: tests/fixtures/golden/*.txt hold one line "name sha256" for each case, made once by the reference chip
// with NARU_GOLDEN_WRITE=1 and committed. Every chip, level and machine must reproduce them: a difference means that
// the arithmetic changed, or that a chip is not exact.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

#include "base/sha256.h"
#include "contract/scalar.h"
#include "tests/contract/cpu_chips.h"

namespace naru {

using GoldenHashes = std::map<std::string, std::string>;

inline std::string golden_path(const std::string& file) {
  return std::string(NARU_TEST_DATA) + "/golden/" + file;
}

inline bool is_writing_golden() {
  return std::getenv("NARU_GOLDEN_WRITE") != nullptr;
}

inline GoldenHashes read_golden(const std::string& file) {
  GoldenHashes hashes;
  std::ifstream in(golden_path(file));
  std::string name, hash;
  while (in >> name >> hash) hashes[name] = hash;
  return hashes;
}

inline void write_golden(const std::string& file, const GoldenHashes& hashes) {
  std::ofstream out(golden_path(file));
  for (const auto& [name, hash] : hashes) out << name << ' ' << hash << '\n';
}

// SHA-256 of the bits of n floats, every NaN as 0x7fc00000.
inline std::string hash_floats(const float* values, size_t n) {
  Sha256 hash;
  for (size_t i = 0; i < n; ++i) {
    const uint32_t bits = contract::canonical_bits(values[i]);
    hash.update({reinterpret_cast<const std::byte*>(&bits), sizeof(bits)});
  }
  return hash.finish_hex();
}

using test::cpu_chips;
using test::NamedChip;

// Compares with the file, or, when writing, keeps what the reference chip gave.
inline void expect_golden(const std::string& file, const GoldenHashes& found, const std::string& chip) {
  const GoldenHashes wanted = read_golden(file);
  EXPECT_EQ(found.size(), wanted.size()) << chip;
  for (const auto& [name, hash] : found) {
    const auto row = wanted.find(name);
    EXPECT_TRUE(row != wanted.end() && row->second == hash)
        << name << " on " << chip << ": " << hash << ", the golden file has "
        << (row == wanted.end() ? "no such case" : row->second);
  }
}

}  // namespace naru
