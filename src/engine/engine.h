// Engine: a model on a chip with its cache, ready to run batches of sessions. It names no chip: the caller makes one.
//
// open() plans the memory first, then loads. step() runs tokens of many sessions at once; how tokens are batched, cut
// into chunks, paged, or found in the prefix cache changes no bit of any logit (docs/arithmetic.md). A session whose
// numbers stop being finite fails alone.
//
// An engine may also run over a decoder that somebody else holds, as a trainer does: then it packs and copies nothing,
// and must be told when the weights have changed.
//
// An engine and all that it gives out belong to one thread. The chip must outlive it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/memory_plan.h"
#include "engine/session.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"
#include "models/model.h"
#include "text/chat_tokenizer.h"

namespace naru::engine {

struct EngineOptions {
  models::LoadOptions load;
  MemoryOptions memory;
  bool share_prefixes = true;                // changes speed, never a bit
  std::optional<std::string> chat_template;  // Jinja text, in the place of the model's own
  models::LoadProgress progress;             // bytes of weights done and in all; false cancels
};

// A model in another's hands, and the tokenizer that goes with it, where it has one.
struct BorrowedModel {
  models::HeldModel model;
  const text::Tokenizer* tokenizer = nullptr;
  const text::ChatTemplate* chat_template = nullptr;
};

struct BorrowOptions {
  MemoryOptions memory;
  bool share_prefixes = true;
};

// Tokens to append to a session: at least one.
struct Feed {
  Session* session = nullptr;
  std::span<const int32_t> ids;
  int64_t logit_rows = 1;  // of how many of the last tokens the logits are wanted: 0 to all
  int64_t guesses = 0;     // how many of the last tokens may be taken back (Session::settle): 0 to all
  int64_t state_rows = 0;  // of how many of the last tokens the state is wanted that prediction layers read
};

// Rows of finite logits on the host, valid until the engine's next step.
struct Logits {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t vocab = 0;

  std::span<const float> row(int64_t i) const {
    NARU_CHECK(i >= 0 && i < rows, i, rows);
    return {data + i * vocab, static_cast<size_t>(vocab)};
  }
};

// What became of one feed. On an error its session is as long as before the step; other feeds are not touched by it.
struct FeedOutput {
  Status status;
  Logits logits;  // [logit_rows, vocab]
  View state;     // f32 [state_rows, width] on the chip (models::Decoder::Output), valid until the engine's next step
};

struct EngineStats {
  int64_t n_forwards = 0;
  int64_t n_rows = 0;  // tokens computed
  int64_t n_pages_total = 0;
  int64_t n_pages_free = 0;
  int64_t n_pages_cached = 0;  // held by the prefix cache alone: taken when pages run out
  int64_t n_pages_copied = 0;  // shared pages copied before a write
  int64_t prefix_query_tokens = 0;
  int64_t prefix_hit_tokens = 0;
  int64_t n_evictions = 0;
  // Pages that a new token can get.
  int64_t n_pages_available() const { return n_pages_free + n_pages_cached; }
};

class Engine {
 public:
  // `path`: a model folder or a .gguf file.
  static Result<std::unique_ptr<Engine>> open(const std::filesystem::path& path, const EngineOptions& options,
                                              contract::Chip& chip);
  // The same from files that were opened (and perhaps planned) before.
  static Result<std::unique_ptr<Engine>> open(models::ModelFiles files, const EngineOptions& options,
                                              contract::Chip& chip);
  // Over a model that is held by another on this chip, and outlives the engine, as its texts do.
  static Result<std::unique_ptr<Engine>> open(const BorrowedModel& model, const BorrowOptions& options,
                                              contract::Chip& chip);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const models::ModelPlan& model() const;  // config, sizes, numerics id
  const MemoryPlan& memory() const;
  contract::Chip& chip() const;
  int64_t vocab() const;
  int64_t context_tokens() const { return memory().context_tokens; }
  bool shares_prefixes() const;

  // A model without a tokenizer still opens: then nullptr, and tokenizer_status() says why.
  const text::Tokenizer* tokenizer() const;
  const Status& tokenizer_status() const;
  // nullptr where there is no tokenizer or no template; template_status() says why: kNotFound for none at all.
  const text::ChatTemplate* chat_template() const;
  const Status& template_status() const;
  const formats::GenerationConfig& generation_config() const;
  // Ids that end an answer: of the generation config, the config and the tokenizer; ascending.
  const std::vector<int32_t>& eos_ids() const;

  // Sessions see shared prefixes of their own scope only (one a user, say).
  std::unique_ptr<Session> new_session(uint64_t cache_scope = 0);

  // Appends the tokens of every feed to its session, each session at most once. One result a feed. Feeds of more rows
  // than prefill_chunk are cut inside. Errors of a feed: kInvalidArgument (an id outside the vocabulary), kOutOfRange
  // (the context is full; numbers not finite, named), kResourceExhausted (no page left; no memory for logits or
  // states), and those of the chip.
  std::vector<FeedOutput> step(std::span<const Feed> feeds);
  // step() of one feed.
  Result<Logits> feed(Session& session, std::span<const int32_t> ids, int64_t logit_rows = 1);

  // Pages that appending n tokens to the session will take (new ones, and copies of shared ones).
  int64_t pages_needed(const Session& session, int64_t n_tokens) const;
  EngineStats stats() const;
  // Frees the pages that only the prefix cache holds.
  void drop_prefix_cache();
  // The weights of a borrowed model are others now: what was computed with the old ones is forgotten. There must be no
  // sessions and no snapshots.
  void weights_changed();
  // For tests: which pages are handed out next.
  void shuffle_free_pages(uint64_t seed);

 private:
  explicit Engine(std::unique_ptr<EngineState> state);
  std::unique_ptr<EngineState> state_;
};

}  // namespace naru::engine
