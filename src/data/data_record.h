// DataRecord: what the data of a run was, kept in run.json and in every checkpoint: names, lengths and SHA-256 of its
// files, a SHA-256 of all documents as the model sees them (ids and masks), and at which step it was changed, where
// that was meant. A run goes on only with the data it began with; this says whether it is the same, and what is not.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/batches.h"

namespace naru::data {

inline constexpr int64_t kRecordedFilesMax = 1000;         // files of one stream that are kept by name
inline constexpr int64_t kRecordedNameBytesMax = 1 << 17;  // bytes of their names together
inline constexpr int64_t kDataChangesMax = 200;            // changes of a run's data

// The data of training, or of validation.
struct StreamRecord {
  std::string sources_sha256;    // of what the recipe says of them
  std::string documents_sha256;  // decides bits
  int64_t n_documents = 0;
  int64_t n_tokens = 0;
  std::vector<DataFile> files;  // the first ones
  int64_t n_files = 0;
  std::string files_sha256;  // of names, lengths and hashes of all of them
};

// From this step on other documents than before were trained on.
struct DataChange {
  int64_t from_step = 0;
  std::string documents_sha256;
  std::string what;  // "chat.jsonl was edited (...)"
};

struct DataRecord {
  StreamRecord training;
  std::optional<StreamRecord> validation;
  std::string began_with;           // documents_sha256 of training at step 0
  std::vector<DataChange> changes;  // their steps rise
};

// What else decides the bits of a run beside its documents, as programs that judge: their files are among the stream's,
// and other bytes of them are other documents.
void add_files(StreamRecord& record, const std::vector<DataFile>& files);

StreamRecord record_of(const BatchStream& stream, const std::vector<recipes::SourceRecipe>& sources);

nlohmann::json to_json(const DataRecord& record);
// `place` is for messages. Nothing where `json` is null: a run may have no record.
Result<std::optional<DataRecord>> parse_data_record(const nlohmann::json& json, std::string_view place);

// The documents that step `step` is trained on.
std::string documents_at(const DataRecord& record, int64_t step);
// Whether both trained the steps before `step` on the same documents.
bool same_until(const DataRecord& a, const DataRecord& b, int64_t step);
// Leaves what was so before `step`.
void forget_changes_from(DataRecord& record, int64_t step);

// What is other in the files, or in what was made of them: "chat.jsonl was edited (...)". "" where nothing is.
std::string data_difference(const StreamRecord& there, const StreamRecord& here);

}  // namespace naru::data
