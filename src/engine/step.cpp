// Engine::step: feeds cut into pieces, pieces packed into forward passes of bounded rows, logits brought to the host.
#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/memory.h"
#include "engine/engine_state.h"

namespace naru::engine {
namespace {

// A feed on its way.
struct Work {
  const Feed* feed = nullptr;
  FeedOutput* output = nullptr;
  int64_t length_before = 0;
  int64_t n_done = 0;        // tokens in the cache
  int64_t logits_begin = 0;  // row in the host's logits
  int64_t states_begin = 0;  // row in the states
  bool is_failed = false;

  int64_t n_ids() const { return static_cast<int64_t>(feed->ids.size()); }
  int64_t n_left() const { return is_failed ? 0 : n_ids() - n_done; }

  void fail(Error error) {
    feed->session->truncate(length_before);
    output->status = std::move(error);
    is_failed = true;
  }
};

// Tokens [begin, begin + n) of a feed in one forward pass.
struct Piece {
  Work* work = nullptr;
  int64_t begin = 0;
  int64_t n = 0;

  Session& session() const { return *work->feed->session; }
  std::span<const int32_t> ids() const {
    return work->feed->ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
  }
  // Of the feed's last `n_wanted` tokens: how many are here (the last ones of the piece), and how many before it.
  int64_t n_of_last(int64_t n_wanted) const { return std::clamp<int64_t>(begin + n - work->n_ids() + n_wanted, 0, n); }
  int64_t n_before(int64_t n_wanted) const { return std::max<int64_t>(0, begin - work->n_ids() + n_wanted); }

  int64_t n_logits() const { return n_of_last(work->feed->logit_rows); }
  int64_t logits_row() const { return work->logits_begin + n_before(work->feed->logit_rows); }
  int64_t n_states() const { return n_of_last(work->feed->state_rows); }
  int64_t states_row() const { return work->states_begin + n_before(work->feed->state_rows); }
};

Status check_feed(const EngineState& state, const Feed& feed) {
  NARU_CHECK(!feed.ids.empty());
  const auto n = static_cast<int64_t>(feed.ids.size());
  NARU_CHECK(feed.logit_rows >= 0 && feed.logit_rows <= n, feed.logit_rows, n);
  NARU_CHECK(feed.guesses >= 0 && feed.guesses <= n, feed.guesses, n);
  NARU_CHECK(feed.state_rows >= 0 && feed.state_rows <= n, feed.state_rows, n);
  const int64_t length = feed.session->length();
  if (n > state.memory.context_tokens - length) {
    return Error{
        Code::kOutOfRange,
        fmt::format("growing a sequence of {} tokens by {}: the context holds {}; shorten the text, or open the "
                    "model with a longer context (its own limit is {})",
                    length, n, state.memory.context_tokens, state.model.config.max_positions)};
  }
  for (size_t i = 0; i < feed.ids.size(); ++i) {
    if (feed.ids[i] >= 0 && feed.ids[i] < state.decoder->vocab) continue;
    return Error{Code::kInvalidArgument,
                 fmt::format("growing a sequence: token {} of {} has id {}, but the vocabulary has ids 0 to {}; were "
                             "the ids made with this model's tokenizer?",
                             i, n, feed.ids[i], state.decoder->vocab - 1)};
  }
  return {};
}

// Room on the host for n_rows of logits.
Status reserve_logits(EngineState& state, int64_t n_rows) {
  const int64_t n = n_rows * state.decoder->vocab;
  if (n <= state.logits_capacity) return {};
  const int64_t bytes = n * int64_t{sizeof(float)};
  state.logits.reset();
  state.logits_capacity = 0;
  const bool is_planned = n_rows <= state.memory.logit_rows;
  if (is_planned || bytes <= available_memory_bytes()) {
    state.logits.reset(new (std::nothrow) float[static_cast<size_t>(n)]);
  }
  if (state.logits == nullptr) {
    return Error{Code::kResourceExhausted,
                 fmt::format("running a step: the logits of {} tokens take {}, which are not available; ask for the "
                             "logits of fewer tokens at once",
                             n_rows, format_bytes(bytes))};
  }
  state.logits_capacity = n;
  return {};
}

// Room on the chip for n_rows of states.
Status reserve_states(EngineState& state, int64_t n_rows) {
  if (n_rows <= state.states_capacity) return {};
  state.states.reset();
  state.states_capacity = 0;
  const int64_t bytes = n_rows * state.decoder->width * int64_t{sizeof(float)};
  auto buffer = state.chip.allocate(bytes);
  if (!buffer.ok()) {
    return Error{buffer.error().code,
                 fmt::format("running a step: the states of {} tokens take {}: {}; ask for the states of fewer tokens "
                             "at once",
                             n_rows, format_bytes(bytes), buffer.error().message)};
  }
  state.states = std::move(buffer).value();
  state.states_capacity = n_rows;
  return {};
}

View states_view(const EngineState& state, int64_t begin, int64_t n) {
  return make_view(state.states->address(), DType::kF32, state.states_capacity, state.decoder->width)
      .slice_rows(begin, n);
}

// The next pieces, in order of feeds, as many as one forward pass takes.
std::vector<Piece> next_pieces(const EngineState& state, std::vector<Work>& works) {
  std::vector<Piece> pieces;
  int64_t rows_left = state.memory.prefill_chunk;
  int64_t logits_left = state.memory.logit_rows;
  for (Work& work : works) {
    if (rows_left == 0 || logits_left == 0) break;
    if (work.n_left() == 0) continue;
    Piece piece{&work, work.n_done, std::min(work.n_left(), rows_left)};
    piece.n -= std::max<int64_t>(0, piece.n_logits() - logits_left);
    rows_left -= piece.n;
    logits_left -= piece.n_logits();
    pieces.push_back(piece);
  }
  return pieces;
}

models::Batch make_batch(std::span<const Piece> pieces) {
  models::Batch batch;
  for (const Piece& piece : pieces) {
    const auto row_begin = static_cast<int64_t>(batch.ids.size());
    const int64_t position = piece.session().length();
    batch.sequences.push_back({row_begin, piece.n, position, EngineState::pages_of(piece.session())});
    for (int64_t i = 0; i < piece.n; ++i) {
      batch.ids.push_back(piece.ids()[static_cast<size_t>(i)]);
      batch.positions.push_back(static_cast<int32_t>(position + i));
      if (i >= piece.n - piece.n_logits()) batch.logit_rows.push_back(static_cast<int32_t>(row_begin + i));
    }
  }
  return batch;
}

// The first value that is no finite number, or -1.
int64_t find_non_finite(const float* x, int64_t n) {
  // x - x is 0 where x is finite, else NaN. Sixteen sums side by side become vectors.
  constexpr int64_t kLanes = 16;
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += x[i + j] - x[i + j];
  }
  float sum = 0;
  for (; i < n; ++i) sum += x[i] - x[i];
  for (const float lane : lanes) sum += lane;
  if (sum == 0.0f) return -1;
  return std::find_if(x, x + n, [](float value) { return !std::isfinite(value); }) - x;
}

// Checks a piece's logits, then makes its tokens part of the session.
void take_piece(EngineState& state, const Piece& piece) {
  const int64_t vocab = state.decoder->vocab;
  const float* logits = state.logits.get() + piece.logits_row() * vocab;
  const int64_t bad = find_non_finite(logits, piece.n_logits() * vocab);
  if (bad >= 0) {
    piece.work->fail(
        {Code::kOutOfRange,
         fmt::format("running token {} of a sequence: the logit of id {} is {}, a finite number was wanted; "
                     "the weights or a layer overflowed: check the file, or try --compute f32",
                     piece.session().length() + piece.n - piece.n_logits() + bad / vocab, bad % vocab, logits[bad])});
    return;
  }
  state.commit(piece.session(), piece.ids(),
               piece.work->length_before + piece.work->n_ids() - piece.work->feed->guesses);
  piece.work->n_done += piece.n;
}

// What an error of a pass means to one of its pieces, whose rows begin at row_begin of n_rows: nothing where others are
// to blame.
std::optional<Error> error_of(const Error& error, const Piece& piece, int64_t row_begin, int64_t n_rows) {
  const FailedRows& failed = error.failed;
  const int64_t position = piece.session().length();
  if (failed.rows.empty() || failed.n_rows % n_rows != 0) {
    return Error{error.code, fmt::format("running tokens {} to {} of a sequence: {}", position, position + piece.n - 1,
                                         error.message)};
  }
  const int64_t rows_each = failed.n_rows / n_rows;  // of a token: heads, say
  const auto first = std::lower_bound(failed.rows.begin(), failed.rows.end(), row_begin * rows_each);
  if (first == failed.rows.end() || *first >= (row_begin + piece.n) * rows_each) return std::nullopt;
  const int64_t token = position + *first / rows_each - row_begin;
  // The message is of the first of all.
  const std::string what =
      first == failed.rows.begin()
          ? error.message
          : fmt::format("{}: numbers that are not finite; the weights or an earlier layer overflowed", failed.op);
  return Error{error.code, fmt::format("running token {} of a sequence: {}", token, what)};
}

// Copies what is wanted of a pass's states [T, C] to where it stays until the next step.
Status keep_states(EngineState& state, std::span<const Piece> pieces, View pass) {
  int64_t row = 0;
  for (const Piece& piece : pieces) {
    row += piece.n;
    const int64_t n = piece.n_states();
    if (n == 0) continue;
    const View out = states_view(state, piece.states_row(), n);
    NARU_TRY(state.chip.run(contract::Axpby{.x = pass.slice_rows(row - n, n), .y = {}, .a = 1, .b = 0, .out = out}));
  }
  return {};
}

// One forward pass; pages are reserved. On success the logits of all pieces are on the host, their states in place.
Status forward(EngineState& state, std::span<const Piece> pieces) {
  const models::Batch batch = make_batch(pieces);
  const nn::WorkspaceScope scope(*state.workspace);
  ++state.stats.n_forwards;
  state.stats.n_rows += static_cast<int64_t>(batch.ids.size());
  NARU_ASSIGN(const auto output, state.decoder->forward(state.chip, *state.workspace, batch, state.pool->layers()));
  NARU_TRY(keep_states(state, pieces, output.state));
  NARU_TRY(state.chip.wait());
  const int64_t vocab = state.decoder->vocab;
  int64_t row = 0;
  for (const Piece& piece : pieces) {
    const int64_t n = piece.n_logits();
    if (n == 0) continue;
    NARU_TRY(state.chip.copy_out(state.logits.get() + piece.logits_row() * vocab,
                                 output.logits.slice_rows(row, n).address, n * vocab * int64_t{sizeof(float)}));
    row += n;
  }
  return {};
}

// Ends the feeds whose rows an error is the fault of, all where it is nobody's, and leaves the other pieces.
void fail_guilty(const Error& error, std::vector<Piece>& pieces) {
  int64_t n_rows = 0, row_begin = 0;
  for (const Piece& piece : pieces) n_rows += piece.n;
  const size_t n_before = pieces.size();
  std::erase_if(pieces, [&](const Piece& piece) {
    auto own = error_of(error, piece, std::exchange(row_begin, row_begin + piece.n), n_rows);
    if (own) piece.work->fail(std::move(*own));
    return own.has_value();
  });
  NARU_CHECK(pieces.size() < n_before, "an error of rows of nobody", error.message);
}

// Runs the pieces together. Where some fail, the others run again without them.
void run_pieces(EngineState& state, std::vector<Piece>& pieces) {
  std::erase_if(pieces, [&](const Piece& piece) {
    Status status = state.reserve(piece.session(), piece.n);
    if (!status.ok()) piece.work->fail(std::move(status).error());
    return piece.work->is_failed;
  });
  while (!pieces.empty()) {
    const Status status = forward(state, pieces);
    if (!status.ok()) {
      fail_guilty(status.error(), pieces);
      continue;
    }
    for (const Piece& piece : pieces) take_piece(state, piece);
    return;
  }
}

std::vector<Work> make_works(const EngineState& state, std::span<const Feed> feeds, std::vector<FeedOutput>& outputs) {
  std::vector<Work> works;
  std::vector<const Session*> sessions;
  for (size_t i = 0; i < feeds.size(); ++i) {
    Work work{.feed = &feeds[i], .output = &outputs[i], .length_before = feeds[i].session->length()};
    sessions.push_back(feeds[i].session);
    Status status = check_feed(state, feeds[i]);
    if (!status.ok()) work.fail(std::move(status).error());
    if (!works.empty()) {
      const Work& last = works.back();
      work.logits_begin = last.logits_begin + (last.is_failed ? 0 : last.feed->logit_rows);
      work.states_begin = last.states_begin + (last.is_failed ? 0 : last.feed->state_rows);
    }
    works.push_back(work);
  }
  std::sort(sessions.begin(), sessions.end());
  NARU_CHECK(std::adjacent_find(sessions.begin(), sessions.end()) == sessions.end(), "a session twice in one step");
  return works;
}

}  // namespace

std::vector<FeedOutput> Engine::step(std::span<const Feed> feeds) {
  EngineState& state = *state_;
  std::vector<FeedOutput> outputs(feeds.size());
  if (feeds.empty()) return outputs;
  std::vector<Work> works = make_works(state, feeds, outputs);
  const Work& last = works.back();
  Status room = reserve_logits(state, last.logits_begin + (last.is_failed ? 0 : last.feed->logit_rows));
  if (room.ok()) room = reserve_states(state, last.states_begin + (last.is_failed ? 0 : last.feed->state_rows));
  for (Work& work : works) {
    if (!room.ok() && !work.is_failed) work.fail(room.error());
  }
  for (auto pieces = next_pieces(state, works); !pieces.empty(); pieces = next_pieces(state, works)) {
    run_pieces(state, pieces);
  }
  const int64_t vocab = state.decoder->vocab;
  for (const Work& work : works) {
    if (work.is_failed) continue;
    const auto [logit_rows, state_rows] = std::pair(work.feed->logit_rows, work.feed->state_rows);
    if (logit_rows > 0) work.output->logits = {state.logits.get() + work.logits_begin * vocab, logit_rows, vocab};
    if (state_rows > 0) work.output->state = states_view(state, work.states_begin, state_rows);
  }
  return outputs;
}

Result<Logits> Engine::feed(Session& session, std::span<const int32_t> ids, int64_t logit_rows) {
  const Feed one{.session = &session, .ids = ids, .logit_rows = logit_rows};
  std::vector<FeedOutput> outputs = step({&one, 1});
  if (!outputs[0].status.ok()) return std::move(outputs[0].status).error();
  return outputs[0].logits;
}

}  // namespace naru::engine
