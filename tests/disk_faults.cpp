#include "tests/disk_faults.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <set>

namespace naru::test {

Faults faults;
ReadFaults read_faults;

namespace {

std::set<int> watched_files;

// True where this call on a watched file must fail; errno is set.
bool reading_goes_wrong() {
  if (read_faults.n_calls++ != read_faults.at) return false;
  errno = read_faults.error_number;
  return true;
}

// True where this call must fail; errno is set.
bool goes_wrong() {
  const int call = faults.n_calls++;
  if (faults.at < 0 || call < faults.at || (call > faults.at && !faults.is_lasting)) return false;
  if (faults.error_number == 0) ::_exit(7);
  errno = faults.error_number;
  return true;
}

}  // namespace
}  // namespace naru::test

extern "C" {
int __real_open(const char* path, int flags, mode_t mode);
ssize_t __real_read(int fd, void* data, size_t n);
void* __real_mmap(void* at, size_t n, int protection, int flags, int fd, off_t offset);
int __real_unlink(const char* path);

int __wrap_open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  using namespace naru::test;
  const bool is_watched = !read_faults.part.empty() && std::string(path).find(read_faults.part) != std::string::npos;
  if (is_watched && reading_goes_wrong()) return -1;
  const int fd = __real_open(path, flags, mode);
  watched_files.erase(fd);
  if (is_watched && fd >= 0) watched_files.insert(fd);
  return fd;
}
ssize_t __wrap_read(int fd, void* data, size_t n) {
  using namespace naru::test;
  if (watched_files.contains(fd) && !read_faults.part.empty() && reading_goes_wrong()) return -1;
  return __real_read(fd, data, n);
}
void* __wrap_mmap(void* at, size_t n, int protection, int flags, int fd, off_t offset) {
  using namespace naru::test;
  if (fd >= 0 && watched_files.contains(fd) && !read_faults.part.empty() && reading_goes_wrong()) return MAP_FAILED;
  return __real_mmap(at, n, protection, flags, fd, offset);
}
int __wrap_unlink(const char* path) {
  return naru::test::goes_wrong() ? -1 : __real_unlink(path);
}
ssize_t __real_write(int fd, const void* data, size_t n);
int __real_fsync(int fd);
int __real_mkdir(const char* path, mode_t mode);
int __real_rename(const char* from, const char* to);
int __real_renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned int flags);

// A write that fails has written half of what it was given, as a disk that fills up has.
ssize_t __wrap_write(int fd, const void* data, size_t n) {
  const bool is_next = naru::test::faults.n_calls == naru::test::faults.at;
  if (is_next && n > 1 && __real_write(fd, data, n / 2) < 0) return -1;
  return naru::test::goes_wrong() ? -1 : __real_write(fd, data, n);
}
int __wrap_fsync(int fd) {
  return naru::test::goes_wrong() ? -1 : __real_fsync(fd);
}
int __wrap_mkdir(const char* path, mode_t mode) {
  return naru::test::goes_wrong() ? -1 : __real_mkdir(path, mode);
}
int __wrap_rename(const char* from, const char* to) {
  return naru::test::goes_wrong() ? -1 : __real_rename(from, to);
}
int __wrap_renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned int flags) {
  return naru::test::goes_wrong() ? -1 : __real_renameat2(from_fd, from, to_fd, to, flags);
}
}
