#include "cli/chat_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/nearest.h"
#include "base/shown_text.h"

namespace naru::cli {
namespace {

using Makers = formats::GenerationConfig;

// What a setting is now, and whether the model's makers advise it.
struct SettingRow {
  std::string_view name;
  std::string (*value)(const engine::SamplingOptions& o, int64_t max_tokens);
  bool (*is_advised)(const Makers& makers);
};

std::string number_or_off(double value, double off) {
  return value == off ? fmt::format("{} (off)", value) : fmt::format("{}", value);
}

bool never(const Makers&) {
  return false;
}

std::string biases(const engine::SamplingOptions& o) {
  std::string text;
  for (const auto& [id, bias] : o.logit_bias) text += fmt::format("{}{}={}", text.empty() ? "" : " ", id, bias);
  return text.empty() ? "none" : text;
}

constexpr SettingRow kSettings[] = {
    {"temperature", [](const auto& o, int64_t) { return fmt::format("{}", o.temperature); },
     [](const Makers& m) { return m.temperature || (m.do_sample && !*m.do_sample); }},
    {"top-k", [](const auto& o, int64_t) { return number_or_off(static_cast<double>(o.top_k), 0); },
     [](const Makers& m) { return m.top_k.has_value(); }},
    {"top-p", [](const auto& o, int64_t) { return number_or_off(o.top_p, 1); },
     [](const Makers& m) { return m.top_p.has_value(); }},
    {"min-p", [](const auto& o, int64_t) { return number_or_off(o.min_p, 0); },
     [](const Makers& m) { return m.min_p.has_value(); }},
    {"repetition-penalty", [](const auto& o, int64_t) { return number_or_off(o.repetition_penalty, 1); },
     [](const Makers& m) { return m.repetition_penalty.has_value(); }},
    {"presence-penalty", [](const auto& o, int64_t) { return number_or_off(o.presence_penalty, 0); }, never},
    {"frequency-penalty", [](const auto& o, int64_t) { return number_or_off(o.frequency_penalty, 0); }, never},
    {"logit-bias", [](const auto& o, int64_t) { return biases(o); }, never},
    {"seed", [](const auto& o, int64_t) { return fmt::format("{}", o.seed); }, never},
    {"max-tokens",
     [](const auto&, int64_t n) { return n > 0 ? fmt::format("{}", n) : std::string("until the context is full"); },
     never},
};

const SettingRow* find_setting(std::string_view name) {
  const auto* const row =
      std::find_if(std::begin(kSettings), std::end(kSettings), [name](const SettingRow& r) { return r.name == name; });
  return row == std::end(kSettings) ? nullptr : row;
}

Error setting_error(std::string_view key, std::string_view found, std::string_view next) {
  return {Code::kInvalidArgument,
          fmt::format("reading the command: /set {}: {}; {}", without_controls_on_one_line(key), found, next)};
}

}  // namespace

ChatSettings::ChatSettings(const RunOptions& options, formats::GenerationConfig makers, int64_t vocab)
    : base_{options.sampling, options.max_tokens},
      given_by_(options.given_by),
      makers_(std::move(makers)),
      vocab_(vocab),
      now_(base_) {
  for (const Flag& flag : flags_of(now_)) {
    NARU_CHECK(find_setting(flag.long_name) != nullptr, flag.long_name);  // a new flag has its row in kSettings too
    names_.push_back(flag.long_name);
  }
}

ChatSettings::ChatSettings(const RunOptions& options) : ChatSettings(options, {}, std::numeric_limits<int32_t>::max()) {
  is_of_server_ = true;
}

std::vector<Flag> ChatSettings::flags_of(State& state) {
  std::vector<Flag> flags;
  add_sampling_flags(state.sampling, flags);
  flags.push_back(max_tokens_flag(&state.max_tokens));
  return flags;
}

engine::SamplingOptions ChatSettings::sampling() const {
  return now_.sampling.over(makers_);
}
int64_t ChatSettings::max_tokens() const {
  return now_.max_tokens;
}
std::string ChatSettings::sampling_text() const {
  if (is_of_server_) {
    std::string text;
    for (const std::string& name : names_) {
      if (is_said(name)) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, value_of(name));
    }
    return text.empty() ? "as the server chooses" : text;
  }
  return now_.sampling.text(makers_);
}

Result<ChatSettings::State> ChatSettings::state_with(const Given& given) const {
  State state = base_;
  const std::vector<Flag> flags = flags_of(state);
  for (const auto& [key, value] : given) {
    for (const Flag& flag : flags) {
      if (flag.long_name == key) NARU_TRY(flag.set({"/set " + key, value}));
    }
  }
  NARU_TRY(engine::validate_sampling(state.sampling.over(makers_), vocab_));
  return state;
}

Result<std::string> ChatSettings::set(std::string_view words) {
  const size_t key_end = std::min(words.find_first_of(" \t="), words.size());
  std::string key(words.substr(0, key_end));
  std::replace(key.begin(), key.end(), '_', '-');
  const size_t value_begin = std::min(words.find_first_not_of(" \t=", key_end), words.size());
  const std::string value(words.substr(value_begin));
  const SettingRow* row = find_setting(key);
  if (key == "num-ctx" || key == "context" || key == "ctx-size") {
    return setting_error(key, "the context is made at the start", "leave, and start with --context N");
  }
  if (row == nullptr) {
    const std::vector<std::string_view> names(names_.begin(), names_.end());
    const auto near = nearest(key, names);
    return setting_error(key, "there is no such setting",
                         near ? fmt::format("did you mean {}? /set lists them", *near) : "/set lists them");
  }
  const auto text = [&] { return fmt::format("{} {} ({})", key, value_of(key), origin_of(key)); };
  if (value.empty()) return text();
  Given given = given_;
  constexpr std::string_view kRepeatable = "logit-bias";  // each id once
  if (value == "default" || key != kRepeatable) std::erase_if(given, [&key](const auto& g) { return g.first == key; });
  if (value != "default") given.emplace_back(key, value);
  NARU_ASSIGN(State state, state_with(given));
  now_ = std::move(state);
  given_ = std::move(given);
  return text();
}

bool ChatSettings::is_said(std::string_view key) const {
  return given_by_.contains(std::string(key)) ||
         std::any_of(given_.begin(), given_.end(), [key](const auto& g) { return g.first == key; });
}

std::string ChatSettings::value_of(std::string_view key) const {
  if (is_of_server_ && !is_said(key)) return "-";
  return find_setting(key)->value(sampling(), max_tokens());
}

std::string ChatSettings::origin_of(std::string_view key) const {
  const bool is_set = std::any_of(given_.begin(), given_.end(), [key](const auto& g) { return g.first == key; });
  if (is_set) return "/set";
  if (const auto given = given_by_.find(std::string(key)); given != given_by_.end()) return given->second;
  if (is_of_server_) return "the server's";
  return find_setting(key)->is_advised(makers_) ? "the makers' advice" : "default";
}

std::string ChatSettings::table() const {
  std::string text;
  for (const SettingRow& row : kSettings) {
    text += fmt::format("  {:<19}  {:<26}  {}\n", row.name, value_of(row.name), origin_of(row.name));
  }
  return text;
}

}  // namespace naru::cli
