// The null chip: runs every program and computes nothing. It checks the shapes of every op and counts them, so that
// memory and schedules can be planned and tested with no chip at all. Its memory is address space without pages.
#pragma once

#include <memory>

#include "contract/chip.h"

namespace naru::null {

std::unique_ptr<contract::Chip> make_null_chip();

}  // namespace naru::null
