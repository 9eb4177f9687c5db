// NVRTC's functions: an image is the text with the options that OpenCL takes. Only the names of what is wrong with
// options are looked for here; that the text is CUDA C++ the real compiler says (nvrtc_test.cpp).
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/cuda/standin/standin.h"
#include "tests/cuda/standin/state.h"

namespace standin {
namespace {

constexpr int kInvalidInput = 3, kInvalidProgram = 4, kInvalidOption = 5, kCompilation = 6;
constexpr int kTargets[] = {75, 80, 90, 100, 120};

struct Source {
  std::string text, image, log;
  bool is_machine = false;
};

bool has(int n, const char* const* options, const std::string& option) {
  return std::any_of(options, options + n, [&](const char* each) { return option == each; });
}

int compile(Source& source, int n, const char* const* options) {
  std::string cl = "-cl-std=CL1.2 -cl-kernel-arg-info -cl-fp32-correctly-rounded-divide-sqrt -DNARU_STANDIN_INT8", all;
  for (const char* needed : {"--fmad=false", "--prec-div=true", "--prec-sqrt=true"}) {
    if (!has(n, options, needed)) return kInvalidOption;
  }
  bool has_target = false;
  for (int i = 0; i < n; ++i) {
    const std::string option = options[i];
    all += (i == 0 ? "" : " ") + option;
    if (option == "--ftz=true") cl += " -cl-denorms-are-zero";
    if (option.starts_with("-D")) cl += " " + option;
    for (const int target : kTargets) {
      if (option == "--gpu-architecture=sm_" + std::to_string(target)) has_target = source.is_machine = true;
      if (option == "--gpu-architecture=compute_" + std::to_string(target)) has_target = true;
    }
  }
  state().options = all;
  if (!has_target) return kInvalidOption;
  if (source.text.find("#error") != std::string::npos) {
    source.log = "stand-in: an #error in the text";
    return kCompilation;
  }
  if (const char* change = std::getenv("NARU_STANDIN_REPLACE"); change != nullptr) {
    const std::string both = change;
    const size_t middle = both.find("=>"), at = source.text.find(both.substr(0, middle));
    if (at != std::string::npos) source.text.replace(at, middle, both.substr(middle + 2));
  }
  source.image = "STANDIN\n" + cl + "\n" + source.text;
  state().compiled += 1;
  return 0;
}

int copy(const std::string& text, char* to) {
  std::memcpy(to, text.c_str(), text.size() + 1);
  return 0;
}

}  // namespace
}  // namespace standin

using standin::Source;
using standin::state;

#define ENTER(name)                          \
  const std::lock_guard guard(state().lock); \
  if (const int code = state().count(name); code != 0) return code

extern "C" {
int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return 0;
}
int nvrtcGetNumSupportedArchs(int* n) {
  ENTER("nvrtcGetNumSupportedArchs");
  *n = static_cast<int>(std::size(standin::kTargets));
  return 0;
}
int nvrtcGetSupportedArchs(int* targets) {
  ENTER("nvrtcGetSupportedArchs");
  std::copy(std::begin(standin::kTargets), std::end(standin::kTargets), targets);
  return 0;
}
int nvrtcCreateProgram(void** program, const char* text, const char*, int headers, const char* const*,
                       const char* const*) {
  ENTER("nvrtcCreateProgram");
  if (text == nullptr || headers != 0) return standin::kInvalidInput;
  auto* source = new Source{text, {}, {}, false};
  state().sources.insert(source);
  *program = source;
  return 0;
}
int nvrtcDestroyProgram(void** program) {
  const std::lock_guard guard(state().lock);
  if (state().sources.erase(*program) == 0) return standin::kInvalidProgram;
  delete static_cast<Source*>(*program);
  *program = nullptr;
  return 0;
}
int nvrtcCompileProgram(void* program, int n, const char* const* options) {
  ENTER("nvrtcCompileProgram");
  return standin::compile(*static_cast<Source*>(program), n, options);
}
int nvrtcGetProgramLogSize(void* program, size_t* size) {
  *size = static_cast<Source*>(program)->log.size() + 1;
  return 0;
}
int nvrtcGetProgramLog(void* program, char* log) {
  return standin::copy(static_cast<Source*>(program)->log, log);
}
int nvrtcGetCUBINSize(void* program, size_t* size) {
  ENTER("nvrtcGetCUBINSize");
  const auto* source = static_cast<Source*>(program);
  if (!source->is_machine) return standin::kInvalidProgram;
  *size = source->image.size() + 1;
  return 0;
}
int nvrtcGetCUBIN(void* program, char* image) {
  ENTER("nvrtcGetCUBIN");
  return standin::copy(static_cast<Source*>(program)->image, image);
}
int nvrtcGetPTXSize(void* program, size_t* size) {
  ENTER("nvrtcGetPTXSize");
  *size = static_cast<Source*>(program)->image.size() + 1;
  return 0;
}
int nvrtcGetPTX(void* program, char* image) {
  ENTER("nvrtcGetPTX");
  return standin::copy(static_cast<Source*>(program)->image, image);
}
const char* nvrtcGetErrorString(int code) {
  return code == standin::kCompilation ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_OF_THE_STANDIN";
}
}
