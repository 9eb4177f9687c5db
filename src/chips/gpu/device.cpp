#include "chips/gpu/device.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "base/memory.h"
#include "chips/memory/address_space.h"

namespace naru::gpu {
namespace {

// Far from every address that a system maps; memories lie apart, so that running over the end of one is noticed.
constexpr uint64_t kFirstAddress = uint64_t{0x69b0'0000'0000'0000};
constexpr int64_t kGap = int64_t{1} << 20;
// Launch numbers are an int on the device.
constexpr int64_t kNumbersMax = (int64_t{1} << 31) - 2;
constexpr int64_t kArenaStep = 4096;

}  // namespace

Device::Device(std::unique_ptr<Driver> driver) : driver_(std::move(driver)), next_address_(kFirstAddress) {}

Status Device::open() {
  NARU_ASSIGN(status_, take(64));
  return {};
}

Result<Memory> Device::take(int64_t bytes) {
  NARU_TRY(usable());
  const DriverInfo& info = driver_->info();
  const int64_t left = info.memory_bytes - used_bytes_;
  if (bytes > left) {
    return Error{Code::kResourceExhausted,
                 fmt::format("allocating {} on chip {}: {} of its {} are free; use a smaller model, context or batch",
                             format_bytes(bytes), info.chip, format_bytes(left), format_bytes(info.memory_bytes))};
  }
  if (bytes > info.allocation_max) {
    return Error{Code::kResourceExhausted,
                 fmt::format("allocating {} on chip {}: its driver gives {} at once at most; use a smaller model, "
                             "context or batch",
                             format_bytes(bytes), info.chip, format_bytes(info.allocation_max))};
  }
  NARU_ASSIGN(Memory memory, driver_->allocate(bytes));
  used_bytes_ += memory->bytes();
  return memory;
}

ChipAddress Device::map(Memory memory) {
  const uint64_t begin = next_address_;
  next_address_ += static_cast<uint64_t>(round_up(memory->bytes() + kGap, kGap));
  ranges_.emplace(begin, std::move(memory));
  return AddressSpace::address(begin);
}

void Device::unmap(ChipAddress begin) {
  ranges_.erase(AddressSpace::number(begin));
}

MemoryPlace Device::place(ChipAddress address, int64_t bytes) const {
  if (address.is_null()) return {status_.get(), 0};
  const uint64_t number = AddressSpace::number(address);
  const auto behind = ranges_.upper_bound(number);
  NARU_CHECK(behind != ranges_.begin(), "an address of no buffer", number);
  const auto& [begin, memory] = *std::prev(behind);
  const auto offset = static_cast<int64_t>(number - begin);
  NARU_CHECK(offset + bytes <= memory->bytes(), "memory outside of its buffer", offset, bytes, memory->bytes());
  return {memory.get(), offset};
}

MemoryPlace Device::place(const View& view) const {
  const bool is_none = view.rows == 0 || view.cols == 0;
  const int64_t elements = is_none ? 0 : (view.rows - 1) * view.row_stride + view.cols;
  return place(is_none ? ChipAddress() : view.address, elements * view.element_bytes());
}

Status Device::begin_op(std::string_view op, const contract::Place& place, const ScratchSlots& slots) {
  op_ = op, place_ = place, slots_ = slots;
  const int64_t bytes = total_bytes(slots);
  if (bytes <= bytes_of(arena_)) return {};
  // What is queued keeps the old one until it is done.
  give_back(bytes_of(arena_));
  arena_ = nullptr;
  NARU_ASSIGN(arena_, take(round_up(bytes, kArenaStep)));
  return {};
}

Result<MemoryPlace> Device::scratch(size_t slot, int64_t bytes) const {
  NARU_CHECK(slot < kScratchSlots && bytes <= slots_[slot], "an op takes more than was planned", op_, slot, bytes,
             slots_[slot]);
  if (bytes == 0) return place(View{});
  ScratchSlots before{};
  std::copy_n(slots_.begin(), slot, before.begin());
  return MemoryPlace{arena_.get(), total_bytes(before)};
}

int64_t Device::groups_of(std::string_view kernel, int64_t items) {
  return ceil_div(items, kernel_of(kernel).items_x);
}

void Device::push(const View& view) {
  push(place(view));
  push(view.row_stride);
}

Status Device::launch(const KernelInfo& kernel, Groups groups) {
  NARU_TRY(usable());
  if (groups.x == 0 || groups.y == 0 || groups.z == 0) return {};
  ++uses_[{op_, kernel.name}];
  return driver_->launch(kernel, groups.x, groups.y, groups.z, arguments_);
}

Result<MemoryPlace> Device::watch(int64_t rows, Describe describe) {
  NARU_CHECK(number_ < kNumbersMax, "more launches than numbers", number_);
  const int64_t bytes = std::max<int64_t>(rows, 1) * 8;
  if (marks_ == nullptr || marks_->bytes() < bytes) {
    if (marks_ != nullptr) give_back(marks_->bytes());
    marks_ = nullptr;
    NARU_ASSIGN(marks_, take(std::max<int64_t>(bytes, 4096)));
  }
  watched_.push_back({number_ + 1, rows, marks_, std::move(describe), place_});
  return MemoryPlace{marks_.get(), 0};
}

Status Device::usable() const {
  if (lost_.has_value()) return *lost_;
  return {};
}

Status Device::check() {
  NARU_TRY(usable());
  int32_t failed = 0;
  Status status = driver_->read(&failed, {status_.get(), 0}, 4);
  const std::deque<Watched> watched = std::exchange(watched_, {});
  if (number_ > kNumbersMax / 2) number_ = 0;
  if (status.ok() && failed == 0) return status;
  if (status.ok()) status = error_of(failed, watched);
  clear_failure();
  return status;
}

Error Device::error_of(int32_t number, const std::deque<Watched>& watched) {
  const auto found = std::find_if(watched.begin(), watched.end(), [&](const Watched& w) { return w.number == number; });
  if (found == watched.end()) {
    return Error{Code::kInternal,
                 fmt::format("running ops on chip {}: launch {} failed, and none of that number can; the "
                             "device or its driver is at fault, run `naru check --chip {}`",
                             info().chip, number, info().chip)};
  }
  std::vector<int32_t> marks(static_cast<size_t>(2 * found->rows));
  Status status = driver_->read(marks.data(), {found->marks.get(), 0}, 8 * found->rows);
  if (!status.ok()) return std::move(status).error();
  return contract::at_place(found->describe(marks), found->place);
}

void Device::clear_failure() {
  if (marks_ != nullptr) give_back(marks_->bytes());
  marks_ = nullptr;
  const int32_t none = 0;
  const Status status = driver_->write({status_.get(), 0}, &none, 4);
  if (status.ok()) return;
  lost_ = contract::at_place(
      {status.error().code,
       fmt::format("running {}, or what was queued before it, on chip {}: the device is lost to this process, since "
                   "its status could not be written after an error ({}); start naru again",
                   op_, info().chip, status.error().message)},
      place_);
}

std::vector<contract::KernelUse> Device::kernel_uses() const {
  std::vector<contract::KernelUse> uses;
  for (const auto& [names, calls] : uses_) uses.push_back({names.first, names.second, calls});
  return uses;
}

}  // namespace naru::gpu
