// The memory plan: what is added up, what is refused and with which numbers, what the default context becomes.
#include "engine/memory_plan.h"

#include "base/memory.h"
#include "chips/planner/planner.h"
#include "contract/forwarding_chip.h"
#include "tests/engine/harness.h"

namespace naru::engine {
namespace {

struct Planner {
  std::unique_ptr<contract::Chip> chip = test::make_chip("reference");
  models::ModelPlan model;

  explicit Planner(const std::string& name) {
    const auto files = models::open_model_files(fixture_model(name));
    EXPECT_TRUE(files.ok());
    model = models::plan_model(*files, *chip, {}).value();
  }
  Result<MemoryPlan> plan(const MemoryOptions& options) { return plan_memory(model, options); }
};

constexpr int64_t kPlenty = int64_t{1} << 40;

TEST(MemoryPlan, AddsUp) {
  Planner planner("llama-gqa");
  const auto plan =
      planner.plan({.context_tokens = 100, .sessions_max = 3, .prefill_chunk = 64, .memory_bytes = kPlenty});
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(plan->context_tokens, 100);
  EXPECT_EQ(plan->n_pages, 12);
  // Two layers of keys and values, 2 heads x 8 columns x 32 positions of f32.
  EXPECT_EQ(planner.model.cache_bytes_per_page, 2 * 2 * 2 * 8 * 32 * 4);
  EXPECT_EQ(plan->cache_bytes, 12 * planner.model.cache_bytes_per_page);
  EXPECT_EQ(plan->weight_bytes, planner.model.weight_bytes);
  EXPECT_GT(plan->workspace_bytes, 64 * 32 * 4);
  EXPECT_FALSE(plan->is_context_reduced);
  EXPECT_EQ(plan->needed_bytes(), plan->weight_bytes + plan->cache_bytes + plan->workspace_bytes + plan->reserve_bytes);
}

TEST(MemoryPlan, ACacheOfSoManyTokens) {
  Planner planner("llama-gqa");
  MemoryOptions options;
  options.context_tokens = 100;
  options.sessions_max = 16;
  options.memory_bytes = kPlenty;
  options.cache_tokens = 300;
  EXPECT_EQ(planner.plan(options)->n_pages, 10);
  options.cache_tokens = 1;  // one context at least
  EXPECT_EQ(planner.plan(options)->n_pages, 4);
  options.cache_tokens = int64_t{1} << 30;
  options.memory_bytes = int64_t{1} << 30;
  const auto refused = planner.plan(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("a cache of 1073741824 tokens"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("ask for a smaller cache"), std::string::npos);
  options.cache_tokens = -1;
  EXPECT_EQ(planner.plan(options).error().code, Code::kInvalidArgument);
  options.cache_tokens = (int64_t{1} << 40) + 1;
  EXPECT_EQ(planner.plan(options).error().code, Code::kInvalidArgument);
}

// One pass decodes all sessions where their logits are small; of a large vocabulary 64.
TEST(MemoryPlan, LogitsOfAPassGrowWithTheSessions) {
  Planner planner("llama-gqa");
  const auto rows = [&](int64_t sessions, int64_t chunk) {
    return planner
        .plan({.context_tokens = 100, .sessions_max = sessions, .prefill_chunk = chunk, .memory_bytes = kPlenty})
        ->logit_rows;
  };
  EXPECT_EQ(rows(1, 512), 64);
  EXPECT_EQ(rows(200, 512), 200);
  EXPECT_EQ(rows(200, 128), 128);
  EXPECT_EQ(rows(2, 16), 16);
  EXPECT_EQ(rows(kSessionsMax, kPrefillChunkMax),
            std::min(kSessionsMax, (int64_t{8} << 20) / (4 * planner.model.shape->vocab)));
}

// A chip that gives so many bytes at once.
class PieceChip : public contract::ForwardingChip {
 public:
  PieceChip(contract::Chip& chip, int64_t piece) : ForwardingChip(chip), of_(chip), piece_(piece) {}
  std::unique_ptr<contract::Chip> planner() const override { return planner::make_planner(of_, piece_); }

 private:
  contract::Chip& of_;
  int64_t piece_;
};

// A stream of a layer's cache lies in one piece: two heads of eight f32 at 32 positions are 2 KiB a page.
TEST(MemoryPlan, NoPieceIsLargerThanTheChipGivesAtOnce) {
  const Planner whole("llama-gqa");
  PieceChip chip(*whole.chip, int64_t{128} * 2048);
  const auto files = models::open_model_files(fixture_model("llama-gqa"));
  models::ModelPlan model = models::plan_model(*files, chip, {}).value();
  model.config.max_positions = 100000;
  MemoryOptions options{.context_tokens = 4096, .prefill_chunk = 8, .memory_bytes = kPlenty};
  const auto all = plan_memory(model, options);
  ASSERT_TRUE(all.ok()) << all.error().message;
  options.context_tokens = 4097;
  const auto longer = plan_memory(model, options);
  ASSERT_FALSE(longer.ok());
  EXPECT_EQ(longer.error().code, Code::kResourceExhausted);
  EXPECT_EQ(longer.error().message,
            "planning memory: of a cache of 129 pages of 32 tokens a layer has more than chip reference gives in one "
            "piece, which holds 128 pages; ask for a context of at most 4096 tokens");
  options.context_tokens = 0;
  const auto shorter = plan_memory(model, options);
  ASSERT_TRUE(shorter.ok()) << shorter.error().message;
  EXPECT_EQ(shorter->context_tokens, 4096);
  EXPECT_NE(shorter->note.find("more does not fit one piece of the memory of chip reference"), std::string::npos)
      << shorter->note;
  options.prefill_chunk = kPrefillChunkMax;
  const auto no_work = plan_memory(model, options);
  ASSERT_FALSE(no_work.ok());
  EXPECT_NE(no_work.error().message.find(" in one piece, but chip reference gives"), std::string::npos)
      << no_work.error().message;
}

// A chip whose pages are of 2 MiB a stream.
class LargePageChip : public contract::ForwardingChip {
 public:
  using ForwardingChip::ForwardingChip;
  int64_t cache_page_bytes(const contract::CacheShape&) const override { return int64_t{2} << 20; }
};

TEST(MemoryPlan, APieceOfLargePagesIsNoLargerEither) {
  const Planner whole("llama-gqa");
  LargePageChip pages(*whole.chip);
  PieceChip chip(pages, int64_t{128} * (int64_t{2} << 20));
  const auto files = models::open_model_files(fixture_model("llama-gqa"));
  models::ModelPlan model = models::plan_model(*files, chip, {}).value();
  model.config.max_positions = 100000;
  MemoryOptions options{.context_tokens = 4096, .prefill_chunk = 8, .memory_bytes = kPlenty};
  const auto all = plan_memory(model, options);
  ASSERT_TRUE(all.ok()) << all.error().message;
  options.context_tokens = 4097;
  const auto longer = plan_memory(model, options);
  ASSERT_FALSE(longer.ok());
  EXPECT_NE(longer.error().message.find("in one piece, which holds 128 pages"), std::string::npos)
      << longer.error().message;
}

TEST(MemoryPlan, TheDefaultContextIsTheModelsOwnWhereThatIsLess) {
  Planner planner("llama-gqa");
  MemoryOptions options;
  options.memory_bytes = kPlenty;
  EXPECT_EQ(planner.plan(options)->context_tokens, 2048);
  planner.model.config.max_positions = 100000;
  EXPECT_EQ(planner.plan(options)->context_tokens, kContextDefaultMax);
}

TEST(MemoryPlan, TheDefaultContextShrinksToWhatFitsAndSaysSo) {
  Planner planner("llama-gqa");
  MemoryOptions options;
  options.memory_bytes = kPlenty;
  const int64_t whole = planner.plan(options)->needed_bytes();
  options.memory_bytes = whole;
  EXPECT_FALSE(planner.plan(options)->is_context_reduced);
  options.memory_bytes = whole - 1;
  const auto plan = planner.plan(options);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_TRUE(plan->is_context_reduced);
  EXPECT_EQ(plan->context_tokens, 2048 - 32);
  EXPECT_LE(plan->needed_bytes(), whole - 1);
  EXPECT_NE(plan->note.find("2016 tokens instead of 2048"), std::string::npos) << plan->note;
}

TEST(MemoryPlan, AContextThatWasAskedForIsRefusedWithTheNumbers) {
  Planner planner("llama-gqa");
  MemoryOptions options{.context_tokens = 1000, .sessions_max = 2, .prefill_chunk = 32, .memory_bytes = kPlenty};
  const int64_t whole = planner.plan(options)->needed_bytes();
  options.memory_bytes = whole - 1;
  const auto plan = planner.plan(options);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, Code::kResourceExhausted);
  const std::string& message = plan.error().message;
  EXPECT_NE(message.find("2 x 1000 tokens"), std::string::npos) << message;
  EXPECT_NE(message.find(format_bytes(whole)), std::string::npos) << message;
  EXPECT_NE(message.find("at most 992 tokens or fewer sessions"), std::string::npos) << message;
}

TEST(MemoryPlan, WeightsAloneCanBeTooMuch) {
  Planner planner("llama-gqa");
  MemoryOptions options;
  options.memory_bytes = planner.model.weight_bytes;
  const auto plan = planner.plan(options);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, Code::kResourceExhausted);
  EXPECT_NE(plan.error().message.find("smaller weights"), std::string::npos) << plan.error().message;
}

TEST(MemoryPlan, LimitsAtAndBeyond) {
  Planner planner("llama-gqa");
  const auto code = [&](int64_t context, int64_t sessions, int64_t chunk) {
    const auto plan = planner.plan(
        {.context_tokens = context, .sessions_max = sessions, .prefill_chunk = chunk, .memory_bytes = kPlenty});
    return plan.ok() ? std::string("ok") : std::string(code_name(plan.error().code));
  };
  EXPECT_EQ(code(2048, 1, 8), "ok");
  EXPECT_EQ(code(2049, 1, 8), code_name(Code::kOutOfRange));
  EXPECT_EQ(code(-1, 1, 8), code_name(Code::kInvalidArgument));
  EXPECT_EQ(code(32, kSessionsMax, 8), "ok");
  EXPECT_EQ(code(32, kSessionsMax + 1, 8), code_name(Code::kInvalidArgument));
  EXPECT_EQ(code(32, 0, 8), code_name(Code::kInvalidArgument));
  EXPECT_EQ(code(32, 1, 0), code_name(Code::kInvalidArgument));
  EXPECT_EQ(code(32, 1, kPrefillChunkMax + 1), code_name(Code::kInvalidArgument));
  planner.model.config.max_positions = INT64_MAX;
  EXPECT_EQ(code(INT64_MAX / 2, kSessionsMax, 8), code_name(Code::kResourceExhausted));
}

}  // namespace
}  // namespace naru::engine
