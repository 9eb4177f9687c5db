// The CUDA chip on the stand-in, whose launches run the same text through OpenCL: a part of the contract's cases has
// the bits of the reference chip, by the host code that a device of NVIDIA would be driven by.
#include <fstream>

#include "base/sha256.h"
#include "check/run_program.h"
#include "check/suite.h"
#include "chips/cuda/cuda_chip.h"
#include "chips/gpu/gpu_chip.h"
#include "tests/cuda/cuda_rig.h"
#include "tests/test_chip.h"

namespace naru {
namespace {

namespace fs = std::filesystem;

check::Outcome wanted(const check::Program& program) {
  static const auto reference = test::make_chip("reference");
  return check::run_program(program, *reference).value();
}

void expect_cases(contract::Chip& chip, std::string_view op, size_t every) {
  const auto cases = check::find_suite(op)->cases();
  for (size_t i = 0; i < cases.size(); i += every) {
    if (cases[i].is_large) continue;
    const check::Program program = check::build(cases[i]);
    const auto outcome = check::run_program(program, chip);
    ASSERT_TRUE(outcome.ok()) << check::case_line(cases[i]) << ": " << outcome.error().message;
    ASSERT_EQ(check::difference(program, *outcome, wanted(program)), "") << check::case_line(cases[i]);
  }
}

TEST(CudaChip, HasTheBitsOfTheReferenceChip) {
  test::Standin standin;
  SKIP_WHERE_NOTHING_COMPUTES(standin);
  const auto chip = cuda::make_cuda_chip("");
  ASSERT_TRUE(chip.ok()) << chip.error().message;
  EXPECT_EQ((*chip)->info().name, "cuda");
  EXPECT_NE((*chip)->info().detail.find("; hardware flush, hardware division"), std::string::npos)
      << (*chip)->info().detail;
  for (const std::string_view op : {"add", "rms_norm", "cross_entropy"}) expect_cases(**chip, op, 9);
  for (const std::string_view op : {"matmul", "attention"}) expect_cases(**chip, op, 31);
}

TEST(CudaChip, ASecondDeviceWithNothingLeftToIt) {
  test::Standin standin;
  SKIP_WHERE_NOTHING_COMPUTES(standin);
  const auto chip = cuda::make_cuda_chip("1+software");
  ASSERT_TRUE(chip.ok()) << chip.error().message;
  EXPECT_NE((*chip)->info().detail.find("Stand-in 125"), std::string::npos) << (*chip)->info().detail;
  expect_cases(**chip, "axpby", 9);
}

// Of sizes that a driver rounds up.
TEST(CudaChip, WhatIsGivenBackIsFreeAgain) {
  test::Standin standin;
  const auto chip = gpu::make_gpu_chip(test::open_driver().value()).value();
  const int64_t before = chip->memory().free;
  for (int i = 0; i < 1000; ++i) {
    const auto buffer = chip->allocate(65537);
    ASSERT_TRUE(buffer.ok()) << buffer.error().message;
    ASSERT_LE(chip->memory().free, before - 65537) << i;
  }
  EXPECT_EQ(chip->memory().free, before);
}

TEST(CudaChip, FormsAreDevicesByNumber) {
  test::Standin standin;
  for (const char* form : {"x", "-1", "0+soft", "+software", "1x", "99999999999999999999"}) {
    const auto chip = cuda::make_cuda_chip(form);
    ASSERT_FALSE(chip.ok()) << form;
    EXPECT_EQ(chip.error().code, Code::kInvalidArgument) << form;
    EXPECT_NE(chip.error().message.find("as cuda:0 or cuda:0+software"), std::string::npos) << chip.error().message;
  }
  const auto none = cuda::make_cuda_chip("2");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, Code::kNotFound);
  EXPECT_NE(none.error().message.find("choosing chip cuda:2: there are 2 devices: 0 Stand-in 90"), std::string::npos)
      << none.error().message;
}

// Where launches do nothing a device has other bits than it should, and is refused.
TEST(CudaChip, ADeviceThatIsNotExactIsRefused) {
  test::Standin standin;
  if (standin.computes()) GTEST_SKIP() << "this one is exact";
  const auto chip = cuda::make_cuda_chip("");
  ASSERT_FALSE(chip.ok());
  EXPECT_EQ(chip.error().code, Code::kUnsupported);
  EXPECT_NE(chip.error().message.find("cannot be exact"), std::string::npos) << chip.error().message;
}

TEST(CudaChip, ADeviceThatIsLostInTheMiddle) {
  test::Standin standin;
  SKIP_WHERE_NOTHING_COMPUTES(standin);
  const auto cases = check::find_suite("rms_norm")->cases();
  const check::Program program = check::build(cases.front());
  bool was_lost = false;
  for (int at = 1; at < 60; at += 5) {
    {
      auto chip = cuda::make_cuda_chip("");
      ASSERT_TRUE(chip.ok()) << chip.error().message;
      standin.reset();
      standin.fail_queued(at, 700);
      const auto outcome = check::run_program(program, **chip);
      const Status status = !outcome.ok() ? Status(Error(outcome.error())) : outcome->status;
      if (!status.ok()) {
        was_lost = true;
        EXPECT_NE(status.error().message.find("the device is lost to this process"), std::string::npos)
            << status.error().message;
      }
    }
    EXPECT_EQ(standin.live(), "") << at;
    standin.reset();
  }
  EXPECT_TRUE(was_lost);
}

TEST(CudaChip, KeptProgramsAreTakenAndDamagedOnesMadeAgain) {
  test::Standin standin;
  SKIP_WHERE_NOTHING_COMPUTES(standin);
  const auto compiled = [&] {
    standin.reset();
    const auto chip = cuda::make_cuda_chip("");
    EXPECT_TRUE(chip.ok()) << chip.error().message;
    return standin.compiled();
  };
  EXPECT_EQ(compiled(), 1) << "the probe";
  EXPECT_EQ(compiled(), 0);
  for (const fs::path& path : fs::directory_iterator(standin.folder() / "naru" / "kernels")) fs::resize_file(path, 70);
  EXPECT_EQ(compiled(), 1);
  EXPECT_EQ(compiled(), 0);
  // Whole, and no image that the driver takes.
  const std::string other = "of another driver";
  const std::string kept = sha256_hex({reinterpret_cast<const std::byte*>(other.data()), other.size()}) + other;
  for (const fs::path& path : fs::directory_iterator(standin.folder() / "naru" / "kernels")) {
    std::ofstream(path, std::ios::trunc) << kept;
  }
  EXPECT_EQ(compiled(), 1);
  EXPECT_EQ(compiled(), 0);
}

}  // namespace
}  // namespace naru
