// Chips that fail: answers that are shown and not learnt from end no run that could go on, errors agree with nothing,
// and what an error of such a chip says.
#include <fmt/format.h>

#include "contract/op_table.h"
#include "tests/train/fault_rig.h"
#include "tests/train/faulty_chip.h"

namespace naru::train {
namespace {

// A chip that fails in ops of one name, so often.
class FailingChip final : public contract::ForwardingChip {
 public:
  FailingChip(std::string op, Error error, int64_t times, bool is_in_answers = false)
      : ForwardingChip(best_cpu()),
        op_(std::move(op)),
        error_(std::move(error)),
        left_(times),
        is_in_answers_(is_in_answers) {}
  void fail(int64_t times) { left_ = times; }
  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override {
    is_decoding_ = std::all_of(rows.begin(), rows.end(), [](const auto& each) { return each.n_rows == 1; });
    return chip_.make_sequences(rows);
  }
  Status run(const contract::Op& op) override {
    if (contract::op_name(op) != op_ || (is_in_answers_ && !is_decoding_) || left_ == 0) return chip_.run(op);
    --left_;
    return error_;
  }

 private:
  std::string op_;
  Error error_;
  int64_t left_;
  bool is_in_answers_, is_decoding_ = false;
};

const Error kOverflow{Code::kOutOfRange, "rms_norm: row 0: the sum of squares is inf"};
const Error kBroken{Code::kInternal, "weight_grad: an error of the chip"};

// What of metrics.jsonl has this name, by step.
std::map<int64_t, double> measured(const recipes::Recipe& recipe, const std::string& wanted) {
  std::map<int64_t, double> values;
  EXPECT_TRUE(runs::for_each_metrics(recipe.output, [&](const runs::Metrics& line) {
                for (const auto& [name, value] : line.values) {
                  if (name != wanted) continue;
                  EXPECT_FALSE(values.contains(line.step)) << name << " twice at step " << line.step;
                  values[line.step] = value;
                }
              }).ok());
  return values;
}

recipes::Recipe asking(const TrainerRig& rig, const std::string& name) {
  recipes::Recipe recipe = rechecked(rig, name);
  recipe.checkpoint.every = 100;
  recipe.validate.problems = 4;
  recipe.sample.prompts = {"1 + 1 =", "2"};
  return recipe;
}

TEST(Recheck, AnswersThatFailAreTriedAgain) {
  const TrainerRig rig;
  const recipes::Recipe clean = asking(rig, "asks");
  const std::string wanted = rig.finished(clean, best_cpu());
  recipes::Recipe recipe = asking(rig, "asks-again");
  FailingChip chip("rms_norm", kOverflow, 4, true);
  std::vector<std::string> notes;
  const auto result = rig.run(recipe, chip, keep_notes(notes));
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->weights_sha256, wanted);
  EXPECT_EQ(result->recheck_differences, 4);
  const auto confirmed = rig.run(recipe, best_cpu());
  ASSERT_TRUE(confirmed.ok()) << confirmed.error().message;
  EXPECT_EQ(confirmed->recheck_differences, 4);
  EXPECT_TRUE(has_note(notes, "the samples after step 0, try 4: an error: "));
  EXPECT_EQ(measured(recipe, "accuracy"), measured(clean, "accuracy"));
  EXPECT_EQ(read_file(fs::path(recipe.output) / "samples.jsonl", 1 << 20).value(),
            read_file(fs::path(clean.output) / "samples.jsonl", 1 << 20).value());
}

TEST(Recheck, AnswersThatNeverComeAreLeftOut) {
  const TrainerRig rig;
  const std::string wanted = rig.finished(asking(rig, "answers"), best_cpu());
  for (const int64_t every : {1, 4}) {
    recipes::Recipe recipe = asking(rig, fmt::format("no-answers-{}", every));
    recipe.guard.recheck_every = every;
    FailingChip chip("rms_norm", kOverflow, INT64_MAX, true);
    std::vector<std::string> notes;
    const auto result = rig.run(recipe, chip, keep_notes(notes));
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_EQ(result->weights_sha256, wanted);
    EXPECT_TRUE(has_note(notes, "gave 8 errors, the last: "));
    EXPECT_TRUE(has_note(notes, "; left out, as nothing is learnt from them, and the run goes on"));
    EXPECT_TRUE(measured(recipe, "accuracy").empty());
    EXPECT_EQ(measured(recipe, "samples_skipped"), (std::map<int64_t, double>{{0, 2}, {6, 2}}));
    const auto skipped = measured(recipe, "problems_skipped");
    ASSERT_TRUE(skipped.contains(6));
    EXPECT_EQ(skipped.at(6), 4);
  }
}

TEST(TrainFaults, AnswersThatFailHaveTheirCheckpointFirst) {
  const TrainerRig rig;
  recipes::Recipe clean = asking(rig, "asks-unchecked");
  clean.sample.prompts.clear();
  clean.guard.recheck_every = 0;
  const std::string wanted = rig.finished(clean, best_cpu());
  const std::map<int64_t, double> accuracies = measured(clean, "accuracy");
  ASSERT_GE(accuracies.size(), 2u);
  recipes::Recipe recipe = clean;
  recipe.output = rig.run_folder("asks-and-fails").string();
  int64_t before = 0;  // of the start before: the step whose problems it could not ask
  for (const auto& [step, value] : accuracies) {
    FailingChip chip("rms_norm", kOverflow, before == 0 ? 1 : 0, true);
    std::vector<std::string> notes;
    TrainerEvents events;
    events.note = [&](std::string_view line) {
      notes.emplace_back(line);
      if (line.ends_with("held-out problems right")) chip.fail(1);
    };
    StartOptions start;
    start.fault = "flip@matmul:0.01";
    const auto trainer = rig.open(recipe, chip, std::move(events), start);
    ASSERT_TRUE(trainer.ok()) << trainer.error().message;
    const auto result = (*trainer)->run();
    ASSERT_FALSE(result.ok()) << step;
    const std::string name = best_cpu().info().name;
    for (const std::string& part :
         {fmt::format("answering the held-out problems after step {}, on chip {}: ", step, name),
          fmt::format("; the same command goes on from step {} and asks again", step),
          std::string("guard.recheck_every=1 computes again what comes out wrong now and then"),
          fmt::format("`naru check --chip {} --inject flip@matmul:0.01`", name)}) {
      EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
    }
    EXPECT_EQ(has_note(notes, fmt::format("going on from step {} of 6", before)), before > 0);
    before = step;
  }
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
  EXPECT_EQ(measured(recipe, "accuracy"), accuracies);
}

TEST(Recheck, ErrorsAgreeWithNothing) {
  const TrainerRig rig;
  recipes::Recipe recipe = rechecked(rig, "errors");
  const std::string wanted = clean_weights(rig, recipe);
  FailingChip chip("weight_grad", kBroken, 5);
  const auto result = rig.run(recipe, chip);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->weights_sha256, wanted);
  EXPECT_EQ(result->recheck_differences, 5);
  const std::string gave = fmt::format("8 tries on chip {} gave 8 errors, the last: ", best_cpu().info().name);
  for (const Error& error : {kBroken, kOverflow, Error{Code::kUnavailable, "the chip is gone"}}) {
    recipe.output = rig.run_folder(fmt::format("errors-{}", static_cast<int>(error.code))).string();
    FailingChip always("weight_grad", error, INT64_MAX);
    const auto failed = rig.run(recipe, always);
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().code, error.code);
    EXPECT_NE(failed.error().message.find("rechecking the gradient of step 0: " + gave), std::string::npos)
        << failed.error().message;
    // Numbers that overflow at every try are the model's.
    const bool is_of_model = error.code == Code::kOutOfRange;
    EXPECT_EQ(failed.error().message.find("is not to be trusted") == std::string::npos, is_of_model);
    EXPECT_EQ(failed.error().message.find("lower optimizer.lr") != std::string::npos, is_of_model);
  }
}

TEST(TrainFaults, ANormThatIsNoNumberMayBeTheChips) {
  const TrainerRig rig;
  for (const char* fault : {"", "flip@matmul:0.01"}) {
    recipes::Recipe recipe = rig.recipe(fmt::format("no-number-{}", fault));
    test::FaultyChip chip(best_cpu(), 3, test::Fault::kNaN);
    StartOptions start;
    start.fault = fault;
    const auto trainer = rig.open(recipe, chip, {}, start);
    ASSERT_TRUE(trainer.ok()) << trainer.error().message;
    const auto result = (*trainer)->run();
    ASSERT_FALSE(result.ok());
    const std::string& said = result.error().message;
    EXPECT_NE(said.find("lower optimizer.lr, or warm up longer"), std::string::npos) << said;
    const bool is_in_doubt = *fault != 0 || !test::is_cpu();
    EXPECT_EQ(said.find("guard.recheck_every=1 computes again") != std::string::npos, is_in_doubt) << said;
    EXPECT_EQ(said.find("`naru check --chip ") != std::string::npos, is_in_doubt) << said;
  }
}

TEST(TrainFaults, NoHeldOutProblemsAreAskedWhereNoneAreWanted) {
  const TrainerRig rig;
  recipes::Recipe recipe = asking(rig, "none");
  recipe.validate.problems = 0;
  const auto result = rig.run(recipe, best_cpu());
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_FALSE(result->accuracy.has_value());
  EXPECT_TRUE(measured(recipe, "accuracy").empty());
}

TEST(TrainFaults, AFaultThatCanNeverStrikeIsRefused) {
  for (const char* text : {"flip@cache_write", "rounding@pack:0.5", "stale@cache_write", "doubled@pack"}) {
    const auto refused = check::parse_fault(text);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("writes none; choose from embed, "), std::string::npos)
        << refused.error().message;
    EXPECT_EQ(refused.error().message.find(", cache_write, "), std::string::npos);
  }
  for (const char* text : {"lost@cache_write", "error@pack", "flip@matmul", "flip"}) {
    EXPECT_TRUE(check::parse_fault(text).ok()) << text;
  }
  EXPECT_NE(check::parse_fault("").error().message.find("it names no fault; choose from flip, "), std::string::npos);
}

}  // namespace
}  // namespace naru::train
