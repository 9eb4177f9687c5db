// libcuda's functions: two devices, whose memory is the host's.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/cuda/standin/standin.h"
#include "tests/cuda/standin/state.h"

namespace standin {

State& state() {
  static auto* all = [] {
    auto* made = new State;  // never destroyed: threads may still be here
    if (const char* fault = std::getenv("NARU_STANDIN_FAIL_QUEUED"); fault != nullptr) {
      char* behind = nullptr;
      made->fail_queued = static_cast<int>(std::strtol(fault, &behind, 10));
      made->fail_queued_code = *behind == ':' ? std::atoi(behind + 1) : kIllegalAddress;
    }
    if (const char* hang = std::getenv("NARU_STANDIN_HANG_QUEUED"); hang != nullptr)
      made->hang_queued = std::atoi(hang);
    return made;
  }();
  return *all;
}

namespace {

constexpr int kDevices = 2;
thread_local void* current = nullptr;
int contexts_of[kDevices];

size_t memory_bytes() {
  const char* mib = std::getenv("NARU_STANDIN_MEMORY");
  return (mib != nullptr ? std::strtoull(mib, nullptr, 10) : 1024) << 20;
}

// What every call but the first ones looks at.
int enter(const char* name, bool needs_context = true) {
  if (const int code = state().count(name); code != kSuccess) return code;
  if (state().init_pid != ::getpid()) return kNotInitialized;
  if (state().lost != kSuccess) return state().lost;
  return needs_context && current == nullptr ? kInvalidContext : kSuccess;
}

// The bytes at an address, nullptr where they are not all of one block.
std::byte* bytes_at(unsigned long long address, size_t bytes) {
  const auto behind = state().blocks.upper_bound(address);
  if (behind == state().blocks.begin()) return nullptr;
  const auto& [begin, block] = *std::prev(behind);
  return address - begin + bytes <= block.bytes ? block.data + (address - begin) : nullptr;
}

int queue(void* stream, std::function<int()> work) {
  const auto found = state().streams.find(stream);
  if (found == state().streams.end()) return kInvalidValue;
  const bool fails = ++state().queued == state().fail_queued;
  const int code = state().fail_queued_code;
  if (state().queued == state().hang_queued) {
    work = [] {
      for (;;) ::pause();
      return kSuccess;
    };
  }
  found->second.push_back(fails ? [code] { return code; } : std::move(work));
  return kSuccess;
}

// A launch, with the buffers that the pointers of its parameters are.
int do_launch(const Function& function, std::vector<unsigned long long> values, const std::vector<int>& sizes,
              const unsigned (&grid)[3], const unsigned (&block)[3]) {
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] != 0) continue;
    const auto found = state().blocks.find(values[i]);
    if (found == state().blocks.end()) return kIllegalAddress;
    values[i] = reinterpret_cast<unsigned long long>(found->second.buffer);
  }
  return cl_launch(function.module->program, function.name, sizes, values, grid, block) ? kSuccess : kIllegalAddress;
}

std::string live_words() {
  const State& s = state();
  std::string words;
  const auto add = [&](size_t n, const char* what) {
    if (n != 0) words += (words.empty() ? "" : ", ") + std::to_string(n) + " " + what;
  };
  add(s.blocks.size(), "allocations");
  add(s.host_blocks.size(), "host allocations");
  add(s.streams.size(), "streams");
  add(s.modules.size(), "modules");
  add(s.sources.size(), "sources");
  add(static_cast<size_t>(s.contexts), "contexts");
  return words;
}

}  // namespace
}  // namespace standin

using standin::state;

#define ENTER(...)                           \
  const std::lock_guard guard(state().lock); \
  if (const int code = standin::enter(__VA_ARGS__); code != 0) return code

extern "C" {
int cuInit(unsigned flags) {
  const std::lock_guard guard(state().lock);
  if (const int code = state().count("cuInit"); code != 0) return code;
  if (const char* code = std::getenv("NARU_STANDIN_INIT"); code != nullptr) return std::atoi(code);
  if (state().init_pid != 0 && state().init_pid != ::getpid()) return standin::kNotInitialized;
  state().init_pid = ::getpid();
  return flags == 0 ? standin::kSuccess : standin::kInvalidValue;
}
int cuDriverGetVersion(int* version) {
  ENTER("cuDriverGetVersion", false);
  *version = 13000;
  return 0;
}
int cuDeviceGetCount(int* count) {
  ENTER("cuDeviceGetCount", false);
  *count = standin::kDevices;
  return 0;
}
int cuDeviceGet(int* device, int number) {
  ENTER("cuDeviceGet", false);
  *device = number;
  return number >= 0 && number < standin::kDevices ? 0 : 101;
}
int cuDeviceGetName(char* name, int bytes, int device) {
  ENTER("cuDeviceGetName", false);
  std::strncpy(name, device == 0 ? "Stand-in 90" : "Stand-in 125", static_cast<size_t>(bytes));
  return 0;
}
int cuDeviceGetAttribute(int* value, int what, int device) {
  ENTER("cuDeviceGetAttribute", false);
  switch (what) {
    case 1: *value = 1024; return 0;
    case 8: *value = 48 << 10; return 0;
    case 18:
    case 20: *value = 0; return 0;
    case 75: *value = device == 0 ? 9 : 12; return 0;
    case 76: *value = device == 0 ? 0 : 5; return 0;
    default: return standin::kInvalidValue;
  }
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  ENTER("cuDeviceTotalMem", false);
  *bytes = standin::memory_bytes();
  return 0;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
  ENTER("cuDevicePrimaryCtxRetain", false);
  state().contexts += 1;
  *context = &standin::contexts_of[device];
  return 0;
}
int cuDevicePrimaryCtxRelease_v2(int) {
  const std::lock_guard guard(state().lock);
  state().contexts -= 1;
  return 0;
}
int cuCtxSetCurrent(void* context) {
  ENTER("cuCtxSetCurrent", false);
  standin::current = context;
  return 0;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
  ENTER("cuMemGetInfo");
  *total = standin::memory_bytes();
  *free = *total - state().used;
  return 0;
}
int cuMemAlloc_v2(unsigned long long* address, size_t bytes) {
  ENTER("cuMemAlloc");
  if (bytes == 0) return standin::kInvalidValue;
  if (bytes > standin::memory_bytes() - state().used) return standin::kOutOfMemory;
  const size_t size = (bytes + 4095) / 4096 * 4096;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(4096, size));
  if (data == nullptr) return standin::kOutOfMemory;
  std::memset(data, 0xab, size);
  *address = state().next_address;
  state().next_address += size + (1 << 20);
  state().used += bytes;
  state().blocks[*address] = {data, bytes, standin::cl_buffer(data, size)};
  return 0;
}
int cuMemFree_v2(unsigned long long address) {
  const std::lock_guard guard(state().lock);
  const auto found = state().blocks.find(address);
  if (found == state().blocks.end()) return standin::kInvalidValue;
  standin::cl_release_buffer(found->second.buffer);
  std::free(found->second.data);
  state().used -= found->second.bytes;
  state().blocks.erase(found);
  return 0;
}
int cuMemAllocHost_v2(void** memory, size_t bytes) {
  ENTER("cuMemAllocHost");
  *memory = std::malloc(bytes);
  state().host_blocks[*memory] = bytes;
  return 0;
}
int cuMemFreeHost(void* memory) {
  const std::lock_guard guard(state().lock);
  if (state().host_blocks.erase(memory) == 0) return standin::kInvalidValue;
  std::free(memory);
  return 0;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, void* stream) {
  ENTER("cuMemcpyHtoDAsync");
  return standin::queue(stream, [=] {
    std::byte* place = standin::bytes_at(to, bytes);
    if (place == nullptr) return standin::kIllegalAddress;
    std::memcpy(place, from, bytes);
    return standin::kSuccess;
  });
}
int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, void* stream) {
  ENTER("cuMemcpyDtoHAsync");
  return standin::queue(stream, [=] {
    const std::byte* place = standin::bytes_at(from, bytes);
    if (place == nullptr) return standin::kIllegalAddress;
    std::memcpy(to, place, bytes);
    return standin::kSuccess;
  });
}
int cuMemsetD8Async(unsigned long long to, unsigned char value, size_t bytes, void* stream) {
  ENTER("cuMemsetD8Async");
  return standin::queue(stream, [=] {
    std::byte* place = standin::bytes_at(to, bytes);
    if (place == nullptr) return standin::kIllegalAddress;
    std::memset(place, value, bytes);
    return standin::kSuccess;
  });
}
int cuStreamCreate(void** stream, unsigned) {
  ENTER("cuStreamCreate");
  *stream = new char;
  state().streams[*stream] = {};
  return 0;
}
int cuStreamDestroy_v2(void* stream) {
  const std::lock_guard guard(state().lock);
  if (state().streams.erase(stream) == 0) return standin::kInvalidValue;
  delete static_cast<char*>(stream);
  return 0;
}
int cuStreamSynchronize(void* stream) {
  ENTER("cuStreamSynchronize");
  const auto found = state().streams.find(stream);
  if (found == state().streams.end()) return standin::kInvalidValue;
  for (const auto& work : std::exchange(found->second, {})) {
    if (const int code = work(); code != 0) return state().lost = code;
  }
  return 0;
}
int cuModuleLoadDataEx(void** module, const void* image, unsigned options, int*, void**) {
  ENTER("cuModuleLoadDataEx");
  const std::string text = static_cast<const char*>(image);
  if (!text.starts_with("STANDIN\n") || options != 0) return standin::kInvalidImage;
  auto made = std::make_unique<standin::Module>();
  const size_t end = text.find('\n', 8);
  if (end == std::string::npos) return standin::kInvalidImage;
  made->options = text.substr(8, end - 8);
  made->text = text.substr(end + 1);
  if (standin::cl_is_there()) {
    made->program = standin::cl_program(made->text, made->options);
    if (made->program == nullptr) return standin::kInvalidImage;
  }
  *module = made.get();
  state().modules[*module] = std::move(made);
  return 0;
}
int cuModuleUnload(void* module) {
  const std::lock_guard guard(state().lock);
  const auto found = state().modules.find(module);
  if (found == state().modules.end()) return standin::kInvalidValue;
  standin::cl_release_program(found->second->program);
  state().modules.erase(found);
  return 0;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
  ENTER("cuModuleGetFunction");
  const auto found = state().modules.find(module);
  if (found == state().modules.end()) return standin::kInvalidValue;
  std::vector<int> sizes;  // without OpenCL nobody reads what the macros of a text define
  if (standin::cl_is_there() && !standin::cl_parameters(found->second->program, name, &sizes))
    return standin::kNotFound;
  state().functions.push_back(std::make_unique<standin::Function>(standin::Function{found->second.get(), name}));
  *function = state().functions.back().get();
  return 0;
}
int cuLaunchKernel(void* function_id, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void* stream, void** parameters, void** extra) {
  ENTER("cuLaunchKernel");
  const auto& function = *static_cast<standin::Function*>(function_id);
  const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
  if (gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535 || bx * by * bz > 1024) return standin::kInvalidValue;
  if (shared != 0 || extra != nullptr) return standin::kInvalidValue;
  std::vector<unsigned long long> values;
  for (void** each = parameters; *each != nullptr; ++each) {
    values.emplace_back();
    std::memcpy(&values.back(), *each, sizeof(values.back()));
  }
  state().parameters = values;
  state().launch = function.name;
  const auto add = [](const char* what, const unsigned(&n)[3]) {
    state().launch += std::string(" ") + what;
    for (const unsigned each : n) state().launch += " " + std::to_string(each);
  };
  add("grid", grid);
  add("block", block);
  state().launch += " parameters " + std::to_string(values.size());
  if (!standin::cl_is_there()) return standin::queue(stream, [] { return standin::kSuccess; });
  std::vector<int> sizes;
  if (!standin::cl_parameters(function.module->program, function.name, &sizes)) return standin::kInvalidValue;
  if (sizes.size() != values.size()) return standin::kInvalidValue;
  return standin::queue(stream, [=, &function] { return standin::do_launch(function, values, sizes, grid, block); });
}
int cuGetErrorName(int code, const char** name) {
  switch (code) {
    case standin::kInvalidValue: *name = "CUDA_ERROR_INVALID_VALUE"; return 0;
    case standin::kOutOfMemory: *name = "CUDA_ERROR_OUT_OF_MEMORY"; return 0;
    case standin::kNotInitialized: *name = "CUDA_ERROR_NOT_INITIALIZED"; return 0;
    case 100: *name = "CUDA_ERROR_NO_DEVICE"; return 0;
    case standin::kInvalidImage: *name = "CUDA_ERROR_INVALID_IMAGE"; return 0;
    case standin::kInvalidContext: *name = "CUDA_ERROR_INVALID_CONTEXT"; return 0;
    case standin::kNotFound: *name = "CUDA_ERROR_NOT_FOUND"; return 0;
    case standin::kIllegalAddress: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; return 0;
    default: *name = nullptr; return standin::kInvalidValue;
  }
}
int cuGetErrorString(int code, const char** text) {
  *text = code == standin::kIllegalAddress ? "an illegal memory access was encountered" : "said by the stand-in";
  return 0;
}

void standin_reset() {
  standin::State& s = state();
  const std::lock_guard guard(s.lock);
  s.calls = s.fail_call = s.fail_code = s.queued = s.fail_queued = s.fail_queued_code = s.compiled = 0;
  s.lost = standin::kSuccess;
  s.failed.clear();
  s.launch.clear();
  s.options.clear();
}
void standin_fail_call(int n, int code) {
  state().fail_call = n;
  state().fail_code = code;
}
void standin_fail_queued(int n, int code) {
  state().fail_queued = n;
  state().fail_queued_code = code;
}
int standin_calls() {
  return state().calls;
}
const char* standin_failed_call() {
  return state().failed.c_str();
}
const char* standin_live() {
  static std::string words;
  words = standin::live_words();
  return words.c_str();
}
const char* standin_last_launch() {
  return state().launch.c_str();
}
unsigned long long standin_parameter(int i) {
  return state().parameters.at(static_cast<size_t>(i));
}
const char* standin_options() {
  return state().options.c_str();
}
int standin_compiled() {
  return state().compiled;
}
int standin_computes() {
  return standin::cl_is_there() ? 1 : 0;
}
}
