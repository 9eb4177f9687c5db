// Kernels through an OpenCL driver: the first device of the first platform that is a processor, whose buffers are the
// stand-in's own memory.
#include <dlfcn.h>

#include <cstdio>
#include <cstring>

#include "chips/opencl/api.h"
#include "tests/cuda/standin/state.h"

namespace standin {
namespace {

using namespace naru::opencl;

constexpr Bits kProcessor = 1 << 1, kUseHostPointer = 1 << 3;
constexpr Uint kArguments = 0x1191, kArgumentAddress = 0x1196, kArgumentType = 0x1198, kGlobal = 0x119b;

struct Cl {
  Int (*platforms)(Uint, PlatformId*, Uint*);
  Int (*devices)(PlatformId, Bits, Uint, DeviceId*, Uint*);
  ContextId (*context)(const intptr_t*, Uint, const DeviceId*, void*, void*, Int*);
  QueueId (*queue)(ContextId, DeviceId, Bits, Int*);
  MemId (*buffer)(ContextId, Bits, size_t, void*, Int*);
  Int (*release_buffer)(MemId);
  ProgramId (*program)(ContextId, Uint, const char**, const size_t*, Int*);
  Int (*build)(ProgramId, Uint, const DeviceId*, const char*, void*, void*);
  Int (*log)(ProgramId, DeviceId, Uint, size_t, void*, size_t*);
  Int (*release_program)(ProgramId);
  KernelId (*kernel)(ProgramId, const char*, Int*);
  Int (*release_kernel)(KernelId);
  Int (*kernel_info)(KernelId, Uint, size_t, void*, size_t*);
  Int (*argument_info)(KernelId, Uint, Uint, size_t, void*, size_t*);
  Int (*set)(KernelId, Uint, size_t, const void*);
  Int (*launch)(QueueId, KernelId, Uint, const size_t*, const size_t*, const size_t*, Uint, const void*, void*);
  Int (*finish)(QueueId);
  DeviceId device = nullptr;
  ContextId its_context = nullptr;
  QueueId its_queue = nullptr;
};

bool open(Cl& cl) {
  void* library = ::dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return false;
  bool has_all = true;
  const auto find = [&](const char* name, auto& function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
    has_all = has_all && function != nullptr;
  };
  find("clGetPlatformIDs", cl.platforms);
  find("clGetDeviceIDs", cl.devices);
  find("clCreateContext", cl.context);
  find("clCreateCommandQueue", cl.queue);
  find("clCreateBuffer", cl.buffer);
  find("clReleaseMemObject", cl.release_buffer);
  find("clCreateProgramWithSource", cl.program);
  find("clBuildProgram", cl.build);
  find("clGetProgramBuildInfo", cl.log);
  find("clReleaseProgram", cl.release_program);
  find("clCreateKernel", cl.kernel);
  find("clReleaseKernel", cl.release_kernel);
  find("clGetKernelInfo", cl.kernel_info);
  find("clGetKernelArgInfo", cl.argument_info);
  find("clSetKernelArg", cl.set);
  find("clEnqueueNDRangeKernel", cl.launch);
  find("clFinish", cl.finish);
  if (!has_all) return false;
  PlatformId platforms[8];
  Uint n = 0;
  if (cl.platforms(8, platforms, &n) != naru::opencl::kSuccess) return false;
  for (Uint i = 0; i < n && i < 8 && cl.device == nullptr; ++i)
    cl.devices(platforms[i], kProcessor, 1, &cl.device, nullptr);
  if (cl.device == nullptr) return false;
  cl.its_context = cl.context(nullptr, 1, &cl.device, nullptr, nullptr, nullptr);
  if (cl.its_context != nullptr) cl.its_queue = cl.queue(cl.its_context, cl.device, 0, nullptr);
  return cl.its_queue != nullptr;
}

// nullptr where there is no OpenCL.
const Cl* cl() {
  static Cl functions{};
  static const bool is_there = open(functions);
  return is_there ? &functions : nullptr;
}

}  // namespace

bool cl_is_there() {
  return cl() != nullptr;
}

void* cl_buffer(std::byte* data, size_t bytes) {
  if (cl() == nullptr) return nullptr;
  return cl()->buffer(cl()->its_context, kMemReadWrite | kUseHostPointer, bytes, data, nullptr);
}
void cl_release_buffer(void* buffer) {
  if (buffer != nullptr) cl()->release_buffer(static_cast<MemId>(buffer));
}

void* cl_program(const std::string& text, const std::string& options) {
  const char* source = text.c_str();
  const size_t size = text.size();
  const ProgramId program = cl()->program(cl()->its_context, 1, &source, &size, nullptr);
  if (program == nullptr) return nullptr;
  if (cl()->build(program, 1, &cl()->device, options.c_str(), nullptr, nullptr) == naru::opencl::kSuccess)
    return program;
  std::string log(4096, '\0');
  cl()->log(program, cl()->device, kProgramBuildLog, log.size() - 1, log.data(), nullptr);
  std::fprintf(stderr, "stand-in: %s\n", log.c_str());
  cl()->release_program(program);
  return nullptr;
}
void cl_release_program(void* program) {
  if (program != nullptr) cl()->release_program(static_cast<ProgramId>(program));
}

bool cl_parameters(void* program, const std::string& name, std::vector<int>* sizes) {
  const KernelId kernel = cl()->kernel(static_cast<ProgramId>(program), name.c_str(), nullptr);
  if (kernel == nullptr) return false;
  Uint n = 0;
  bool is_known = cl()->kernel_info(kernel, kArguments, sizeof(n), &n, nullptr) == naru::opencl::kSuccess;
  for (Uint i = 0; i < n && is_known; ++i) {
    Uint address = 0;
    char type[64] = {};
    cl()->argument_info(kernel, i, kArgumentAddress, sizeof(address), &address, nullptr);
    cl()->argument_info(kernel, i, kArgumentType, sizeof(type) - 1, type, nullptr);
    const std::string word = type;
    sizes->push_back(address == kGlobal ? 0 : word == "float" ? 4 : 8);
    is_known = address == kGlobal || word == "float" || word == "i64" || word == "long";
  }
  cl()->release_kernel(kernel);
  return is_known;
}

bool cl_launch(void* program, const std::string& name, const std::vector<int>& sizes,
               const std::vector<unsigned long long>& values, const unsigned (&grid)[3], const unsigned (&block)[3]) {
  const KernelId kernel = cl()->kernel(static_cast<ProgramId>(program), name.c_str(), nullptr);
  if (kernel == nullptr) return false;
  Int code = naru::opencl::kSuccess;
  for (Uint i = 0; i < sizes.size() && code == naru::opencl::kSuccess; ++i) {
    code = cl()->set(kernel, i, sizes[i] == 4 ? 4 : 8, &values[i]);
  }
  size_t local[3], global[3];
  for (int i = 0; i < 3; ++i) {
    local[i] = block[i];
    global[i] = static_cast<size_t>(grid[i]) * block[i];
  }
  if (code == naru::opencl::kSuccess) {
    code = cl()->launch(cl()->its_queue, kernel, 3, nullptr, global, local, 0, nullptr, nullptr);
  }
  if (code == naru::opencl::kSuccess) code = cl()->finish(cl()->its_queue);
  cl()->release_kernel(kernel);
  if (code != naru::opencl::kSuccess) std::fprintf(stderr, "stand-in: launching %s gives %d\n", name.c_str(), code);
  return code == naru::opencl::kSuccess;
}

}  // namespace standin
