// The driver over CUDA by itself: memory, copies, launches and what becomes of each call that fails, on the stand-in.
#include <cstring>
#include <numeric>
#include <vector>

#include "chips/gpu/kernel_table.h"
#include "tests/cuda/cuda_rig.h"

namespace naru {
namespace {

using gpu::Argument;
using gpu::MemoryPlace;

std::vector<uint8_t> numbered(size_t n, int seed) {
  std::vector<uint8_t> bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + static_cast<size_t>(seed) * 31 + (i >> 8));
  return bytes;
}

std::vector<uint8_t> read_all(gpu::Driver& driver, const gpu::Memory& memory, size_t n) {
  std::vector<uint8_t> bytes(n);
  const Status status = driver.read(bytes.data(), {memory.get(), 0}, static_cast<int64_t>(n));
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  return bytes;
}

TEST(CudaDriver, SaysWhatItIs) {
  test::Standin standin;
  const auto driver = test::open_driver().value();
  EXPECT_EQ(driver->info().chip, "cuda");
  EXPECT_EQ(
      driver->info().device,
      std::string("Stand-in 90 (compute capability 9.0, driver of CUDA 13.0), NVRTC 13.0 of ") + NARU_CUDA_STANDIN);
  EXPECT_EQ(driver->info().memory_bytes, int64_t{1} << 30);
  EXPECT_EQ(driver->info().software.words(), "hardware flush, hardware division, int8 by matrix units and dots");
}

TEST(CudaDriver, FreshMemoryIsZeroAndCopiesArriveInOrder) {
  test::Standin standin;
  const auto driver = test::open_driver().value();
  const size_t n = 7'000'000;
  const gpu::Memory memory = driver->allocate(static_cast<int64_t>(n)).value();
  EXPECT_EQ(read_all(*driver, memory, n), std::vector<uint8_t>(n, 0));
  // Sources are overwritten as soon as a call returned: a small one and a large one.
  std::vector<uint8_t> want(n, 0);
  for (const auto& [offset, size] : {std::pair<size_t, size_t>{3, 1000}, {4096, 6'500'000}, {900, 200}}) {
    std::vector<uint8_t> source = numbered(size, static_cast<int>(offset));
    std::memcpy(want.data() + offset, source.data(), size);
    ASSERT_TRUE(
        driver->write({memory.get(), static_cast<int64_t>(offset)}, source.data(), static_cast<int64_t>(size)).ok());
    std::memset(source.data(), 0xee, size);
  }
  EXPECT_EQ(read_all(*driver, memory, n), want);
}

TEST(CudaDriver, MoreSmallCopiesThanArePutAside) {
  test::Standin standin;
  const auto driver = test::open_driver().value();
  const size_t part = 5000, parts = 1700;
  const gpu::Memory memory = driver->allocate(static_cast<int64_t>(part * parts)).value();
  std::vector<uint8_t> want;
  for (size_t i = 0; i < parts; ++i) {
    std::vector<uint8_t> source = numbered(part, static_cast<int>(i));
    want.insert(want.end(), source.begin(), source.end());
    ASSERT_TRUE(driver->write({memory.get(), static_cast<int64_t>(i * part)}, source.data(), part).ok());
    std::memset(source.data(), 0xee, part);
  }
  EXPECT_EQ(read_all(*driver, memory, part * parts), want);
}

TEST(CudaDriver, WhatIsQueuedKeepsItsMemory) {
  test::Standin standin;
  const auto driver = test::open_driver().value();
  const std::vector<uint8_t> source = numbered(5000, 1);
  {
    const gpu::Memory memory = driver->allocate(5000).value();
    ASSERT_TRUE(driver->write({memory.get(), 0}, source.data(), 5000).ok());
  }
  EXPECT_NE(standin.live().find("1 allocations"), std::string::npos) << standin.live();
  const Status status = driver->wait();
  EXPECT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(standin.live().find("1 allocations"), std::string::npos) << standin.live();
}

TEST(CudaDriver, MemoryThatIsOnItsWayBackIsWaitedFor) {
  const test::Variable limit("NARU_STANDIN_MEMORY", "64");
  test::Standin standin;
  const auto driver = test::open_driver().value();
  const int64_t bytes = int64_t{40} << 20;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(driver->allocate(bytes).ok()) << i;
  const gpu::Memory kept = driver->allocate(bytes).value();
  const auto refused = driver->allocate(bytes);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_EQ(
      refused.error().message,
      "allocating 40.0 MiB (cuMemAlloc) on chip cuda (Stand-in 90): the driver says CUDA_ERROR_OUT_OF_MEMORY (said by "
      "the stand-in); use a smaller model, context or batch");
  EXPECT_TRUE(driver->allocate(bytes / 4).ok());
}

// The kernel probe: status, number, operands, results, n.
Status launch_probe(gpu::Driver& driver, const gpu::Memory& memory, int64_t n, int64_t groups) {
  const Argument arguments[] = {MemoryPlace{memory.get(), 0}, int64_t{1}, MemoryPlace{memory.get(), 256},
                                MemoryPlace{memory.get(), 4096}, n};
  return driver.launch(gpu::kernel_of("probe"), groups, 1, 1, arguments);
}

TEST(CudaDriver, LaunchesByGeometryAndArguments) {
  test::Standin standin;
  const auto driver = test::open_driver().value();
  const gpu::Memory memory = driver->allocate(1 << 16).value();
  const float operands[] = {1.5f, 0x1p-149f, 4.0f, 9.0f, -2.0f, 0.25f};
  ASSERT_TRUE(driver->write({memory.get(), 256}, operands, sizeof(operands)).ok());
  const Status status = launch_probe(*driver, memory, 2, 3);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(standin.last_launch(), "probe grid 3 1 1 block 32 1 1 parameters 8");
  const uint64_t base = standin.parameter(0);
  EXPECT_NE(base, 0u);
  const uint64_t want[] = {base, 0, 1, base, 256, base, 4096, 2};
  for (int i = 0; i < 8; ++i) EXPECT_EQ(standin.parameter(i), want[i]) << i;
  EXPECT_EQ(standin.options(), "--gpu-architecture=sm_90 --fmad=false --ftz=true --prec-div=true --prec-sqrt=true");
  SKIP_WHERE_NOTHING_COMPUTES(standin);
  float results[18];
  ASSERT_TRUE(driver->read(results, {memory.get(), 4096}, sizeof(results)).ok());
  const float of_add[] = {1.5f, 7.0f}, of_fma[] = {4.0f, -17.75f};
  for (int i = 0; i < 2; ++i) EXPECT_EQ(results[9 * i], of_add[i]) << i;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(results[9 * i + 2], of_fma[i]) << i;
  EXPECT_EQ(results[17], 3.0f) << "the root of 9";
}

// Of a kernel with other parameters, which the stand-in refuses where it knows them.
TEST(CudaDriver, GroupsOfTwoDimensions) {
  test::Standin standin;
  const auto driver = test::open_driver().value();
  const Status status = driver->launch(gpu::kernel_of("product_f32_tiles"), 5, 4, 3, {});
  EXPECT_EQ(standin.last_launch(), "product_f32_tiles grid 5 4 3 block 8 8 1 parameters 0");
  EXPECT_EQ(status.ok(), !standin.computes());
  if (!status.ok()) {
    EXPECT_EQ(
        status.error().message,
        "launching kernel product_f32_tiles (cuLaunchKernel) on chip cuda (Stand-in 90): the driver says "
        "CUDA_ERROR_INVALID_VALUE (said by the stand-in); see `nvidia-smi` and the system's log for the device, or use "
        "chip cpu");
  }
}

TEST(CudaDriver, MoreGroupsThanAGridHasAreRefused) {
  test::Standin standin;
  const auto driver = test::open_driver().value();
  for (const auto& [x, y, z] : {std::array<int64_t, 3>{int64_t{1} << 31, 1, 1}, {1, 65536, 1}, {1, 1, 65536}}) {
    const Status status = driver->launch(gpu::kernel_of("probe"), x, y, z, {});
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::kUnsupported);
    EXPECT_NE(status.error().message.find("2147483647 x 65535 x 65535 is the most"), std::string::npos);
  }
  EXPECT_EQ(standin.last_launch(), "");
}

TEST(CudaDriver, TheTextDoesWhatIsNotLeftToTheDevice) {
  test::Standin standin;
  const auto driver = test::open_driver().value();
  driver->choose({.flush = true, .divide = true});
  EXPECT_EQ(driver->info().software.words(), "software flush, software division, int8 by matrix units and dots");
  const gpu::Memory memory = driver->allocate(1 << 16).value();
  ASSERT_TRUE(launch_probe(*driver, memory, 1, 1).ok());
  EXPECT_EQ(standin.options(),
            "--gpu-architecture=sm_90 --fmad=false --ftz=false --prec-div=true --prec-sqrt=true -DNARU_SOFTWARE_FLUSH "
            "-DNARU_SOFTWARE_DIVIDE");
}

// A device that the compiler does not know takes PTX of the latest before it.
TEST(CudaDriver, ADeviceThatIsNewerThanTheCompiler) {
  test::Standin standin;
  const auto driver = test::open_driver(1).value();
  const gpu::Memory memory = driver->allocate(1 << 16).value();
  const Status status = launch_probe(*driver, memory, 1, 1);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_TRUE(standin.options().starts_with("--gpu-architecture=compute_120 ")) << standin.options();
}

TEST(CudaDriver, ADeviceThatIsOlderThanTheCompiler) {
  test::Standin standin;
  const cuda::CompilerApi* compiler = cuda::load_compiler_api().value();
  EXPECT_TRUE(cuda::choose_target(*compiler, 75).value().is_machine);
  EXPECT_EQ(cuda::choose_target(*compiler, 89).value().capability, 80);
  const auto none = cuda::choose_target(*compiler, 61);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, Code::kUnsupported);
  EXPECT_NE(none.error().message.find(
                "it begins at compute capability 7.5, the device has 6.1; let NARU_NVRTC name an older"),
            std::string::npos)
      << none.error().message;
}

TEST(CudaDriver, TheLogOfATextThatDoesNotCompile) {
  test::Standin standin;
  const cuda::CompilerApi* compiler = cuda::load_compiler_api().value();
  const cuda::Target target{90, true};
  const auto image = cuda::compile(*compiler, "bad", "#error\n", target, cuda::compile_options(target, {}));
  ASSERT_FALSE(image.ok());
  EXPECT_NE(image.error().message.find("compiling kernels 'bad' (nvrtcCompileProgram) by NVRTC 13.0"),
            std::string::npos);
  EXPECT_NE(image.error().message.find("\nstand-in: an #error in the text"), std::string::npos)
      << image.error().message;
  EXPECT_EQ(standin.live(), "");
}

// Everything that a chip does with a driver, once.
Status do_everything(size_t device) {
  NARU_ASSIGN(const auto driver, test::open_driver(device));
  NARU_ASSIGN(const gpu::Memory memory, driver->allocate(1 << 20));
  const std::vector<uint8_t> small = numbered(100, 1), large = numbered(200'000, 2);
  NARU_TRY(driver->write({memory.get(), 256}, small.data(), 100));
  NARU_TRY(driver->write({memory.get(), 8192}, large.data(), 200'000));
  NARU_TRY(launch_probe(*driver, memory, 1, 1));
  std::vector<uint8_t> back(100);
  NARU_TRY(driver->read(back.data(), {memory.get(), 256}, 100));
  if (back != small) return Error{Code::kInternal, "other bytes came back"};
  return driver->wait();
}

// Whichever call fails, there is an error that says which, on what, why and what to do, and nothing is left behind.
TEST(CudaDriver, AnyCallMayFail) {
  for (const size_t device : {0, 1}) {
    int n_failed = 0, at = 1;
    for (;; ++at) {
      ASSERT_LT(at, 200);
      test::Standin standin;  // with an empty folder of kept programs
      standin.fail_call(at, 46);
      const Status status = do_everything(device);
      const std::string failed = standin.failed_call();
      EXPECT_EQ(standin.live(), "") << at << " " << failed;
      if (failed.empty()) {
        EXPECT_TRUE(status.ok()) << status.error().message;
        break;
      }
      // What only gives something back has nobody to tell.
      if (status.ok()) {
        EXPECT_TRUE(failed == "cuCtxSetCurrent" || failed == "cuStreamSynchronize") << at << " " << failed;
        continue;
      }
      ++n_failed;
      const std::string& message = status.error().message;
      EXPECT_EQ(status.error().code, Code::kUnavailable) << message;
      const bool is_compiler = failed.starts_with("nvrtc");
      EXPECT_NE(message.find(is_compiler ? "NVRTC_ERROR_OF_THE_STANDIN" : "error 46"), std::string::npos) << message;
      EXPECT_NE(message.find("; "), std::string::npos) << message;
      EXPECT_TRUE(message.find("use chip cpu") != std::string::npos ||
                  message.find("another chip") != std::string::npos)
          << message;
      EXPECT_TRUE(message.find(failed) != std::string::npos || message.find("asking device") != std::string::npos ||
                  message.find("cuMemcpy") != std::string::npos)
          << failed << ": " << message;
    }
    EXPECT_GT(n_failed, 25);
  }
}

// Work that fails after it was queued, whichever it is.
TEST(CudaDriver, AnythingThatIsQueuedMayFail) {
  for (int at = 1;; ++at) {
    ASSERT_LT(at, 200);
    test::Standin standin;
    standin.fail_queued(at, 700);
    const Status status = do_everything(0);
    EXPECT_EQ(standin.live(), "") << at;
    if (status.ok()) {
      EXPECT_GT(at, 4);
      break;
    }
    const std::string& message = status.error().message;
    EXPECT_NE(message.find(
                  "CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered); the device is lost to this "
                  "process: start naru again"),
              std::string::npos)
        << message;
  }
}

}  // namespace
}  // namespace naru
