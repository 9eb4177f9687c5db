// Texts made from the table of keys: what a key wants, a value as TOML, the tables of docs/recipes.md.
#include "recipes/recipe_schema.h"

#include <fmt/format.h>

namespace naru::recipes {
namespace {

std::string number_text(double value) {
  std::string text = fmt::format("{}", value);  // the shortest that reads back as itself
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

// A TOML basic string.
std::string toml_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

struct ValueText {
  std::string operator()(const std::string* v) const { return toml_quoted(*v); }
  std::string operator()(const int64_t* v) const { return fmt::format("{}", *v); }
  std::string operator()(const uint64_t* v) const { return fmt::format("{}", *v); }
  std::string operator()(const double* v) const { return number_text(*v); }
  std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
  std::string operator()(const contract::ComputeMode* v) const { return toml_quoted(contract::compute_mode_name(*v)); }
  std::string operator()(const RunKind* v) const { return toml_quoted(run_kind_name(*v)); }
  std::string operator()(const std::vector<std::string>* v) const {
    std::string out = "[";
    for (const std::string& text : *v) out += (out.size() > 1 ? ", " : "") + toml_quoted(text);
    return out + "]";
  }
};

std::string range_text(const KeyRow& row, bool is_whole) {
  const Range& r = row.range;
  std::string text(is_whole ? "a whole number" : "a number");
  text += fmt::format(" {} {}", r.is_low_open ? "above" : "from", r.low);
  if (is_whole && r.high > 1e18) return text + " to 9223372036854775807";
  if (is_whole) return text + fmt::format(" to {}", static_cast<int64_t>(r.high));
  return text + fmt::format("{} {}", r.is_high_open ? " to below" : (r.is_low_open ? ", at most" : " to"), r.high);
}

std::string words_text(const KeyRow& row) {
  std::string list;
  for (const std::string_view word : row.words) {
    if (!word.empty()) list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", word);
  }
  return list;
}

std::string table_of(std::string_view section) {
  Recipe defaults = one_of_each();
  std::string text = "| key | default | value | what |\n| --- | --- | --- | --- |\n";
  for (const KeyRow& row : recipe_keys()) {
    if (row.section != section) continue;
    text += fmt::format("| `{}` | `{}` | {} | {}{} |\n", row.key, value_text(row.field(defaults, 0)), wanted_text(row),
                        row.meaning, row.decides_bits ? "" : " \\*");
  }
  return text;
}

}  // namespace

std::string KeyRow::path() const {
  return section.empty() ? std::string(key) : fmt::format("{}.{}", section, key);
}

Recipe one_of_each() {
  Recipe recipe;
  for (const SectionRow& section : recipe_sections()) {
    if (section.list != nullptr) section.list->resize(recipe, 1);
  }
  return recipe;
}

const SectionRow* find_section(std::string_view name) {
  for (const SectionRow& section : recipe_sections()) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

const KeyRow* find_key(std::string_view section, std::string_view key) {
  for (const KeyRow& row : recipe_keys()) {
    if (row.section == section && row.key == key) return &row;
  }
  return nullptr;
}

std::string wanted_text(const KeyRow& row) {
  Recipe sizes = one_of_each();
  const Field field = row.field(sizes, 0);
  if (std::holds_alternative<std::vector<std::string>*>(field)) {
    const std::string kind = row.words.empty() ? std::string("texts") : words_text(row);
    return fmt::format("a list of at most {} of {}", kRecipeListMax, kind);
  }
  if (std::holds_alternative<bool*>(field)) return "true or false";
  if (!row.words.empty()) {
    return fmt::format("one of {}{}", words_text(row), row.words.front().empty() ? ", or nothing" : "");
  }
  if (std::holds_alternative<double*>(field)) return range_text(row, false);
  if (!std::holds_alternative<std::string*>(field)) return range_text(row, true);
  switch (row.text) {
    case TextKind::kName: return "a name without / that does not begin with a dot";
    case TextKind::kPath: return "a path";
    case TextKind::kAny: break;
  }
  return "a text";
}

std::string value_text(const Field& field) {
  return std::visit(ValueText(), field);
}

std::string recipe_keys_markdown() {
  std::string text = "## Top of the file\n\n" + table_of("");
  for (const SectionRow& section : recipe_sections()) {
    const std::string_view open = section.list != nullptr ? "[[" : "[";
    const std::string_view close = section.list != nullptr ? "]]" : "]";
    text += fmt::format("\n## {}{}{}\n\n{}\n\n", open, section.name, close, section.meaning);
    text += table_of(section.name);
  }
  return text;
}

}  // namespace naru::recipes
