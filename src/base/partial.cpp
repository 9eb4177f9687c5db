#include "base/partial.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

namespace naru {
namespace {

namespace fs = std::filesystem;

constexpr int kTries =
    100;  // names of 64 random bits: more than one is needed only where somebody removes what we make
constexpr size_t kRandomDigits = 16;

// What a signal handler must remove. A slot is filled before its state says what it is, and never freed: static memory.
enum class SlotState : uint8_t { kFree, kBusy, kFile, kFolder };
struct Slot {
  std::atomic<SlotState> state{SlotState::kFree};
  char path[4096];
};
std::array<Slot, 64> slots;
static_assert(std::atomic<SlotState>::is_always_lock_free);

// Where the table is full, or the path too long for it, what is left behind is found by the next writer.
int take_slot(const fs::path& path, Partial::Kind kind) {
  if (path.native().size() >= sizeof(Slot::path)) return -1;
  for (size_t i = 0; i < slots.size(); ++i) {
    SlotState expected = SlotState::kFree;
    if (!slots[i].state.compare_exchange_strong(expected, SlotState::kBusy)) continue;
    std::memcpy(slots[i].path, path.c_str(), path.native().size() + 1);
    slots[i].state = kind == Partial::Kind::kFile ? SlotState::kFile : SlotState::kFolder;
    return static_cast<int>(i);
  }
  return -1;
}

void free_slot(int slot) {
  if (slot >= 0) slots[static_cast<size_t>(slot)].state = SlotState::kFree;
}

// By system calls, as readdir allocates. The folders that we make hold files, and folders that hold files only.
void remove_entries(int fd, int folders_below) {
  struct Entry {  // linux_dirent64
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[1];
  };
  alignas(Entry) char buffer[4096];
  for (bool removed = true; removed;) {
    removed = false;
    ::lseek(fd, 0, SEEK_SET);
    long n = 0;
    while ((n = ::syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
      for (long at = 0; at < n;) {
        const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
        at += entry->size;
        if (std::strcmp(entry->name, ".") == 0 || std::strcmp(entry->name, "..") == 0) continue;
        bool is_gone = ::unlinkat(fd, entry->name, 0) == 0;
        if (!is_gone && folders_below > 0) {
          const int below = ::openat(fd, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
          if (below >= 0) {
            remove_entries(below, folders_below - 1);
            ::close(below);
            is_gone = ::unlinkat(fd, entry->name, AT_REMOVEDIR) == 0;
          }
        }
        removed |= is_gone;
      }
    }
  }
}

void remove_folder_at_once(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  remove_entries(fd, 1);
  ::close(fd);
  ::rmdir(path);
}

bool is_hexadecimal(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool is_at(const fs::path& path, int fd) {
  struct stat named {
  }, opened{};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(fd, &opened) == 0 && is_same(named, opened);
}

int open_to_lock(const fs::path& path, bool is_folder) {
  return ::open(path.c_str(),
                (is_folder ? O_RDONLY | O_DIRECTORY : O_RDWR | O_NONBLOCK | O_NOCTTY) | O_NOFOLLOW | O_CLOEXEC);
}

// Removes it if it is ours and nobody writes it: its lock can be had.
void remove_if_left(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || info.st_uid != ::geteuid()) return;
  const bool is_folder = S_ISDIR(info.st_mode);
  if (!is_folder && !S_ISREG(info.st_mode)) return;
  const int fd = open_to_lock(path, is_folder);
  if (fd < 0) return;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0 && is_at(path, fd)) {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  ::close(fd);
}

void remove_left_overs(const fs::path& target) {
  const std::string wanted = target.filename().string();
  const fs::path parent = target.parent_path().empty() ? fs::path(".") : target.parent_path();
  std::error_code code;
  std::vector<fs::path> found;
  for (fs::directory_iterator place(parent, code), end; !code && place != end; place.increment(code)) {
    if (is_partial_of(place->path().filename().string(), wanted)) found.push_back(place->path());
  }
  for (const fs::path& path : found) remove_if_left(path);
}

// The descriptor of a new file or folder that nobody else has, or -1 with errno.
int make(const fs::path& path, Partial::Kind kind, mode_t mode) {
  if (kind == Partial::Kind::kFile) {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  }
  if (::mkdir(path.c_str(), mode) != 0) return -1;
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    const int error_number = errno;
    ::rmdir(path.c_str());
    errno = error_number == ENOENT ? EEXIST : error_number;  // another writer took it for a left-over: try again
  }
  return fd;
}

}  // namespace

bool is_partial_of(std::string_view name, std::string_view target) {
  if (!name.starts_with(target) || !name.substr(target.size()).starts_with(kPartialMark)) return false;
  const std::string_view ending = name.substr(target.size() + kPartialMark.size());
  return ending.size() == kRandomDigits && is_hexadecimal(ending);
}

bool is_being_written(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return false;
  const int fd = open_to_lock(path, S_ISDIR(info.st_mode));
  if (fd < 0) return false;
  const bool is_locked = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return is_locked;
}

Result<fs::path> partial_name(const fs::path& target) {
  uint64_t random = 0;
  if (::getrandom(&random, sizeof random, 0) != static_cast<ssize_t>(sizeof random)) {
    return Error{Code::kUnavailable, fmt::format("writing {}: drawing a name: the system gave no random bytes: {}; "
                                                 "check the system",
                                                 target.string(), std::strerror(errno))};
  }
  fs::path name = target;
  name += fmt::format("{}{:016x}", kPartialMark, random);
  return name;
}

Result<Partial> Partial::create(const fs::path& target, Kind kind, mode_t mode) {
  remove_left_overs(target);
  int error_number = EEXIST;
  for (int i = 0; i < kTries && error_number == EEXIST; ++i) {
    Partial made;
    made.kind_ = kind;
    NARU_ASSIGN(fs::path path, partial_name(target));
    made.fd_ = make(path, kind, mode);
    if (made.fd_ < 0) {
      error_number = errno;
      continue;
    }
    // Another writer may have taken it for a left-over before the lock was ours. A disk without locks gives none to
    // others either.
    const bool is_taken = ::flock(made.fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (is_taken || !is_at(path, made.fd_)) continue;
    made.slot_ = take_slot(path, kind);
    made.path_ = std::move(path);
    return made;
  }
  const bool is_full = is_out_of_space(error_number);
  const bool is_missing = error_number == ENOENT || error_number == ENOTDIR;
  return Error{is_full      ? Code::kResourceExhausted
               : is_missing ? Code::kNotFound
                            : Code::kUnavailable,
               std::strerror(error_number)};
}

Partial::Partial(Partial&& other) noexcept
    : path_(std::move(other.path_)),
      kind_(other.kind_),
      fd_(std::exchange(other.fd_, -1)),
      slot_(std::exchange(other.slot_, -1)) {
  other.path_.clear();
}

Partial::~Partial() {
  if (!path_.empty()) {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  release();
}

void Partial::release() {
  free_slot(std::exchange(slot_, -1));
  path_.clear();
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void Partial::take_over(fs::path path) {
  const Kind kind = kind_;
  release();
  kind_ = kind;
  path_ = std::move(path);
}

void remove_all_partials() {
  const int error_number = errno;
  for (Slot& slot : slots) {
    switch (slot.state.load()) {
      case SlotState::kFile: ::unlink(slot.path); break;
      case SlotState::kFolder: remove_folder_at_once(slot.path); break;
      case SlotState::kFree:
      case SlotState::kBusy: break;
    }
  }
  errno = error_number;
}

}  // namespace naru
