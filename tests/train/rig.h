// What the tests of training share: models of the fixtures with their values in memory, micro-batches of documents, and
// runs of one micro-batch on any chip.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/philox.h"
#include "contract/scalar.h"
#include "models/parameters.h"
#include "tests/chip_memory.h"
#include "tests/models/harness.h"
#include "tests/test_chip.h"
#include "train/prediction_targets.h"
#include "train/trainable_model.h"

namespace naru::train {

// Parameters as training sees them, in memory.
struct Source {
  formats::ModelConfig config;
  std::vector<models::Parameter> parameters;
  std::vector<std::vector<float>> values;
  std::vector<int32_t> ids;  // of the fixture

  TrainableModel::ReadParameter reader() const {
    return [this](int64_t i, float* out) -> Status {
      std::copy(values[static_cast<size_t>(i)].begin(), values[static_cast<size_t>(i)].end(), out);
      return {};
    };
  }
  int64_t index_of(const std::string& name) const {
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (parameters[i].name == name) return static_cast<int64_t>(i);
    }
    ADD_FAILURE() << "no parameter " << name;
    return -1;
  }
};

// The CPU chip at the best level of this machine.
inline contract::Chip& best_cpu() {
  static const auto kChip = test::make_test_chip();
  return *kChip;
}

// Read once a program.
inline const Source& fixture_source(const std::string& name) {
  static std::map<std::string, Source> kept;
  const auto found = kept.find(name);
  if (found != kept.end()) return found->second;
  Source& source = kept[name];
  const auto files = models::open_model_files(models::fixture_model(name));
  NARU_CHECK(files.ok(), files.ok() ? "" : files.error().message);
  source.config = models::plain_config(files->tensors, files->config).value();
  source.config.mtp_layers = files->config.mtp_layers;
  source.parameters = models::list_parameters(source.config);
  for (const models::Parameter& parameter : source.parameters) {
    source.values.emplace_back(static_cast<size_t>(parameter.n_elements()));
    const Status read = models::read_parameter(files->tensors, files->config, parameter, source.values.back().data());
    NARU_CHECK(read.ok(), read.ok() ? "" : read.error().message);
  }
  source.ids = models::read_json(models::fixture_folder(name) / "ids.json").get<std::vector<int32_t>>();
  return source;
}

// Fixtures that are Hugging Face folders.
inline std::vector<std::string> folder_fixtures() {
  std::vector<std::string> names;
  for (const std::string& name : models::fixture_names()) {
    if (std::filesystem::is_directory(models::fixture_folder(name) / "hf")) names.push_back(name);
  }
  return names;
}

// One document a list of ids: each position but the last has the next id as its target.
inline data::MicroBatch batch_of(const std::vector<std::vector<int32_t>>& documents) {
  data::MicroBatch batch;
  for (const std::vector<int32_t>& ids : documents) {
    const auto n = static_cast<int64_t>(ids.size());
    batch.documents.push_back({static_cast<int64_t>(batch.ids.size()), n});
    for (int64_t i = 0; i < n; ++i) {
      const bool is_last = i + 1 == n;
      batch.ids.push_back(ids[static_cast<size_t>(i)]);
      batch.positions.push_back(static_cast<int32_t>(i));
      batch.targets.push_back(is_last ? 0 : ids[static_cast<size_t>(i + 1)]);
      batch.weights.push_back(is_last ? 0.0f : 1.0f);
    }
  }
  return batch;
}

inline std::vector<int32_t> slice(const std::vector<int32_t>& ids, size_t begin, size_t n) {
  NARU_CHECK(begin + n <= ids.size(), begin, n, ids.size());
  return {ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.begin() + static_cast<std::ptrdiff_t>(begin + n)};
}

inline double divisor_of(const data::MicroBatch& batch) {
  return std::accumulate(batch.weights.begin(), batch.weights.end(), 0.0);
}

// A model on a chip with room for the batch.
inline TrainableModel make_model(contract::Chip& chip, const Source& source, const TrainableModel::Options& options,
                                 int64_t n_rows, int64_t n_documents, double balance = 0) {
  auto model = TrainableModel::create(chip, source.config, options, source.reader(), 7);
  NARU_CHECK(model.ok(), model.ok() ? "" : model.error().message);
  const auto room = measure_room(chip, source.config, options, n_rows, n_documents, balance);
  NARU_CHECK(room.ok(), room.ok() ? "" : room.error().message);
  const Status reserved = model->reserve(*room);
  NARU_CHECK(reserved.ok(), reserved.ok() ? "" : reserved.error().message);
  return std::move(model).value();
}

inline TrainableModel make_model(contract::Chip& chip, const Source& source, const TrainableModel::Options& options,
                                 const data::MicroBatch& batch, double balance = 0) {
  return make_model(chip, source, options, static_cast<int64_t>(batch.ids.size()),
                    static_cast<int64_t>(batch.documents.size()), balance);
}

constexpr double kPredictionWeight = 0.3;

// How losses of these micro-batches count in one step.
inline TrainableModel::StepScale scale_of(const TrainableModel& model, const std::vector<data::MicroBatch>& batches,
                                          double divisor, double balance) {
  data::StepBatch step;
  step.micro_batches = batches;
  return {.divisor = divisor,
          .balance_weight = balance,
          .prediction_weight = kPredictionWeight,
          .prediction_divisors = prediction_divisors(step, model.config().mtp_layers)};
}

struct Gradients {
  TrainableModel::MicroResult result;
  std::vector<std::vector<float>> grads;  // by parameter; empty where frozen

  double loss() const {  // mean over targets, the predictions' mean and the balance losses
    const auto mean = [](const std::vector<float>& losses) {
      double sum = 0;
      for (const float loss : losses) sum += static_cast<double>(loss);
      return sum / static_cast<double>(std::count_if(losses.begin(), losses.end(), [](float l) { return l != 0; }));
    };
    double loss = mean(result.losses);
    for (const float balance : result.balance) loss += static_cast<double>(balance);
    const auto n_depths = static_cast<double>(result.prediction_losses.size());
    for (const auto& losses : result.prediction_losses) loss += kPredictionWeight / n_depths * mean(losses);
    return loss;
  }
};

using test::floats_of;
using test::set_floats;

inline GradientBuffer zero_grads(TrainableModel& model) {
  GradientBuffer grads = model.make_gradients().value();
  NARU_CHECK(model.chip().run(contract::Fill{.out = grads.all(), .value = 0}).ok());
  return grads;
}

// How micro-batches went in this process is how they went everywhere (GradientSum).
inline Status as_it_went(Status own) {
  return own;
}

// Forward and backward of micro-batches, one after the other, into one gradient.
inline Gradients chained_gradients(TrainableModel& model, const std::vector<data::MicroBatch>& batches, double divisor,
                                   double balance = 0) {
  const GradientBuffer grads = zero_grads(model);
  Gradients out;
  for (const data::MicroBatch& batch : batches) {
    auto result = model.run(batch, scale_of(model, batches, divisor, balance), &grads);
    NARU_CHECK(result.ok(), result.ok() ? "" : result.error().message);
    out.result = std::move(*result);
  }
  NARU_CHECK(model.chip().wait().ok());
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    out.grads.push_back(grads.holds(index) ? floats_of(model.chip(), grads.view(index)) : std::vector<float>{});
  }
  return out;
}

inline Gradients gradients_of(TrainableModel& model, const data::MicroBatch& batch, double balance = 0) {
  return chained_gradients(model, {batch}, divisor_of(batch), balance);
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (contract::canonical_bits(a[i]) != contract::canonical_bits(b[i])) return false;
  }
  return true;
}

// The first parameter whose gradient has other bits, or what else differs; "" where all is equal.
inline std::string difference(const TrainableModel& model, const Gradients& a, const Gradients& b) {
  if (!same_bits(a.result.losses, b.result.losses)) return "losses";
  if (a.result.prediction_losses.size() != b.result.prediction_losses.size()) return "prediction layers";
  for (size_t depth = 0; depth < a.result.prediction_losses.size(); ++depth) {
    if (!same_bits(a.result.prediction_losses[depth], b.result.prediction_losses[depth])) return "prediction losses";
  }
  if (!same_bits(a.result.balance, b.result.balance)) return "balance losses";
  if (a.result.sums.loads != b.result.sums.loads) return "loads";
  for (size_t i = 0; i < a.grads.size(); ++i) {
    if (!same_bits(a.grads[i], b.grads[i])) return model.parameters()[i].name;
  }
  return "";
}

inline double norm_of(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

// Experts that nobody chose: those behind the chosen ones.
inline data::KeptExperts next_experts(data::KeptExperts kept, int64_t n_chosen, int64_t n_experts) {
  for (std::vector<int32_t>& layer : kept) {
    for (auto row = layer.begin(); row != layer.end(); row += n_chosen) {
      std::transform(row, row + n_chosen, row, [&](int32_t e) { return static_cast<int32_t>((e + 1) % n_experts); });
      std::sort(row, row + n_chosen);
    }
  }
  return kept;
}

inline bool is_mla(const Source& source) {
  return source.config.is_mla();
}

inline std::vector<TrainableModel::Options> all_options(const Source& source) {
  std::vector<TrainableModel::Options> all;
  for (const auto compute : {contract::ComputeMode::kF32, contract::ComputeMode::kBF16}) {
    for (const bool is_latent : {false, true}) {
      if (is_latent && !is_mla(source)) continue;
      all.push_back({.compute = compute, .is_latent_form = is_latent, .recompute = false, .lora = {}});
    }
  }
  return all;
}

inline std::string name_of(const std::string& fixture, const TrainableModel::Options& options) {
  return fixture + "/" + std::string(contract::compute_mode_name(options.compute)) +
         (options.is_latent_form ? "/latent" : "/expanded");
}

}  // namespace naru::train
