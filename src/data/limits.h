// The bounds on training data (docs/limits.md). Past one of them a file is refused by name, with both numbers.
#pragma once

#include <cstdint>

namespace naru::data {

inline constexpr int64_t kDataSourcesMax = 64;                       // sources of a recipe
inline constexpr int64_t kDataFilesMax = 10000;                      // files of one folder
inline constexpr int64_t kDataLineBytesMax = 8 << 20;                // bytes of one line of a .jsonl file
inline constexpr int64_t kDataMessagesMax = 256;                     // messages of one conversation
inline constexpr int64_t kDataTurnsBytesMax = 64 << 20;              // bytes of its turns, each with all before it
inline constexpr int64_t kDataDocumentsMax = int64_t{1} << 25;       // documents of all sources
inline constexpr int64_t kDataTokensMax = int64_t{1} << 29;          // tokens of all sources
inline constexpr int64_t kDataContextMax = int64_t{1} << 20;         // tokens of a packed row
inline constexpr int64_t kDataStepTokensMax = int64_t{1} << 26;      // tokens of a step: rows times context
inline constexpr int64_t kDataNotesMax = 10000;                      // notes kept in full; the rest is counted
inline constexpr int64_t kProblemsMax = int64_t{1} << 20;            // problems of a file
inline constexpr int64_t kProblemBytesMax = 256 << 20;               // bytes of all of them
inline constexpr int64_t kGeneratorDocumentsMax = int64_t{1} << 23;  // documents of one generator

}  // namespace naru::data
