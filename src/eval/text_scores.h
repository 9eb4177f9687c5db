// How well a model predicts a text: perplexity, bits per byte, and beside a second model how alike the two are.
//
// The text runs in windows of `window` tokens that begin `stride` tokens apart, each by itself: what the tokenizer puts
// before a text (begin of sequence) stands before every one. A window scores the tokens that no window before it held:
// each is scored once, with at least window - stride tokens before it once the text is that long. The first token of
// the text is scored only where something stands before it.
//
// Log-probabilities are the engine's, by the arithmetic of the LogProb op; their sum is made in double, in the order of
// the text. Divergences are made in double throughout, from the f32 logits. Chunks, threads and batches change no bit.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "engine/engine.h"

namespace naru::eval {

struct Window {
  int64_t begin = 0;   // of the text's tokens
  int64_t scored = 0;  // the first that is scored
  int64_t end = 0;
};

// Of a text of n tokens, with `n_prefix` tokens before every window. window > n_prefix + 1; stride from 1 to
// window - n_prefix - 1.
std::vector<Window> windows_of(int64_t n, int64_t n_prefix, int64_t window, int64_t stride);

// Of one model.
struct TextScore {
  int64_t n_tokens = 0;
  int64_t n_bytes = 0;  // that those tokens are
  double nats = 0;      // the sum of -log p

  double perplexity() const;     // exp(nats / n_tokens)
  double bits_per_byte() const;  // nats / ln 2 / n_bytes
};

struct TextScores {
  TextScore model;
  TextScore other;         // of the second model, where there is one
  int64_t n_same_top = 0;  // tokens at which both think the same one likeliest
  double divergence = 0;   // the sum over tokens of KL(model || other), in nats
  int64_t n_windows = 0;   // that were run
};

struct ScoredText {
  std::span<const int32_t> ids;     // of the text alone
  std::span<const int32_t> prefix;  // before every window
  int64_t n_bytes = 0;              // of the text
  int64_t first_bytes = 0;          // of its first token
};

struct TextNeeds {
  int64_t window = 0;
  int64_t stride = 0;
  std::function<bool(int64_t done, int64_t total)> progress = {};  // tokens scored; false stops: kCancelled
};

// Each token of the text once. `other`: null, or a second model over the same ids. On an error `scores` is of what was
// done, whole windows and pieces of one. Errors: kCancelled, and those of Engine::feed.
Status score_text(engine::Engine& model, engine::Engine* other, const ScoredText& text, const TextNeeds& needs,
                  ThreadPool& pool, TextScores& scores);

// KL(p || q) of two rows of finite logits, in nats.
double divergence_of(std::span<const float> p, std::span<const float> q);

}  // namespace naru::eval
