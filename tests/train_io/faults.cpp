#include "tests/train_io/faults.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace naru::train {

Faults faults;

namespace {

// True where this call must fail; errno is set.
bool goes_wrong() {
  const int call = faults.n_calls++;
  if (faults.at < 0 || call < faults.at || (call > faults.at && !faults.is_lasting)) return false;
  if (faults.error_number == 0) ::_exit(7);
  errno = faults.error_number;
  return true;
}

}  // namespace
}  // namespace naru::train

extern "C" {
ssize_t __real_write(int fd, const void* data, size_t n);
int __real_fsync(int fd);
int __real_mkdir(const char* path, mode_t mode);
int __real_rename(const char* from, const char* to);
int __real_renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned int flags);

// A write that fails has written half of what it was given, as a disk that fills up has.
ssize_t __wrap_write(int fd, const void* data, size_t n) {
  const bool is_next = naru::train::faults.n_calls == naru::train::faults.at;
  if (is_next && n > 1 && __real_write(fd, data, n / 2) < 0) return -1;
  return naru::train::goes_wrong() ? -1 : __real_write(fd, data, n);
}
int __wrap_fsync(int fd) {
  return naru::train::goes_wrong() ? -1 : __real_fsync(fd);
}
int __wrap_mkdir(const char* path, mode_t mode) {
  return naru::train::goes_wrong() ? -1 : __real_mkdir(path, mode);
}
int __wrap_rename(const char* from, const char* to) {
  return naru::train::goes_wrong() ? -1 : __real_rename(from, to);
}
int __wrap_renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned int flags) {
  return naru::train::goes_wrong() ? -1 : __real_renameat2(from_fd, from, to_fd, to, flags);
}
}
