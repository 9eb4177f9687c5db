#include "base/memory.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

namespace naru {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// The number in a one-line file; unlimited when there is none ("max", or no file).
int64_t number_in(const char* path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : kUnlimited;
}

// The bytes of `key` in a file of lines "key value [kB]".
int64_t field_in(const char* path, const std::string& key, int64_t unit) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    int64_t value = 0;
    if (words >> name >> value && name == key) return value * unit;
  }
  return -1;
}

int64_t control_group_free_bytes() {
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max");
  const int64_t used = number_in("/sys/fs/cgroup/memory.current");
  if (limit == kUnlimited || used == kUnlimited) return kUnlimited;
  const int64_t reclaimable = std::max<int64_t>(0, field_in("/sys/fs/cgroup/memory.stat", "inactive_file", 1));
  return std::max<int64_t>(0, limit - used + reclaimable);
}

// What `ulimit -v` leaves of addresses.
int64_t free_address_bytes() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  const auto bytes = static_cast<int64_t>(std::min(limit.rlim_cur, static_cast<rlim_t>(kUnlimited)));
  return std::max<int64_t>(0, bytes - std::max<int64_t>(0, field_in("/proc/self/status", "VmSize:", 1024)));
}

}  // namespace

int64_t available_memory_bytes() {
  const int64_t system = field_in("/proc/meminfo", "MemAvailable:", 1024);
  return std::min({system < 0 ? kUnlimited : system, control_group_free_bytes(), free_address_bytes()});
}

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

int64_t resident_bytes() {
  return std::max<int64_t>(0, field_in("/proc/self/status", "VmRSS:", 1024));
}

std::string format_bytes(int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= int64_t{1} << 30) return fmt::format("{:.2f} GiB", value / (1 << 30));
  if (bytes >= int64_t{1} << 20) return fmt::format("{:.1f} MiB", value / (1 << 20));
  if (bytes >= int64_t{1} << 10) return fmt::format("{:.1f} KiB", value / (1 << 10));
  return fmt::format("{} B", bytes);
}

}  // namespace naru
