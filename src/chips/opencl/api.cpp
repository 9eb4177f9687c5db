#include "chips/opencl/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "chips/gpu/library.h"

namespace naru::opencl {
namespace {

constexpr const char* kLibrary = "libOpenCL.so.1";

Result<Api> open_library() {
  auto library = gpu::Library::open(kLibrary);
  if (!library.ok()) {
    return Error{Code::kUnavailable, fmt::format("opening {}: {}; {}", kLibrary, library.error().message, kInstall)};
  }
  Api api{};
  library->find("clGetPlatformIDs", api.get_platform_ids);
  library->find("clGetPlatformInfo", api.get_platform_info);
  library->find("clGetDeviceIDs", api.get_device_ids);
  library->find("clGetDeviceInfo", api.get_device_info);
  library->find("clCreateContext", api.create_context);
  library->find("clReleaseContext", api.release_context);
  library->find("clCreateCommandQueue", api.create_queue);
  library->find("clReleaseCommandQueue", api.release_queue);
  library->find("clCreateBuffer", api.create_buffer);
  library->find("clSetMemObjectDestructorCallback", api.on_release);
  library->find("clReleaseMemObject", api.release_mem);
  library->find("clEnqueueFillBuffer", api.fill_buffer);
  library->find("clEnqueueReadBuffer", api.read_buffer);
  library->find("clEnqueueWriteBuffer", api.write_buffer);
  library->find("clCreateProgramWithSource", api.create_program);
  library->find("clCreateProgramWithBinary", api.create_program_of_binary);
  library->find("clBuildProgram", api.build_program);
  library->find("clGetProgramInfo", api.get_program_info);
  library->find("clGetProgramBuildInfo", api.get_build_info);
  library->find("clReleaseProgram", api.release_program);
  library->find("clCreateKernel", api.create_kernel);
  library->find("clSetKernelArg", api.set_argument);
  library->find("clReleaseKernel", api.release_kernel);
  library->find("clEnqueueNDRangeKernel", api.launch);
  library->find("clGetEventInfo", api.get_event_info);
  library->find("clReleaseEvent", api.release_event);
  library->find("clFlush", api.flush);
  library->find("clFinish", api.finish);
  if (library->missing().empty()) return api;
  return Error{Code::kUnavailable, fmt::format("opening {}: it lacks {}, OpenCL 1.2 was wanted; {}", library->file(),
                                               library->missing(), kInstall)};
}

struct ErrorName {
  Int code;
  std::string_view name;
};
constexpr ErrorName kErrors[] = {
    {-1, "CL_DEVICE_NOT_FOUND"},
    {-2, "CL_DEVICE_NOT_AVAILABLE"},
    {-3, "CL_COMPILER_NOT_AVAILABLE"},
    {-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
    {-5, "CL_OUT_OF_RESOURCES"},
    {-6, "CL_OUT_OF_HOST_MEMORY"},
    {-11, "CL_BUILD_PROGRAM_FAILURE"},
    {-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"},
    {-30, "CL_INVALID_VALUE"},
    {-33, "CL_INVALID_DEVICE"},
    {-34, "CL_INVALID_CONTEXT"},
    {-36, "CL_INVALID_COMMAND_QUEUE"},
    {-38, "CL_INVALID_MEM_OBJECT"},
    {-42, "CL_INVALID_BINARY"},
    {-43, "CL_INVALID_BUILD_OPTIONS"},
    {-44, "CL_INVALID_PROGRAM"},
    {-45, "CL_INVALID_PROGRAM_EXECUTABLE"},
    {-46, "CL_INVALID_KERNEL_NAME"},
    {-48, "CL_INVALID_KERNEL"},
    {-49, "CL_INVALID_ARG_INDEX"},
    {-50, "CL_INVALID_ARG_VALUE"},
    {-51, "CL_INVALID_ARG_SIZE"},
    {-52, "CL_INVALID_KERNEL_ARGS"},
    {-54, "CL_INVALID_WORK_GROUP_SIZE"},
    {-55, "CL_INVALID_WORK_ITEM_SIZE"},
    {-59, "CL_INVALID_OPERATION"},
    {-61, "CL_INVALID_BUFFER_SIZE"},
    {-63, "CL_INVALID_GLOBAL_WORK_SIZE"},
    {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
};

}  // namespace

Result<const Api*> load_api() {
  static const Result<Api> kApi = open_library();
  if (kApi.ok()) return &*kApi;
  return Error(kApi.error());
}

std::string error_name(Int code) {
  const auto* found =
      std::find_if(std::begin(kErrors), std::end(kErrors), [&](const ErrorName& each) { return each.code == code; });
  return found != std::end(kErrors) ? std::string(found->name) : fmt::format("error {}", code);
}

}  // namespace naru::opencl
