// Every program of the kernels' text is CUDA C++ that NVRTC compiles, for devices of four generations, and its
// arithmetic is the one that the options ask for. No GPU is needed; without NVRTC this is skipped, and says so.
#include <regex>

#include "chips/cuda/compiler.h"
#include "chips/gpu/kernel_table.h"
#include "chips/gpu/probe.h"
#include "chips/gpu/texts.h"
#include "tests/cuda/cuda_rig.h"

namespace naru {
namespace {

std::set<std::string> programs() {
  std::set<std::string> names;
  for (const gpu::KernelInfo& kernel : gpu::all_kernels()) names.emplace(kernel.program);
  return names;
}

class Nvrtc : public ::testing::Test {
 protected:
  // What naru itself would find, or that of scripts/setup --cuda.
  void SetUp() override {
    const test::Variable named("NARU_NVRTC", nullptr), environment("VIRTUAL_ENV", NARU_TOOLS_VENV);
    auto api = cuda::load_compiler_api();
    if (!api.ok()) GTEST_SKIP() << api.error().message << " (scripts/setup --cuda)";
    api_ = *api;
    std::cout << "by " << api_->words() << "\n";
  }
  const cuda::CompilerApi* api_ = nullptr;
};

TEST_F(Nvrtc, CompilesEveryProgramForEveryGeneration) {
  for (const int capability : {75, 80, 90, 100}) {
    const auto target = cuda::choose_target(*api_, capability);
    ASSERT_TRUE(target.ok()) << target.error().message;
    if (!target->is_machine) {
      std::cout << "[  SKIPPED ] " << api_->words() << " knows nothing of sm_" << capability << "\n";
      continue;
    }
    for (const bool is_software : {false, true}) {
      if (is_software && capability != 90) continue;
      auto options = cuda::compile_options(*target, gpu::asked_software(is_software));
      if (api_->major >= 13) options.emplace_back("--Ofast-compile=max");  // that it compiles is what is wanted
      for (const std::string& program : programs()) {
        const auto image = cuda::compile(*api_, program, gpu::program_text(program), *target, options);
        ASSERT_TRUE(image.ok()) << capability << ": " << image.error().message;
        EXPECT_TRUE(
            image->starts_with("\x7f"
                               "ELF"))
            << program;
        for (const gpu::KernelInfo& kernel : gpu::all_kernels()) {
          if (kernel.program != program) continue;
          EXPECT_NE(image->find(kernel.name), std::string::npos) << kernel.name;
        }
      }
    }
  }
}

// Products of int8 have the instructions that a generation has.
TEST_F(Nvrtc, ProductsOfInt8HaveTheirInstructions) {
  const std::string dot = "dp4a.s32.s32", small = "mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32",
                    large = "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32";
  const auto ptx_of = [&](const std::string& program, int capability, bool is_software) {
    const auto options = cuda::compile_options({capability, false}, gpu::asked_software(is_software));
    return cuda::compile(*api_, program, gpu::program_text(program), {capability, false}, options).value();
  };
  const std::string of_75 = ptx_of("probe_int8", 75, false), of_80 = ptx_of("probe_int8", 80, false),
                    software = ptx_of("probe_int8", 80, true);
  EXPECT_NE(of_75.find(dot), std::string::npos);
  EXPECT_NE(of_75.find(small), std::string::npos);
  EXPECT_NE(of_80.find(large), std::string::npos);
  EXPECT_EQ(software.find("dp4a"), std::string::npos) << "made of the lines of C by the compiler";
  EXPECT_EQ(software.find("mma.sync"), std::string::npos);
  EXPECT_NE(ptx_of("w8a8", 80, false).find(dot), std::string::npos);
  EXPECT_NE(ptx_of("w8a8_matrix", 80, false).find(large), std::string::npos);
}

// Floats are rounded to nearest by instructions that say so, which nothing joins afterwards, and flushed where that is
// left to the device.
TEST_F(Nvrtc, ArithmeticIsRoundedAndFlushedAsAsked) {
  const std::regex arithmetic(R"(\b(add|sub|mul|fma|mad|div|sqrt|rcp|ex2|lg2)(\.[a-z0-9]+)*\.f32\b)");
  for (const bool is_software : {false, true}) {
    const cuda::Target target{90, false};
    const auto options = cuda::compile_options(target, {.flush = is_software, .divide = is_software});
    for (const std::string program : {"probe", "elements"}) {
      const auto ptx = cuda::compile(*api_, program, gpu::program_text(program), target, options);
      ASSERT_TRUE(ptx.ok()) << ptx.error().message;
      std::set<std::string> seen;
      for (std::sregex_iterator at(ptx->begin(), ptx->end(), arithmetic), end; at != end; ++at) seen.insert(at->str());
      const std::set<std::string> exact = {"add.rn.f32", "sub.rn.f32", "mul.rn.f32", "fma.rn.f32",
                                           "div.rn.f32", "rcp.rn.f32", "sqrt.rn.f32"};
      EXPECT_GE(seen.size(), 3u) << program;
      for (std::string word : seen) {
        const size_t flush = word.find(".ftz");
        EXPECT_EQ(flush == std::string::npos, is_software) << program << ": " << word;
        if (flush != std::string::npos) word.erase(flush, 4);
        EXPECT_TRUE(exact.contains(word)) << program << ": " << word;
      }
    }
  }
}

}  // namespace
}  // namespace naru
