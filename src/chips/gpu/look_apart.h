// Looking for devices in a process of its own: a driver that crashes or hangs when it is loaded takes that process with
// it and not the caller, who hears of it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::gpu {

// What `look` returns there; kUnavailable where it crashed or gave no answer. `doing` and `next` are the first and the
// last part of such an error.
Result<std::string> look_apart(const std::function<Result<std::string>()>& look, std::string_view doing,
                               std::string_view next);

}  // namespace naru::gpu
