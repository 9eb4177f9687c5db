// Checkpoints of a run: a folder step-00000100 of safetensors and a manifest.json, written last, with the size and
// SHA-256 of every file. A checkpoint is there whole or not at all: files are written into a folder with a temporary
// name and synced, the manifest last, then the folder is renamed and its parent synced.
//
// It holds everything that the next bit depends on (weights, optimizer moments, step, counters, routing biases) and
// nothing that it does not (threads, machine, paths). Which of a run's checkpoints is gone on from, and which are
// removed, is checkpoint_store.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/tensor_file.h"

namespace naru::train {

// One f32 tensor to write. Its values are asked for when they are written, a piece of bounded size at a time: those
// from `begin` on, as many as `out` holds.
struct TensorToWrite {
  std::string name;
  std::vector<int64_t> shape;
  std::function<Status(int64_t begin, std::span<float> out)> read;
};
// One .safetensors file of a checkpoint ("weights", "moments").
struct FileToWrite {
  std::string name;  // without extension
  std::vector<TensorToWrite> tensors;
  std::string bytes;  // beside them as a u8 tensor "bytes" [n]; "": none
};
inline constexpr const char* kBytesTensor = "bytes";

struct CheckpointInfo {
  std::filesystem::path folder;
  int64_t step = 0;
  std::string state_json;  // what write_checkpoint was given (spaces and order of keys may differ); "" in a mere list
};

// `state_json` is a JSON object of the trainer's own (step, counters, hashes), kept in the manifest under "state".
Status write_checkpoint(const std::filesystem::path& parent, int64_t step, const std::vector<FileToWrite>& files,
                        const std::string& state_json);

// Checkpoints under `parent`, newest first, by name only; none where there is no such folder. Links of such a name are
// among them, wherever they lead; plain files are not.
Result<std::vector<CheckpointInfo>> list_checkpoints(const std::filesystem::path& parent);

// Checks one checkpoint folder: its manifest, and size and SHA-256 of every file. kCorrupt says that it is damaged:
// bytes are wrong, or a file is missing. Any other error says that it cannot be read now, or not by this version, and
// nothing of what is in it.
Result<CheckpointInfo> verify_checkpoint(const std::filesystem::path& folder,
                                         const std::function<bool()>& should_stop = {});

// Opens file `name` of a verified checkpoint.
Result<formats::TensorFiles> open_checkpoint_file(const CheckpointInfo& checkpoint, const std::string& name);

// Removes what killed writers left under temporary names.
Status remove_unfinished_checkpoints(const std::filesystem::path& parent);

}  // namespace naru::train
