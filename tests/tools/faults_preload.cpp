// Preloaded into naru by tests/cli/run_fault_tests.py and tests/hub/run_hub_tests.py, to have things happen at a known
// moment:
//   NARU_TEST_SHRINK=ENDING  a file whose path ends so is cut to nothing as soon as it is mapped
//   NARU_TEST_HOLD=FILE      fsync waits for as long as FILE is there: an output is written and has not its name yet
//   NARU_TEST_FREE=BYTES     every disk says that it has so many bytes free
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

void shrink(int fd) {
  const char* ending = std::getenv("NARU_TEST_SHRINK");
  if (ending == nullptr || fd < 0) return;
  char link[64], path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = ::readlink(link, path, sizeof path - 1);
  if (n <= 0) return;
  path[n] = '\0';
  if (std::string_view(path).ends_with(ending) && ::truncate(path, 0) != 0) std::abort();
}

}  // namespace

extern "C" void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  using Map = void* (*)(void*, size_t, int, int, int, off_t);
  void* data = reinterpret_cast<Map>(::dlsym(RTLD_NEXT, "mmap"))(at, size, protection, flags, fd, offset);
  if (data != MAP_FAILED) shrink(fd);
  return data;
}

extern "C" int fsync(int fd) {
  const char* hold = std::getenv("NARU_TEST_HOLD");
  while (hold != nullptr && ::access(hold, F_OK) == 0) ::usleep(10000);
  return reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, "fsync"))(fd);
}

extern "C" int statvfs(const char* path, struct statvfs* info) noexcept {
  using Ask = int (*)(const char*, struct statvfs*);
  const int status = reinterpret_cast<Ask>(::dlsym(RTLD_NEXT, "statvfs"))(path, info);
  if (const char* free = std::getenv("NARU_TEST_FREE")) {
    info->f_frsize = 1;
    info->f_bavail = std::strtoull(free, nullptr, 10);
  }
  return status;
}
