// LockStepChip: two chips as one. Memory, matrices and sequences are made on both; every op runs on both from the same
// values; then each of its outputs is read from both and compared. What differs is noted, and the checked chip gets the
// values of the other, so that the next op starts from the same ones again: each op is judged by itself.
//
// Rows of a cache and packed matrices are in forms of the chips' own and cannot be compared: a wrong one shows in the
// ops that read it, each time (OpDifference::also).
//
// Its memory, as its addresses, is that of the chip that is compared with: what is copied out is what that one has. An
// error that both have is the caller's; one that the checked chip alone has is noted.
#pragma once

#include <memory>

#include "check/difference_log.h"
#include "contract/chip.h"

namespace naru::check {

// Both chips and the log must outlive it.
std::unique_ptr<contract::Chip> make_lock_step_chip(contract::Chip& checked, contract::Chip& against,
                                                    DifferenceLog& log);

}  // namespace naru::check
