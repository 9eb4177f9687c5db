// Measuring the memory of one piece of work.
#include "tests/formats/helpers.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace naru::formats {

int64_t peak_growth_of(const std::function<void()>& work) {
  int ends[2];
  if (::pipe(ends) != 0) return -1;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto peak = [] {
      rusage usage{};
      getrusage(RUSAGE_SELF, &usage);
      return static_cast<int64_t>(usage.ru_maxrss) * 1024;
    };
    const int64_t before = peak();
    work();
    const int64_t growth = peak() - before;
    const ssize_t written = ::write(ends[1], &growth, sizeof(growth));
    ::_exit(written == sizeof(growth) ? 0 : 1);
  }
  ::close(ends[1]);
  int64_t growth = -1;
  if (::read(ends[0], &growth, sizeof(growth)) != sizeof(growth)) growth = -1;
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status == 0 ? growth : -1;
}

}  // namespace naru::formats
