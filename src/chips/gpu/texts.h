// The texts of the kernels (src/chips/gpu/text/), put into the program by the build (cmake/gpu_texts.cmake).
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace naru::gpu {

struct KernelText {
  std::string_view name;  // of its file, without ".cl"
  std::string_view text;
};
std::span<const KernelText> kernel_texts();

// A program as a compiler gets it: dialect, scalars, sums, and what is its own.
std::string program_text(std::string_view program);

}  // namespace naru::gpu
