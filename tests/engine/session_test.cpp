// Sessions and pages: exact accounting, sharing, copies before writes, eviction, and errors that touch one feed only.
#include <fstream>
#include <limits>

#include "chips/distant/distant_chip.h"
#include "formats/tensor_file.h"
#include "tests/engine/harness.h"

namespace naru::engine {
namespace {

int64_t n_used(Engine& engine) {
  return engine.stats().n_pages_total - engine.stats().n_pages_available();
}

TEST(Session, PagesAreCountedExactly) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(128, 2));
  EXPECT_EQ(rig->stats().n_pages_total, 8);
  const auto ids = make_ids(128, 1, rig->vocab());
  auto session = rig->new_session();
  EXPECT_EQ(n_used(*rig), 0);
  EXPECT_EQ(rig->pages_needed(*session, 33), 2);
  feed_bits(*rig, *session, std::span(ids).first(33));
  EXPECT_EQ(n_used(*rig), 2);
  EXPECT_EQ(rig->pages_needed(*session, 31), 0);
  EXPECT_EQ(rig->pages_needed(*session, 32), 1);
  session->truncate(32);
  EXPECT_EQ(n_used(*rig), 1);
  session->truncate(31);
  EXPECT_EQ(n_used(*rig), 1);
  EXPECT_EQ(rig->pages_needed(*session, 1), 1) << "the page is shared with the prefix cache";
  session->truncate(0);
  EXPECT_EQ(n_used(*rig), 0);
  EXPECT_EQ(rig->stats().n_pages_cached, 1);
  expect_no_pages_held(*rig);
}

TEST(Session, SharedPagesAreCopiedBeforeAWriteAndOnlyThen) {
  EngineOptions options = small_options(128, 2);
  options.share_prefixes = false;
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", options);
  const auto ids = make_ids(50, 2, rig->vocab());
  const auto session = rig->new_session();
  feed_bits(*rig, *session, ids);
  EXPECT_EQ(n_used(*rig), 2);
  {
    const Snapshot snapshot = session->snapshot();
    EXPECT_EQ(n_used(*rig), 2);
    EXPECT_EQ(rig->stats().n_pages_copied, 0);
    feed_bits(*rig, *session, std::span(ids).first(1));
    EXPECT_EQ(rig->stats().n_pages_copied, 1);
    EXPECT_EQ(n_used(*rig), 3);
    feed_bits(*rig, *session, std::span(ids).first(1));
    EXPECT_EQ(rig->stats().n_pages_copied, 1);
    Snapshot moved = session->snapshot();
    const Snapshot taken(std::move(moved));
    EXPECT_EQ(taken.length(), 52);
  }
  EXPECT_EQ(n_used(*rig), 2);
  session->truncate(0);
  expect_no_pages_held(*rig);
}

TEST(Session, PrefixesAreSharedByExactTokensWithinAScope) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(128, 4));
  const auto ids = make_ids(96, 3, rig->vocab());
  {
    const auto session = rig->new_session(7);
    feed_bits(*rig, *session, ids);
  }
  EXPECT_EQ(rig->stats().n_pages_cached, 3);
  const auto other = rig->new_session(8);
  EXPECT_EQ(other->adopt_prefix(ids), 0);
  const auto same = rig->new_session(7);
  EXPECT_EQ(same->adopt_prefix(ids), 64) << "the last token must be computed, so its page is not taken";
  const auto longer = rig->new_session(7);
  std::vector<int32_t> more = ids;
  more.push_back(5);
  EXPECT_EQ(longer->adopt_prefix(more), 96);
  std::vector<int32_t> changed = more;
  changed[40] = changed[40] == 5 ? 6 : 5;
  const auto partly = rig->new_session(7);
  EXPECT_EQ(partly->adopt_prefix(changed), 32);
  EXPECT_EQ(rig->stats().prefix_hit_tokens, 64 + 96 + 32);
  EXPECT_EQ(rig->stats().prefix_query_tokens, 96 + 96 + 97 + 97);
  // A session at the border of a page can go on adopting.
  std::vector<int32_t> grown(ids.begin(), ids.begin() + 32);
  const auto late = rig->new_session(7);
  feed_bits(*rig, *late, grown);
  EXPECT_EQ(late->adopt_prefix(more), 64);
  EXPECT_EQ(late->ids(), ids);
}

TEST(Session, PagesOfThePrefixCacheAreGivenUpOldestFirst) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(128, 1));
  auto a = make_ids(64, 4, rig->vocab());
  auto b = make_ids(64, 5, rig->vocab());
  const auto session = rig->new_session();
  feed_bits(*rig, *session, a);
  session->truncate(0);
  feed_bits(*rig, *session, b);
  session->truncate(0);
  EXPECT_EQ(rig->stats().n_pages_cached, 4);
  a.push_back(3), b.push_back(3);
  EXPECT_EQ(session->adopt_prefix(a), 64);  // a is the younger now
  session->truncate(0);
  feed_bits(*rig, *session, make_ids(31, 6, rig->vocab()));
  session->truncate(0);
  EXPECT_EQ(rig->stats().n_evictions, 1);
  EXPECT_EQ(session->adopt_prefix(b), 32) << "the end of b went first";
  session->truncate(0);
  feed_bits(*rig, *session, make_ids(40, 6, rig->vocab()));
  session->truncate(0);
  EXPECT_EQ(session->adopt_prefix(b), 32) << "b was used since: now the end of a went";
  session->truncate(0);
  EXPECT_EQ(session->adopt_prefix(a), 32);
  EXPECT_EQ(rig->stats().n_evictions, 2);
}

TEST(Session, OutOfPagesFailsTheFeedAndNothingElse) {
  EngineOptions options = small_options(64, 2);
  options.share_prefixes = false;
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", options);
  const auto ids = make_ids(64, 7, rig->vocab());
  const auto a = rig->new_session();
  const auto b = rig->new_session();
  const auto c = rig->new_session();
  feed_bits(*rig, *a, std::span(ids).first(64));
  feed_bits(*rig, *b, std::span(ids).first(31));
  const Feed feeds[] = {{.session = c.get(), .ids = std::span(ids).first(33)},
                        {.session = b.get(), .ids = std::span(ids).subspan(31, 1)}};
  const auto outputs = rig->step(feeds);
  ASSERT_FALSE(outputs[0].status.ok());
  EXPECT_EQ(outputs[0].status.error().code, Code::kResourceExhausted);
  EXPECT_NE(outputs[0].status.error().message.find("all 4 pages"), std::string::npos);
  EXPECT_EQ(c->length(), 0);
  EXPECT_EQ(c->n_pages(), 0);
  EXPECT_TRUE(outputs[1].status.ok());
  EXPECT_EQ(b->length(), 32);
  EXPECT_EQ(n_used(*rig), 3);
}

TEST(Session, BadFeedsAreRefusedAlone) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(64, 3));
  const auto ids = make_ids(65, 8, rig->vocab());
  const std::vector<int32_t> wild = {5, 97}, negative = {-1};
  const auto a = rig->new_session();
  const auto b = rig->new_session();
  const auto c = rig->new_session();
  const auto d = rig->new_session();
  const Feed feeds[] = {{.session = a.get(), .ids = wild},
                        {.session = b.get(), .ids = ids},
                        {.session = c.get(), .ids = std::span(ids).first(64)},
                        {.session = d.get(), .ids = negative, .logit_rows = n_of(negative)}};
  const auto outputs = rig->step(feeds);
  EXPECT_EQ(outputs[0].status.error().code, Code::kInvalidArgument);
  EXPECT_NE(outputs[0].status.error().message.find("token 1 of 2 has id 97"), std::string::npos);
  EXPECT_EQ(outputs[1].status.error().code, Code::kOutOfRange);
  EXPECT_NE(outputs[1].status.error().message.find("the context holds 64"), std::string::npos);
  EXPECT_TRUE(outputs[2].status.ok());
  EXPECT_EQ(outputs[3].status.error().code, Code::kInvalidArgument);
  EXPECT_EQ(a->length() + b->length() + d->length(), 0);
  EXPECT_EQ(c->length(), 64);
  const auto full = rig->feed(*c, std::span(ids).first(1));
  EXPECT_EQ(full.error().code, Code::kOutOfRange);
}

// A copy of llama-gqa to write other weights into.
class PatchedModel {
 public:
  PatchedModel() : path_(std::filesystem::path(::testing::TempDir()) / ("naru_patched_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::copy(fixture_model("llama-gqa"), path_);
  }
  ~PatchedModel() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

  void set(const std::string& tensor, int64_t row, int64_t column, float value) {
    int64_t offset = 0;
    {
      const auto files = formats::TensorFiles::open(path_);
      ASSERT_TRUE(files.ok());
      const auto* entry = files->find(tensor);
      ASSERT_NE(entry, nullptr);
      offset = entry->offset + (row * entry->shape[1] + column) * int64_t{sizeof(float)};
    }
    std::fstream file(path_ / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offset);
    file.write(reinterpret_cast<const char*>(&value), sizeof value);
  }

 private:
  std::filesystem::path path_;
};

TEST(Session, NumbersNotFiniteFailTheirFeedOnly) {
  const int32_t poison = 17;
  PatchedModel patched;
  patched.set("model.embed_tokens.weight", poison, 0, std::numeric_limits<float>::quiet_NaN());
  for (const std::string chip : {"reference", "cpu"}) {
    Rig clean = open_rig(fixture_model("llama-gqa"), chip, small_options(64, 3));
    Rig rig = open_rig(patched.path(), chip, small_options(64, 3));
    auto ids = make_ids(40, 9, rig->vocab());
    std::replace(ids.begin(), ids.end(), poison, 18);
    const auto alone = clean->new_session();
    const Bits wanted = feed_bits(*clean, *alone, ids);
    auto bad = make_ids(50, 10, rig->vocab());
    std::replace(bad.begin(), bad.end(), poison, 18);
    const auto a = rig->new_session();
    const auto b = rig->new_session();
    const auto c = rig->new_session();
    feed_bits(*rig, *b, std::span(bad).first(20));
    bad[45] = poison;
    const Feed feeds[] = {{.session = a.get(), .ids = ids},
                          {.session = b.get(), .ids = std::span(bad).subspan(20)},
                          {.session = c.get(), .ids = ids}};
    const auto outputs = rig->step(feeds);
    ASSERT_TRUE(outputs[0].status.ok() && outputs[2].status.ok());
    EXPECT_EQ(bits_of(outputs[0].logits), wanted);
    EXPECT_EQ(bits_of(outputs[2].logits), wanted);
    ASSERT_FALSE(outputs[1].status.ok());
    EXPECT_EQ(outputs[1].status.error().code, Code::kOutOfRange) << outputs[1].status.error().message;
    EXPECT_NE(outputs[1].status.error().message.find("running token 45 of a sequence"), std::string::npos)
        << outputs[1].status.error().message;
    EXPECT_NE(outputs[1].status.error().message.find("layer 0"), std::string::npos);
    EXPECT_EQ(b->length(), 20);
    EXPECT_EQ(b->n_pages(), 1);
    // The session goes on as if nothing had been.
    const auto after = feed_bits(*rig, *b, std::span(ids).first(5));
    const auto fresh = rig->new_session();
    feed_bits(*rig, *fresh, std::span(bad).first(20));
    EXPECT_EQ(after, feed_bits(*rig, *fresh, std::span(ids).first(5)));
  }
}

// All that are guilty fail at once, each with its token, and the others run once more.
TEST(Session, TheGuiltyAreNamedAndTheOthersRunOnceMore) {
  const int32_t poison = 17;
  PatchedModel patched;
  patched.set("model.embed_tokens.weight", poison, 0, std::numeric_limits<float>::quiet_NaN());
  for (const std::string chip : {"reference", "cpu"}) {
    Rig clean = open_rig(fixture_model("llama-gqa"), chip, small_options(64, 4));
    Rig rig = open_rig(patched.path(), chip, small_options(64, 4));
    auto ids = make_ids(12, 9, rig->vocab());
    std::replace(ids.begin(), ids.end(), poison, 18);
    const auto alone = clean->new_session();
    const Bits wanted = feed_bits(*clean, *alone, ids);
    auto early = ids, late = ids;
    early[3] = poison;
    late[7] = late[11] = poison;
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<Feed> feeds;
    for (const std::vector<int32_t>* each : {&ids, &early, &late, &ids}) {
      sessions.push_back(rig->new_session(sessions.size()));
      feeds.push_back({sessions.back().get(), *each});
    }
    const int64_t before = rig->stats().n_forwards;
    const auto outputs = rig->step(feeds);
    EXPECT_EQ(rig->stats().n_forwards - before, 2) << chip;
    EXPECT_EQ(bits_of(outputs[0].logits), wanted) << chip;
    EXPECT_EQ(bits_of(outputs[3].logits), wanted) << chip;
    ASSERT_FALSE(outputs[1].status.ok() || outputs[2].status.ok());
    EXPECT_EQ(outputs[1].status.error().message.find("running token 3 of a sequence: layer 0: rms_norm"), 0u)
        << outputs[1].status.error().message;
    EXPECT_EQ(outputs[2].status.error().message.find("running token 7 of a sequence: rms_norm: numbers that are not"),
              0u)
        << outputs[2].status.error().message;
    EXPECT_EQ(sessions[1]->length() + sessions[2]->length(), 0);
  }
}

// A chip that loses an op fails the step, whoever ran in it; the next one has the bits of a chip that lost nothing.
TEST(Session, ALostOpFailsItsStepAlone) {
  Rig clean = open_rig(fixture_model("llama-gqa"), "cpu", small_options(64, 1));
  const auto ids = make_ids(30, 9, clean->vocab());
  const auto alone = clean->new_session();
  const Bits wanted = feed_bits(*clean, *alone, ids);
  for (const int64_t at : {0, 1, 9, 40, 41, 77}) {
    Rig rig;
    rig.chip =
        distant::make_distant_chip(test::make_chip("reference"), {.fault = distant::Fault{distant::Call::kRun, at}});
    rig.engine = Engine::open(fixture_model("llama-gqa"), small_options(64, 1), *rig.chip).value();
    const auto session = rig->new_session();
    int n_failed = 0;
    Bits last;
    for (size_t begin = 0; begin < ids.size();) {
      const auto logits = rig->feed(*session, std::span(ids).subspan(begin, 5));
      if (logits.ok()) {
        begin += 5;
        last = bits_of(*logits);
        continue;
      }
      EXPECT_EQ(logits.error().code, Code::kUnavailable) << logits.error().message;
      EXPECT_EQ(session->length(), static_cast<int64_t>(begin)) << at;
      ASSERT_LT(++n_failed, 2) << at;
    }
    EXPECT_EQ(n_failed, 1) << at;
    EXPECT_EQ(last, wanted) << at;
  }
}

// Keys and values of one token overflow on their way into the cache. The pages they were in serve others later.
TEST(Session, PagesOfAFailedFeedHarmNobody) {
  const int32_t poison = 17;
  PatchedModel patched;
  for (int32_t id = 0; id < 97; ++id) patched.set("model.embed_tokens.weight", id, 0, id == poison ? 100.0f : 0.0f);
  for (const std::string tensor : {"k_proj", "v_proj"}) {
    for (int64_t row = 0; row < 16; ++row) {
      patched.set("model.layers.0.self_attn." + tensor + ".weight", row, 0, 3e38f);
    }
  }
  for (const std::string chip : {"reference", "cpu"}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      EngineOptions options = small_options(64, 2);
      options.load.cache_dtype = dtype;
      Rig rig = open_rig(patched.path(), chip, options);
      auto ids = make_ids(40, 12, rig->vocab());
      std::replace(ids.begin(), ids.end(), poison, 18);
      Bits wanted;
      for (int turn = 0; turn < 2; ++turn) {
        const auto session = rig->new_session();
        for (size_t i = 0; i < ids.size(); i += 10) {
          const Bits bits = feed_bits(*rig, *session, std::span(ids).subspan(i, 10));
          wanted.insert(wanted.end(), bits.begin(), bits.end());
        }
        session->truncate(0);
        rig->drop_prefix_cache();
        if (turn == 1) break;
        const auto bad = rig->new_session();
        const std::vector<int32_t> all_bad(64, poison);
        const auto logits = rig->feed(*bad, all_bad);
        ASSERT_FALSE(logits.ok());
        EXPECT_NE(logits.error().message.find("layer 0: cache_write"), std::string::npos) << logits.error().message;
      }
      const auto half = static_cast<int64_t>(wanted.size()) / 2;
      EXPECT_EQ(Bits(wanted.begin(), wanted.begin() + half), Bits(wanted.begin() + half, wanted.end()))
          << chip << ' ' << dtype_name(dtype);
    }
  }
}

TEST(Engine, OpensWithoutATokenizerAndSaysWhy) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(64, 1));
  EXPECT_EQ(rig->tokenizer(), nullptr);
  EXPECT_EQ(rig->chat_template(), nullptr);
  EXPECT_EQ(rig->tokenizer_status().error().code, Code::kNotFound);
  EXPECT_EQ(rig->eos_ids(), std::vector<int32_t>{1});
  EXPECT_EQ(rig->vocab(), 97);
}

TEST(Engine, LoadingCanBeCancelled) {
  const auto chip = make_chip("reference");
  EngineOptions options = small_options(64, 1);
  options.progress = [](int64_t, int64_t) { return false; };
  const auto engine = Engine::open(fixture_model("llama-gqa"), options, *chip);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code, Code::kCancelled);
}

}  // namespace
}  // namespace naru::engine
