// What the functions of the stand-in share.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace standin {

// CUresult
constexpr int kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNotInitialized = 3, kInvalidImage = 200,
              kInvalidContext = 201, kNotFound = 500, kIllegalAddress = 700;

struct Block {
  std::byte* data = nullptr;
  size_t bytes = 0;
  void* buffer = nullptr;  // of OpenCL, where that is there
};
struct Module {
  std::string options, text;
  void* program = nullptr;  // of OpenCL
};
struct Function {
  Module* module = nullptr;
  std::string name;
};

struct State {
  std::mutex lock;
  int init_pid = 0;
  std::map<unsigned long long, Block> blocks;  // of the devices, by address
  std::map<void*, size_t> host_blocks;
  std::map<void*, std::vector<std::function<int()>>> streams;
  std::map<void*, std::unique_ptr<Module>> modules;
  std::vector<std::unique_ptr<Function>> functions;
  std::set<void*> sources;  // of the compiler
  int contexts = 0;
  size_t used = 0;
  unsigned long long next_address = 0x7f00'0000'0000ull;

  int calls = 0, fail_call = 0, fail_code = 0;
  int queued = 0, fail_queued = 0, fail_queued_code = 0, hang_queued = 0;
  int lost = kSuccess;  // the error that stays
  std::string failed, launch, options;
  std::vector<unsigned long long> parameters;
  int compiled = 0;

  // 0, or the code with which this call shall fail.
  int count(const char* name) {
    if (++calls != fail_call) return kSuccess;
    failed = name;
    return fail_code;
  }
};
State& state();

// Launching through OpenCL; all false or null where there is none.
bool cl_is_there();
void* cl_buffer(std::byte* data, size_t bytes);
void cl_release_buffer(void* buffer);
void* cl_program(const std::string& text, const std::string& options);
void cl_release_program(void* program);
// The bytes of each parameter, 0 for a pointer; false where there is no such kernel.
bool cl_parameters(void* program, const std::string& kernel, std::vector<int>* sizes);
// The values of pointers are their buffers.
bool cl_launch(void* program, const std::string& kernel, const std::vector<int>& sizes,
               const std::vector<unsigned long long>& values, const unsigned (&grid)[3], const unsigned (&block)[3]);

}  // namespace standin
