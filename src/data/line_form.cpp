#include "data/line_form.h"

#include <fmt/format.h>

#include <array>
#include <optional>

namespace naru::data {
namespace {

using text::Value;

constexpr std::array<std::string_view, 3> kListKeys = {"messages", "conversations", "conversation"};

// What a line of another program's format has, and what it is here.
std::string_view advice_for_keys(const Value& root) {
  if (root.find("chosen") || root.find("rejected")) {
    return "pairs of a better and a worse answer are not learnt from; keep the better one, as \"messages\"";
  }
  const bool has_question = root.find("question") || root.find("query");
  if (root.find("instruction")) return "call the answer \"output\", and what the instruction is about \"input\"";
  if (root.find("prompt")) return "call the answer \"completion\"";
  if (has_question || root.find("input")) {
    return "call question and answer \"prompt\" and \"completion\", or write them as \"messages\": [{\"role\": "
           "\"user\", \"content\": ...}, {\"role\": \"assistant\", \"content\": ...}]";
  }
  return "name the key of your text \"text\"; docs/data.md has the other forms";
}

// A list whose first message says "from" and no "role".
bool is_share_gpt(const Value& list) {
  if (!list.as_list() || list.as_list()->empty()) return false;
  const Value& first = list.as_list()->front();
  return first.find("from") != nullptr && first.find("role") == nullptr;
}

Error both(std::string_view place, std::string_view a, std::string_view b) {
  return wrong_value(place, "the line", fmt::format("an object with both \"{}\" and \"{}\"", a, b), "one of them",
                     "take one out");
}

}  // namespace

std::string_view form_name(LineForm form) {
  switch (form) {
    case LineForm::kText: return "text";
    case LineForm::kMessages: return "messages";
    case LineForm::kShareGpt: return "ShareGPT";
    case LineForm::kAlpaca: return "Alpaca";
    case LineForm::kPromptCompletion: return "prompt and completion";
  }
  return "";
}

const char* kind_of(const Value& value) {
  if (value.is_null()) return "null";
  if (value.as_bool()) return "a truth value";
  if (value.as_int() || value.as_double() || value.as_wide()) return "a number";
  if (value.as_string()) return "a string";
  return value.as_list() ? "an array" : "an object";
}

Error wrong_value(std::string_view place, std::string_view key, std::string_view found, std::string_view wanted,
                  std::string_view next) {
  return {Code::kInvalidArgument,
          fmt::format("reading {}: {} is {}, {} was wanted; {}", place, key, found, wanted, next)};
}

Result<FoundForm> find_form(const Value& root, std::string_view place) {
  FoundForm found;
  std::string_view known;  // the key that says what form it is
  for (const std::string_view key : kListKeys) {
    if (!root.find(key)) continue;
    if (!known.empty()) return both(place, known, key);
    known = key;
    found.key = key;
    found.form = is_share_gpt(*root.find(key)) ? LineForm::kShareGpt : LineForm::kMessages;
  }
  const struct {
    std::string_view first, second;
    LineForm form;
  } kPairs[] = {{"instruction", "output", LineForm::kAlpaca}, {"prompt", "completion", LineForm::kPromptCompletion}};
  for (const auto& pair : kPairs) {
    if (!root.find(pair.first) || !root.find(pair.second)) continue;
    if (!known.empty()) return both(place, known, pair.second);
    known = pair.second;
    found.form = pair.form;
  }
  if (root.find("text")) {
    // Alpaca's own file has the three once more, written out for a model without a chat template.
    if (found.form == LineForm::kAlpaca) {
      found.note = "\"text\" left out: instruction, input and output beside it are read";
      return found;
    }
    if (!known.empty()) return both(place, "text", known);
    return found;
  }
  if (!known.empty()) return found;
  return wrong_value(place, "the line", "an object without \"text\" and \"messages\"",
                     "one of them, or another known form", advice_for_keys(root));
}

}  // namespace naru::data
