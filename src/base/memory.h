// How much memory this process may still take, and how much it has taken.
#pragma once

#include <cstdint>
#include <string>

namespace naru {

// Bytes that can be allocated before the system, the control group or the address limit (ulimit -v) of this process
// runs out.
int64_t available_memory_bytes();
// The largest resident size of this process so far.
int64_t peak_resident_bytes();
// Memory of this process that is in use now; 0 where the system does not say.
int64_t resident_bytes();
// "1.2 GiB", "340 MiB", "17 KiB", "12 B"
std::string format_bytes(int64_t bytes);

}  // namespace naru
