// Bytes of a mapped file that cannot be read any more: the file became shorter, or its disk or network failed. No call
// fails then; the system sends SIGBUS to the thread that touched them. A program asks here to end with a message
// instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace naru {

// From now on such a fault calls `tell` with one message of four parts (valid UTF-8 where the path is, no control
// characters), removes the unfinished files and folders of this process, and ends it with the status of kUnavailable.
// `tell` runs in a signal handler. Any other SIGBUS does what it did.
void end_when_a_mapping_fails(void (*tell)(std::string_view message));

struct Mapping;
// Tells of a mapping, before its first byte is read; `fd` stays open as long as the mapping.
Mapping* add_mapping(const std::byte* data, int64_t size, int fd, const std::filesystem::path& path);
// Before it is unmapped.
void remove_mapping(Mapping* mapping);

}  // namespace naru
