// TrainableModel: a model on a chip whose parameters can change. It keeps every parameter in f32 (the master values,
// under Hugging Face names), builds the engine's own decoder from them, and runs a micro-batch forward and backward:
// the forward is Decoder's, op for op, so the trainer and the server agree to the bit.
//
// Created on a planner it computes nothing and tells the memory that a run takes (measure_room).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "contract/chip.h"
#include "data/batches.h"
#include "models/loaded_parameters.h"
#include "models/model.h"
#include "models/parameters.h"
#include "nn/tape.h"
#include "recipes/recipe.h"
#include "train/micro_sums.h"
#include "train/objective.h"

namespace naru::train {

constexpr int64_t kHeadRows = 512;  // token slots of the head that run together; part of the arithmetic

// One f32 value, gradient or moment a parameter, in one buffer.
class ParameterBuffer {
 public:
  ParameterBuffer() = default;
  // A place for each parameter whose entry of `is_held` is true.
  static Result<ParameterBuffer> create(contract::Chip& chip, const std::vector<models::Parameter>& parameters,
                                        const std::vector<bool>& is_held);

  bool holds(int64_t index) const { return !views_[static_cast<size_t>(index)].empty(); }
  View view(int64_t index) const { return views_[static_cast<size_t>(index)]; }  // [rows, cols]
  View all() const { return all_; }                                              // everything, for elementwise ops
  int64_t bytes() const { return all_.rows * all_.cols * 4; }

 private:
  std::unique_ptr<contract::Buffer> buffer_;
  std::vector<View> views_;
  View all_;
};

// Gradients of a model's trained parameters, with the places of every matrix and vector among them found once.
class GradientBuffer : public ParameterBuffer {
 private:
  friend class TrainableModel;
  explicit GradientBuffer(ParameterBuffer buffer) : ParameterBuffer(std::move(buffer)) {}
  nn::Bindings bindings_;
};

// What a micro-batch takes on the chip.
struct TrainingRoom {
  int64_t rows = 0;   // tokens
  int64_t pages = 0;  // of the cache
  int64_t documents = 0;
  int64_t activation_bytes = 0;
  int64_t gradient_bytes = 0;  // of activations
  int64_t scratch_bytes = 0;   // that kernels hold meanwhile

  bool fits(const data::MicroBatch& batch) const;
};

class TrainableModel {
 public:
  struct Options {
    contract::ComputeMode compute = contract::ComputeMode::kF32;
    bool is_latent_form = false;
    bool recompute = false;
    // Answers to one prompt have its rows once, in runs with gradients (shared_prompts.h); not with prediction layers,
    // which see a token beyond.
    bool shares_prompts = false;
    recipes::LoraRecipe lora;
    std::function<Status()> check = {};  // asked between two matrices that are packed; its error ends that
  };
  // Writes the values of parameter `index` of list_parameters(config) to the host; not called on a planner.
  using ReadParameter = std::function<Status(int64_t index, float* out)>;

  static Result<TrainableModel> create(contract::Chip& chip, const formats::ModelConfig& config, const Options& options,
                                       const ReadParameter& read, uint64_t seed);
  TrainableModel(TrainableModel&&) noexcept;
  TrainableModel& operator=(TrainableModel&&) noexcept;
  ~TrainableModel();

  // The model's own parameters, then the adapters'.
  const std::vector<models::Parameter>& parameters() const;
  const formats::ModelConfig& config() const;
  bool is_trained(int64_t index) const;
  const std::vector<bool>& trained() const;
  bool has_adapters() const;
  const ParameterBuffer& values() const;
  // The decoder that run() runs, for who serves it while it is trained (Engine::open of a borrowed model). It stays
  // where it is, and its weights change with refresh().
  Result<models::HeldModel> held() const;
  const models::Decoder& decoder() const;
  contract::Chip& chip() const;

  // Makes every matrix and vector of the decoder again from the values; after each change of them.
  Status refresh();

  // Before run(): memory for micro-batches that fit the room.
  Status reserve(const TrainingRoom& room);

  // How the losses of a micro-batch count in the whole step.
  struct StepScale {
    double divisor = 1;                         // of the weighted losses (StepBatch); 0: nothing counts
    double balance_weight = 0;                  // alpha / documents of the step
    double prediction_weight = 0;               // of the prediction layers' losses together (lambda)
    std::vector<double> prediction_divisors{};  // by depth
  };
  struct MicroResult {
    MicroSums sums;                                     // predictions, balance and loads: of a run with gradients
    std::vector<float> losses;                          // [T]: before weighting; +0 where the weight is 0
    std::vector<std::vector<float>> prediction_losses;  // by depth, as losses: -log p
    std::vector<float> balance;                         // balance losses, weighted: by layer, last first
  };
  // Forward alone where `grads` is null; otherwise gradients are added to it. The chip's queue is waited for once, at
  // the end, and once before that by an objective that reads log-probabilities.
  Result<MicroResult> run(const data::MicroBatch& batch, const StepScale& scale, const GradientBuffer* grads,
                          const Objective& objective = {});

  // The experts that the tokens of a micro-batch choose, by one forward pass; empty where no layer has any.
  Result<data::KeptExperts> choose_experts(const data::MicroBatch& batch);
  // The log-probabilities that `loss` is given in run() with gradients, [T], by a forward pass of every document's own
  // rows (no prompt is shared), whose calls go through `through`, a chip that hands them to this one.
  Result<std::vector<float>> log_probs(const data::MicroBatch& batch, const LogProbLoss& loss, contract::Chip& through);
  // The parameter that a matrix of the decoder is made of, by its name; "" for others.
  std::string name_of(const contract::PackedMatrix* matrix) const;

  // Room for the gradients of what is trained; not filled.
  Result<GradientBuffer> make_gradients() const;

  // Values of parameter `index` on the host, with its adapter merged in where it has one.
  Status merged_value(int64_t index, float* out);

  // Bytes that the last reserve() and all of create() took on the chip, and of the packed matrices.
  struct MemoryUse {
    int64_t values = 0, packed = 0, activations = 0, cache = 0;
    int64_t total() const { return values + packed + activations + cache; }
  };
  MemoryUse memory() const;
  std::pair<int64_t, int64_t> workspace_peaks() const;  // activations, their gradients

 private:
  struct State;
  explicit TrainableModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The room of a micro-batch of n_rows tokens in n_documents documents, learnt on the chip's planner.
Result<TrainingRoom> measure_room(const contract::Chip& chip, const formats::ModelConfig& config,
                                  const TrainableModel::Options& options, int64_t n_rows, int64_t n_documents,
                                  double balance_weight, const Objective& objective = {});

}  // namespace naru::train
