// What is the OpenCL chip's own: how it is named, what a machine without a sound driver hears, and what it computes
// where nothing is left to the hardware. Cases and golden files run on it by NARU_TEST_CHIP.
#include <algorithm>
#include <array>
#include <fstream>

#include "chips/gpu/gpu_chip.h"
#include "chips/gpu/probe.h"
#include "tests/contract/opencl_rig.h"

namespace naru {
namespace {

namespace fs = std::filesystem;
using opencl::Int;
using test::expect_first_cases;
using test::Folder;

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
  std::cerr << (found.ok() ? "found " + found->words() : found.error().message) << "\n"
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

// Flushing, division and roots by the kernels' own text: what a device does that has neither as the contract wants
// them.
TEST(Opencl, SoftwareHasTheSameBits) {
  SKIP_WHERE_ABSENT();
  const auto chip = test::make_chip("opencl:0+software");
  EXPECT_NE(chip->info().detail.find("software flush, software division, int8 by scalars"), std::string::npos)
      << chip->info().detail;
  for (const std::string_view op : {"add", "axpby", "silu_mul", "adamw", "rms_norm"}) expect_first_cases(*chip, op, 7);
  for (const char* kind : {"f32_as_f32/no_bias/one", "bf16_as_bf16/no_bias/one", "i8_as_w8a8/no_bias/one"}) {
    const check::Program program = check::build(
        check::make_case("matmul", kind, {{"rows", {9}}, {"inputs", {100}}, {"outputs", {70}}}, check::Values::kLow));
    EXPECT_EQ(check::difference(program, test::outcome_on(*chip, program), test::reference_outcome(program)), "")
        << kind;
  }
  for (const std::string_view op : {"product", "weight_grad", "attention"}) expect_first_cases(*chip, op, 97);
}

// Tiles of float products by the text for processors, with registers of eight floats and of sixteen, whatever this
// device has.
std::string options_seen;
Int see_options(opencl::ProgramId program, opencl::Uint n, const opencl::DeviceId* devices, const char* options,
                void (*done)(opencl::ProgramId, void*), void* data) {
  options_seen = options;
  return opencl::load_api().value()->build_program(program, n, devices, options, done, data);
}
bool has_seen(std::string_view option) {
  return options_seen.find(option) != std::string::npos;
}

TEST(Opencl, ProcessorsHaveTheSameBitsWithRegistersOfAnyWidth) {
  SKIP_WHERE_ABSENT();
  opencl::Api api = *opencl::load_api().value();
  api.build_program = see_options;
  opencl::DeviceFacts device = opencl::list_devices().value().front();
  const bool divides = (device.float_config & opencl::kFpCorrectlyRoundedDivideSqrt) != 0;
  auto as_it_is = opencl::OpenclDriver::open(api, device).value();
  ASSERT_TRUE(gpu::choose_exact(*as_it_is, {.divide = !divides}).ok());
  device.type = opencl::kDeviceTypeCpu;
  for (const int64_t vector_floats : {8, 16}) {
    device.vector_floats = vector_floats;
    auto driver = opencl::OpenclDriver::open(api, device).value();
    driver->choose(as_it_is->info().software);
    const auto chip = gpu::make_gpu_chip(std::move(driver)).value();
    for (const char* line : {"matmul f32_as_f32/bias/one rows=2 outputs=1 inputs=1",
                             "matmul f32_as_f32/bias/one rows=65 outputs=70 inputs=97",
                             "matmul f32_as_f32/bias/one rows=130 outputs=128 inputs=2081",
                             "product f32/a_columns/b_rows rows=9 outputs=33 inputs=31",
                             "product f32/a_rows/b_columns rows=72 outputs=65 inputs=33",
                             "matmul bf16_as_bf16/bias/one rows=7 outputs=33 inputs=31",
                             "matmul bf16_as_bf16/bias/one rows=65 outputs=70 inputs=2081",
                             "product bf16/a_rows/b_rows rows=66 outputs=80 inputs=65"}) {
      const check::Program program = check::build(*check::parse_case(line));
      EXPECT_EQ(check::difference(program, test::outcome_on(*chip, program), test::reference_outcome(program)), "")
          << line << " by registers of " << vector_floats;
    }
    for (const contract::KernelUse& use : chip->kernel_uses()) {
      EXPECT_TRUE(use.kernel.ends_with("_tiles") || use.kernel == "join_segments") << use.kernel;
    }
    EXPECT_TRUE(has_seen("-D NARU_NARROW")) << options_seen;
    EXPECT_EQ(has_seen("-D NARU_VECTOR=16"), vector_floats == 16) << options_seen;
  }
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

// KiB of this process that a process which it forks does not get.
int64_t unforked_kib() {
  std::ifstream maps("/proc/self/smaps");
  int64_t size = 0, sum = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.starts_with("Size:")) size = std::stoll(line.substr(5));
    if (line.starts_with("VmFlags:") && line.find(" dc") != std::string::npos) sum += size;
  }
  return sum;
}

TEST(Opencl, MemoryThatADeviceSharesIsNotForked) {
  SKIP_WHERE_ABSENT();
  const auto driver = test::first_device();
  if (!driver->info().is_host_memory) GTEST_SKIP() << "a device with a memory of its own";
  const int64_t before = unforked_kib();
  const auto memory = driver->allocate(int64_t{1} << 20);
  ASSERT_TRUE(memory.ok());
  EXPECT_EQ(unforked_kib(), before + 1024);
}

// Of a driver that says what is free; numbers that cannot be are none.
size_t said_free_kib = 0;
Int say_free(opencl::DeviceId, opencl::Uint what, size_t bytes, void* value, size_t*) {
  if (what != opencl::kDeviceFreeMemoryAmd || bytes != 2 * sizeof(size_t)) return -30;
  static_cast<size_t*>(value)[0] = said_free_kib;
  return opencl::kSuccess;
}

TEST(Opencl, FreeMemoryIsWhatTheDriverSays) {
  opencl::Api api{};
  api.get_device_info = say_free;
  const int64_t all = int64_t{4} << 30;
  for (const auto& [kib, bytes] : {std::pair<size_t, int64_t>{1 << 20, int64_t{1} << 30},
                                   {4 << 20, all},
                                   {0, all},
                                   {(4 << 20) + 1, all},
                                   {~size_t{0}, all}}) {
    said_free_kib = kib;
    EXPECT_EQ(opencl::free_bytes_of(api, nullptr, all), bytes) << kib;
  }
  api.get_device_info = [](opencl::DeviceId, opencl::Uint, size_t, void*, size_t*) { return Int{-30}; };
  EXPECT_EQ(opencl::free_bytes_of(api, nullptr, all), all);
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

}  // namespace
}  // namespace naru
