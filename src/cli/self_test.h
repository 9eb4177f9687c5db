// The quick self test of naru doctor: a few ops of the golden file on every chip and level of this machine, against the
// reference chip, bit by bit. What the tests do in full.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace naru::cli {

struct SelfTest {
  int n_ops = 0;                         // that ran on each
  std::vector<std::string> forms;        // "cpu:avx2": those of this machine
  std::vector<std::string> not_made;     // of those that should be here (NARU_CPU may forbid them)
  std::vector<std::string> differences;  // "cpu:avx2, matmul/f32_as_f32/rows_9: ..."; empty: the bits are right
};

// An error where the reference chip could not run them, or another had no memory.
Result<SelfTest> run_self_test();

}  // namespace naru::cli
