// Panels of outputs (chips/cpu/packed.h) and blocks of rows (matmul_plan.h) made from f32 views, by all threads: a
// packed matrix that is refreshed every step, and both operands of a product of two views. Where K runs down the rows
// of the view, sixteen columns are one vector of a panel and nothing has to be turned; else blocks of 16 x 16 are
// transposed.
#pragma once

#include "chips/cpu/kernels/matmul_plan.h"

namespace naru::cpu::NARU_LEVEL {

// n outputs (or rows) of `inputs` elements each. Not transposed: view [n, inputs]; transposed: view [.., n], where
// input k lies in row rows[k], or k where `rows` is null.
struct Operand {
  View view;
  bool is_transposed = false;
  int64_t n = 0;
  int64_t inputs = 0;
  const int32_t* rows = nullptr;
};

// Where an operand goes: panels of kF32, kPairs or kDotPairs.
struct PanelTarget {
  Layout layout = Layout::kF32;
  bool is_rounded_first = false;  // kF32: values are rounded to bf16
  std::byte* panels = nullptr;    // of panel_begin
  int64_t panel_bytes = 0;
  int64_t panel_begin = 0;
  int64_t panel_end = 0;
};

// A part of the work of one thread: panels [begin, end) of a target or blocks [begin, end), and inputs
// [input_begin, input_end).
struct FillPart {
  const Operand* operand = nullptr;
  const PanelTarget* target = nullptr;  // null: blocks
  const RowBlock* blocks = nullptr;     // of transposed operands, or of others: whole rows
  int64_t begin = 0;
  int64_t end = 0;
  int64_t input_begin = 0;
  int64_t input_end = 0;
};

// Cuts into parts; what they point to must outlive run_parts().
void add_panel_parts(const Operand& operand, const PanelTarget& target, std::vector<FillPart>& parts);
void add_block_parts(const Operand& operand, const RowBlock* blocks, int64_t n_blocks, std::vector<FillPart>& parts);
void run_parts(const std::vector<FillPart>& parts, Work& work);

}  // namespace naru::cpu::NARU_LEVEL
