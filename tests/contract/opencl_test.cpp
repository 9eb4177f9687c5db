// What is the OpenCL chip's own: how it is named, what a machine without a sound driver hears, kept programs that are damaged,
// and what it computes where nothing is left to the hardware. Cases and golden files run on it by NARU_TEST_CHIP.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "check/suite.h"
#include "chips/opencl/opencl_chip.h"
#include "tests/contract/case_rig.h"

namespace naru {
namespace {

namespace fs = std::filesystem;

// A folder of the test, gone behind it.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "naru-opencl-XXXXXX").string();
    NARU_CHECK(::mkdtemp(name.data()) != nullptr, name);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Without a device there is nothing to test but that it is said.
#define SKIP_WHERE_ABSENT()                                      \
  if (const auto found = opencl::found(); !found.ok()) {         \
    EXPECT_EQ(found.error().code, Code::kUnavailable);           \
    GTEST_SKIP() << found.error().message;                       \
  }

TEST(Opencl, FormsAreDevicesByNumber) {
  for (const char* form : {"x", "-1", "0+soft", "+software", "1x", "99999999999999999999"}) {
    const auto chip = chips::make_chip(std::string("opencl:") + form);
    ASSERT_FALSE(chip.ok()) << form;
    EXPECT_EQ(chip.error().code, Code::kInvalidArgument) << form;
    EXPECT_NE(chip.error().message.find("opencl:0"), std::string::npos) << chip.error().message;
  }
  SKIP_WHERE_ABSENT();
  const auto none = chips::make_chip("opencl:9999");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, Code::kNotFound) << none.error().message;
}

// In a process of its own, which no driver was loaded into before: what found() says where the loader finds the file.
void say_what_is_found(const fs::path& folder, const std::string& library) {
  std::ofstream(folder / "driver.icd") << library << "\n";
  ::setenv("OCL_ICD_VENDORS", folder.c_str(), 1);
  ::setenv("OCL_ICD_FILENAMES", "", 1);
  const auto found = opencl::found();
  const auto chip = opencl::make_opencl_chip("");
  std::cerr << (found.ok() ? "found " + *found : found.error().message) << "\n"
            << (chip.ok() ? "made" : "not made: " + chip.error().message) << "\n";
  std::exit(0);
}

TEST(OpenclDeathTest, ADriverThatCrashesIsReported) {
  SKIP_WHERE_ABSENT();
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Folder folder;
  EXPECT_EXIT(say_what_is_found(folder.path(), NARU_CRASHING_DRIVER), ::testing::ExitedWithCode(0),
              "crashed when it was loaded \\(signal 11\\)[^\n]*\n[^\n]*not made: .*crashed");
}

TEST(OpenclDeathTest, NoDriverIsReported) {
  SKIP_WHERE_ABSENT();
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Folder folder;
  EXPECT_EXIT(say_what_is_found(folder.path(), "/nowhere/libnothing.so"), ::testing::ExitedWithCode(0),
              "no driver is installed; install a vendor's OpenCL driver");
}

void expect_first_cases(contract::Chip& chip, std::string_view op, size_t every) {
  const auto cases = check::find_suite(op)->cases();
  for (size_t i = 0; i < cases.size(); i += every) {
    if (cases[i].is_large) continue;
    const check::Program program = check::build(cases[i]);
    ASSERT_EQ(check::difference(program, test::outcome_on(chip, program), test::reference_outcome(program)), "")
        << check::case_line(cases[i]);
  }
}

// Flushing, division and roots by the kernels' own text: what a device does that has neither as the contract wants them.
TEST(Opencl, SoftwareHasTheSameBits) {
  SKIP_WHERE_ABSENT();
  const auto chip = test::make_chip("opencl:0+software");
  EXPECT_NE(chip->info().detail.find("software flush, software division"), std::string::npos) << chip->info().detail;
  for (const std::string_view op : {"add", "axpby", "silu_mul", "adamw", "rms_norm"}) expect_first_cases(*chip, op, 7);
}

// Kept programs that are cut, changed or empty are made again.
TEST(Opencl, DamagedProgramsAreMadeAgain) {
  SKIP_WHERE_ABSENT();
  const Folder folder;
  ::setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
  const auto run = [] {
    const auto chip = test::make_chip("opencl");
    expect_first_cases(*chip, "fill", 50);
  };
  run();
  const fs::path kept = folder.path() / "naru" / "kernels";
  ASSERT_TRUE(fs::exists(kept));
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(kept)) files.push_back(entry.path());
  ASSERT_EQ(files.size(), 2u) << "the probe and the elements";
  const auto bytes_of = [](const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  for (const fs::path& file : files) {
    const std::string whole = bytes_of(file);
    for (const std::string& damaged : {std::string(), whole.substr(0, whole.size() / 2), whole.substr(0, 64) + "nonsense"}) {
      std::ofstream(file, std::ios::binary) << damaged;
      run();
      EXPECT_GT(bytes_of(file).size(), 64u);
      EXPECT_NE(bytes_of(file), damaged);
    }
    std::string flipped = whole;
    flipped[flipped.size() / 2] ^= 1;
    std::ofstream(file, std::ios::binary) << flipped;
    run();
    EXPECT_NE(bytes_of(file), flipped);
  }
  ::unsetenv("XDG_CACHE_HOME");
}

}  // namespace
}  // namespace naru
