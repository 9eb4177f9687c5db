// Families: how each fills a Decoder from its config and its table of tensors (tensor_table.h). To add a dense family,
// see ARCHITECTURE.md.
#pragma once

#include "models/decoder.h"
#include "models/weight_loader.h"

namespace naru::models {

// Rows of a table, for the family files: a matrix [outputs, inputs], a vector [n].
constexpr TensorRow matrix_of(ParameterUse use, Role role, std::string_view hugging_face, std::string_view gguf,
                              Dim outputs, Dim inputs, Layout layout = Layout::kPlain) {
  return {role, hugging_face, gguf, use, {outputs, inputs}, layout};
}
constexpr TensorRow matrix(Role role, std::string_view hugging_face, std::string_view gguf, Dim outputs, Dim inputs,
                           Layout layout = Layout::kPlain) {
  return {role, hugging_face, gguf, ParameterUse::kMatrix, {outputs, inputs}, layout};
}
constexpr TensorRow residual(Role role, std::string_view hugging_face, std::string_view gguf, Dim outputs, Dim inputs,
                             Layout layout = Layout::kPlain) {
  return {role, hugging_face, gguf, ParameterUse::kResidual, {outputs, inputs}, layout};
}
constexpr TensorRow vector_of(ParameterUse use, Role role, std::string_view hugging_face, std::string_view gguf, Dim n,
                              Layout layout = Layout::kPlain) {
  return {role, hugging_face, gguf, use, {n, Dim::kNone}, layout};
}
constexpr TensorRow norm(Role role, std::string_view hugging_face, std::string_view gguf, Dim n) {
  return vector_of(ParameterUse::kNorm, role, hugging_face, gguf, n);
}
constexpr TensorRow bias(Role role, std::string_view hugging_face, std::string_view gguf, Dim n,
                         Layout layout = Layout::kPlain) {
  return vector_of(ParameterUse::kBias, role, hugging_face, gguf, n, layout);
}
// No parameter: a copy of one, a part of one, or several in one.
constexpr TensorRow other(Role role, std::string_view hugging_face, std::string_view gguf) {
  return {role, hugging_face, gguf};
}

struct BuildOptions {
  bool is_latent_form = true;     // of latent attention
  bool with_predictions = false;  // the config's prediction layers too; inference needs none
};

// The decoder of the loader's checkpoint; in the loader's planning mode its shape alone.
Result<Decoder> build_decoder(const formats::ModelConfig& config, WeightLoader& loader, const BuildOptions& options);

// The walk over all of its parameters, in their order (list_parameters): the decoder but for its rotation.
Result<Decoder> build_parts(const formats::ModelConfig& config, WeightLoader& loader, const BuildOptions& options);

// Parts that families are made of, for the family files.
Result<nn::FeedForward> build_feed_forward(WeightLoader& loader, int64_t layer, Role gate, Role up, Role down);
Result<nn::Norm> build_norm(WeightLoader& loader, Role role, int64_t layer, double eps);

// One layer's attention; a layer's experts.
Result<nn::GroupedQueryAttention> build_grouped_attention(const formats::ModelConfig& config, WeightLoader& loader,
                                                          int64_t layer);
Result<nn::LatentAttention> build_latent_attention(const formats::ModelConfig& config, WeightLoader& loader,
                                                   int64_t layer, const BuildOptions& options);
Result<nn::Experts> build_experts(const formats::ModelConfig& config, WeightLoader& loader, int64_t layer);

std::span<const TensorRow> dense_tensors();
std::span<const TensorRow> deepseek_tensors();

}  // namespace naru::models
