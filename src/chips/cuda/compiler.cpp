#include "chips/cuda/compiler.h"

#include <fmt/format.h>

#include <algorithm>

namespace naru::cuda {
namespace {

constexpr size_t kLogMax = 2000, kLogRead = size_t{1} << 20;
constexpr int kTargetsMax = 256;

// A program of NVRTC with one owner.
class Source {
 public:
  explicit Source(const CompilerApi& api) : api_(api) {}
  ~Source() {
    if (id != nullptr) api_.destroy(&id);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  SourceId id = nullptr;

 private:
  const CompilerApi& api_;
};

Error failure(const CompilerApi& api, std::string_view call, std::string_view program, CompilerCode code) {
  const char* text = api.error_text(code);
  return {
      Code::kUnavailable,
      fmt::format("compiling kernels '{}' ({}) by {}: it says {}; let NARU_NVRTC name another NVRTC, or use chip cpu",
                  program, call, api.words(), text != nullptr ? text : fmt::format("error {}", code))};
}

std::string log_of(const CompilerApi& api, SourceId id) {
  size_t size = 0;
  if (api.log_size(id, &size) != kCompiled || size == 0 || size > kLogRead) return {};
  std::string log(size, '\0');
  if (api.log(id, log.data()) != kCompiled) return {};
  log.resize(std::min({log.find('\0'), log.size(), kLogMax}));
  return log;
}

}  // namespace

Result<Target> choose_target(const CompilerApi& api, int capability) {
  int count = 0;
  const auto fail = [&](std::string_view call, CompilerCode code) { return failure(api, call, "of any", code); };
  if (const auto code = api.target_count(&count); code != kCompiled) return fail("nvrtcGetNumSupportedArchs", code);
  if (count < 1 || count > kTargetsMax) {
    return Error{Code::kUnavailable, fmt::format("choosing a target of {}: it says that it has {}; let NARU_NVRTC name "
                                                 "another NVRTC, or use chip cpu",
                                                 api.words(), count)};
  }
  std::vector<int> targets(static_cast<size_t>(count));
  if (const auto code = api.targets(targets.data()); code != kCompiled) return fail("nvrtcGetSupportedArchs", code);
  std::sort(targets.begin(), targets.end());
  const auto above = std::upper_bound(targets.begin(), targets.end(), capability);
  if (above != targets.begin()) return Target{*(above - 1), *(above - 1) == capability};
  return Error{Code::kUnsupported,
               fmt::format("choosing a target of {}: it begins at compute capability {}.{}, the device has "
                           "{}.{}; let NARU_NVRTC name an older NVRTC, or use chip cpu",
                           api.words(), targets[0] / 10, targets[0] % 10, capability / 10, capability % 10)};
}

std::vector<std::string> compile_options(const Target& target, const gpu::Software& software) {
  std::vector<std::string> options = {
      fmt::format("--gpu-architecture={}_{}", target.is_machine ? "sm" : "compute", target.capability), "--fmad=false",
      fmt::format("--ftz={}", !software.flush), "--prec-div=true", "--prec-sqrt=true"};
  for (const std::string& name : software.names()) options.push_back("-D" + name);
  return options;
}

Result<std::string> compile(const CompilerApi& api, std::string_view program, const std::string& text,
                            const Target& target, std::span<const std::string> options) {
  Source source(api);
  const std::string name = fmt::format("{}.cl", program);
  CompilerCode code = api.create(&source.id, text.c_str(), name.c_str(), 0, nullptr, nullptr);
  if (code != kCompiled) return failure(api, "nvrtcCreateProgram", program, code);
  std::vector<const char*> words;
  for (const std::string& option : options) words.push_back(option.c_str());
  code = api.compile(source.id, static_cast<int>(words.size()), words.data());
  if (code != kCompiled) {
    Error error = failure(api, "nvrtcCompileProgram", program, code);
    if (const std::string log = log_of(api, source.id); !log.empty()) error.message += fmt::format("\n{}", log);
    return error;
  }
  size_t size = 0;
  code = target.is_machine ? api.binary_size(source.id, &size) : api.ptx_size(source.id, &size);
  if (code != kCompiled)
    return failure(api, target.is_machine ? "nvrtcGetCUBINSize" : "nvrtcGetPTXSize", program, code);
  std::string image(size, '\0');
  code = target.is_machine ? api.binary(source.id, image.data()) : api.ptx(source.id, image.data());
  if (code != kCompiled) return failure(api, target.is_machine ? "nvrtcGetCUBIN" : "nvrtcGetPTX", program, code);
  return image;
}

}  // namespace naru::cuda
