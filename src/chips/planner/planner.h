// The planner of a chip: runs every program and computes nothing, so that what the program needs is learnt before
// anything is taken. It checks the shapes of every op and that its views lie in buffers, and counts the op; packed
// matrices and cache pages have the sizes of the chip.
//
// It has no memory: a buffer is a range of numbers apart from all others of the planner. Copies move nothing, packing
// calls for no row. What its chip never gives in one piece (a buffer, a packed matrix, the scratch of an op) is refused
// here already, so that nothing is loaded first; a buffer of contract::kMeasuredBytesMax is none of it.
#pragma once

#include <cstdint>
#include <memory>

#include "contract/chip.h"

namespace naru::planner {

// `of` must outlive the planner; buffers need not have either. `piece_max`: bytes of one piece of its memory.
std::unique_ptr<contract::Chip> make_planner(const contract::Chip& of, int64_t piece_max = INT64_MAX);

}  // namespace naru::planner
