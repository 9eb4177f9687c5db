#include "check/judge_op.h"

namespace naru::check {

Result<bool> settle_outputs(contract::Chip& checked, const OpPlace& place, const contract::Op& op,
                            const std::function<View(size_t)>& view,
                            const std::function<Result<std::vector<uint32_t>>(size_t)>& want,
                            const std::function<std::string()>& also, DifferenceLog& log) {
  std::optional<OpDifference> found;
  const std::vector<OpOutput> outputs = outputs_of(op);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const View& output = outputs[i].view;
    if (!has_values(output)) continue;
    NARU_ASSIGN(const std::vector<uint32_t> wanted, want(i));
    NARU_ASSIGN(const std::vector<uint32_t> got, read_values(checked, view(i)));
    const auto difference = compare_values(output.dtype, output.cols, got, wanted);
    if (!difference) continue;
    NARU_TRY(write_values(checked, view(i), wanted));
    if (!found) {
      found = OpDifference{.place = place,
                           .operands = operands_text(op),
                           .output = std::string(outputs[i].name),
                           .dtype = output.dtype,
                           .rows = output.rows,
                           .cols = output.cols,
                           .values = *difference,
                           .n_outputs = 0,
                           .error = {},
                           .is_absent = false,
                           .also = also()};
    }
    ++found->n_outputs;
  }
  if (!found) return false;
  log.add(*std::move(found));
  return true;
}

Status settle_error(contract::Chip& checked, const OpPlace& place, const contract::Op& op, const Error& error,
                    const std::function<View(size_t)>& view,
                    const std::function<Result<std::vector<uint32_t>>(size_t)>& want, DifferenceLog& log) {
  OpDifference found;
  found.place = place;
  found.operands = operands_text(op);
  found.error = error.message;
  found.is_absent = error.code == Code::kUnsupported;
  log.add(std::move(found));
  const std::vector<OpOutput> outputs = outputs_of(op);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!has_values(outputs[i].view)) continue;
    NARU_ASSIGN(const std::vector<uint32_t> wanted, want(i));
    NARU_TRY(write_values(checked, view(i), wanted));
  }
  return {};
}

Status run_to_end(contract::Chip& chip, const contract::Op& op) {
  NARU_TRY(chip.run(op));
  return chip.wait();
}

}  // namespace naru::check
