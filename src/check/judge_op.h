// What of one op two chips, or a chip and a recording, do not have alike: for the chips that run in lock step.
#pragma once

#include <functional>

#include "check/difference_log.h"
#include "check/op_outputs.h"

namespace naru::check {

// Compares the outputs of an op on the checked chip with the values that they should have, notes the first that
// differs, and writes the right ones in its place. `want(i)` are the values of output i, `view(i)` is where the checked
// chip has them. Outputs without values (has_values) are passed over. `also` is asked where one differs: what else may
// be at fault (OpDifference::also). Whether one did.
Result<bool> settle_outputs(contract::Chip& checked, const OpPlace& place, const contract::Op& op,
                            const std::function<View(size_t)>& view,
                            const std::function<Result<std::vector<uint32_t>>(size_t)>& want,
                            const std::function<std::string()>& also, DifferenceLog& log);
// Where the checked chip alone ended with an error: it is noted, and all outputs are written.
Status settle_error(contract::Chip& checked, const OpPlace& place, const contract::Op& op, const Error& error,
                    const std::function<View(size_t)>& view,
                    const std::function<Result<std::vector<uint32_t>>(size_t)>& want, DifferenceLog& log);

// Runs an op and waits for it: an error is of this op.
Status run_to_end(contract::Chip& chip, const contract::Op& op);

}  // namespace naru::check
