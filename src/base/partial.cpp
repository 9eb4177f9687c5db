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
#include <charconv>
#include <csignal>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace naru {
namespace {

namespace fs = std::filesystem;

constexpr int kTries =
    100;  // names of 64 random bits: more than one is needed only where somebody removes what we make
constexpr size_t kRandomDigits = 16;
constexpr size_t kProcessDigitsMax = 7;  // of a process's number, which such names ended in before

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

// The folders that we make hold files only. By system calls: readdir allocates.
void remove_flat_folder(const char* path) {
  struct Entry {  // linux_dirent64
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[1];
  };
  const int fd = ::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  alignas(Entry) char buffer[4096];
  for (bool removed = true; removed;) {
    removed = false;
    ::lseek(fd, 0, SEEK_SET);
    long n = 0;
    while ((n = ::syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
      for (long at = 0; at < n;) {
        const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
        removed |= ::unlinkat(fd, entry->name, 0) == 0;
        at += entry->size;
      }
    }
  }
  ::close(fd);
  ::rmdir(path);
}

bool is_hexadecimal(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The end of a name behind kPartialMark: nothing where it is none of ours, 0 for random digits, else the number of the
// process that made it.
std::optional<pid_t> maker_of(std::string_view ending) {
  constexpr std::string_view kGguf = ".gguf";
  if (ending.size() == kRandomDigits && is_hexadecimal(ending)) return 0;
  ending = ending.substr(0, ending.find(kPartialMark));  // an unfinished file of an unfinished file
  if (ending.ends_with(kGguf)) ending.remove_suffix(kGguf.size());
  if (ending.empty() || ending.size() > kProcessDigitsMax) return std::nullopt;
  pid_t process = 0;
  const auto read = std::from_chars(ending.data(), ending.data() + ending.size(), process);
  if (read.ptr != ending.data() + ending.size() || process <= 0) return std::nullopt;
  return process;
}

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool is_at(const fs::path& path, int fd) {
  struct stat named {
  }, opened{};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(fd, &opened) == 0 && is_same(named, opened);
}

// Removes it if it is ours and nobody writes it: its lock can be had.
void remove_if_left(const fs::path& path, pid_t maker) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || info.st_uid != ::geteuid()) return;
  const bool is_folder = S_ISDIR(info.st_mode);
  if (!is_folder && !S_ISREG(info.st_mode)) return;
  if (maker > 0 && (::kill(maker, 0) == 0 || errno == EPERM)) return;  // those names had no lock
  const int fd = ::open(path.c_str(), (is_folder ? O_RDONLY | O_DIRECTORY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0 && is_at(path, fd)) {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  ::close(fd);
}

void remove_left_overs(const fs::path& target) {
  const std::string start = target.filename().string() + std::string(kPartialMark);
  const fs::path parent = target.parent_path().empty() ? fs::path(".") : target.parent_path();
  std::error_code code;
  std::vector<std::pair<fs::path, pid_t>> found;
  for (fs::directory_iterator place(parent, code), end; !code && place != end; place.increment(code)) {
    const std::string name = place->path().filename().string();
    if (!name.starts_with(start)) continue;
    if (const auto maker = maker_of(std::string_view(name).substr(start.size())))
      found.emplace_back(place->path(), *maker);
  }
  for (const auto& [path, maker] : found) remove_if_left(path, maker);
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
      case SlotState::kFolder: remove_flat_folder(slot.path); break;
      case SlotState::kFree:
      case SlotState::kBusy: break;
    }
  }
  errno = error_number;
}

}  // namespace naru
