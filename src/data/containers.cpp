#include "data/containers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace naru::data {
namespace {

using namespace std::string_view_literals;

struct Kind {
  std::string_view what;
  std::string_view magic;                 // at the beginning; empty: the ending tells
  std::string_view ending, other_ending;  // of the name; may be empty
  std::string_view table;                 // what reads it in Python; {}: the file
  std::string_view command;  // where it is no table: what takes out what is in it; {0}: the file, {1}: data
};

// Of a table: what reads it into pandas' frame; {}: the file.
constexpr std::string_view kParquet = "pandas.read_parquet(\"{}\")";
constexpr std::string_view kFeather = "pandas.read_feather(\"{}\")";
constexpr std::string_view kExcel = "pandas.read_excel(\"{}\")";
constexpr std::string_view kCsv = "pandas.read_csv(\"{}\")";
constexpr std::string_view kTsv = "pandas.read_csv(\"{}\", sep=\"\\t\")";
constexpr std::string_view kDatasets = "datasets.Dataset.from_file(\"{}\").to_pandas()";

// The first that fits. Of a ZIP archive the ending says what is in it.
constexpr Kind kKinds[] = {
    {"a Parquet file", "PAR1\x15"sv, ".parquet", "", kParquet, ""},
    {"an Arrow file", "ARROW1\0\0"sv, ".feather", "", kFeather, ""},
    {"an Arrow stream, as the datasets library keeps it", "\xFF\xFF\xFF\xFF"sv, ".arrow", "", kDatasets, ""},
    {"an Excel sheet", ""sv, ".xlsx", ".xls", kExcel, ""},
    {"compressed by gzip", "\x1F\x8B"sv, ".gz", "", "", "gzip -dk {}"},
    {"compressed by Zstandard", "\x28\xB5\x2F\xFD"sv, ".zst", ".zstd", "", "zstd -d {}"},
    {"compressed by xz", "\xFD\x37zXZ\0"sv, ".xz", "", "", "xz -dk {}"},
    {"compressed by bzip2", "BZh91AY&SY"sv, ".bz2", "", "", "bzip2 -dk {}"},
    {"a ZIP archive", "PK\x03\x04"sv, ".zip", "", "", "unzip {}"},
    {"a database of SQLite", "SQLite format 3\0"sv, ".sqlite", "", "", "sqlite3 -json {0} 'select ...' > {1}.json"},
    {"a PDF", "%PDF-"sv, ".pdf", "", "", "pdftotext {}"},
    {"a model", "GGUF\3\0"sv, ".gguf", ".safetensors", "", ""},
    {"a table of values between tabs", ""sv, ".tsv", "", kTsv, ""},
    {"a table of values between commas", ""sv, ".csv", "", kCsv, ""},
};

// A name that stands in a command as it is; else a word for it.
std::string shown_name(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const bool is_plain = !name.empty() && name[0] != '-' && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-' || c == '+';
  });
  return is_plain ? name : "FILE";
}

// By the first bytes; of a ZIP archive, and of what has no such bytes, by the ending.
const Kind* kind_of_file(std::string_view first_bytes, const std::string& ending) {
  const Kind* found = nullptr;
  for (const Kind& kind : kKinds) {
    if (found == nullptr && !kind.magic.empty() && first_bytes.starts_with(kind.magic)) found = &kind;
  }
  if (found != nullptr && found->ending != ".zip") return found;
  for (const Kind& kind : kKinds) {
    if (!ending.empty() && (ending == kind.ending || ending == kind.other_ending)) return &kind;
  }
  return found;
}

}  // namespace

std::optional<Container> find_container(std::string_view first_bytes, const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  const Kind* kind = kind_of_file(first_bytes, ending);
  if (kind == nullptr) return std::nullopt;
  const std::string name = shown_name(path);
  std::string advice = "data are texts or lines of JSON; check the path";
  if (!kind->table.empty()) {
    std::string lines = name == "FILE" ? "data.jsonl" : std::filesystem::path(name).stem().string() + ".jsonl";
    if (lines == name) lines = std::filesystem::path(name).stem().string() + "-lines.jsonl";
    advice = fmt::format(
        "make lines of JSON of it: python3 -c 'import {0}; {1}.to_json(\"{2}\", orient=\"records\", lines=True, "
        "force_ascii=False)'",
        kind->table.substr(0, kind->table.find('.')), fmt::format(fmt::runtime(kind->table), name), lines);
  } else if (!kind->command.empty()) {
    advice = fmt::format("take out what is in it: {}",
                         fmt::format(fmt::runtime(kind->command), name, name == "data.json" ? "data-rows" : "data"));
  }
  return Container{std::string(kind->what), std::move(advice)};
}

}  // namespace naru::data
