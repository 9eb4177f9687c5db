#include "chips/cuda/compiler_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "chips/gpu/library.h"

namespace naru::cuda {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVariable = "NARU_NVRTC";
constexpr std::string_view kInstall =
    "install CUDA, or `pip install nvidia-cuda-nvrtc` and let NARU_NVRTC name its folder (docs/install.md)";

// Files of the library in a folder, the latest version first.
std::vector<std::string> libraries_in(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with("libnvrtc.so")) files.push_back(at->path().string());
  }
  std::sort(files.rbegin(), files.rend());
  return files;
}

// Folders of folder/*/below that are there.
std::vector<fs::path> folders_below(const fs::path& folder, const fs::path& below) {
  std::vector<fs::path> found;
  std::error_code error, none;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (fs::is_directory(at->path() / below, none)) found.push_back(at->path() / below);
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

// What is tried where nothing is named.
std::vector<std::string> usual_places() {
  std::vector<std::string> all = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"};
  const auto add = [&](const fs::path& folder) {
    for (std::string& file : libraries_in(folder)) all.push_back(std::move(file));
  };
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const char* root = std::getenv(variable);
    if (root == nullptr || *root == '\0') continue;
    add(fs::path(root) / "lib64");
    add(fs::path(root) / "lib");
  }
  add("/usr/local/cuda/lib64");
  const char* environment = std::getenv("VIRTUAL_ENV");
  if (environment == nullptr || *environment == '\0') return all;
  for (const fs::path& vendor : folders_below(fs::path(environment) / "lib", "site-packages/nvidia")) {
    for (const fs::path& folder : folders_below(vendor, "lib")) add(folder);
  }
  return all;
}

Result<CompilerApi> open_compiler(const std::string& path) {
  NARU_ASSIGN(gpu::Library library, gpu::Library::open(path));
  CompilerApi api{};
  api.file = library.file();
  library.find("nvrtcVersion", api.version);
  library.find("nvrtcCreateProgram", api.create);
  library.find("nvrtcDestroyProgram", api.destroy);
  library.find("nvrtcCompileProgram", api.compile);
  library.find("nvrtcGetProgramLogSize", api.log_size);
  library.find("nvrtcGetProgramLog", api.log);
  library.find("nvrtcGetCUBINSize", api.binary_size);
  library.find("nvrtcGetCUBIN", api.binary);
  library.find("nvrtcGetPTXSize", api.ptx_size);
  library.find("nvrtcGetPTX", api.ptx);
  library.find("nvrtcGetNumSupportedArchs", api.target_count);
  library.find("nvrtcGetSupportedArchs", api.targets);
  library.find("nvrtcGetErrorString", api.error_text);
  if (!library.missing().empty()) {
    return Error{Code::kUnavailable,
                 fmt::format("{} lacks {}, NVRTC 11.2 or later was wanted", library.file(), library.missing())};
  }
  if (api.version(&api.major, &api.minor) != kCompiled) {
    return Error{Code::kUnavailable, fmt::format("{} does not say its version", library.file())};
  }
  return api;
}

Result<CompilerApi> open_named(const std::string& named) {
  std::error_code error;
  std::vector<std::string> places = {named};
  if (fs::is_directory(named, error)) places = libraries_in(named);
  std::string why = fmt::format("{} has no libnvrtc.so", named);
  for (const std::string& place : places) {
    auto api = open_compiler(place);
    if (api.ok()) return api;
    why = api.error().message;
  }
  return Error{Code::kUnavailable,
               fmt::format("opening CUDA's compiler, which NARU_NVRTC names: {}; {}", why, kInstall)};
}

Result<CompilerApi> open_any() {
  std::string broken;
  for (const std::string& place : usual_places()) {
    auto api = open_compiler(place);
    if (api.ok()) return api;
    // Of a name alone that the loader does not find there is nothing to say.
    const bool is_file = place.find('/') != std::string::npos;
    if (is_file || api.error().message.find("lacks") != std::string::npos)
      broken += fmt::format(", {}", api.error().message);
  }
  return Error{Code::kUnavailable,
               fmt::format("opening CUDA's compiler NVRTC: it is neither where the system's loader looks "
                           "nor in CUDA_HOME, CUDA_PATH, /usr/local/cuda or VIRTUAL_ENV{}; {}",
                           broken, kInstall)};
}

}  // namespace

std::string CompilerApi::words() const {
  return fmt::format("NVRTC {}.{} of {}", major, minor, file);
}

Result<const CompilerApi*> load_compiler_api() {
  static std::mutex lock;
  static std::map<std::string, std::unique_ptr<Result<CompilerApi>>> opened;
  const char* named = std::getenv(kVariable);
  const std::string key = named != nullptr ? named : "";
  const std::lock_guard guard(lock);
  auto& api = opened[key];
  if (api == nullptr) api = std::make_unique<Result<CompilerApi>>(key.empty() ? open_any() : open_named(key));
  if (api->ok()) return &**api;
  return Error(api->error());
}

}  // namespace naru::cuda
