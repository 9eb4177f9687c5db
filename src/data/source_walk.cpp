#include "data/source_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "data/array_reader.h"
#include "data/bad_lines.h"
#include "data/containers.h"
#include "data/limits.h"
#include "data/line_reader.h"
#include "formats/utf8.h"

namespace naru::data {
namespace {
namespace fs = std::filesystem;

bool is_json_file(const fs::path& path) {
  return path.extension() == ".jsonl" || path.extension() == ".json";
}

bool is_data_file(const fs::path& path) {
  return is_json_file(path) || path.extension() == ".txt";
}

void leave_mark_out(std::string_view& text, const std::string& name, SourceEvents& events) {
  if (!text.starts_with(formats::kByteOrderMark)) return;
  text = formats::without_byte_order_mark(text);
  events.on_note(name + ":1", "its byte order mark left out");
}

Error is_utf16(const std::string& name) {
  return {Code::kCorrupt, fmt::format("reading {}:1: the file is UTF-16, UTF-8 was wanted; save it as UTF-8", name)};
}

// By its mark, or by the zero bytes of its first characters.
Status check_no_utf16(std::string_view text, const std::string& name) {
  const bool has_mark = text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF");
  const auto is_zero = [&](size_t i) { return text[i] == '\0'; };
  const bool has_zeros =
      text.size() >= 4 && is_zero(0) != is_zero(1) && is_zero(2) == is_zero(0) && is_zero(3) == is_zero(1);
  if (has_mark || has_zeros) return is_utf16(name);
  return {};
}

// The first byte that is no white space, behind a byte order mark; 0 where there is none in what was looked at.
char first_of(std::string_view first_bytes) {
  const std::string_view text = formats::without_byte_order_mark(first_bytes.substr(0, kMagicBytes));
  const size_t at = text.find_first_not_of(" \t\r\n");
  return at == std::string_view::npos ? '\0' : text[at];
}

// The samples of one file of JSON, whatever holds them.
class SampleWalk {
 public:
  SampleWalk(const std::string& name, bool is_array, SourceEvents& events)
      : events_(events), bad_(name), is_array_(is_array) {}

  Status add(std::string_view json, const std::string& place, const formats::JsonPlace& begin, int64_t index) {
    bad_.count_line();
    const auto sample = parse_sample(json, place, begin);
    if (!sample.ok()) {
      bad_.add(sample.error());
      return {};
    }
    if (n_good_++ == 0) NARU_TRY(events_.on_form(sample->form, is_array_, place));
    if (!bad_.add_form(sample->form, place)) return {};
    const Status status = events_.on_sample(*sample, place, index);
    if (status.ok() || !is_of_one_line(status.error())) return status;
    bad_.add(status.error());
    return {};
  }
  // What was wrong with any of them.
  Status finish() const { return bad_.is_empty() ? Status() : Status(bad_.error()); }

 private:
  SourceEvents& events_;
  BadLines bad_;
  bool is_array_;
  int64_t n_good_ = 0;
};

Error holds_nothing(const std::string& name) {
  return {
      Code::kInvalidArgument,
      fmt::format("reading {}: the file is empty, a line of JSON at least was wanted; write {{\"text\": \"...\"}} or "
                  "{{\"messages\": [...]}} on every line",
                  name)};
}

Status walk_lines(LineReader& reader, const std::string& name, SourceEvents& events) {
  SampleWalk samples(name, false, events);
  bool has_samples = false;
  while (true) {
    NARU_ASSIGN(auto line, reader.next_line());
    if (!line) break;
    const std::string place = fmt::format("{}:{}", name, reader.line());
    if (reader.line() == 1) leave_mark_out(*line, name, events);
    if (line->find_first_not_of(" \t") == std::string_view::npos) {
      events.on_note(place, "left out: the line is empty");
      continue;
    }
    has_samples = true;
    NARU_TRY(samples.add(*line, place, {reader.line(), 1}, reader.line()));
  }
  if (!has_samples) return holds_nothing(name);
  NARU_TRY(samples.finish());
  events.on_file_end(reader.bytes_read(), reader.sha256());
  return {};
}

Status walk_array(LineReader& reader, const std::string& name, SourceEvents& events) {
  NARU_ASSIGN(std::string_view first, reader.peek(kMagicBytes));
  leave_mark_out(first, name, events);
  ArrayReader elements(reader, name);
  SampleWalk samples(name, true, events);
  while (true) {
    NARU_ASSIGN(const auto element, elements.next());
    if (!element) break;
    NARU_TRY(samples.add(*element, fmt::format("{}[{}]", name, elements.index()), elements.begin(), elements.index()));
  }
  if (elements.index() < 0) return holds_nothing(name);
  NARU_TRY(samples.finish());
  events.on_file_end(reader.bytes_read(), reader.sha256());
  return {};
}

// A file of one object over several lines is no list of objects, whatever its name.
Status check_is_list(LineReader& reader, const std::string& name) {
  NARU_ASSIGN(const std::string_view begin, reader.peek(kMagicBytes));
  const std::string_view line = begin.substr(0, std::min(begin.find('\n'), begin.size()));
  const size_t last = line.find_last_not_of(" \t\r");
  const bool is_open = line.size() < begin.size() && last != std::string_view::npos && line[last] == '{' &&
                       line.find_first_not_of(" \t\xEF\xBB\xBF") == last;
  if (!is_open) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("reading {}: it is one JSON object over several lines, an object on every line or an array "
                           "of objects was wanted; make an array of the list in it: python3 -c 'import json; "
                           "json.dump(json.load(open(\"FILE\"))[\"KEY\"], open(\"data.json\", \"w\"))'",
                           name)};
}

Status walk_text(LineReader& reader, const std::string& name, SourceEvents& events) {
  bool has_text = false;
  while (true) {
    NARU_ASSIGN(const auto block, reader.next_block());
    if (!block) break;
    std::string_view text = *block;
    if (const int64_t good = formats::utf8_valid_prefix(text); good < static_cast<int64_t>(text.size())) {
      const auto line_ends = std::count(text.begin(), text.begin() + good, '\n');
      return Error{Code::kCorrupt,
                   fmt::format("reading {}:{}: byte \\x{:02X} is no valid UTF-8 there; convert the file to UTF-8", name,
                               reader.line() + line_ends, static_cast<unsigned char>(text[static_cast<size_t>(good)]))};
    }
    if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
      const auto line_ends = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(zero), '\n');
      return Error{Code::kCorrupt,
                   fmt::format("reading {}:{}: a zero byte stands there, which no text has; give a text "
                               "in UTF-8",
                               name, reader.line() + line_ends)};
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
  NARU_ASSIGN(LineReader reader, LineReader::open(path, name));
  NARU_ASSIGN(const std::string_view first_bytes, reader.peek(kMagicBytes));
  if (const auto container = find_container(first_bytes, path)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it is {}, a .txt, .jsonl or .json file was wanted; {}", name, container->what,
                             container->advice)};
  }
  if (!is_data_file(path)) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading {}: its name ends with '{}', .txt, .jsonl or .json was wanted; rename it, or convert it",
                    name, formats::printable(path.extension().string()))};
  }
  NARU_TRY(check_no_utf16(first_bytes, name));
  NARU_TRY(events.on_file(name));
  if (!is_json_file(path)) return walk_text(reader, name, events);
  if (first_of(first_bytes) == '[') return walk_array(reader, name, events);
  NARU_TRY(check_is_list(reader, name));
  return walk_lines(reader, name, events);
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

// Why an entry of a folder is no data; "" where it is.
Result<std::string> why_left_out(const fs::path& path) {
  constexpr std::string_view kNoText = "left out: no .txt, .jsonl or .json file";
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return std::string(kNoText);
  if (path.extension() == ".txt" || path.extension() == ".jsonl") return std::string();
  auto reader = LineReader::open(path, path.filename().string());
  if (!reader.ok()) return path.extension() == ".json" ? std::string() : std::string(kNoText);  // the error comes again
  NARU_ASSIGN(const std::string_view first_bytes, reader->peek(kMagicBytes));
  if (const auto container = find_container(first_bytes, path)) {
    return fmt::format("left out: it is {}; {}", container->what, container->advice);
  }
  if (path.extension() != ".json") return std::string(kNoText);
  // A .json in a folder is often about the data: what is no array is none.
  if (first_of(first_bytes) == '[') return std::string();
  return std::string("left out: no JSON array; a file with an object on every line is called .jsonl");
}

Status walk_folder(const fs::path& folder, const std::string& name, SourceEvents& events) {
  NARU_ASSIGN(const std::vector<fs::path> entries, entries_of(folder, name));
  int64_t n_files = 0;
  std::string first_left_out;
  for (const fs::path& entry : entries) {
    const std::string entry_name = (fs::path(name) / entry.filename()).string();
    NARU_ASSIGN(std::string reason, why_left_out(entry));
    if (reason.empty()) {
      ++n_files;
      NARU_TRY(walk_file(entry, entry_name, events));
      continue;
    }
    if (first_left_out.empty()) first_left_out = fmt::format("; {}: {}", entry_name, reason);
    events.on_note(entry_name, std::move(reason));
  }
  if (n_files > 0) return {};
  return Error{Code::kNotFound,
               fmt::format("reading {}: the folder has no .txt and no .jsonl file and no .json array, one at least was "
                           "wanted; check the path{}",
                           name, first_left_out)};
}

Status walk_path(const recipes::SourceRecipe& source, const fs::path& folder, SourceEvents& events) {
  const fs::path path = recipes::source_place(source, folder);
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
  if (source.documents != 0 || !source.language.empty() || !source.trace.empty() || source.numbers != 0) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: documents, language, trace and numbers are of generators, and this is a path; take "
                             "them out of the recipe",
                             source.path)};
  }
  return walk_path(source, folder, events);
}

}  // namespace naru::data
