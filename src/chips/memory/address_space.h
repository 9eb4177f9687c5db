// AddressSpace: for chips alone, the number behind a ChipAddress.
#pragma once

#include "tensor/chip_address.h"

namespace naru {

struct AddressSpace {
  static constexpr uint64_t number(ChipAddress address) { return address.number_; }
  static constexpr ChipAddress address(uint64_t number) { return ChipAddress(number); }
};

}  // namespace naru
