// What is the OpenCL chip's own: how it is named, what a machine without a sound driver hears, kept programs that are
// damaged, and what it computes where nothing is left to the hardware. Cases and golden files run on it by
// NARU_TEST_CHIP.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "check/suite.h"
#include "chips/gpu/gpu_chip.h"
#include "chips/opencl/driver.h"
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
#define SKIP_WHERE_ABSENT()                              \
  if (const auto found = opencl::found(); !found.ok()) { \
    EXPECT_EQ(found.error().code, Code::kUnavailable);   \
    GTEST_SKIP() << found.error().message;               \
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

// Flushing, division and roots by the kernels' own text: what a device does that has neither as the contract wants
// them.
TEST(Opencl, SoftwareHasTheSameBits) {
  SKIP_WHERE_ABSENT();
  const auto chip = test::make_chip("opencl:0+software");
  EXPECT_NE(chip->info().detail.find("software flush, software division"), std::string::npos) << chip->info().detail;
  for (const std::string_view op : {"add", "axpby", "silu_mul", "adamw", "rms_norm"}) expect_first_cases(*chip, op, 7);
}

// How many slots a group has is known on the device alone: its segments are those that all slots could fill.
TEST(Opencl, ListsOfSlotsMayHaveFewerSegmentsThanThereIsRoomFor) {
  SKIP_WHERE_ABSENT();
  const auto chip = test::make_chip("opencl");
  for (const char* kind : {"f32/two_experts", "bf16/experts"}) {
    for (const int64_t groups : {3, 64}) {
      const auto c = check::make_case("weight_grad", kind,
                                      {{"slots", {7001}}, {"outputs", {9}}, {"inputs", {20}}, {"groups", {groups}}},
                                      check::Values::kLow);
      const check::Program program = check::build(c);
      EXPECT_EQ(check::difference(program, test::outcome_on(*chip, program), test::reference_outcome(program)), "")
          << check::case_line(c);
    }
  }
}

TEST(Opencl, MemoryThatIsNotThereIsRefusedWithTheNumbers) {
  SKIP_WHERE_ABSENT();
  const auto chip = test::make_chip("opencl");
  const int64_t before = chip->memory().free;
  const auto refused = chip->allocate(int64_t{1} << 50);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("allocating 1048576.00 GiB on chip opencl: "), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find(" are free"), std::string::npos) << refused.error().message;
  EXPECT_GT(before, 0);
  EXPECT_TRUE(chip->allocate(4096).ok());
}

// The driver of a device, one of whose calls fails: the n-th of all.
class FailingDriver : public gpu::Driver {
 public:
  FailingDriver(std::unique_ptr<gpu::Driver> driver, int at) : driver_(std::move(driver)), at_(at) {}
  const gpu::DriverInfo& info() const override { return driver_->info(); }
  void choose(gpu::Software software) override { driver_->choose(software); }
  Result<gpu::Memory> allocate(int64_t bytes) override {
    NARU_TRY(count());
    return driver_->allocate(bytes);
  }
  Status write(gpu::MemoryPlace to, const void* from, int64_t bytes) override {
    NARU_TRY(count());
    return driver_->write(to, from, bytes);
  }
  Status read(void* to, gpu::MemoryPlace from, int64_t bytes) override {
    NARU_TRY(count());
    return driver_->read(to, from, bytes);
  }
  Status launch(const gpu::KernelInfo& kernel, int64_t x, int64_t y, int64_t z,
                std::span<const gpu::Argument> arguments) override {
    NARU_TRY(count());
    return driver_->launch(kernel, x, y, z, arguments);
  }
  Status wait() override {
    NARU_TRY(count());
    return driver_->wait();
  }

 private:
  Status count() {
    if (n_calls_++ != at_) return {};
    return Error{Code::kUnavailable, "the call that was chosen to fail"};
  }
  std::unique_ptr<gpu::Driver> driver_;
  int at_, n_calls_ = 0;
};

// Whichever call of the driver fails, somebody hears of it, and the same chip computes the right bits afterwards.
TEST(Opencl, AnyCallOfTheDriverMayFail) {
  SKIP_WHERE_ABSENT();
  const auto devices = opencl::list_devices().value();
  const check::Program program = check::build(
      check::make_case("matmul", "f32_as_f32/no_bias/three", {{"rows", {3}}, {"inputs", {4096}}, {"outputs", {5}}}));
  const check::Outcome want = test::reference_outcome(program);
  int n_failed = 0;
  for (int at = 0;; ++at) {
    auto driver = opencl::OpenclDriver::open(devices.front()).value();
    driver->choose({.flush = true, .divide = true});  // right whatever the device does
    auto chip = gpu::make_gpu_chip(std::make_unique<FailingDriver>(std::move(driver), at));
    if (!chip.ok()) {
      EXPECT_EQ(chip.error().code, Code::kUnavailable) << at;
      ++n_failed;
      continue;
    }
    const auto first = check::run_program(program, **chip);
    if (first.ok() && first->status.ok()) {
      EXPECT_EQ(check::difference(program, *first, want), "") << at;
      break;
    }
    EXPECT_EQ(first.ok() ? first->status.error().code : first.error().code, Code::kUnavailable) << at;
    const auto again = check::run_program(program, **chip);
    ASSERT_TRUE(again.ok()) << at << again.error().message;
    EXPECT_EQ(check::difference(program, *again, want), "") << at;
    ++n_failed;
  }
  EXPECT_GT(n_failed, 8);
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
    for (const std::string& damaged :
         {std::string(), whole.substr(0, whole.size() / 2), whole.substr(0, 64) + "nonsense"}) {
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
