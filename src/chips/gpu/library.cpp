#include "chips/gpu/library.h"

#include <dlfcn.h>
#include <link.h>

namespace naru::gpu {

Result<Library> Library::open(const std::string& path) {
  Library library;
  library.handle_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library.handle_ == nullptr) {
    const char* why = ::dlerror();
    return Error{Code::kUnavailable, why != nullptr ? why : path + " is not there"};
  }
  link_map* map = nullptr;
  const bool is_known =
      ::dlinfo(library.handle_, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr && map->l_name[0] != '\0';
  library.file_ = is_known ? map->l_name : path;
  return library;
}

void* Library::address(const char* name) {
  void* found = ::dlsym(handle_, name);
  if (found == nullptr) missing_ += (missing_.empty() ? "" : ", ") + std::string(name);
  return found;
}

}  // namespace naru::gpu
