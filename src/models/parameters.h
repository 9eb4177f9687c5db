// The parameters of a model as training sees them: one list of tensors under their Hugging Face names, f32, whatever
// container and layout they came from. Orders of rows that a container changed are undone; stacked experts are taken
// apart, split kv_b matrices joined.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"

namespace naru::models {

enum class ParameterUse : uint8_t {
  kMatrix,     // [outputs, inputs] of a product inside a layer
  kEmbedding,  // the table; also the head where they are tied
  kHead,
  kRouter,       // [experts, width]
  kNorm,         // [n]
  kBias,         // [n], of a product
  kRoutingBias,  // [experts]: moved by its own rule, never by a gradient
};

struct Parameter {
  std::string name;            // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // [n] or [outputs, inputs]
  ParameterUse use = ParameterUse::kMatrix;
  int64_t n_elements() const;
  int64_t rows() const { return shape.size() == 2 ? shape[0] : 1; }
  int64_t cols() const { return shape.back(); }
};

// The config that belongs to these tensors once they are taken out of their file: Hugging Face names and row orders, no
// FP8 blocks, no prediction layers (who wants them sets mtp_layers again); divisors of the rotation's frequencies are
// read out of the file.
Result<formats::ModelConfig> plain_config(const formats::TensorFiles& files, const formats::ModelConfig& config);

// All parameters of a config, in order of the model: embedding, layers, final norm, head (none where it is tied), and
// the `mtp_layers` prediction layers, whose embedding and head are the model's own.
std::vector<Parameter> list_parameters(const formats::ModelConfig& config);

// The f32 value of one parameter: each element's exact value rounded once. `out` has n_elements() floats. Works on
// Hugging Face folders (every layout that naru loads, FP8 with scales too) and on GGUF files.
Status read_parameter(const formats::TensorFiles& files, const formats::ModelConfig& config, const Parameter& parameter,
                      float* out);

// Values drawn from the seed: normal with deviation `std` (by counter, purpose kInit; sample = index of the parameter
// in the list), norms 1, biases 0. Residual outputs (o_proj, down_proj) are divided by sqrt(2 * layers).
void draw_parameter(const formats::ModelConfig& config, const Parameter& parameter, int64_t index, uint64_t seed,
                    double std, float* out);

}  // namespace naru::models
