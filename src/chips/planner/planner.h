// The planner of a chip: runs every program and computes nothing, so that what the program needs is learnt before
// anything is taken. It checks the shapes of every op and that its views lie in buffers, and counts the op; packed
// matrices and cache pages have the sizes of the chip.
//
// It has no memory: a buffer is a range of numbers apart from all others of the planner. Copies move nothing, packing
// calls for no row.
#pragma once

#include <memory>

#include "contract/chip.h"

namespace naru::planner {

// `of` must outlive the planner; buffers need not have either.
std::unique_ptr<contract::Chip> make_planner(const contract::Chip& of);

}  // namespace naru::planner
