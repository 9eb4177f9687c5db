// ChipAddress: a place in the memory of a chip. It is a number in a space that the chip defines (a pointer; a buffer
// and an offset), which nobody but the chip can follow: there is no dereference, and only src/chips/ knows the number
// (chips/memory/address_space.h). Others move it by bytes, take differences within one buffer, and compare.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace naru {

struct AddressSpace;

class ChipAddress {
 public:
  constexpr ChipAddress() = default;  // null: no memory

  constexpr bool is_null() const { return number_ == 0; }
  constexpr ChipAddress operator+(int64_t bytes) const { return ChipAddress(number_ + static_cast<uint64_t>(bytes)); }
  constexpr ChipAddress& operator+=(int64_t bytes) { return *this = *this + bytes; }
  // Bytes from b to a, which lie in one buffer.
  friend constexpr int64_t operator-(ChipAddress a, ChipAddress b) {
    return static_cast<int64_t>(a.number_ - b.number_);
  }
  // A total order; within a buffer that of the bytes.
  friend constexpr auto operator<=>(ChipAddress, ChipAddress) = default;

 private:
  friend struct AddressSpace;
  friend struct std::hash<ChipAddress>;
  explicit constexpr ChipAddress(uint64_t number) : number_(number) {}

  uint64_t number_ = 0;
};

}  // namespace naru

template <>
struct std::hash<naru::ChipAddress> {
  size_t operator()(naru::ChipAddress address) const { return std::hash<uint64_t>()(address.number_); }
};
