// What an engine, its sessions and their snapshots share. Private to this folder.
#pragma once

#include "engine/engine.h"
#include "engine/prefix_cache.h"
#include "formats/generation_config.h"

namespace naru::engine {

struct EngineState {
  explicit EngineState(contract::Chip& chip_in) : chip(chip_in) {}

  contract::Chip& chip;
  models::ModelPlan model;
  MemoryPlan memory;
  std::shared_ptr<const models::Decoder> decoder;  // own or borrowed
  std::optional<CachePool> pool;
  std::optional<nn::Workspace> workspace;
  std::optional<PrefixCache> prefixes;  // absent where sharing is off; freed before the pool

  std::optional<text::ChatTokenizer> text;  // own; the two below point into it, or to what is borrowed
  const text::Tokenizer* tokenizer = nullptr;
  const text::ChatTemplate* chat_template = nullptr;
  Status tokenizer_status, template_status;
  formats::GenerationConfig generation_config;
  std::vector<int32_t> eos_ids;

  std::unique_ptr<float[]> logits;           // of the last step
  int64_t logits_capacity = 0;               // floats
  std::unique_ptr<contract::Buffer> states;  // of the last step that had any wanted
  int64_t states_capacity = 0;               // rows
  EngineStats stats;
  int64_t n_sessions = 0;  // sessions and snapshots alive

  static const int32_t* pages_of(const Session& session) { return session.pages_.data(); }
  // A page with one reference, taken from the prefix cache where none is free; -1 where there is none at all.
  int32_t take_page();
  int64_t pages_needed(const Session& session, int64_t n_tokens) const;
  // Makes the session's pages ready for n more tokens: new pages at the end, a copy of a shared last page.
  Status reserve(Session& session, int64_t n_tokens);
  // The tokens' rows are in the cache: lengthens the session, and shares the full pages of its first `n_sure` tokens.
  void commit(Session& session, std::span<const int32_t> ids, int64_t n_sure);
  // Gives the session's first n_full pages to the prefix cache, where it has not got them.
  void share_pages(Session& session, int64_t n_full);
};

}  // namespace naru::engine
