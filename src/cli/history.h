// History: the messages that were typed in chats, oldest first, kept from one chat to the next in a file of the user's
// alone. Each line of the file is a message, with \n and \\ for a line's end and a backslash in it. The file is written
// whole for every message, under a lock, with what other chats wrote meanwhile: none loses another's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace naru::cli {

inline constexpr size_t kHistoryLinesMax = 1000;               // messages that are kept
inline constexpr int64_t kHistoryBytesMax = int64_t{1} << 20;  // of the file
inline constexpr size_t kHistoryLineBytesMax = 64 << 10;  // of a message in the file; longer ones are not kept there

// A file's messages. Lines that cannot be of ours (no UTF-8, control characters, too long) are passed over.
std::vector<std::string> parse_history(std::string_view text);
// The newest messages that are within the bounds.
std::string format_history(const std::vector<std::string>& messages);

// $XDG_STATE_HOME/naru/history, else ~/.local/state/naru/history; nothing where there is no home.
std::optional<std::filesystem::path> history_path();

class History {
 public:
  // Of this chat alone.
  History() = default;

  // From now on with a file, whose messages come before those of this chat. On an error (the file cannot be read, say)
  // the history stays without one.
  Status open(std::filesystem::path path);

  // One that is the newest already is not added again. On an error (a full disk, say) the message is in the history all
  // the same, and goes to the file with the next one.
  Status add(const std::string& message);

  const std::vector<std::string>& messages() const { return messages_; }
  // The newest message before the place `end` that has `part`.
  std::optional<size_t> find(std::string_view part, size_t end) const;

 private:
  Status store();

  std::vector<std::string> messages_;
  std::filesystem::path path_;        // empty: no file
  std::vector<std::string> waiting_;  // for the file
};

}  // namespace naru::cli
