#include "eval/text_scores.h"

#include <algorithm>

#include "base/double_math.h"
#include "engine/sampler.h"

namespace naru::eval {
namespace {

constexpr double kLn2 = 0.6931471805599453;
constexpr int64_t kRowBytesMax = int64_t{64} << 20;  // of one model's logits in memory at once

// What one row of logits says of the token that came.
struct RowScore {
  double log_prob = 0, other_log_prob = 0;
  bool is_same_top = false;
  double divergence = 0;
};

RowScore score_row(std::span<const float> row, const std::span<const float>* other, int32_t id) {
  RowScore score;
  score.log_prob = engine::LogProbs(row).of(id);
  if (other == nullptr) return score;
  score.other_log_prob = engine::LogProbs(*other).of(id);
  score.is_same_top = engine::Sampler::argmax(row) == engine::Sampler::argmax(*other);
  score.divergence = divergence_of(row, *other);
  return score;
}

// The tokens that a window feeds: the last one of it predicts nothing that is scored.
std::vector<int32_t> fed_ids(const ScoredText& text, const Window& window) {
  std::vector<int32_t> ids(text.prefix.begin(), text.prefix.end());
  ids.insert(ids.end(), text.ids.begin() + window.begin, text.ids.begin() + window.end - 1);
  return ids;
}

// One text under one or two models.
class Scoring {
 public:
  Scoring(engine::Engine& model, engine::Engine* other, const ScoredText& text, const TextNeeds& needs,
          ThreadPool& pool, TextScores& scores)
      : model_(model), other_(other), text_(text), needs_(needs), pool_(pool), scores_(scores) {
    piece_max_ = std::min(kRowBytesMax / (model.vocab() * int64_t{sizeof(float)}), model.memory().prefill_chunk);
    if (other != nullptr) piece_max_ = std::min(piece_max_, other->memory().prefill_chunk);
    piece_max_ = std::max<int64_t>(piece_max_, 1);
  }

  Status run(const Window& window) {
    const std::vector<int32_t> ids = fed_ids(text_, window);
    const std::span<const int32_t> fed(ids);
    const auto session = model_.new_session();
    const auto other_session = other_ == nullptr ? nullptr : other_->new_session();
    // The row that predicts the first token scored.
    auto first = static_cast<int64_t>(text_.prefix.size()) + window.scored - window.begin - 1;
    if (first > 0) {
      NARU_TRY(ask_to_go_on());
      NARU_TRY(feed(*session, other_session.get(), fed.first(static_cast<size_t>(first)), 0));
    }
    for (int64_t token = window.scored; token < window.end;) {
      NARU_TRY(ask_to_go_on());
      const int64_t n = std::min(piece_max_, window.end - token);
      NARU_TRY(feed(*session, other_session.get(), fed.subspan(static_cast<size_t>(first), static_cast<size_t>(n)), n));
      take_rows(token, n);
      first += n, token += n;
    }
    ++scores_.n_windows;
    return ask_to_go_on();
  }

 private:
  Status ask_to_go_on() const {
    if (!needs_.progress) return {};
    const auto n_unscored = static_cast<int64_t>(text_.prefix.empty() ? 1 : 0);
    if (needs_.progress(scores_.model.n_tokens, std::ssize(text_.ids) - n_unscored)) return {};
    return Error{Code::kCancelled, "scoring a text: stopped"};
  }

  Status feed(engine::Session& session, engine::Session* other_session, std::span<const int32_t> ids, int64_t n_rows) {
    NARU_ASSIGN(logits_, model_.feed(session, ids, n_rows));
    if (other_session == nullptr) return {};
    NARU_ASSIGN(other_logits_, other_->feed(*other_session, ids, n_rows));
    return {};
  }

  // Rows by any thread, sums by this one in the order of the text.
  void take_rows(int64_t token, int64_t n) {
    rows_.assign(static_cast<size_t>(n), {});
    pool_.parallel_for(n, [&](int64_t i, int) {
      std::span<const float> other_row;
      if (other_ != nullptr) other_row = other_logits_.row(i);
      rows_[static_cast<size_t>(i)] = score_row(logits_.row(i), other_ == nullptr ? nullptr : &other_row,
                                                text_.ids[static_cast<size_t>(token + i)]);
    });
    for (const RowScore& row : rows_) {
      scores_.model.nats -= row.log_prob;
      scores_.other.nats -= row.other_log_prob;
      scores_.n_same_top += row.is_same_top ? 1 : 0;
      scores_.divergence += row.divergence;
    }
    scores_.model.n_tokens += n;
    if (other_ != nullptr) scores_.other.n_tokens += n;
  }

  engine::Engine& model_;
  engine::Engine* other_;
  const ScoredText& text_;
  const TextNeeds& needs_;
  ThreadPool& pool_;
  TextScores& scores_;
  int64_t piece_max_ = 1;
  engine::Logits logits_, other_logits_;
  std::vector<RowScore> rows_;
};

}  // namespace

double TextScore::perplexity() const {
  return n_tokens == 0 ? 0 : exp_double(nats / static_cast<double>(n_tokens));
}

double TextScore::bits_per_byte() const {
  return n_bytes == 0 ? 0 : nats / kLn2 / static_cast<double>(n_bytes);
}

std::vector<Window> windows_of(int64_t n, int64_t n_prefix, int64_t window, int64_t stride) {
  const int64_t room = window - n_prefix;
  NARU_CHECK(n >= 1 && n_prefix >= 0 && 1 <= stride && stride < room, n, n_prefix, window, stride);
  std::vector<Window> windows;
  int64_t scored = n_prefix > 0 ? 0 : 1;
  for (int64_t begin = 0; scored < n; begin += stride) {
    const int64_t end = std::min(n, begin + room);
    windows.push_back({begin, scored, end});
    scored = end;
  }
  return windows;
}

double divergence_of(std::span<const float> p, std::span<const float> q) {
  NARU_CHECK(p.size() == q.size() && !p.empty(), p.size(), q.size());
  const double p_max = *std::max_element(p.begin(), p.end());
  const double q_max = *std::max_element(q.begin(), q.end());
  double p_sum = 0, q_sum = 0, mean_gap = 0;  // the gap of a token: of its two logits, each below its row's best
  for (size_t i = 0; i < p.size(); ++i) {
    const double a = p[i] - p_max, b = q[i] - q_max;
    const double weight = exp_double(a);
    p_sum += weight;
    q_sum += exp_double(b);
    mean_gap += weight * (a - b);
  }
  return mean_gap / p_sum - log_double(p_sum) + log_double(q_sum);
}

Status score_text(engine::Engine& model, engine::Engine* other, const ScoredText& text, const TextNeeds& needs,
                  ThreadPool& pool, TextScores& scores) {
  scores = {};
  NARU_CHECK(other == nullptr || other->vocab() == model.vocab(), model.vocab());
  Scoring scoring(model, other, text, needs, pool, scores);
  for (const Window& window : windows_of(std::ssize(text.ids), std::ssize(text.prefix), needs.window, needs.stride)) {
    NARU_TRY(scoring.run(window));
  }
  scores.model.n_bytes = text.n_bytes - (text.prefix.empty() ? text.first_bytes : 0);
  if (other != nullptr) scores.other.n_bytes = scores.model.n_bytes;
  return {};
}

}  // namespace naru::eval
