// The parameters of a model: one list of tensors under their Hugging Face names, recorded by the walk that builds the
// decoder (families.h). Read, they are f32, whatever container and layout they came from: orders of rows that a
// container changed are undone, stacked experts are taken apart, split kv_b matrices joined.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"
#include "models/tensor_table.h"

namespace naru::models {

struct Parameter {
  std::string name;            // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // [n] or [outputs, inputs]
  ParameterUse use = ParameterUse::kMatrix;
  const TensorRow* row = nullptr;  // of the family's table; null: no parameter of a model's own (an adapter's)
  int64_t layer = 0;
  int64_t expert = 0;
  int64_t n_elements() const;
  int64_t rows() const { return shape.size() == 2 ? shape[0] : 1; }
  int64_t cols() const { return shape.back(); }
  bool is_matrix() const { return use == ParameterUse::kMatrix || use == ParameterUse::kResidual; }  // inside a layer
  bool is_expert() const { return row != nullptr && row->layout == Layout::kExpert; }
};

// The config that belongs to these tensors once they are taken out of their file: Hugging Face names and row orders, no
// FP8 blocks, no prediction layers (who wants them sets mtp_layers again); divisors of the rotation's frequencies are
// read out of the file.
Result<formats::ModelConfig> plain_config(const formats::TensorFiles& files, const formats::ModelConfig& config);

// All parameters of a config, in order of the model: embedding, layers, final norm, head (none where it is tied), and
// the `mtp_layers` prediction layers, whose embedding and head are the model's own.
std::vector<Parameter> list_parameters(const formats::ModelConfig& config);

// How many values these parameters have; and how many of them one token meets: all but those of experts that it does
// not choose. Adapters are none of an expert's, and met by every token.
int64_t all_parameters(const std::vector<Parameter>& parameters);
int64_t active_parameters(const formats::ModelConfig& config, const std::vector<Parameter>& parameters);

// The f32 value of one parameter: each element's exact value rounded once. `out` has n_elements() floats. Works on
// Hugging Face folders (every layout that naru loads, FP8 with scales too) and on GGUF files.
Status read_parameter(const formats::TensorFiles& files, const formats::ModelConfig& config, const Parameter& parameter,
                      float* out);

// Values drawn from the seed: normal with deviation `std` (by counter, purpose kInit; sample = index of the parameter
// in the list), norms 1, biases 0. Matrices whose product joins the residual stream are divided by sqrt(2 * layers).
void draw_parameter(const formats::ModelConfig& config, const Parameter& parameter, int64_t index, uint64_t seed,
                    double std, float* out);

}  // namespace naru::models
