#include "chips/opencl/opencl_chip.h"

#include <fmt/format.h>

#include <charconv>

#include "chips/gpu/gpu_chip.h"
#include "chips/gpu/probe.h"
#include "chips/opencl/devices.h"
#include "chips/opencl/driver.h"

namespace naru::opencl {
namespace {

constexpr std::string_view kSoftware = "+software";

struct Form {
  size_t device = 0;
  bool is_software = false;
};

Result<Form> parse_form(std::string_view text) {
  Form form;
  std::string_view number = text;
  if (number.ends_with(kSoftware)) {
    form.is_software = true;
    number.remove_suffix(kSoftware.size());
  }
  if (text.empty()) return form;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), form.device);
  if (error == std::errc() && end == number.data() + number.size()) return form;
  return Error{
      Code::kInvalidArgument,
      fmt::format("choosing a chip: there is no form '{}' of opencl; choose a device by its number, as opencl:0 or "
                  "opencl:0+software",
                  text)};
}

// Leaves to the hardware what it does as the contract says.
Status choose_exact(OpenclDriver& driver, bool is_software) {
  Software software{is_software, is_software};
  driver.choose(software);
  NARU_ASSIGN(gpu::ProbeFindings findings, gpu::probe(driver));
  if (findings.adds_and_multiplies && findings.divides) return {};
  software.flush = software.flush || !findings.adds_and_multiplies;
  driver.choose(software);
  NARU_ASSIGN(findings, gpu::probe(driver));
  if (findings.adds_and_multiplies && !findings.divides) {
    software.divide = true;
    driver.choose(software);
    NARU_ASSIGN(findings, gpu::probe(driver));
  }
  if (findings.adds_and_multiplies && findings.divides) return {};
  return Error{Code::kUnsupported,
               fmt::format("opening chip opencl ({}): {}, so it cannot be exact; use another device or chip cpu",
                           driver.info().device, findings.first_difference)};
}

}  // namespace

Result<std::string> found() {
  return found_devices();
}

Result<std::unique_ptr<contract::Chip>> make_opencl_chip(std::string_view text) {
  NARU_ASSIGN(const Form form, parse_form(text));
  NARU_ASSIGN(const std::string all, found_devices());
  NARU_ASSIGN(const std::vector<DeviceFacts> devices, list_devices());
  if (form.device >= devices.size()) {
    return Error{Code::kNotFound,
                 fmt::format("choosing chip opencl:{}: there is no device {}, only {}; choose one that there is", text,
                             form.device, all)};
  }
  const DeviceFacts& device = devices[form.device];
  if (const std::string why_not = why_not_exact(device); !why_not.empty()) {
    return Error{Code::kUnsupported,
                 fmt::format("opening chip opencl ({}): {}, so it cannot be exact; use another device or "
                             "chip cpu",
                             device.name, why_not)};
  }
  NARU_ASSIGN(std::unique_ptr<OpenclDriver> driver, OpenclDriver::open(device));
  NARU_TRY(choose_exact(*driver, form.is_software));
  return gpu::make_gpu_chip(std::move(driver));
}

}  // namespace naru::opencl
