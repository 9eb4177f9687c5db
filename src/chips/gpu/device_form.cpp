#include "chips/gpu/device_form.h"

#include <fmt/format.h>

#include <charconv>

namespace naru::gpu {

Result<DeviceForm> parse_device_form(std::string_view chip, std::string_view text) {
  constexpr std::string_view kSoftware = "+software";
  DeviceForm form;
  std::string_view number = text;
  if (number.ends_with(kSoftware)) {
    form.is_software = true;
    number.remove_suffix(kSoftware.size());
  }
  if (text.empty()) return form;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), form.device);
  if (error == std::errc() && end == number.data() + number.size()) return form;
  return Error{Code::kInvalidArgument,
               fmt::format("choosing a chip: there is no form '{0}' of {1}; choose a device by its number, as {1}:0 or "
                           "{1}:0+software",
                           text, chip)};
}

}  // namespace naru::gpu
