// Equal bits: a sequence's logits do not depend on what runs beside it, how its tokens are cut, which pages it gets, or
// where its cache came from. On tiny checkpoints of every kind of attention and arithmetic, on both chips; all
// comparisons are ==.
#include <cmath>
#include <set>

#include "tests/engine/harness.h"

namespace naru::engine {
namespace {

class EqualBits : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  Rig open(const EngineOptions& options) const {
    return open_rig(fixture_model(std::get<1>(GetParam())), std::get<0>(GetParam()), options);
  }
};

// The last logits of `ids` alone on a fresh engine, then of each of `more` fed singly.
std::vector<Bits> alone(Rig& rig, std::span<const int32_t> ids, std::span<const int32_t> more) {
  const auto session = rig->new_session();
  std::vector<Bits> rows{feed_bits(*rig, *session, ids)};
  for (size_t i = 0; i < more.size(); ++i) rows.push_back(feed_bits(*rig, *session, more.subspan(i, 1)));
  return rows;
}

TEST_P(EqualBits, AloneAndInABatch) {
  EngineOptions options = small_options(96, 64);
  options.share_prefixes = false;
  Rig rig = open(options);
  std::vector<std::vector<int32_t>> prompts, more;
  std::vector<std::vector<Bits>> wanted;
  for (uint64_t i = 0; i < 64; ++i) {
    prompts.push_back(make_ids(1 + static_cast<int64_t>(i * 7 % 41), i, rig->vocab()));
    more.push_back(make_ids(2, 1000 + i, rig->vocab()));
    wanted.push_back(alone(rig, prompts.back(), more.back()));
  }
  for (const size_t n : {size_t{2}, size_t{7}, size_t{64}}) {
    std::vector<std::unique_ptr<Session>> sessions;
    for (size_t i = 0; i < n; ++i) sessions.push_back(rig->new_session());
    for (size_t turn = 0; turn < 3; ++turn) {
      std::vector<Feed> feeds;
      for (size_t i = 0; i < n; ++i) {
        const std::span<const int32_t> ids =
            turn == 0 ? std::span<const int32_t>(prompts[i]) : std::span<const int32_t>(more[i]).subspan(turn - 1, 1);
        feeds.push_back({.session = sessions[i].get(), .ids = ids});
      }
      const auto outputs = rig->step(feeds);
      for (size_t i = 0; i < n; ++i) {
        ASSERT_TRUE(outputs[i].status.ok()) << outputs[i].status.error().message;
        ASSERT_EQ(bits_of(outputs[i].logits), wanted[i][turn])
            << "batch " << n << " sequence " << i << " turn " << turn;
      }
    }
  }
  expect_no_pages_held(*rig);
}

TEST_P(EqualBits, WholeAndInChunks) {
  Bits wanted;
  for (const int64_t chunk : {512, 1, 5, 32}) {
    Rig rig = open(small_options(128, 1, chunk));
    const auto ids = make_ids(101, 3, rig->vocab());
    const auto session = rig->new_session();
    const Bits bits = feed_bits(*rig, *session, ids, n_of(ids));
    ASSERT_EQ(bits.size(), 101u * static_cast<size_t>(rig->vocab()));
    if (chunk == 512) wanted = bits;
    EXPECT_EQ(bits, wanted) << "chunk " << chunk;
    session->truncate(0);
    rig->drop_prefix_cache();
    const Bits last = feed_bits(*rig, *session, ids);
    EXPECT_EQ(last, Bits(wanted.end() - static_cast<int64_t>(last.size()), wanted.end())) << "chunk " << chunk;
  }
}

TEST_P(EqualBits, TruncatedAndGrownAgain) {
  Rig rig = open(small_options(128, 2));
  const auto ids = make_ids(100, 4, rig->vocab());
  const auto other = make_ids(60, 5, rig->vocab());
  const auto fresh = rig->new_session();
  const Bits wanted = feed_bits(*rig, *fresh, ids, n_of(ids));
  const auto vocab = static_cast<int64_t>(rig->vocab());
  for (const int64_t keep : {0, 1, 31, 32, 33, 64, 99}) {
    const auto session = rig->new_session();
    feed_bits(*rig, *session, std::span(ids).first(static_cast<size_t>(keep) + 1));
    if (keep < 60) feed_bits(*rig, *session, std::span(other).first(30));
    session->truncate(keep);
    EXPECT_EQ(session->length(), keep);
    const auto rest = std::span(ids).subspan(static_cast<size_t>(keep));
    const Bits bits = feed_bits(*rig, *session, rest, n_of(rest));
    EXPECT_EQ(bits, Bits(wanted.begin() + keep * vocab, wanted.end())) << "kept " << keep;
  }
}

TEST_P(EqualBits, SnapshotAndRestore) {
  Rig rig = open(small_options(128, 4));
  const auto ids = make_ids(45, 6, rig->vocab());
  const auto left = make_ids(40, 7, rig->vocab());
  const auto right = make_ids(40, 8, rig->vocab());
  std::vector<int32_t> whole = ids;
  whole.insert(whole.end(), left.begin(), left.end());
  const Bits wanted_left = alone(rig, whole, {})[0];
  whole.resize(ids.size());
  whole.insert(whole.end(), right.begin(), right.end());
  const Bits wanted_right = alone(rig, whole, {})[0];

  const auto session = rig->new_session();
  feed_bits(*rig, *session, ids);
  {
    const Snapshot snapshot = session->snapshot();
    EXPECT_EQ(feed_bits(*rig, *session, left), wanted_left);
    session->restore(snapshot);
    EXPECT_EQ(session->length(), 45);
    EXPECT_EQ(feed_bits(*rig, *session, right), wanted_right);
    const auto branch = rig->new_session();
    branch->restore(snapshot);
    EXPECT_EQ(feed_bits(*rig, *branch, left), wanted_left);
    // Both branches are still whole.
    session->restore(snapshot);
    EXPECT_EQ(feed_bits(*rig, *session, left), wanted_left);
  }
  session->truncate(0);
  expect_no_pages_held(*rig);
}

TEST_P(EqualBits, BranchesGrownInTurns) {
  Rig rig = open(small_options(128, 4));
  const auto trunk = make_ids(40, 14, rig->vocab());
  std::vector<std::vector<int32_t>> ends;
  std::vector<std::unique_ptr<Session>> branches;
  std::vector<Bits> wanted;
  for (uint64_t i = 0; i < 3; ++i) {
    ends.push_back(make_ids(24, 15 + i, rig->vocab()));
    std::vector<int32_t> whole = trunk;
    whole.insert(whole.end(), ends.back().begin(), ends.back().end());
    wanted.push_back(alone(rig, whole, {})[0]);
    branches.push_back(rig->new_session());
  }
  feed_bits(*rig, *branches[0], trunk);
  {
    const Snapshot snapshot = branches[0]->snapshot();
    for (size_t i = 1; i < 3; ++i) branches[i]->restore(snapshot);
  }
  std::vector<Bits> last(3);
  for (size_t at = 0; at < 24; at += 4) {
    for (size_t i = 0; i < 3; ++i) last[i] = feed_bits(*rig, *branches[i], std::span(ends[i]).subspan(at, 4));
  }
  EXPECT_EQ(last, wanted);
  EXPECT_EQ(rig->stats().n_pages_copied, 2);
}

TEST_P(EqualBits, PrefixFoundAndComputed) {
  Rig rig = open(small_options(160, 3));
  const auto ids = make_ids(130, 9, rig->vocab());
  const auto first = rig->new_session();
  EXPECT_EQ(first->adopt_prefix(ids), 0);
  const Bits wanted = feed_bits(*rig, *first, ids);
  const auto second = rig->new_session();
  EXPECT_EQ(second->adopt_prefix(ids), 128);
  EXPECT_EQ(feed_bits(*rig, *second, std::span(ids).subspan(128)), wanted);
  // Grown by single tokens in a third: every page it fills becomes the one that is there already.
  const auto third = rig->new_session();
  Bits last;
  for (const int32_t id : ids) last = feed_bits(*rig, *third, {&id, 1});
  EXPECT_EQ(last, wanted);
  EXPECT_EQ(rig->stats().n_pages_total - rig->stats().n_pages_available(), 4 + 3);
}

TEST_P(EqualBits, AnyPagesInAnyState) {
  EngineOptions options = small_options(128, 2);
  options.share_prefixes = false;
  Rig rig = open(options);
  const auto ids = make_ids(77, 10, rig->vocab());
  const auto noise = make_ids(128, 11, rig->vocab());
  const Bits wanted = alone(rig, ids, {})[0];
  for (uint64_t seed = 0; seed < 4; ++seed) {
    {  // fills all pages with another sequence's rows
      const auto a = rig->new_session();
      const auto b = rig->new_session();
      feed_bits(*rig, *a, noise);
      feed_bits(*rig, *b, noise);
      EXPECT_EQ(rig->stats().n_pages_free, 0);
    }
    rig->shuffle_free_pages(seed);
    EXPECT_EQ(alone(rig, ids, {})[0], wanted) << "seed " << seed;
  }
}

// Any number of last rows has its logits and states, whatever it is beside and however it is cut.
TEST_P(EqualBits, AnyNumberOfRows) {
  const auto width = [](const Rig& rig) { return rig->model().config.hidden; };
  const auto state_bits = [&](Rig& rig, View state) {
    Bits bits(static_cast<size_t>(state.rows * state.cols));
    EXPECT_TRUE(rig.chip->copy_out(bits.data(), state.address, state.rows * state.cols * 4).ok());
    return bits;
  };
  Bits logits, states;
  for (const int64_t chunk : {512, 7, 1}) {
    Rig rig = open(small_options(96, 4, chunk));
    const int64_t vocab = rig->vocab(), n_ids = 80;
    const auto ids = make_ids(n_ids, 20, vocab), other = make_ids(33, 21, vocab);
    if (chunk == 512) {
      const auto session = rig->new_session();
      const Feed feed{.session = session.get(), .ids = ids, .logit_rows = n_ids, .guesses = 0, .state_rows = n_ids};
      const auto output = rig->step({&feed, 1})[0];
      ASSERT_TRUE(output.status.ok());
      logits = bits_of(output.logits);
      states = state_bits(rig, output.state);
      EXPECT_GT(std::set<uint32_t>(states.begin(), states.end()).size(), 100u);
    }
    for (const int64_t n : {0, 1, 5, 66, 80}) {
      const auto a = rig->new_session(), b = rig->new_session();
      const Feed feeds[] = {{.session = b.get(), .ids = other, .logit_rows = 33 - n % 33, .state_rows = n % 33},
                            {.session = a.get(), .ids = ids, .logit_rows = n, .guesses = n, .state_rows = 80 - n}};
      const auto outputs = rig->step(feeds);
      ASSERT_TRUE(outputs[0].status.ok() && outputs[1].status.ok());
      EXPECT_EQ(outputs[0].logits.rows, 33 - n % 33);
      EXPECT_EQ(outputs[0].state.rows, n % 33);
      ASSERT_EQ(outputs[1].logits.rows, n);
      ASSERT_EQ(outputs[1].state.rows, 80 - n);
      EXPECT_EQ(bits_of(outputs[1].logits), Bits(logits.end() - n * vocab, logits.end())) << chunk << " " << n;
      if (n < 80) {
        EXPECT_EQ(state_bits(rig, outputs[1].state), Bits(states.end() - (80 - n) * width(rig), states.end()))
            << chunk << " " << n;
      }
      // Guesses are shared when they are settled.
      const auto found = rig->new_session();
      EXPECT_LE(found->adopt_prefix(ids), (n_ids - n) / contract::kCachePage * contract::kCachePage);
      a->settle(70);
      EXPECT_EQ(a->length(), 70);
      found->truncate(0);
      EXPECT_EQ(found->adopt_prefix(ids), 64);
      a->truncate(0), b->truncate(0), found->truncate(0);
      rig->drop_prefix_cache();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EqualBits,
                         ::testing::Combine(::testing::Values("reference", "cpu"),
                                            ::testing::Values("llama-gqa", "llama-tied-llama3", "qwen3-wide-head",
                                                              "v2-lite", "v3-qlora", "gguf-llama-kinds")),
                         [](const auto& parameter) {
                           return test_name(std::get<0>(parameter.param) + "_" + std::get<1>(parameter.param));
                         });

TEST(EqualBitsOfForms, ExpandedLatentAttentionInABatchAndInChunks) {
  for (const std::string chip : {"reference", "cpu"}) {
    Bits wanted;
    for (const int64_t chunk : {512, 5}) {
      EngineOptions options = small_options(96, 3, chunk);
      options.load.is_latent_form = false;
      Rig rig = open_rig(fixture_model("v2-lite"), chip, options);
      const auto ids = make_ids(70, 12, rig->vocab());
      const auto other = make_ids(33, 13, rig->vocab());
      const auto a = rig->new_session();
      const auto b = rig->new_session();
      const Feed feeds[] = {{.session = b.get(), .ids = other, .logit_rows = 0},
                            {.session = a.get(), .ids = ids, .logit_rows = n_of(ids)}};
      const auto outputs = rig->step(feeds);
      ASSERT_TRUE(outputs[0].status.ok() && outputs[1].status.ok());
      EXPECT_EQ(outputs[0].logits.rows, 0);
      if (wanted.empty()) wanted = bits_of(outputs[1].logits);
      EXPECT_EQ(bits_of(outputs[1].logits), wanted) << chip << " chunk " << chunk;
    }
  }
}

}  // namespace
}  // namespace naru::engine
