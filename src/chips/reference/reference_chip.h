// The reference chip: docs/arithmetic.md as plain loops on one thread, made of the scalar operations of
// contract/scalar.h. It is the definition of the bits and is never optimised. Host memory, no levels, no threads.
#pragma once

#include <memory>

#include "contract/chip.h"

namespace naru::reference {

std::unique_ptr<contract::Chip> make_reference_chip();

}  // namespace naru::reference
