// Looking for devices in a process of its own: a driver that crashes or hangs when it is loaded takes that process with
// it and not the caller, who hears of it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::gpu {

// What `look` returns there; kUnavailable where it crashed or gave no answer. `doing` and `next` are the first and the
// last part of such an error.
Result<std::string> look_apart(const std::function<Result<std::string>()>& look, std::string_view doing,
                               std::string_view next);

// The look of one library, for the life of the program: one object a library, which its chip and its list of devices
// share. A process that was forked while a driver is at work can use no driver: each look is made once, and all of
// them before the first driver is opened.
class Look {
 public:
  // `where`: the variables that say which libraries are opened; an answer is good for their values.
  Look(Result<std::string> (*make)(), std::string (*where)());
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;

  // The answer; all objects have theirs then.
  Result<std::string> found();

 private:
  const Result<std::string>& answer();

  Result<std::string> (*make_)();
  std::string (*where_)();
  std::map<std::string, Result<std::string>> answers_;  // by where()
};

// "NAME=value\n", for Look; "NAME\n" where it is not set.
std::string variable_line(const char* name);

}  // namespace naru::gpu
