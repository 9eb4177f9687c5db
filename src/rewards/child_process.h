// A program that runs beside this one, with pipes to its input and from its output and error output, in a process group
// of its own. When it ends, and when the object goes, the whole group is killed. Where this process is killed itself
// (SIGKILL) the kernel kills the program alone: what that began lives on, and sees its pipes close.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace naru::rewards {

// The file that a command's first word names: with a slash a path from `folder`, else the first of PATH that may be
// run. kNotFound where there is none.
Result<std::filesystem::path> find_program(const std::string& word, const std::filesystem::path& folder);

struct ChildPlan {
  std::filesystem::path program;
  std::vector<std::string> arguments;  // the first is its name
  std::filesystem::path folder;        // in which it runs
  int64_t address_bytes = 0;           // of its address space; 0: any
};

class ChildProcess {
 public:
  // Without a shell, with the environment as it is. Our ends of the pipes never block.
  static Result<ChildProcess> start(const ChildPlan& plan);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();  // kills the group where it still runs, and waits for it

  int in() const { return in_.get(); }
  int out() const { return out_.get(); }
  int err() const { return err_.get(); }
  void close_in() { in_ = OwnedFd(); }

  // How it ended ("ended with status 1"), asked without waiting; nothing while it runs.
  std::optional<std::string> ended();
  // Known once it ended; where its status went to nobody (SIGCHLD is ignored) nothing speaks against it.
  bool ended_well() const { return status_ == 0; }
  void kill();

 private:
  ChildProcess() = default;
  pid_t pid_ = -1;  // -1: it was waited for
  int status_ = -1;
  bool is_status_lost_ = false;
  OwnedFd in_, out_, err_;
};

// Writes what fits, and never raises SIGPIPE: -1 with errno as write(2), EPIPE where nobody reads.
ssize_t write_quietly(int fd, const char* bytes, size_t n);

}  // namespace naru::rewards
