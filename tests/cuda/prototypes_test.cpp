// What chips/cuda writes down of CUDA's and NVRTC's interfaces, against NVIDIA's own headers where a machine has them:
// types of functions, symbols behind macros, and numbers. The compiler compares.
#include <gtest/gtest.h>

#ifdef NARU_HAS_CUDA_HEADERS
#include <cuda.h>
#include <nvrtc.h>

#include <string>
#include <type_traits>

#include "chips/cuda/compiler_api.h"
#include "chips/cuda/driver_api.h"

namespace naru::cuda {
namespace {

// A type of theirs as ours.
template <typename T>
struct Ours {
  using Type = std::conditional_t<std::is_enum_v<T>, int, T>;
};
template <typename T>
struct Ours<T*> {
  using Type = typename Ours<T>::Type*;
};
template <typename T>
struct Ours<const T> {
  using Type = const typename Ours<T>::Type;
};
template <>
struct Ours<CUcontext> {
  using Type = ContextId;
};
template <>
struct Ours<CUstream> {
  using Type = StreamId;
};
template <>
struct Ours<CUmodule> {
  using Type = ModuleId;
};
template <>
struct Ours<CUfunction> {
  using Type = FunctionId;
};
template <>
struct Ours<nvrtcProgram> {
  using Type = SourceId;
};
template <typename R, typename... A>
struct Ours<R (*)(A...)> {
  using Type = typename Ours<R>::Type (*)(typename Ours<A>::Type...);
};

#define EXPECT_SAME(theirs, ours) static_assert(std::is_same_v<Ours<decltype(&theirs)>::Type, decltype(ours)>, #theirs)
EXPECT_SAME(cuInit, DriverApi::init);
EXPECT_SAME(cuDriverGetVersion, DriverApi::driver_version);
EXPECT_SAME(cuDeviceGetCount, DriverApi::device_count);
EXPECT_SAME(cuDeviceGet, DriverApi::device);
EXPECT_SAME(cuDeviceGetName, DriverApi::device_name);
EXPECT_SAME(cuDeviceGetAttribute, DriverApi::device_attribute);
EXPECT_SAME(cuDeviceTotalMem, DriverApi::device_memory);
EXPECT_SAME(cuDevicePrimaryCtxRetain, DriverApi::retain_context);
EXPECT_SAME(cuDevicePrimaryCtxRelease, DriverApi::release_context);
EXPECT_SAME(cuCtxSetCurrent, DriverApi::set_context);
EXPECT_SAME(cuMemGetInfo, DriverApi::memory_info);
EXPECT_SAME(cuMemAlloc, DriverApi::allocate);
EXPECT_SAME(cuMemFree, DriverApi::free);
EXPECT_SAME(cuMemAllocHost, DriverApi::allocate_host);
EXPECT_SAME(cuMemFreeHost, DriverApi::free_host);
EXPECT_SAME(cuMemcpyHtoDAsync, DriverApi::copy_in);
EXPECT_SAME(cuMemcpyDtoHAsync, DriverApi::copy_out);
EXPECT_SAME(cuMemsetD8Async, DriverApi::fill);
EXPECT_SAME(cuStreamCreate, DriverApi::create_stream);
EXPECT_SAME(cuStreamDestroy, DriverApi::destroy_stream);
EXPECT_SAME(cuStreamSynchronize, DriverApi::synchronize);
EXPECT_SAME(cuModuleLoadDataEx, DriverApi::load_module);
EXPECT_SAME(cuModuleUnload, DriverApi::unload_module);
EXPECT_SAME(cuModuleGetFunction, DriverApi::function);
EXPECT_SAME(cuLaunchKernel, DriverApi::launch);
EXPECT_SAME(cuGetErrorName, DriverApi::error_name);
EXPECT_SAME(cuGetErrorString, DriverApi::error_text);
EXPECT_SAME(nvrtcVersion, CompilerApi::version);
EXPECT_SAME(nvrtcCreateProgram, CompilerApi::create);
EXPECT_SAME(nvrtcDestroyProgram, CompilerApi::destroy);
EXPECT_SAME(nvrtcCompileProgram, CompilerApi::compile);
EXPECT_SAME(nvrtcGetProgramLogSize, CompilerApi::log_size);
EXPECT_SAME(nvrtcGetProgramLog, CompilerApi::log);
EXPECT_SAME(nvrtcGetCUBINSize, CompilerApi::binary_size);
EXPECT_SAME(nvrtcGetCUBIN, CompilerApi::binary);
EXPECT_SAME(nvrtcGetPTXSize, CompilerApi::ptx_size);
EXPECT_SAME(nvrtcGetPTX, CompilerApi::ptx);
EXPECT_SAME(nvrtcGetNumSupportedArchs, CompilerApi::target_count);
EXPECT_SAME(nvrtcGetSupportedArchs, CompilerApi::targets);
EXPECT_SAME(nvrtcGetErrorString, CompilerApi::error_text);

static_assert(kSuccess == CUDA_SUCCESS && kOutOfMemory == CUDA_ERROR_OUT_OF_MEMORY &&
              kInvalidImage == CUDA_ERROR_INVALID_IMAGE);
static_assert(kNoBinaryForGpu == CUDA_ERROR_NO_BINARY_FOR_GPU && kInvalidPtx == CUDA_ERROR_INVALID_PTX);
static_assert(kUnsupportedPtxVersion == CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
static_assert(kMaxThreadsPerBlock == CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
static_assert(kMaxSharedMemoryPerBlock == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
static_assert(kIntegrated == CU_DEVICE_ATTRIBUTE_INTEGRATED && kComputeMode == CU_DEVICE_ATTRIBUTE_COMPUTE_MODE);
static_assert(kCapabilityMajor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
static_assert(kCapabilityMinor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
static_assert(kComputeModeProhibited == CU_COMPUTEMODE_PROHIBITED && kStreamNonBlocking == CU_STREAM_NON_BLOCKING);
static_assert(kCompiled == NVRTC_SUCCESS);

#define WORD_2(name) #name
#define WORD(name) WORD_2(name)
TEST(CudaPrototypes, NamesBehindMacrosAreThoseThatAreOpened) {
  const std::string names =
      WORD(cuDeviceTotalMem) " " WORD(cuDevicePrimaryCtxRelease) " " WORD(cuMemGetInfo) " " WORD(cuMemAlloc) " " WORD(
          cuMemFree) " " WORD(cuMemAllocHost) " " WORD(cuMemcpyHtoDAsync) " " WORD(cuMemcpyDtoHAsync) " " WORD(cuStreamDestroy);
  EXPECT_EQ(
      names,
      "cuDeviceTotalMem_v2 cuDevicePrimaryCtxRelease_v2 cuMemGetInfo_v2 cuMemAlloc_v2 cuMemFree_v2 cuMemAllocHost_v2 "
      "cuMemcpyHtoDAsync_v2 cuMemcpyDtoHAsync_v2 cuStreamDestroy_v2");
}

}  // namespace
}  // namespace naru::cuda

#else
TEST(CudaPrototypes, AreComparedWithHeaders) {
  GTEST_SKIP() << "no cuda.h with nvrtc.h on this machine";
}
#endif
