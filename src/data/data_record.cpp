#include "data/data_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "formats/json.h"
#include "formats/utf8.h"

namespace naru::data {
namespace {

using formats::JsonObject;
using Json = nlohmann::json;

constexpr size_t kNamedFilesMax = 3;   // in one message
constexpr size_t kWhatBytesMax = 600;  // of a change's text
constexpr std::string_view kNextStep = "the record is damaged; bring it back from a copy";

std::string file_line(const DataFile& file) {
  return fmt::format("{}\n{}\n{}\n", file.name, file.bytes, file.sha256);
}

std::string short_hash(const std::string& sha256) {
  return sha256.substr(0, 12);
}

// What became of a file, by name; there: as recorded, here: as it is.
std::string file_difference(const DataFile& there, const DataFile& here) {
  const char* how = here.bytes < there.bytes ? "was shortened" : here.bytes > there.bytes ? "has grown" : "was edited";
  return fmt::format("{} {} ({} bytes with SHA-256 {}..., {} bytes with {}... were wanted)", here.name, how, here.bytes,
                     short_hash(here.sha256), there.bytes, short_hash(there.sha256));
}

// Files of one name, which a recipe may give twice, in their order.
std::map<std::string, std::vector<DataFile>> by_name(const std::vector<DataFile>& files) {
  std::map<std::string, std::vector<DataFile>> found;
  for (const DataFile& file : files) found[file.name].push_back(file);
  return found;
}

std::vector<std::string> file_differences(const StreamRecord& there, const StreamRecord& here) {
  std::vector<std::string> found;
  const auto old_files = by_name(there.files), new_files = by_name(here.files);
  for (const auto& [name, files] : old_files) {
    const auto place = new_files.find(name);
    for (size_t i = 0; i < files.size(); ++i) {
      if (place == new_files.end() || i >= place->second.size()) {
        // Of very many files the last ones are not kept by name: one that moved behind them is not gone.
        if (here.n_files > std::ssize(here.files)) continue;
        found.push_back(fmt::format("{} is gone", name));
      } else if (files[i].sha256 != place->second[i].sha256) {
        found.push_back(file_difference(files[i], place->second[i]));
      }
    }
  }
  for (const auto& [name, files] : new_files) {
    const auto place = old_files.find(name);
    const size_t n_old = place == old_files.end() ? 0 : place->second.size();
    if (files.size() > n_old && there.n_files == std::ssize(there.files)) {
      found.push_back(fmt::format("{} is new", name));
    }
  }
  return found;
}

Json stream_json(const StreamRecord& stream) {
  Json files = Json::array();
  for (const DataFile& file : stream.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  return {{"sources_sha256", stream.sources_sha256},
          {"documents_sha256", stream.documents_sha256},
          {"documents", stream.n_documents},
          {"tokens", stream.n_tokens},
          {"files", std::move(files)},
          {"files_in_all", stream.n_files},
          {"files_sha256", stream.files_sha256}};
}

Result<StreamRecord> parse_stream(const JsonObject& object) {
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
  StreamRecord stream;
  NARU_ASSIGN(stream.sources_sha256, object.get_string("sources_sha256"));
  NARU_ASSIGN(stream.documents_sha256, object.get_string("documents_sha256"));
  NARU_ASSIGN(stream.n_documents, object.get_int("documents", 0, kAny));
  NARU_ASSIGN(stream.n_tokens, object.get_int("tokens", 0, kAny));
  NARU_ASSIGN(stream.n_files, object.get_int("files_in_all", 0, kAny));
  NARU_ASSIGN(stream.files_sha256, object.get_string("files_sha256"));
  NARU_ASSIGN(const auto files, object.find_array("files"));
  for (size_t i = 0; i < files.size(); ++i) {
    NARU_ASSIGN(const JsonObject one, JsonObject::of(*files[i], object.document(), fmt::format("files[{}]", i)));
    DataFile file;
    NARU_ASSIGN(file.name, one.get_string("name"));
    NARU_ASSIGN(file.bytes, one.get_int("bytes", 0, kAny));
    NARU_ASSIGN(file.sha256, one.get_string("sha256"));
    stream.files.push_back(std::move(file));
  }
  return stream;
}

}  // namespace

void add_files(StreamRecord& record, const std::vector<DataFile>& files) {
  if (files.empty()) return;
  std::string lines;
  for (const DataFile& file : files) {
    lines += file_line(file);
    record.files.push_back(file);
    ++record.n_files;
  }
  for (std::string* hash : {&record.documents_sha256, &record.files_sha256}) {
    *hash = sha256_hex(as_bytes(*hash + "\n" + lines));
  }
}

StreamRecord record_of(const BatchStream& stream, const std::vector<recipes::SourceRecipe>& sources) {
  StreamRecord record;
  std::string said;
  for (const recipes::SourceRecipe& source : sources) {
    said += fmt::format("{}\n{} {} {} {}\n", source.path, source.generator, source.documents, source.language,
                        source.trace);
    if (source.numbers > 0) said += fmt::format("{} numbers\n", source.numbers);
  }
  record.sources_sha256 = sha256_hex(as_bytes(said));
  record.documents_sha256 = stream.sha256();
  record.n_documents = stream.n_documents();
  record.n_tokens = stream.n_tokens();
  record.n_files = std::ssize(stream.files());
  Sha256 hash;
  int64_t name_bytes = 0;
  for (const DataFile& file : stream.files()) {
    hash.update(as_bytes(file_line(file)));
    name_bytes += std::ssize(file.name);
    if (std::ssize(record.files) == kRecordedFilesMax || name_bytes > kRecordedNameBytesMax) continue;
    record.files.push_back({formats::printable(file.name, std::ssize(file.name)), file.bytes, file.sha256, file.form});
  }
  record.files_sha256 = hash.finish_hex();
  return record;
}

Json to_json(const DataRecord& record) {
  Json changes = Json::array();
  for (const DataChange& change : record.changes) {
    changes.push_back(
        {{"from_step", change.from_step}, {"documents_sha256", change.documents_sha256}, {"what", change.what}});
  }
  Json json = {
      {"training", stream_json(record.training)}, {"began_with", record.began_with}, {"changes", std::move(changes)}};
  if (record.validation) json["validation"] = stream_json(*record.validation);
  return json;
}

Result<std::optional<DataRecord>> parse_data_record(const Json& json, std::string_view place) {
  if (json.is_null()) return std::optional<DataRecord>();
  NARU_ASSIGN(const JsonObject object, JsonObject::of(json, place, "data"));
  DataRecord record;
  NARU_ASSIGN(const JsonObject training, object.get_object("training"));
  NARU_ASSIGN(record.training, parse_stream(training));
  NARU_ASSIGN(record.began_with, object.get_string("began_with"));
  if (json.contains("validation")) {
    NARU_ASSIGN(const JsonObject validation, object.get_object("validation"));
    NARU_ASSIGN(record.validation, parse_stream(validation));
  }
  NARU_ASSIGN(const auto changes, object.find_array("changes"));
  for (size_t i = 0; i < changes.size(); ++i) {
    NARU_ASSIGN(const JsonObject one, JsonObject::of(*changes[i], object.document(), fmt::format("changes[{}]", i)));
    DataChange change;
    const int64_t least = record.changes.empty() ? 0 : record.changes.back().from_step;
    NARU_ASSIGN(change.from_step, one.get_int("from_step", least, std::numeric_limits<int64_t>::max()));
    NARU_ASSIGN(change.documents_sha256, one.get_string("documents_sha256"));
    NARU_ASSIGN(change.what, one.get_string("what"));
    record.changes.push_back(std::move(change));
  }
  if (std::ssize(record.changes) > kDataChangesMax) {
    return object.wrong(Code::kCorrupt, "changes", fmt::format("a list of {}", record.changes.size()),
                        fmt::format("at most {}", kDataChangesMax), kNextStep);
  }
  return std::optional<DataRecord>(std::move(record));
}

std::string documents_at(const DataRecord& record, int64_t step) {
  std::string documents = record.began_with;
  for (const DataChange& change : record.changes) {
    if (change.from_step <= step) documents = change.documents_sha256;
  }
  return documents;
}

bool same_until(const DataRecord& a, const DataRecord& b, int64_t step) {
  // It can only change where one of the two changes.
  std::vector<int64_t> places = {0};
  for (const DataRecord* record : {&a, &b}) {
    for (const DataChange& change : record->changes) places.push_back(change.from_step);
  }
  return std::all_of(places.begin(), places.end(),
                     [&](int64_t place) { return place >= step || documents_at(a, place) == documents_at(b, place); });
}

void forget_changes_from(DataRecord& record, int64_t step) {
  std::erase_if(record.changes, [&](const DataChange& change) { return change.from_step >= step; });
}

std::string data_difference(const StreamRecord& there, const StreamRecord& here) {
  if (there.documents_sha256 == here.documents_sha256 && there.files_sha256 == here.files_sha256) return "";
  const std::vector<std::string> found = file_differences(there, here);
  std::string text;
  for (size_t i = 0; i < std::min(found.size(), kNamedFilesMax); ++i) text += (i > 0 ? ", " : "") + found[i];
  if (found.size() > kNamedFilesMax) text += fmt::format(", and {} more", found.size() - kNamedFilesMax);
  if (text.size() > kWhatBytesMax) {
    text.resize(kWhatBytesMax);
    text.resize(static_cast<size_t>(formats::utf8_valid_prefix(text)));
    text += "...";
  }
  if (!text.empty()) return text;
  if (there.files_sha256 != here.files_sha256) {
    return fmt::format("files are others, or in another order ({} files now, {} were wanted)", here.n_files,
                       there.n_files);
  }
  return fmt::format("the same {} {} other tokens: the tokenizer, its chat template or the version of naru is another",
                     here.n_files > 0 ? "files" : "problems", here.n_files > 0 ? "make" : "have");
}

}  // namespace naru::data
