#include "runs/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "runs/run_files.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

// `naru runs` holds the folder's lock for a moment while it looks; a trainer that starts just then asks again.
constexpr int kLockTries = 8;
constexpr useconds_t kLockPauseMicroseconds = 20000;

Error lock_error(const fs::path& folder, std::string_view found, std::string_view next) {
  return {Code::kUnavailable, fmt::format("opening the run {}: {}; {}", folder.string(), found, next)};
}

// The number of the process that the file names; "" where it names none.
std::string holder_of(int fd) {
  char text[16] = {};
  const ssize_t n = fd < 0 ? 0 : ::pread(fd, text, sizeof text - 1, 0);
  std::string digits;
  for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; ++i) digits += text[i];
  return digits;
}

Error taken(const fs::path& folder, int file) {
  const std::string holder = holder_of(file);
  return lock_error(folder,
                    fmt::format("another trainer{} is at work in it, one at a time was wanted",
                                holder.empty() ? "" : fmt::format(" (process {})", holder)),
                    "wait for it, stop it, or give another output=FOLDER");
}

struct flock whole_file() {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return whole;
}

// True: taken by us. False: this disk knows no locks on folders. An error where another holds it.
Result<bool> lock_the_folder(int fd, const fs::path& folder) {
  for (int tries = 0; ::flock(fd, LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return false;
    if (tries == kLockTries) {
      const OwnedFd file(::openat(fd, kLockFile, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      return taken(folder, file.get());
    }
    ::usleep(kLockPauseMicroseconds);
  }
  return true;
}

// Only what a lock of ours can hold: a number, or nothing.
bool is_our_lock(int fd, const struct stat& info) {
  char text[24] = {};
  if (!S_ISREG(info.st_mode) || info.st_nlink > 1 || info.st_size > 16) return false;
  const ssize_t n = ::pread(fd, text, sizeof text, 0);
  for (ssize_t i = 0; i < n; ++i) {
    if (text[i] != '\n' && text[i] != '\0' && (text[i] < '0' || text[i] > '9')) return false;
  }
  return n >= 0;
}

Result<OwnedFd> lock_the_file(int folder_fd, const fs::path& folder, bool* is_made) {
  constexpr std::string_view kNext = "move away what has the name `lock` there, or choose another output=FOLDER";
  constexpr int kFlags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  OwnedFd file(::openat(folder_fd, kLockFile, kFlags | O_EXCL, 0644));
  *is_made = file.get() >= 0;
  if (file.get() < 0 && errno == EEXIST) file = OwnedFd(::openat(folder_fd, kLockFile, kFlags, 0644));
  if (file.get() < 0 && errno == ELOOP) return lock_error(folder, "its `lock` is a link, and none is followed", kNext);
  if (file.get() < 0) {
    return lock_error(folder, fmt::format("{}: {}", kLockFile, std::strerror(errno)),
                      "choose a folder that may be written");
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || !is_our_lock(file.get(), info)) {
    return lock_error(folder, "its `lock` is something else than a file of naru's own", kNext);
  }
  struct flock whole = whole_file();
  if (::fcntl(file.get(), F_OFD_SETLK, &whole) != 0) {
    const int error_number = errno;
    if (error_number == EAGAIN || error_number == EACCES) return taken(folder, file.get());
    if (*is_made) (void)::unlinkat(folder_fd, kLockFile, 0);
    return lock_error(folder, fmt::format("locking {}: {}", kLockFile, std::strerror(error_number)),
                      "choose a folder on a disk that knows locks");
  }
  struct stat named {};
  const bool is_named = ::fstatat(folder_fd, kLockFile, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                        named.st_dev == info.st_dev && named.st_ino == info.st_ino;
  if (!is_named) return lock_error(folder, "its `lock` was replaced while it was taken", "start again");
  const std::string number = fmt::format("{}\n", ::getpid());
  (void)!::ftruncate(file.get(), 0);
  (void)!::pwrite(file.get(), number.data(), number.size(), 0);
  return file;
}

}  // namespace

Result<RunLock> RunLock::take(const fs::path& folder) {
  RunLock lock;
  lock.path_ = folder;
  lock.folder_ = OwnedFd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock.folder_.get() < 0) return lock_error(folder, std::strerror(errno), "choose a folder that may be read");
  NARU_ASSIGN([[maybe_unused]] const bool is_locked, lock_the_folder(lock.folder_.get(), folder));
  NARU_ASSIGN(lock.file_, lock_the_file(lock.folder_.get(), folder, &lock.is_made_));
  return lock;
}

void RunLock::remove_made() {
  struct stat held {
  }, named{};
  if (!is_made_ || ::fstat(file_.get(), &held) != 0) return;
  const bool is_named = ::fstatat(folder_.get(), kLockFile, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                        named.st_dev == held.st_dev && named.st_ino == held.st_ino;
  if (is_named) (void)::unlinkat(folder_.get(), kLockFile, 0);
  is_made_ = false;
}

Status RunLock::check() const {
  struct stat held {
  }, named{};
  if (::fstat(folder_.get(), &held) == 0 && ::stat(path_.c_str(), &named) == 0 && held.st_dev == named.st_dev &&
      held.st_ino == named.st_ino) {
    return {};
  }
  return Error{Code::kUnavailable,
               fmt::format("writing to the run {}: the folder was moved or replaced while the run was at work in it; "
                           "nothing was written: move it back and start again",
                           path_.string())};
}

bool is_run_locked(const fs::path& folder) {
  const OwnedFd place(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (place.get() < 0) return false;
  const OwnedFd file(::openat(place.get(), kLockFile, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  // Asked without taking it. Only where nobody holds it is the folder's own lock taken, for a moment, to see whether
  // somebody does whose file was removed.
  struct flock whole = whole_file();
  if (file.get() >= 0 && ::fcntl(file.get(), F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK) return true;
  if (::flock(place.get(), LOCK_SH | LOCK_NB) != 0) return errno == EWOULDBLOCK;
  ::flock(place.get(), LOCK_UN);
  return false;
}

}  // namespace naru::runs
