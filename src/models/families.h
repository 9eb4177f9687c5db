// Families: how each fills a Decoder from its config and its table of tensor names. To add a dense family, add a
// table and a row in families.cpp; see ARCHITECTURE.md.
#pragma once

#include "models/decoder.h"
#include "models/weight_loader.h"

namespace naru::models {

// The tensor names of a family.
std::span<const NameRow> names_of(formats::Family family);

struct BuildOptions {
  bool is_latent_form = true;     // of latent attention
  bool with_predictions = false;  // the config's prediction layers too; inference needs none
};

// The decoder of the loader's checkpoint; in the loader's planning mode its shape alone.
Result<Decoder> build_decoder(const formats::ModelConfig& config, WeightLoader& loader, const BuildOptions& options);

// Parts that families are made of, for the family files.
Result<nn::FeedForward> build_feed_forward(WeightLoader& loader, int64_t layer, int64_t width, int64_t ffn, Role gate,
                                           Role up, Role down);
Result<nn::Norm> build_norm(WeightLoader& loader, WeightLoader::Place place, int64_t n, double eps);

// One layer's attention and feed-forward.
Status build_dense_layer(const formats::ModelConfig& config, WeightLoader& loader, int64_t layer, DecoderLayer& out);
Status build_deepseek_layer(const formats::ModelConfig& config, WeightLoader& loader, int64_t layer,
                            const BuildOptions& options, DecoderLayer& out);

std::span<const NameRow> dense_names();
std::span<const NameRow> deepseek_names();

}  // namespace naru::models
