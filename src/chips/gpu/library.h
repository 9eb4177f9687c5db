// A shared library of a vendor, opened when the program runs and never closed: drivers do not bear that.
#pragma once

#include <string>
#include <type_traits>

#include "base/result.h"

namespace naru::gpu {

class Library {
 public:
  // `path`: a file, or a name that the system's loader looks for. The error is why it cannot be opened, in words.
  static Result<Library> open(const std::string& path);

  // Puts the address of `name` there; what is not there is collected for missing().
  template <typename Function>
  void find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(address(name));
  }
  // Names that were not there, with commas; empty: all were.
  const std::string& missing() const { return missing_; }
  // The file that was opened, as the loader found it.
  const std::string& file() const { return file_; }

 private:
  void* address(const char* name);

  void* handle_ = nullptr;
  std::string file_, missing_;
};

}  // namespace naru::gpu
