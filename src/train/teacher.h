// Teacher: a model that another learns from, beside it on the same chip: of any family and size, with the same
// vocabulary. It runs as `naru run` runs it, by the kinds of its own weights, over the documents of a micro-batch, and
// says its logits of rows, some at a time. Its memory is its own; it keeps no gradient and nothing between
// micro-batches.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/batches.h"
#include "models/model.h"
#include "nn/workspace.h"
#include "train/training_model_files.h"

namespace naru::train {

// Bytes of teachers.
struct TeacherMemory {
  int64_t weights = 0;      // packed, on the chip
  int64_t activations = 0;  // of the largest micro-batch, with its cache
  int64_t scratch = 0;      // that kernels hold meanwhile
};

class Teacher {
 public:
  // Reads headers and tokens; hashes and loads nothing. kInvalidArgument where the student has another vocabulary or
  // other tokens. The chip outlives it.
  static Result<Teacher> open(const recipes::TeacherRecipe& recipe, const std::filesystem::path& recipe_folder,
                              int64_t context, const TrainingModelFiles& student, const contract::Chip& chip);

  // Of files whose tokens are known to be the student's; it hashes nothing.
  static Result<Teacher> of_files(std::string name, double weight, models::ModelFiles files,
                                  const contract::Chip& chip);

  const std::string& name() const { return name_; }  // as the recipe says it
  double weight() const { return weight_; }
  int64_t n_active_parameters() const { return plan_.n_active_parameters; }
  // Fills in files(); should_stop is asked meanwhile.
  Status hash_files(const std::function<bool()>& should_stop);
  const std::vector<data::DataFile>& files() const { return digests_; }

  // Of micro-batches of at most so many rows and documents, learnt on the chip's planner.
  Result<TeacherMemory> memory(int64_t n_rows, int64_t n_documents) const;

  // Packs the weights; `check` is asked between two matrices, and its error ends that.
  Status load(contract::Chip& chip, const std::function<Status()>& check);
  // Memory for micro-batches that fit; before read().
  Status reserve(int64_t n_rows, int64_t n_documents);

  // Runs the micro-batch. Its logits of rows [begin, begin + n) are [n, V], until the next call.
  Status read(const data::MicroBatch& batch);
  Result<View> logits(int64_t begin, int64_t n);

 private:
  Teacher() = default;

  std::string name_;
  double weight_ = 1;
  std::optional<models::ModelFiles> files_;  // absent: there is only a config, to plan with
  std::vector<data::DataFile> digests_;
  models::ModelPlan plan_;

  contract::Chip* chip_ = nullptr;
  models::Decoder decoder_;
  std::unique_ptr<nn::Workspace> workspace_;
  std::unique_ptr<contract::Buffer> cache_memory_;
  std::vector<nn::LayerCache> cache_;  // all layers in the same memory: a layer runs over whole documents at once
  View state_;                         // [T, C]: the stream behind the last layer
};

}  // namespace naru::train
