// The table is a list that only grows: a signal handler may walk it while another thread adds to it.
#include "base/mapping_faults.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <string>
#include <vector>

#include "base/partial.h"
#include "base/result.h"
#include "base/shown_text.h"

namespace naru {

struct Mapping {
  std::atomic<const std::byte*> data{nullptr};  // nullptr: not in use; all else is set before it
  int64_t size = 0;
  int fd = -1;
  std::string path;  // without control characters
  Mapping* next = nullptr;
};

namespace {

std::atomic<Mapping*> mappings{nullptr};
std::atomic<void (*)(std::string_view)> tell_user{nullptr};
std::atomic<bool> is_ending{false};

std::mutex& table_mutex() {
  static std::mutex mutex;
  return mutex;
}
std::vector<Mapping*>& unused_mappings() {
  static std::vector<Mapping*> unused;
  return unused;
}

// Text in memory of its own: a signal handler may not allocate.
class FixedText {
 public:
  void add(std::string_view text) {
    for (const char c : text) {
      if (size_ < sizeof text_) text_[size_++] = c;
    }
  }
  void add(int64_t number) {
    char digits[20];
    size_t n = 0;
    do digits[n++] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    while (n > 0) add(std::string_view(&digits[--n], 1));
  }
  std::string_view view() const { return {text_, size_}; }

 private:
  char text_[8192] = {};
  size_t size_ = 0;
};

const Mapping* mapping_at(const std::byte* address) {
  for (const Mapping* m = mappings.load(); m != nullptr; m = m->next) {
    const std::byte* data = m->data.load();
    if (data != nullptr && address >= data && address < data + m->size) return m;
  }
  return nullptr;
}

void on_bus_error(int, siginfo_t* info, void*) {
  const Mapping* mapping = info->si_code > 0 ? mapping_at(static_cast<const std::byte*>(info->si_addr)) : nullptr;
  if (mapping == nullptr) {
    // Not ours: what would have happened without us. A fault comes again when this returns; what was sent does not.
    ::signal(SIGBUS, SIG_DFL);
    if (info->si_code <= 0) ::raise(SIGBUS);
    return;
  }
  while (is_ending.exchange(true)) ::pause();  // another thread is at it
  static constinit FixedText text;
  text.add("reading ");
  text.add(mapping->path);
  struct stat now {};
  if (::fstat(mapping->fd, &now) == 0 && now.st_size < mapping->size) {
    text.add(": it had ");
    text.add(mapping->size);
    text.add(" bytes when it was opened and has ");
    text.add(static_cast<int64_t>(now.st_size));
    text.add(" now; it was shortened meanwhile, bring it back and run the command again");
  } else {
    text.add(": at byte ");
    text.add(static_cast<const std::byte*>(info->si_addr) - mapping->data.load());
    text.add(" of ");
    text.add(mapping->size);
    text.add(": the system could not read it; check the disk or the network it lies on");
  }
  tell_user.load()(text.view());
  remove_all_partials();
  ::_exit(exit_status(Code::kUnavailable));
}

}  // namespace

void end_when_a_mapping_fails(void (*tell)(std::string_view message)) {
  tell_user = tell;
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
  sigset_t bus;  // whoever started us may have blocked it: a fault would end us without a word
  sigemptyset(&bus);
  sigaddset(&bus, SIGBUS);
  ::pthread_sigmask(SIG_UNBLOCK, &bus, nullptr);
}

Mapping* add_mapping(const std::byte* data, int64_t size, int fd, const std::filesystem::path& path) {
  const std::lock_guard lock(table_mutex());
  std::vector<Mapping*>& unused = unused_mappings();
  const bool is_new = unused.empty();
  Mapping* mapping = is_new ? new Mapping : unused.back();
  if (!is_new) unused.pop_back();
  mapping->size = size;
  mapping->fd = fd;
  mapping->path = without_controls_on_one_line(path.string());
  mapping->data = data;
  if (is_new) {
    mapping->next = mappings.load();
    mappings = mapping;
  }
  return mapping;
}

void remove_mapping(Mapping* mapping) {
  const std::lock_guard lock(table_mutex());
  mapping->data = nullptr;
  unused_mappings().push_back(mapping);
}

}  // namespace naru
