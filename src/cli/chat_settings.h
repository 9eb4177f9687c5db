// ChatSettings: how tokens are chosen in a chat: what the command line said, and over it what /set says. The settings
// are the command line's own flags of sampling, with their ranges and messages.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/options.h"

namespace naru::cli {

class ChatSettings {
 public:
  // `vocab` bounds the ids of --logit-bias.
  ChatSettings(const RunOptions& options, formats::GenerationConfig makers, int64_t vocab);
  // Of a server, which chooses by its own settings what nobody says here.
  explicit ChatSettings(const RunOptions& options);

  engine::SamplingOptions sampling() const;
  int64_t max_tokens() const;
  // What was said alone, by the command line or /set.
  const SamplingFlags& said() const { return now_.sampling; }
  bool is_said(std::string_view key) const;
  // "temperature 0.7, top-p 0.9 (the model advises nothing)"
  std::string sampling_text() const;

  // "KEY VALUE"; the value "default" takes back what /set said before, and none changes nothing. Gives what it is then:
  // "temperature 0.5 (/set)". On an error nothing is changed.
  Result<std::string> set(std::string_view words);
  // A line for each setting: what it is, and where from.
  std::string table() const;

  const std::vector<std::string>& names() const { return names_; }

 private:
  using Given = std::vector<std::pair<std::string, std::string>>;  // by /set: key, value
  struct State {
    SamplingFlags sampling;
    int64_t max_tokens;
  };
  static std::vector<Flag> flags_of(State& state);
  Result<State> state_with(const Given& given) const;
  std::string origin_of(std::string_view key) const;
  std::string value_of(std::string_view key) const;

  State base_;
  std::map<std::string, std::string> given_by_;  // by the command line, the environment or the defaults file
  formats::GenerationConfig makers_;
  int64_t vocab_;
  bool is_of_server_ = false;
  std::vector<std::string> names_;
  Given given_;
  State now_;
};

}  // namespace naru::cli
