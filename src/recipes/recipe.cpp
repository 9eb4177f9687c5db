// Reading a recipe: the TOML tree against the table of keys, overrides on top, then what keys must be to each other.
// The table is recipe_keys.cpp, those checks are recipe_checks.cpp; nothing here names a key.
#include "recipes/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/ascii.h"
#include "base/builtin_file.h"
#include "base/file.h"
#include "base/home.h"
#include "base/nearest.h"
#include "formats/utf8.h"
#include "recipes/pipeline.h"
#include "recipes/recipe_checks.h"
#include "recipes/recipe_schema.h"
#include "recipes/toml_text.h"

namespace naru::recipes {
namespace {

using formats::printable;

constexpr int64_t kNameBytesMax = 100;
constexpr std::string_view kSeeDocs = "docs/recipes.md explains every key";

Error bad(std::string message) {
  return {Code::kInvalidArgument, std::move(message)};
}

// Where a value comes from, for messages: "reading recipe a.toml: line 3", "reading the override steps=x".
struct Source {
  std::string text;
};

// --- one value ----------------------------------------------------------------------------------------------------

TomlValue text_value(std::string_view text) {
  TomlValue value;
  value.kind = TomlValue::Kind::kText;
  value.text = std::string(text);
  return value;
}

std::string brief_of_text(std::string_view text) {
  return toml_brief(text_value(text));
}

Error wrong(const Source& source, const std::string& path, std::string_view found, std::string_view wanted,
            std::string_view next = kSeeDocs) {
  return bad(fmt::format("{}: {} is {}, {} was wanted; {}", source.text, path, found, wanted, next));
}

bool is_in(const Range& range, double value) {
  const bool is_high_enough = range.is_low_open ? value > range.low : value >= range.low;
  const bool is_low_enough = range.is_high_open ? value < range.high : value <= range.high;
  return is_high_enough && is_low_enough;  // false for what is no number
}

std::string words_message(const KeyRow& row, std::string_view word) {
  const auto near = nearest(word, row.words);
  return wanted_text(row) + (near && !near->empty() ? fmt::format(" (\"{}\"?)", *near) : "");
}

Status check_text(const KeyRow& row, const std::string& text, const Source& source, const std::string& path) {
  if (!row.words.empty()) {
    if (std::find(row.words.begin(), row.words.end(), text) != row.words.end()) return {};
    return wrong(source, path, brief_of_text(text), words_message(row, text));
  }
  const int64_t bytes_max = row.text == TextKind::kAny    ? kRecipeTextBytesMax
                            : row.text == TextKind::kPath ? kRecipePathBytesMax
                                                          : kNameBytesMax;
  if (static_cast<int64_t>(text.size()) > bytes_max) {
    return wrong(source, path, fmt::format("a text of {} bytes", text.size()), fmt::format("at most {}", bytes_max));
  }
  const bool is_bad_name =
      row.text == TextKind::kName && (text.starts_with('.') || text.find('/') != std::string::npos);
  if (is_bad_name || (row.text != TextKind::kAny && formats::has_control_characters(text))) {
    return wrong(source, path, brief_of_text(text), wanted_text(row));
  }
  return {};
}

Result<std::vector<std::string>> texts_of(const KeyRow& row, const TomlValue& value, const Source& source,
                                          const std::string& path) {
  std::vector<std::string> texts;
  if (value.kind != TomlValue::Kind::kList || static_cast<int64_t>(value.list.size()) > kRecipeListMax) {
    return wrong(source, path, toml_brief(value), wanted_text(row));
  }
  for (const TomlValue& element : value.list) {
    const std::string place = fmt::format("{}[{}]", path, texts.size());
    if (element.kind != TomlValue::Kind::kText) return wrong(source, place, toml_brief(element), "a text");
    NARU_TRY(check_text(row, element.text, source, place));
    if (!row.words.empty() && std::find(texts.begin(), texts.end(), element.text) != texts.end()) {
      return wrong(source, place, toml_brief(element) + " again", "each once");
    }
    texts.push_back(element.text);
  }
  return texts;
}

Status set_field(const KeyRow& row, const Field& field, const TomlValue& value, const Source& source,
                 const std::string& path) {
  const auto refuse = [&] {
    return wrong(source, path, toml_brief(value), wanted_text(row), row.next.empty() ? kSeeDocs : row.next);
  };
  if (auto* const* texts = std::get_if<std::vector<std::string>*>(&field)) {
    NARU_ASSIGN(**texts, texts_of(row, value, source, path));
    return {};
  }
  if (auto* const* truth = std::get_if<bool*>(&field)) {
    if (value.kind != TomlValue::Kind::kTruth) return refuse();
    **truth = value.truth;
    return {};
  }
  if (auto* const* number = std::get_if<double*>(&field)) {
    const bool is_whole = value.kind == TomlValue::Kind::kInteger;
    if (!is_whole && value.kind != TomlValue::Kind::kNumber) return refuse();
    const double given = is_whole ? static_cast<double>(value.integer) : value.number;
    if (!std::isfinite(given) || !is_in(row.range, given)) return refuse();
    **number = given + 0.0;  // -0 becomes 0
    return {};
  }
  if (std::holds_alternative<int64_t*>(field) || std::holds_alternative<uint64_t*>(field)) {
    if (value.kind != TomlValue::Kind::kInteger || !is_in(row.range, static_cast<double>(value.integer))) {
      return refuse();
    }
    if (auto* const* whole = std::get_if<int64_t*>(&field)) **whole = value.integer;
    if (auto* const* whole = std::get_if<uint64_t*>(&field)) **whole = static_cast<uint64_t>(value.integer);
    return {};
  }
  if (value.kind != TomlValue::Kind::kText) return refuse();
  NARU_TRY(check_text(row, value.text, source, path));
  if (auto* const* text = std::get_if<std::string*>(&field)) **text = value.text;
  if (auto* const* mode = std::get_if<contract::ComputeMode*>(&field)) {
    **mode = *contract::compute_mode_from_name(value.text);  // the row's words are names of modes
  }
  if (auto* const* kind = std::get_if<RunKind*>(&field)) **kind = *run_kind_from_name(value.text);  // likewise
  return {};
}

// --- keys that are not there --------------------------------------------------------------------------------------

// What somebody who wrote SECTION.KEY may have meant, over all keys: the same key elsewhere, else a near one there,
// else a near section.
std::string suggestion(std::string_view section, std::string_view key) {
  std::vector<std::string_view> names;
  std::string elsewhere;
  for (const KeyRow& row : recipe_keys()) {
    if (row.section == section) names.push_back(row.key);
    if (row.key == key && elsewhere.empty()) elsewhere = row.path();
  }
  if (section.empty()) {
    for (const SectionRow& row : recipe_sections()) names.push_back(row.name);
  }
  const auto near = nearest(key, names);
  if (!elsewhere.empty()) return fmt::format("did you mean {}? ", elsewhere);
  if (near) return fmt::format("did you mean {}{}{}? ", section, section.empty() ? "" : ".", *near);
  return "";
}

Error unknown_key(const Source& source, std::string_view section, std::string_view key) {
  std::string known;
  for (const KeyRow& row : recipe_keys()) {
    if (row.section == section) known += fmt::format("{}{}", known.empty() ? "" : ", ", row.key);
  }
  return bad(fmt::format("{}: there is no key {}{}{}; {}known {} are {}", source.text, section,
                         section.empty() ? "" : ".", printable(key, 60), suggestion(section, key),
                         section.empty() ? "keys at the top" : fmt::format("keys of [{}]", section), known));
}

Error unknown_section(const Source& source, std::string_view name) {
  return bad(fmt::format("{}: there is no section [{}]; {}{}", source.text, printable(name, 60), suggestion("", name),
                         kSeeDocs));
}

// --- the file -----------------------------------------------------------------------------------------------------

class Reader {
 public:
  Reader(std::string place, Recipe* recipe) : place_(std::move(place)), recipe_(recipe) {}

  Status read(const TomlValue& root) {
    for (const TomlValue& value : root.table) {
      const std::string& key = value.key;
      if (key == "kind" && value.kind == TomlValue::Kind::kText && value.text == kPipelineKind) {
        return bad(
            fmt::format("{}: it is a pipeline, one recipe was wanted; name the recipe of one of its stages, or "
                        "train the whole with `naru train`",
                        at(value).text));
      }
      const SectionRow* section = find_section(key);
      if (section == nullptr && (value.kind == TomlValue::Kind::kTable || is_list_of_tables(value))) {
        return unknown_section(at(value), key);
      }
      if (section == nullptr) {
        NARU_TRY(read_key("", value, 0));
      } else if (section->list != nullptr) {
        NARU_TRY(read_list(*section, value));
      } else {
        if (value.kind != TomlValue::Kind::kTable) {
          return wrong(at(value), key, toml_brief(value), fmt::format("one section [{}]", key));
        }
        NARU_TRY(read_section(*section, value, 0));
      }
    }
    return {};
  }

  Status override_with(const std::string& text) {
    const Source source = {fmt::format("reading the override {}", printable(text, 120))};
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return bad(source.text + ": it has no =, KEY=VALUE was wanted; for example optimizer.lr=3e-4");
    }
    if (!formats::is_valid_utf8(text)) return bad(source.text + ": it is no UTF-8; write it in UTF-8");
    std::string_view path = std::string_view(text).substr(0, equals);
    const size_t dot = path.find('.');
    const std::string_view section_name = dot == std::string_view::npos ? "" : path.substr(0, dot);
    std::string_view key = dot == std::string_view::npos ? path : path.substr(dot + 1);
    const SectionRow* section = find_section(section_name);
    if (section == nullptr && !section_name.empty()) return unknown_section(source, section_name);
    size_t index = 0;
    if (section != nullptr && section->list != nullptr) {
      NARU_ASSIGN(index, list_index(*section, &key, source));
    }
    const KeyRow* row = find_key(section_name, key);
    if (row == nullptr) return unknown_key(source, section_name, key);
    const Field field = row->field(*recipe_, index);
    NARU_ASSIGN(const TomlValue value, override_value(field, std::string_view(text).substr(equals + 1), source));
    overridden_.push_back(row->path());
    return set_field(*row, field, value, source, std::string(path));
  }

  // Whether the key was written, in the file or as an override.
  bool is_given(const std::string& path) const {
    return lines_.contains(path) || std::find(overridden_.begin(), overridden_.end(), path) != overridden_.end();
  }

  // "reading recipe a.toml: line 7": where the key was written, or the file alone.
  Source where(const std::string& path) const {
    const auto line = lines_.find(path);
    const bool is_overridden = std::find(overridden_.begin(), overridden_.end(), path) != overridden_.end();
    if (is_overridden || line == lines_.end()) return {place_};
    return {fmt::format("{}: line {}", place_, line->second)};
  }

 private:
  static bool is_list_of_tables(const TomlValue& value) {
    return value.kind == TomlValue::Kind::kList && !value.list.empty() &&
           value.list.front().kind == TomlValue::Kind::kTable;
  }

  Source at(const TomlValue& value) const { return {fmt::format("{}: line {}", place_, value.line)}; }

  Status read_key(std::string_view section, const TomlValue& value, size_t index) {
    const KeyRow* row = find_key(section, value.key);
    if (row == nullptr) return unknown_key(at(value), section, value.key);
    lines_.try_emplace(row->path(), value.line);
    return set_field(*row, row->field(*recipe_, index), value, at(value), row->path());
  }

  Status read_section(const SectionRow& section, const TomlValue& table, size_t index) {
    for (const TomlValue& value : table.table) NARU_TRY(read_key(section.name, value, index));
    return {};
  }

  Status read_list(const SectionRow& section, const TomlValue& value) {
    const bool is_list = value.kind == TomlValue::Kind::kList;
    if (!is_list || static_cast<int64_t>(value.list.size()) > kRecipeSourcesMax) {
      return wrong(
          at(value), std::string(section.name), toml_brief(value),
          fmt::format("at most {} sections, each under a line [[{}]] of its own", kRecipeSourcesMax, section.name));
    }
    section.list->resize(*recipe_, value.list.size());
    for (size_t i = 0; i < value.list.size(); ++i) {
      if (value.list[i].kind != TomlValue::Kind::kTable) {
        return wrong(at(value), std::string(section.name), toml_brief(value), fmt::format("[[{}]]", section.name));
      }
      NARU_TRY(read_section(section, value.list[i], i));
    }
    return {};
  }

  // Takes "0." from the front of the key; without a number the one element is meant.
  Result<size_t> list_index(const SectionRow& section, std::string_view* key, const Source& source) const {
    const size_t n = section.list->size(*recipe_);
    const size_t dot = key->find('.');
    if (dot == std::string_view::npos) {
      if (n == 1) return size_t{0};
      return bad(
          fmt::format("{}: the recipe has {} [[{}]], one was wanted; name one by its number from 0, as in "
                      "{}.0.weight=2",
                      source.text, n, section.name, section.name));
    }
    const std::string_view digits = key->substr(0, dot);
    const bool is_number =
        !digits.empty() && digits.size() <= 2 && std::all_of(digits.begin(), digits.end(), is_ascii_digit);
    size_t index = 0;
    for (const char c : is_number ? digits : std::string_view()) index = index * 10 + static_cast<size_t>(c - '0');
    if (!is_number || index >= n) {
      return bad(
          fmt::format("{}: '{}' names none of the {} [[{}]] of the recipe, a number from 0 was wanted; write a "
                      "new {} in the file",
                      source.text, printable(digits, 40), n, section.name, section.list->element));
    }
    key->remove_prefix(dot + 1);
    return index;
  }

  // On a command line texts need no quotation marks, and lists of words no brackets.
  static Result<TomlValue> override_value(const Field& field, std::string_view text, const Source& source) {
    const bool is_list = std::holds_alternative<std::vector<std::string>*>(field);
    const bool is_text = std::holds_alternative<std::string*>(field) ||
                         std::holds_alternative<contract::ComputeMode*>(field) ||
                         std::holds_alternative<RunKind*>(field);
    const bool is_toml = text.starts_with('"') || text.starts_with('\'') || text.starts_with('[');
    TomlValue value;
    if (is_text && !is_toml) {
      return text_value(text);
    }
    if (is_list && !is_toml) {
      value.kind = TomlValue::Kind::kList;
      while (!text.empty()) {
        const size_t comma = std::min(text.find(','), text.size());
        value.list.push_back(text_value(text.substr(0, comma)));
        text.remove_prefix(std::min(comma + 1, text.size()));
      }
      return value;
    }
    if (text.find('\n') != std::string_view::npos || text.find('\r') != std::string_view::npos) {
      return bad(source.text + ": its value has several lines, one was wanted; write it in the file");
    }
    NARU_ASSIGN(TomlValue root, parse_toml(fmt::format("value = {}", text), source.text));
    if (root.table.size() != 1) return bad(source.text + ": its value is no TOML value; " + std::string(kSeeDocs));
    return std::move(root.table.front());
  }

  std::string place_;
  Recipe* recipe_;
  std::map<std::string, int64_t> lines_;  // of each key, the first of lists
  std::vector<std::string> overridden_;
};

}  // namespace

Result<Recipe> parse_recipe(std::string_view toml, std::string_view name, const std::vector<std::string>& overrides) {
  const std::string place = fmt::format("reading recipe {}", printable(name, 200));
  if (static_cast<int64_t>(toml.size()) > kRecipeBytesMax) {
    return bad(fmt::format("{}: it has {} bytes, at most {} were wanted; is it the right file?", place, toml.size(),
                           kRecipeBytesMax));
  }
  NARU_ASSIGN(const TomlValue root, parse_toml(formats::without_byte_order_mark(toml), place));
  Recipe recipe;
  Reader reader(place, &recipe);
  NARU_TRY(reader.read(root));
  for (const std::string& text : overrides) NARU_TRY(reader.override_with(text));
  if (recipe.name.empty()) {
    recipe.name = std::filesystem::path(name).stem().string();
    const KeyRow* row = find_key("", "name");
    if (recipe.name.empty() || !formats::is_valid_utf8(recipe.name) ||
        !check_text(*row, recipe.name, {place}, "name").ok()) {
      return bad(
          fmt::format("{}: the name of the file is no name for a run, {} was wanted; write name = \"...\" at the top",
                      place, wanted_text(*row)));
    }
  }
  if (recipe.output.empty()) recipe.output = "runs/" + recipe.name;
  // A step of few rows is one micro-batch, unless the recipe says otherwise.
  if (!reader.is_given("batch.micro_rows"))
    recipe.batch.micro_rows = std::min(recipe.batch.micro_rows, recipe.batch.rows);
  NARU_TRY(check_together(recipe, [&](std::string_view key) { return reader.where(std::string(key)).text; }));
  return recipe;
}

std::filesystem::path resolved_path(const std::string& path, const std::filesystem::path& recipe_folder) {
  if (is_builtin_path(path)) return path;
  return recipe_folder / with_home(path);  // the path itself where it is absolute
}

std::filesystem::path model_place(const ModelRecipe& model, const std::filesystem::path& recipe_folder) {
  if (!model.pulled_path.empty()) return model.pulled_path;
  return model.path.empty() ? std::filesystem::path() : resolved_path(model.path, recipe_folder);
}

std::filesystem::path tokenizer_place(const ModelRecipe& model, const std::filesystem::path& recipe_folder) {
  if (!model.pulled_tokenizer.empty()) return model.pulled_tokenizer;
  return model.tokenizer.empty() ? model_place(model, recipe_folder) : resolved_path(model.tokenizer, recipe_folder);
}

std::filesystem::path source_place(const SourceRecipe& source, const std::filesystem::path& recipe_folder) {
  return source.samples_path.empty() ? resolved_path(source.path, recipe_folder) : source.samples_path;
}

std::filesystem::path teacher_place(const TeacherRecipe& teacher, const std::filesystem::path& recipe_folder) {
  return teacher.pulled_path.empty() ? resolved_path(teacher.path, recipe_folder) : teacher.pulled_path;
}

Result<Recipe> read_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  NARU_ASSIGN(const std::string text, read_file(path, kRecipeBytesMax));
  return parse_recipe(text, path.string(), overrides);
}

std::string recipe_text(const Recipe& recipe) {
  Recipe copy = recipe;  // the table's fields are of a recipe that may be written to
  const auto keys_of = [&copy](std::string_view section, size_t index) {
    std::string text;
    for (const KeyRow& row : recipe_keys()) {
      if (row.section == section) text += fmt::format("{} = {}\n", row.key, value_text(row.field(copy, index)));
    }
    return text;
  };
  std::string text = keys_of("", 0);
  for (const SectionRow& section : recipe_sections()) {
    if (section.list == nullptr) {
      text += fmt::format("\n[{}]\n{}", section.name, keys_of(section.name, 0));
      continue;
    }
    for (size_t i = 0; i < section.list->size(copy); ++i) {
      text += fmt::format("\n[[{}]]\n{}", section.name, keys_of(section.name, i));
    }
  }
  return text;
}

}  // namespace naru::recipes
