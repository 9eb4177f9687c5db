// Libraries that are missing, no libraries, other ones, or broken: the chip is absent and says why, and nothing stops.
// Each is looked at in a process of its own, which no other one was loaded into.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "chips/cuda/cuda_chip.h"
#include "chips/gpu/look_apart.h"
#include "tests/cuda/cuda_rig.h"

namespace naru {
namespace {

// A driver may leave a process behind that holds all that its own had open.
TEST(LookApart, AnAnswerIsTakenWhenItIsWhole) {
  const auto look = []() -> Result<std::string> {
    const pid_t left = ::fork();
    if (left != 0) return std::to_string(left);
    ::alarm(100);
    ::pause();
    ::_exit(0);
  };
  const auto found = gpu::look_apart(look, "looking", "look elsewhere");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(::kill(std::stoi(*found), SIGKILL), 0) << *found;
}

TEST(LookApart, AProcessThatEndsWithoutAnAnswer) {
  const auto found = gpu::look_apart([]() -> Result<std::string> { ::_exit(0); }, "looking", "look elsewhere");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, Code::kUnavailable);
  EXPECT_EQ(found.error().message, "looking: a driver gave no answer in 60 s, or ended the process; look elsewhere");
}

TEST(LookApart, LongAnswersAreCut) {
  const std::string text(100000, 'x');
  EXPECT_EQ(gpu::look_apart([&]() -> Result<std::string> { return text; }, "", "").value(), text.substr(0, 16383));
}

int n_first = 0, n_second = 0;
std::string first_where = "here";
gpu::Look first_look([]() -> Result<std::string> { return fmt::format("first {}", ++n_first); },
                     [] { return first_where; });
gpu::Look second_look([]() -> Result<std::string> { return fmt::format("second {}", ++n_second); },
                      [] { return std::string(); });

// A look forks, which no process may after a driver is at work in it: whoever asks for one chip has looked for all.
TEST(LookApart, EachLookIsMadeOnceAndAllOfThemFirst) {
  EXPECT_EQ(first_look.found().value(), "first 1");
  EXPECT_EQ(n_second, 1);
  EXPECT_EQ(second_look.found().value(), "second 1");
  EXPECT_EQ(first_look.found().value(), "first 1");
  first_where = "there";
  EXPECT_EQ(first_look.found().value(), "first 2");
  EXPECT_EQ(second_look.found().value(), "second 1");
}

// What a process says where the variables name these.
void say(const char* driver, const char* compiler) {
  const test::Variable first("NARU_LIBCUDA", driver), second("NARU_NVRTC", compiler);
  const auto found = cuda::found();
  std::cerr << (found.ok() ? "found " + found->words() : found.error().message) << "\n";
  const auto chip = cuda::make_cuda_chip("9");  // never there
  NARU_CHECK(!chip.ok());
  std::cerr << "not made: " << chip.error().message << "\n";
  std::exit(found.ok() || found.error().code == Code::kUnavailable ? 0 : 1);
}

class CudaLibrariesDeathTest : public ::testing::Test {
 protected:
  CudaLibrariesDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  std::string file_with(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() / name) << text;
    return folder_.path() / name;
  }
  test::Folder folder_;
};

#define EXPECT_SAYS(driver, compiler, pattern) EXPECT_EXIT(say(driver, compiler), ::testing::ExitedWithCode(0), pattern)

TEST_F(CudaLibrariesDeathTest, AreFound) {
  EXPECT_SAYS(NARU_CUDA_STANDIN, NARU_CUDA_STANDIN,
              "found 0 Stand-in 90 .compute capability 9.0, driver of CUDA 13.0.; 1 Stand-in 125 .*; NVRTC 13.0 of .*\n"
              "not made: choosing chip cuda:9: there are 2 devices");
}
TEST_F(CudaLibrariesDeathTest, ADriverThatIsMissing) {
  EXPECT_SAYS(
      "/nowhere/libcuda.so.1", NARU_CUDA_STANDIN,
      "opening CUDA's driver library: /nowhere/libcuda.so.1: cannot open .*; unset NARU_LIBCUDA.*\nnot made: opening");
}
TEST_F(CudaLibrariesDeathTest, ADriverThatIsNoLibrary) {
  const std::string path = file_with("libcuda.so.1", "a text\n");
  EXPECT_SAYS(path.c_str(), NARU_CUDA_STANDIN,
              "opening CUDA's driver library: .*(file too short|invalid ELF header); unset");
}
TEST_F(CudaLibrariesDeathTest, ALibraryThatIsAnother) {
  EXPECT_SAYS("libm.so.6", NARU_CUDA_STANDIN,
              "opening CUDA's driver library .*libm.so.6: it lacks cuInit, cuDriverGetVersion, .*cuGetErrorString, the "
              "driver API "
              "of CUDA 11.2 or later was wanted; unset");
}
TEST_F(CudaLibrariesDeathTest, ADriverThatCrashes) {
  EXPECT_SAYS(NARU_CRASHING_DRIVER, NARU_CUDA_STANDIN,
              "looking for CUDA devices: a driver crashed when it was loaded .signal 11.; see .*\nnot made: looking");
}
TEST_F(CudaLibrariesDeathTest, ADriverThatHasNoDevice) {
  const test::Variable code("NARU_STANDIN_INIT", "100");
  EXPECT_SAYS(NARU_CUDA_STANDIN, NARU_CUDA_STANDIN,
              "looking for CUDA devices: cuInit of .* says CUDA_ERROR_NO_DEVICE .*; see `nvidia-smi`");
}
TEST_F(CudaLibrariesDeathTest, ADriverWithAnErrorThatHasNoName) {
  const test::Variable code("NARU_STANDIN_INIT", "31337");
  EXPECT_SAYS(NARU_CUDA_STANDIN, NARU_CUDA_STANDIN, "looking for CUDA devices: cuInit of .* says error 31337; see");
}
TEST_F(CudaLibrariesDeathTest, ACompilerThatIsMissing) {
  EXPECT_SAYS(
      NARU_CUDA_STANDIN, "/nowhere/libnvrtc.so",
      "opening CUDA's compiler, which NARU_NVRTC names: /nowhere/libnvrtc.so: cannot open .*; install CUDA, or `pip");
}
TEST_F(CudaLibrariesDeathTest, AFolderWithoutACompiler) {
  EXPECT_SAYS(NARU_CUDA_STANDIN, folder_.path().c_str(), "NARU_NVRTC names: .* has no libnvrtc.so; install CUDA");
}
TEST_F(CudaLibrariesDeathTest, AFolderWithOne) {
  std::filesystem::copy_file(NARU_CUDA_STANDIN, folder_.path() / "libnvrtc.so.13");
  EXPECT_SAYS(NARU_CUDA_STANDIN, folder_.path().c_str(), "found .*NVRTC 13.0 of .*libnvrtc.so.13");
}
TEST_F(CudaLibrariesDeathTest, ACompilerThatIsAnother) {
  EXPECT_SAYS(NARU_CUDA_STANDIN, "libm.so.6",
              "libm.so.6 lacks nvrtcVersion, .*, NVRTC 11.2 or later was wanted; install");
}
// The packages of a virtual environment, with a text beside them that is no library.
TEST_F(CudaLibrariesDeathTest, TheVirtualEnvironmentHasACompiler) {
  const auto lib = folder_.path() / "lib/python3.11/site-packages/nvidia/cu13/lib";
  std::filesystem::create_directories(lib);
  std::filesystem::create_symlink(NARU_CUDA_STANDIN, lib / "libnvrtc.so.13");
  const test::Variable environment("VIRTUAL_ENV", folder_.path().c_str()), home("CUDA_HOME", nullptr),
      path("CUDA_PATH", nullptr);
  EXPECT_SAYS(NARU_CUDA_STANDIN, nullptr, "found .*NVRTC [0-9.]+ of ");
}
// A process that already has devices asks again without a process of its own, where the driver would not work.
TEST_F(CudaLibrariesDeathTest, DevicesAreFoundAgain) {
  test::Standin standin;
  const auto first = cuda::found();
  ASSERT_TRUE(first.ok()) << first.error().message;
  ASSERT_TRUE(cuda::list_devices().ok());
  const auto again = cuda::found();
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(first->words(), again->words());
}

}  // namespace
}  // namespace naru
