// config.json and generation_config.json: an accepted configuration has numbers that may be multiplied.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "formats/model_config.h"
#include "formats/model_config_writer.h"
#include "formats/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::formats;
  const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  if (const auto generation = parse_generation_config(bytes, "g"); !generation.ok()) {
    NARU_CHECK(is_valid_utf8(generation.error().message));
  }
  const auto config = parse_model_config(bytes, "c");
  if (!config.ok()) {
    NARU_CHECK(is_valid_utf8(config.error().message));
    return 0;
  }
  NARU_CHECK(config->layers >= 1 && config->heads >= 1 && config->kv_heads >= 1 &&
             config->heads % config->kv_heads == 0);
  NARU_CHECK(config->vocab * config->hidden > 0 && config->heads * config->head_dim * config->hidden > 0);
  NARU_CHECK(std::isfinite(config->rope.theta) && config->rope.theta > 0 && config->rms_eps > 0);
  NARU_CHECK(std::isfinite(yarn_attention_factor(config->rope)) && std::isfinite(mla_scale_factor(config->rope)));
  for (const int32_t id : config->eos_ids) NARU_CHECK(id >= 0 && id < config->vocab);
  if (config->moe.experts > 0) {
    const MoeConfig& moe = config->moe;
    NARU_CHECK(moe.experts % moe.n_group == 0 && moe.experts_per_token <= moe.experts / moe.n_group * moe.topk_group);
    NARU_CHECK(moe.first_dense >= 0 && moe.first_dense <= config->layers && std::isfinite(moe.routed_scaling));
  }
  // Written again it is a config that is accepted, of the same sizes.
  if (const auto text = model_config_json(*config); text.ok()) {
    const auto again = parse_model_config(as_bytes(*text), "written");
    NARU_CHECK(again.ok(), again.error().message);
    NARU_CHECK(again->family == config->family && again->layers == config->layers && again->vocab == config->vocab);
    NARU_CHECK(again->rope.theta == config->rope.theta && again->moe.n_group == config->moe.n_group);
    NARU_CHECK(again->eos_ids == config->eos_ids && again->tie_embeddings == config->tie_embeddings);
  }
  return 0;
}
