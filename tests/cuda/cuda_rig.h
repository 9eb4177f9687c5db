// The stand-in for NVIDIA's libraries (standin/standin.h) in the hands of a test.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/check.h"
#include "chips/cuda/compiler_api.h"
#include "chips/cuda/devices.h"
#include "chips/cuda/driver.h"

namespace naru::test {

// A variable of the environment for the life of the object; nullptr: not set.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    const char* old = std::getenv(name);
    has_ = old != nullptr;
    if (has_) old_ = old;
    value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
  }
  ~Variable() { has_ ? ::setenv(name_, old_.c_str(), 1) : ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::string old_;
  bool has_ = false;
};

// A folder of the test, gone behind it.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "naru-cuda-XXXXXX").string();
    NARU_CHECK(::mkdtemp(name.data()) != nullptr, name);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// PoCL keeps what it compiled where it always does, wherever naru keeps its own.
inline const char* pocl_cache() {
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  if (cache != nullptr) ::setenv("POCL_CACHE_DIR", (std::string(cache) + "/pocl").c_str(), 0);
  if (cache == nullptr && home != nullptr) ::setenv("POCL_CACHE_DIR", (std::string(home) + "/.cache/pocl").c_str(), 0);
  return std::getenv("POCL_CACHE_DIR");
}

// Both libraries are the stand-in, and programs are kept in an empty folder of the test, for the life of the object.
class Standin {
 public:
  Standin()
      : driver_("NARU_LIBCUDA", NARU_CUDA_STANDIN),
        compiler_("NARU_NVRTC", NARU_CUDA_STANDIN),
        pocl_("POCL_CACHE_DIR", pocl_cache()),
        cache_("XDG_CACHE_HOME", folder_.path().c_str()),
        library_(::dlopen(NARU_CUDA_STANDIN, RTLD_NOW)) {
    NARU_CHECK(library_ != nullptr, NARU_CUDA_STANDIN);
    reset();
  }
  ~Standin() { reset(); }

  void reset() { call<void()>("standin_reset")(); }
  void fail_call(int n, int code) { call<void(int, int)>("standin_fail_call")(n, code); }
  void fail_queued(int n, int code) { call<void(int, int)>("standin_fail_queued")(n, code); }
  int calls() { return call<int()>("standin_calls")(); }
  std::string failed_call() { return call<const char*()>("standin_failed_call")(); }
  std::string live() { return call<const char*()>("standin_live")(); }
  std::string last_launch() { return call<const char*()>("standin_last_launch")(); }
  uint64_t parameter(int i) { return call<unsigned long long(int)>("standin_parameter")(i); }
  std::string options() { return call<const char*()>("standin_options")(); }
  int compiled() { return call<int()>("standin_compiled")(); }
  bool computes() { return call<int()>("standin_computes")() != 0; }
  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  template <typename Function>
  Function* call(const char* name) {
    auto* function = reinterpret_cast<Function*>(::dlsym(library_, name));
    NARU_CHECK(function != nullptr, name);
    return function;
  }
  Folder folder_;
  Variable driver_, compiler_, pocl_, cache_;
  void* library_;
};

// The driver of a device of the stand-in.
inline Result<std::unique_ptr<cuda::CudaDriver>> open_driver(size_t device = 0) {
  NARU_ASSIGN(const auto devices, cuda::list_devices());
  NARU_ASSIGN(const cuda::DriverApi* api, cuda::load_driver_api());
  NARU_ASSIGN(const cuda::CompilerApi* compiler, cuda::load_compiler_api());
  return cuda::CudaDriver::open(*api, *compiler, devices.at(device));
}

#define SKIP_WHERE_NOTHING_COMPUTES(standin) \
  if (!(standin).computes())                 \
  GTEST_SKIP() << "no OpenCL driver that the stand-in could launch kernels by (scripts/setup --opencl)"

}  // namespace naru::test
