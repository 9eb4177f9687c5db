// What the tests of the engine share: tiny checkpoints opened on the chips, token ids from a seed, logits as bits.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <string>
#include <vector>

#include "base/philox.h"
#include "engine/engine.h"
#include "tests/test_chip.h"

namespace naru::engine {

inline std::filesystem::path fixture_model(const std::string& name) {
  const auto folder = std::filesystem::path(NARU_TEST_DATA) / "models" / name;
  return std::filesystem::exists(folder / "model.gguf") ? folder / "model.gguf" : folder / "hf";
}

inline std::unique_ptr<contract::Chip> make_chip(const std::string& name) {
  return name == "cpu" ? test::make_test_chip() : test::make_chip(name);
}

// An engine with its chip.
struct Rig {
  std::unique_ptr<contract::Chip> chip;
  std::unique_ptr<Engine> engine;

  Engine* operator->() const { return engine.get(); }
  Engine& operator*() const { return *engine; }
};

inline EngineOptions small_options(int64_t context, int64_t sessions, int64_t chunk = 512) {
  EngineOptions options;
  options.memory = {.context_tokens = context, .sessions_max = sessions, .prefill_chunk = chunk, .memory_bytes = {}};
  return options;
}

inline Rig open_rig(const std::filesystem::path& path, const std::string& chip, const EngineOptions& options) {
  Rig rig;
  rig.chip = make_chip(chip);
  auto engine = Engine::open(path, options, *rig.chip);
  EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
  rig.engine = std::move(engine).value();
  return rig;
}

// Ids that do not end an answer in the fixtures (2 and above).
inline std::vector<int32_t> make_ids(int64_t n, uint64_t seed, int64_t vocab) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t random = draw(seed, DrawPurpose::kTest, 0, static_cast<uint64_t>(i))[0];
    ids.push_back(static_cast<int32_t>(2 + random % static_cast<uint32_t>(vocab - 2)));
  }
  return ids;
}

using Bits = std::vector<uint32_t>;

inline Bits bits_of(const Logits& logits) {
  Bits bits;
  for (int64_t i = 0; i < logits.rows * logits.vocab; ++i) bits.push_back(std::bit_cast<uint32_t>(logits.data[i]));
  return bits;
}

inline int64_t n_of(std::span<const int32_t> ids) {
  return static_cast<int64_t>(ids.size());
}

inline Bits feed_bits(Engine& engine, Session& session, std::span<const int32_t> ids, int64_t logit_rows = 1) {
  const auto logits = engine.feed(session, ids, logit_rows);
  EXPECT_TRUE(logits.ok()) << (logits.ok() ? "" : logits.error().message);
  return logits.ok() ? bits_of(*logits) : Bits{};
}

// Every page is free once what the prefix cache keeps is dropped.
inline void expect_no_pages_held(Engine& engine) {
  EXPECT_EQ(engine.stats().n_pages_available(), engine.stats().n_pages_total);
  engine.drop_prefix_cache();
  EXPECT_EQ(engine.stats().n_pages_free, engine.stats().n_pages_total);
  EXPECT_EQ(engine.stats().n_pages_cached, 0);
}

inline std::string test_name(std::string name) {
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

}  // namespace naru::engine
