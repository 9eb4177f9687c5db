// The null chip: runs every program and computes nothing. It checks the shapes of every op and counts them, so that
// memory and schedules can be planned and tested with no chip at all.
//
// It has no memory: a buffer is a range of numbers beyond every address that a system can map, apart from all others of
// the chip and aligned as memory would be. Views of them can be cut and compared; reading one is a fault at once.
#pragma once

#include <memory>

#include "contract/chip.h"

namespace naru::null {

std::unique_ptr<contract::Chip> make_null_chip();

}  // namespace naru::null
