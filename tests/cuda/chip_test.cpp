// The CUDA chip on the stand-in, whose launches run the same text through OpenCL: a part of the contract's cases has
// the bits of the reference chip, by the host code that a device of NVIDIA would be driven by.
#include <algorithm>
#include <array>
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
  for (const std::string_view op : {"add", "rms_norm", "cross_entropy", "log_prob", "sum_of_squares", "combine_grad"})
    expect_cases(**chip, op, 9);
  for (const std::string_view op : {"matmul", "attention", "rms_norm_grad"}) expect_cases(**chip, op, 31);
}

void expect_product(contract::Chip& chip, std::string_view kind, int64_t rows, int64_t inputs, int64_t outputs) {
  const auto c = check::make_case("matmul", kind, {{"rows", {rows}}, {"inputs", {inputs}}, {"outputs", {outputs}}},
                                  check::Values::kPlain, static_cast<uint64_t>(rows + inputs));
  const check::Program program = check::build(c);
  const auto outcome = check::run_program(program, chip);
  ASSERT_TRUE(outcome.ok()) << check::case_line(c) << ": " << outcome.error().message;
  ASSERT_EQ(check::difference(program, *outcome, wanted(program)), "") << check::case_line(c);
}

bool has_used(const contract::Chip& chip, std::string_view kernel) {
  const auto uses = chip.kernel_uses();
  return std::ranges::any_of(uses, [&](const contract::KernelUse& use) { return use.kernel == kernel; });
}

// Around the tiles of matrix units, whose fragments the stand-in hands from item to item as PTX says that they lie.
TEST(CudaChip, ProductsOfInt8ByMatrixUnits) {
  test::Standin standin;
  SKIP_WHERE_NOTHING_COMPUTES(standin);
  const auto chip = cuda::make_cuda_chip("").value();
  EXPECT_NE(chip->info().detail.find("; hardware flush, hardware division, int8 by matrix units and dots"),
            std::string::npos)
      << chip->info().detail;
  for (const auto& [rows, inputs, outputs] :
       {std::array<int64_t, 3>{8, 1, 1}, {9, 31, 70}, {64, 64, 64}, {129, 97, 131}, {200, 2081, 17}, {257, 33, 129}}) {
    expect_product(*chip, "i8_as_w8a8/bias/one", rows, inputs, outputs);
  }
  EXPECT_TRUE(has_used(*chip, "product_w8a8_matrix"));
  EXPECT_FALSE(has_used(*chip, "product_w8a8_tiles"));
}

// An instruction whose integers are others is not used, which the chip says, and its bits are the same.
TEST(CudaChip, InstructionsForInt8ThatAreWrongAreNotUsed) {
  const struct {
    const char *replace, *said, *kernel;
  } kWrong[] = {
      {"c[m_][n_][r_] = sum_;=>c[m_][n_][r_] = sum_ + (lane_ == 31 && m_ == 3 && n_ == 7);",
       "int8 by dots (matrix products of it are other integers: ", "product_w8a8_tiles"},
      {"row_ % 8 * 4 + w_ % 4=>row_ % 8 + w_ % 4 * 8",
       "int8 by dots (matrix products of it are other integers: ", "product_w8a8_tiles"},
      {"#define HAS_DOTS 1\n#else=>#define HAS_DOTS 1\n#define DOT4(a, b, acc) ((acc) < 0 ? (acc) : 0)\n#else",
       "int8 by scalars (dots of it are other integers: ", "product_w8a8_tiles"},
      {"multiply of no language=>", "int8 by matrix units and dots", "product_w8a8_matrix"},
      {"KERNEL(32, 1) probe_matrix=>KERNEL(32, 1) probe_tiles",
       "int8 by scalars (its instructions are not used: ", "product_w8a8_tiles"}};
  for (const auto& [replace, said, kernel] : kWrong) {
    test::Standin standin;
    SKIP_WHERE_NOTHING_COMPUTES(standin);
    const test::Variable variable("NARU_STANDIN_REPLACE", replace);
    const auto chip = cuda::make_cuda_chip("").value();
    EXPECT_NE(chip->info().detail.find(said), std::string::npos) << chip->info().detail;
    expect_product(*chip, "i8_as_w8a8/no_bias/one", 66, 100, 65);
    EXPECT_TRUE(has_used(*chip, kernel)) << replace;
  }
}

// The dots in C that take the place of an instruction are measured too.
TEST(CudaChip, DotsInCThatAreWrongRefuseTheDevice) {
  for (const char* form : {"", "0+software"}) {
    test::Standin standin;
    SKIP_WHERE_NOTHING_COMPUTES(standin);
    const test::Variable variable("NARU_STANDIN_REPLACE", "a3 * (b >> 24)=>a3 * (b >> 25)");
    const auto chip = cuda::make_cuda_chip(form);
    ASSERT_FALSE(chip.ok()) << (*chip)->info().detail;
    EXPECT_EQ(chip.error().code, Code::kUnsupported);
    EXPECT_NE(chip.error().message.find("dots of it are other integers: "), std::string::npos) << chip.error().message;
    EXPECT_NE(chip.error().message.find("cannot be exact"), std::string::npos) << chip.error().message;
  }
}

TEST(CudaChip, ASecondDeviceWithNothingLeftToIt) {
  test::Standin standin;
  SKIP_WHERE_NOTHING_COMPUTES(standin);
  const auto chip = cuda::make_cuda_chip("1+software");
  ASSERT_TRUE(chip.ok()) << chip.error().message;
  EXPECT_NE((*chip)->info().detail.find("Stand-in 125"), std::string::npos) << (*chip)->info().detail;
  EXPECT_NE((*chip)->info().detail.find("; software flush, software division, int8 by scalars"), std::string::npos)
      << (*chip)->info().detail;
  expect_cases(**chip, "axpby", 9);
  expect_product(**chip, "i8_as_w8a8/no_bias/one", 66, 100, 65);
  expect_product(**chip, "q4_k_as_q4_k/no_bias/one", 66, 256, 65);
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
  bool was_lost = false, has_named_op = false;
  for (int at = 1; at < 60; at += at < 12 ? 1 : 8) {
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
        const bool names_op = status.error().message.starts_with("running rms_norm, or what was queued before it");
        has_named_op = has_named_op || names_op;
        // Copies of what is out are behind all that was waited for.
        EXPECT_TRUE(names_op || status.error().message.starts_with("copying ")) << status.error().message;
      }
    }
    EXPECT_EQ(standin.live(), "") << at;
    standin.reset();
  }
  EXPECT_TRUE(was_lost);
  EXPECT_TRUE(has_named_op);
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
  EXPECT_EQ(compiled(), 2) << "the probes";
  EXPECT_EQ(compiled(), 0);
  for (const fs::path& path : fs::directory_iterator(standin.folder() / "naru" / "kernels")) fs::resize_file(path, 70);
  EXPECT_EQ(compiled(), 2);
  EXPECT_EQ(compiled(), 0);
  // Whole, and no image that the driver takes.
  const std::string other = "of another driver";
  const std::string kept = sha256_hex({reinterpret_cast<const std::byte*>(other.data()), other.size()}) + other;
  for (const fs::path& path : fs::directory_iterator(standin.folder() / "naru" / "kernels")) {
    std::ofstream(path, std::ios::trunc) << kept;
  }
  EXPECT_EQ(compiled(), 2);
  EXPECT_EQ(compiled(), 0);
}

}  // namespace
}  // namespace naru
