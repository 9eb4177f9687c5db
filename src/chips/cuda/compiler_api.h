// The functions of NVRTC that are used, CUDA's compiler as a library, which is opened when the program runs. It comes
// with CUDA, and by itself as `pip install nvidia-cuda-nvrtc`. Types, names and numbers are those that its public
// documentation gives.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace naru::cuda {

using CompilerCode = int;               // nvrtcResult
using SourceId = struct OpaqueSource*;  // nvrtcProgram
constexpr CompilerCode kCompiled = 0;

struct CompilerApi {
  std::string file;  // of the library
  int major = 0, minor = 0;

  CompilerCode (*version)(int*, int*);
  CompilerCode (*create)(SourceId*, const char*, const char*, int, const char* const*, const char* const*);
  CompilerCode (*destroy)(SourceId*);
  CompilerCode (*compile)(SourceId, int, const char* const*);
  CompilerCode (*log_size)(SourceId, size_t*);
  CompilerCode (*log)(SourceId, char*);
  CompilerCode (*binary_size)(SourceId, size_t*);
  CompilerCode (*binary)(SourceId, char*);
  CompilerCode (*ptx_size)(SourceId, size_t*);
  CompilerCode (*ptx)(SourceId, char*);
  CompilerCode (*target_count)(int*);
  CompilerCode (*targets)(int*);
  const char* (*error_text)(CompilerCode);

  std::string words() const;  // "NVRTC 13.0 of /usr/lib/libnvrtc.so.13"
};

// NARU_NVRTC, a file or a folder with one, where it is set; else the first that opens of: what the system's loader
// finds, CUDA_HOME, CUDA_PATH, /usr/local/cuda, the packages of VIRTUAL_ENV. Opened once for the life of the program.
Result<const CompilerApi*> load_compiler_api();

}  // namespace naru::cuda
