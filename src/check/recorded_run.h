// RecordedRun: what a chip computed in one run of a model, op by op, in a folder that another machine can hold beside
// its own: recording.json (what ran, and of each op its place, the hash of what it read and its outputs with their
// hashes) and values.bin (the outputs' values: 4 bytes each, little-endian, one NaN, op after op).
//
// Everything that is read is checked first: the JSON carries its own SHA-256, values.bin has the length that follows
// from it, and values are compared with their hash as they are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "check/op_place.h"
#include "tensor/dtype.h"

namespace naru::check {

inline constexpr int64_t kRecordedOpsMax = 100000;
inline constexpr int64_t kRecordingJsonBytesMax = int64_t{128} << 20;
inline constexpr int64_t kRecordedValuesBytesMax = int64_t{16} << 30;
inline constexpr std::string_view kRecordingJson = "recording.json", kRecordingValues = "values.bin";

// What a run is, and of which chip. The first block decides whether two say anything of each other.
struct RunIdentity {
  std::string arithmetic_sha256;  // of the text
  std::string model_sha256;       // of its files
  std::string kind;               // "forward", "train"
  std::string numerics;           // of the model as it ran
  std::vector<int32_t> ids;       // tokens

  std::string chip, detail;       // "distant", and what it says of itself
  std::string fault;              // put in front of it; empty: none
  int64_t n_struck = 0;           // ops that it came to
  std::string compute;            // the mode that was asked for, which `numerics` follows from
  std::optional<bool> is_latent;  // the form that was asked for; none: as the model says
  std::string model;              // as messages call it
  std::string program, system;
};

struct RecordedOutput {
  std::string name;
  DType dtype = DType::kF32;
  int64_t rows = 0, cols = 0;
  std::string sha256;
  int64_t begin = 0;  // in values.bin

  int64_t bytes() const { return rows * cols * 4; }
};

struct RecordedOp {
  OpPlace place;
  std::string operands;  // their shapes
  std::string unseen;    // what it reads and nobody can compare
  std::string inputs;    // SHA-256 of what it reads (input_hash.h)
  std::vector<RecordedOutput> outputs;
};

struct RecordedRun {
  RunIdentity identity;
  std::vector<RecordedOp> ops;
  int64_t values_bytes() const;
};

// The JSON, which fits kRecordingJsonBytesMax or is an error; and back. `name` is for messages.
Result<std::string> recording_text(const RecordedRun& run);
Result<RecordedRun> parse_recording(Bytes text, std::string_view name);

// The hash of an output's canonical values.
std::string values_digest(std::span<const uint32_t> values);

// A recording in its folder.
class OpenRecording {
 public:
  static Result<OpenRecording> open(const std::filesystem::path& folder);

  const RecordedRun& run() const { return run_; }
  const std::filesystem::path& folder() const { return folder_; }
  // kCorrupt where they are not what was recorded.
  Result<std::vector<uint32_t>> values(size_t op, size_t output) const;
  // The same of all outputs of an op, without a copy.
  Status check_values(size_t op) const;

 private:
  Status check_digest(size_t op, size_t output, std::span<const std::byte> bytes) const;
  OpenRecording(std::filesystem::path folder, RecordedRun run, MappedFile values)
      : folder_(std::move(folder)), run_(std::move(run)), values_(std::move(values)) {}
  std::filesystem::path folder_;
  RecordedRun run_;
  MappedFile values_;
};

// The folder that is meant by its own path or by that of its recording.json.
std::filesystem::path recording_folder(const std::filesystem::path& path);
// Whether a folder is, or says that it is, a recording.
bool is_recording(const std::filesystem::path& path);
// Whether a file of a folder is one of a recording's.
bool is_recording_file(const std::filesystem::directory_entry& entry);

// kInvalidArgument, by name, where the two say nothing of each other.
Status check_comparable(const RunIdentity& a, std::string_view a_name, const RunIdentity& b, std::string_view b_name);

}  // namespace naru::check
