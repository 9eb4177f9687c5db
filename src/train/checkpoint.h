// Checkpoints of a run: a folder step-00000100 of safetensors and a manifest.json, written last, with the size and
// SHA-256 of every file. A checkpoint is there whole or not at all: files are written into a folder with a temporary
// name and synced, the manifest last, then the folder is renamed and its parent synced.
//
// It holds everything that the next bit depends on (weights, optimizer moments, step, counters, routing biases) and
// nothing that it does not (threads, machine, paths).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "formats/tensor_file.h"

namespace naru::train {

// One f32 tensor to write: its values are asked for when they are written.
struct TensorToWrite {
  std::string name;
  std::vector<int64_t> shape;
  std::function<Status(float* out)> read;
};
// One .safetensors file of a checkpoint ("weights", "moments").
struct FileToWrite {
  std::string name;  // without extension
  std::vector<TensorToWrite> tensors;
};

struct CheckpointInfo {
  std::filesystem::path folder;
  int64_t step = 0;
  std::string state_json;  // what write_checkpoint was given (spaces and order of keys may differ); "" in a mere list
};

// `state_json` is a JSON object of the trainer's own (step, counters, hashes), kept in the manifest under "state".
Status write_checkpoint(const std::filesystem::path& parent, int64_t step, const std::vector<FileToWrite>& files,
                        const std::string& state_json);

// Checkpoints under `parent`, newest first, by name only; none where there is no such folder.
Result<std::vector<CheckpointInfo>> list_checkpoints(const std::filesystem::path& parent);

// The newest that verifies (every file there, sizes and SHA-256 equal to the manifest's). Broken newer ones are passed
// over, and said in `notes`. Nothing where there is none.
Result<std::optional<CheckpointInfo>> newest_good_checkpoint(const std::filesystem::path& parent,
                                                             std::vector<std::string>* notes);

// Checks one checkpoint folder: its manifest, and size and SHA-256 of every file.
Result<CheckpointInfo> verify_checkpoint(const std::filesystem::path& folder);

// Opens file `name` of a verified checkpoint.
Result<formats::TensorFiles> open_checkpoint_file(const CheckpointInfo& checkpoint, const std::string& name);

// Removes all but the newest `keep` (at least one) and the one of step `best_step` (-1: none); left-over temporary
// folders too. Checkpoints without a sound manifest or with files of other sizes do not count as kept, and stay.
Status prune_checkpoints(const std::filesystem::path& parent, int64_t keep, int64_t best_step);

}  // namespace naru::train
