// What the tests of the OpenCL chip's own share: its first device, folders, cases.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "check/suite.h"
#include "chips/opencl/driver.h"
#include "chips/opencl/opencl_chip.h"
#include "tests/contract/case_rig.h"

namespace naru::test {

// A folder of the test, gone behind it.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "naru-opencl-XXXXXX").string();
    NARU_CHECK(::mkdtemp(name.data()) != nullptr, name);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Without a device there is nothing to test but that it is said.
#define SKIP_WHERE_ABSENT()                              \
  if (const auto found = opencl::found(); !found.ok()) { \
    EXPECT_EQ(found.error().code, Code::kUnavailable);   \
    GTEST_SKIP() << found.error().message;               \
  }

inline void expect_first_cases(contract::Chip& chip, std::string_view op, size_t every) {
  const auto cases = check::find_suite(op)->cases();
  for (size_t i = 0; i < cases.size(); i += every) {
    if (cases[i].is_large) continue;
    const check::Program program = check::build(cases[i]);
    ASSERT_EQ(check::difference(program, outcome_on(chip, program), reference_outcome(program)), "")
        << check::case_line(cases[i]);
  }
}

inline std::unique_ptr<gpu::Driver> first_device(const opencl::Api& api = *opencl::load_api().value()) {
  auto driver = opencl::OpenclDriver::open(api, opencl::list_devices().value().front()).value();
  driver->choose({.flush = true, .divide = true});  // right whatever the device does
  return driver;
}

}  // namespace naru::test
