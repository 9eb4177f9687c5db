// What is pasted into other programs so that they ask this server: `naru serve --for PROGRAM`. Names of variables and
// files are those of the programs' own documents, of 2026.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace naru::cli {

// The server as its clients see it.
struct ServedAt {
  std::string address;    // "http://127.0.0.1:8080": without a path
  std::string model;      // the name that requests use
  int64_t context = 0;    // tokens; 0: not known
  bool has_keys = false;  // a request needs one
  std::string cert_file;  // of TLS; empty: plain HTTP
};

inline constexpr std::string_view kClientPrograms = "claude|codex|opencode|openwebui";

// The variable that holds a key in what is printed. None of OpenAI's: a key for there should not come here by mistake.
inline constexpr std::string_view kKeyVariable = "NARU_API_KEY";

// Lines to paste, with a comment before each part that says where. `program`: one of kClientPrograms.
std::string settings_for(std::string_view program, const ServedAt& server);

}  // namespace naru::cli
