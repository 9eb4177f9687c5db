#include "data/source_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "data/limits.h"
#include "data/line_reader.h"
#include "formats/utf8.h"

namespace naru::data {
namespace {
namespace fs = std::filesystem;

bool is_data_file(const fs::path& path) {
  return path.extension() == ".jsonl" || path.extension() == ".txt";
}

void leave_mark_out(std::string_view& text, const std::string& name, SourceEvents& events) {
  if (!text.starts_with(formats::kByteOrderMark)) return;
  text = formats::without_byte_order_mark(text);
  events.on_note(name + ":1", "its byte order mark left out");
}

Status check_no_utf16(std::string_view text, const std::string& name) {
  if (!text.starts_with("\xFF\xFE") && !text.starts_with("\xFE\xFF")) return {};
  return Error{Code::kCorrupt,
               fmt::format("reading {}:1: the file is UTF-16, UTF-8 was wanted; save it as UTF-8", name)};
}

Status walk_lines(const fs::path& path, const std::string& name, SourceEvents& events) {
  NARU_ASSIGN(LineReader reader, LineReader::open(path, name));
  int64_t n_samples = 0;
  while (true) {
    NARU_ASSIGN(auto line, reader.next_line());
    if (!line) break;
    const std::string place = fmt::format("{}:{}", name, reader.line());
    if (reader.line() == 1) {
      NARU_TRY(check_no_utf16(*line, name));
      leave_mark_out(*line, name, events);
    }
    if (line->find_first_not_of(" \t") == std::string_view::npos) {
      events.on_note(place, "left out: the line is empty");
      continue;
    }
    ++n_samples;
    NARU_ASSIGN(const Sample sample, parse_sample(*line, place));
    NARU_TRY(events.on_sample(sample, place, reader.line()));
  }
  events.on_file_end(reader.bytes_read(), reader.sha256());
  if (n_samples > 0) return {};
  return Error{
      Code::kInvalidArgument,
      fmt::format("reading {}: the file is empty, a line of JSON at least was wanted; write {{\"text\": \"...\"}} "
                  "or {{\"messages\": [...]}} on every line",
                  name)};
}

Status walk_text(const fs::path& path, const std::string& name, SourceEvents& events) {
  NARU_ASSIGN(LineReader reader, LineReader::open(path, name));
  bool has_text = false;
  while (true) {
    NARU_ASSIGN(const auto block, reader.next_block());
    if (!block) break;
    std::string_view text = *block;
    if (reader.line() == 1) NARU_TRY(check_no_utf16(text, name));
    if (const int64_t good = formats::utf8_valid_prefix(text); good < static_cast<int64_t>(text.size())) {
      const auto line_ends = std::count(text.begin(), text.begin() + good, '\n');
      return Error{Code::kCorrupt,
                   fmt::format("reading {}:{}: byte \\x{:02X} is no valid UTF-8 there; convert the file to UTF-8", name,
                               reader.line() + line_ends, static_cast<unsigned char>(text[static_cast<size_t>(good)]))};
    }
    if (reader.line() == 1) leave_mark_out(text, name, events);
    has_text |= text.find_first_not_of(" \t\r\n") != std::string_view::npos;
    NARU_TRY(events.on_text(text));
  }
  events.on_file_end(reader.bytes_read(), reader.sha256());
  if (!has_text) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: the file is empty, some text was wanted; take it out of the recipe", name)};
  }
  return events.on_text_end(name);
}

Status walk_file(const fs::path& path, const std::string& name, SourceEvents& events) {
  if (!is_data_file(path)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: its name ends with '{}', .txt or .jsonl was wanted; rename it, or convert it",
                             name, formats::printable(path.extension().string()))};
  }
  NARU_TRY(events.on_file(name));
  return path.extension() == ".jsonl" ? walk_lines(path, name, events) : walk_text(path, name, events);
}

// By name, so that the order is the same on every file system.
Result<std::vector<fs::path>> entries_of(const fs::path& folder, const std::string& name) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    entries.push_back(entry->path());
    if (static_cast<int64_t>(entries.size()) > kDataFilesMax) {
      return Error{Code::kResourceExhausted,
                   fmt::format("reading {}: the folder has more than {} files; join some", name, kDataFilesMax)};
    }
  }
  if (error) {
    return Error{Code::kUnavailable,
                 fmt::format("reading {}: {}; check that the folder may be read", name, error.message())};
  }
  std::sort(entries.begin(), entries.end(),
            [](const fs::path& a, const fs::path& b) { return a.filename().native() < b.filename().native(); });
  return entries;
}

Status walk_folder(const fs::path& folder, const std::string& name, SourceEvents& events) {
  NARU_ASSIGN(const std::vector<fs::path> entries, entries_of(folder, name));
  int64_t n_files = 0;
  for (const fs::path& entry : entries) {
    const std::string entry_name = (fs::path(name) / entry.filename()).string();
    std::error_code ignored;
    if (!is_data_file(entry) || fs::is_directory(entry, ignored)) {
      events.on_note(entry_name, "left out: no .txt or .jsonl file");
      continue;
    }
    ++n_files;
    NARU_TRY(walk_file(entry, entry_name, events));
  }
  if (n_files > 0) return {};
  return Error{
      Code::kNotFound,
      fmt::format("reading {}: the folder has no .txt and no .jsonl file, one at least was wanted; check the path",
                  name)};
}

Status walk_path(const recipes::SourceRecipe& source, const fs::path& folder, SourceEvents& events) {
  const fs::path path = recipes::resolved_path(source.path, folder);
  std::error_code error;
  if (!fs::exists(path, error)) {
    return Error{Code::kNotFound,
                 fmt::format("reading {}: there is no such file or folder; check the path (relative ones "
                             "count from the recipe's folder)",
                             source.path)};
  }
  return fs::is_directory(path, error) ? walk_folder(path, source.path, events) : walk_file(path, source.path, events);
}

Status walk_generator(const recipes::SourceRecipe& source, uint64_t seed, Split split, SourceEvents& events) {
  NARU_ASSIGN(const GeneratorOptions options, generator_options(source));
  NARU_ASSIGN(ProblemSeries series, ProblemSeries::create(options, seed, split, documents_of_generator(source, split)));
  NARU_TRY(events.on_file(source.generator));
  while (true) {
    NARU_ASSIGN(const auto problem, series.next());
    if (!problem) return {};
    NARU_TRY(events.on_problem(*problem, fmt::format("{}:{}", source.generator, series.index()), series.index()));
  }
}

}  // namespace

std::string source_name(const recipes::SourceRecipe& source) {
  return source.generator.empty() ? source.path : source.generator;
}

Status walk_source(const recipes::SourceRecipe& source, const fs::path& folder, uint64_t seed, Split split,
                   SourceEvents& events) {
  if (source.path.empty() == source.generator.empty()) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading the data: a source has {}, one of path and generator was wanted; correct the recipe",
                    source.path.empty() ? "neither path nor generator" : "both path and generator")};
  }
  if (!source.generator.empty()) return walk_generator(source, seed, split, events);
  if (source.documents != 0 || !source.language.empty() || !source.trace.empty()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: documents, language and trace are of generators, and this is a path; take "
                             "them out of the recipe",
                             source.path)};
  }
  return walk_path(source, folder, events);
}

}  // namespace naru::data
