// What can be done with a ChipAddress outside of src/chips/. Compiled by check_chip_address.py, once as it is and once
// with the lines that begin with "//!" in force: none of those may compile.
#include <unordered_map>

#include "contract/chip.h"

namespace {

using naru::ChipAddress;
using naru::View;

[[maybe_unused]] int64_t allowed(ChipAddress a, const View& view) {
  std::unordered_map<ChipAddress, int> map;
  map[view.address] = 1;
  ChipAddress b = a + 64;
  b += 64;
  return b.is_null() || a == b || a < b ? b - a : static_cast<int64_t>(map.size());
}

[[maybe_unused]] void refused([[maybe_unused]] ChipAddress a, [[maybe_unused]] const View& view,
                              [[maybe_unused]] void* pointer) {
  //! *a;
  //! a[0];
  //! a->x;
  //! (void)static_cast<float*>(a);
  //! (void)reinterpret_cast<float*>(a);
  //! (void)(void*)a;
  //! (void)static_cast<uint64_t>(a);
  //! const uint64_t number = a; (void)number;
  //! const void* followed = a; (void)followed;
  //! (void)ChipAddress(pointer);
  //! (void)ChipAddress(uint64_t{64});
  //! const ChipAddress made = 0; (void)made;
  //! (void)View{.address = pointer};
  //! (void)*view.f32();
  //! (void)a.number_;
  //! (void)naru::AddressSpace::number(a);
  //! (void)naru::pointer_of(a);
}

}  // namespace
