// Where runs start: a start goes on from a good checkpoint with the data that the run began with, or it is refused and
// the folder is as it was. Nothing that was trained, measured or written is lost on the way.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "runs/json_lines.h"
#include "runs/report.h"
#include "runs/run_folder.h"
#include "tests/train/faulty_chip.h"
#include "tests/train/trainer_rig.h"
#include "train/checkpoint.h"

namespace naru::train {
namespace {

void flip_byte(const fs::path& path) {
  std::string bytes = read_file(path, 1 << 24).value();
  bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 4);
  std::ofstream(path, std::ios::binary) << bytes;
}

// How often each step stands in a file of lines, of those that have `name`.
std::map<int64_t, int> steps_of(const fs::path& path, const std::string& name) {
  std::map<int64_t, int> steps;
  EXPECT_TRUE(runs::for_each_json_line(path, [&](const nlohmann::json& line, std::string_view) {
                if (line.contains(name)) ++steps[runs::json_whole(line, "step").value_or(-1)];
              }).ok());
  return steps;
}

void expect_refused(const TrainerRig& rig, const recipes::Recipe& recipe, Code code,
                    const std::vector<std::string>& parts, const StartOptions& start = {}) {
  const auto before = everything_in(recipe.output);
  const auto trainer = rig.open(recipe, best_cpu(), {}, start);
  ASSERT_FALSE(trainer.ok()) << parts.front();
  EXPECT_EQ(trainer.error().code, code) << trainer.error().message;
  for (const std::string& part : parts) {
    EXPECT_NE(trainer.error().message.find(part), std::string::npos) << part << ": " << trainer.error().message;
  }
  EXPECT_TRUE(everything_in(recipe.output) == before) << "a refused start leaves the folder as it was";
}

fs::path step_folder(const recipes::Recipe& recipe, int64_t step) {
  return fs::path(recipe.output) / "checkpoints" / fmt::format("step-{:08}", step);
}

recipes::SourceRecipe source_of(const std::string& path) {
  recipes::SourceRecipe source;
  source.path = path;
  return source;
}

// Six steps, stopped behind the fifth, with checkpoints of steps 4 and 5; the weights of the undisturbed run.
struct Stopped {
  TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("stopped");
  std::string wanted = rig.finished(rig.recipe("undisturbed"), best_cpu());
  Stopped() {
    EXPECT_TRUE(rig.run(recipe, best_cpu(), stop_after(27)).ok());
    EXPECT_TRUE(fs::exists(step_folder(recipe, 4)) && fs::exists(step_folder(recipe, 5)));
  }
};

TEST(RunStart, ACheckpointThatCannotBeReadIsNotPassedOver) {
  const Stopped run;
  for (const char* name : {"weights.safetensors", "moments.safetensors", "manifest.json"}) {
    const fs::path path = step_folder(run.recipe, 5) / name, away = run.rig.path() / "away";
    fs::rename(path, away);
    fs::create_symlink(name, path);
    expect_refused(run.rig, run.recipe, Code::kUnavailable, {name, "symbolic links", "nothing was changed"});
    fs::remove(path);
    fs::rename(away, path);
  }
  const fs::path all = fs::path(run.recipe.output) / "checkpoints", away = run.rig.path() / "away";
  fs::rename(all, away);
  expect_refused(run.rig, run.recipe, Code::kNotFound, {"checkpoint of step 5", "there is none", "--start-over"});
  fs::create_symlink(run.rig.path() / "not-mounted", all);
  expect_refused(run.rig, run.recipe, Code::kUnavailable, {"checkpoints"});
  fs::remove(all);
  fs::rename(away, all);
  EXPECT_EQ(run.rig.finished(run.recipe, best_cpu()), run.wanted);
}

TEST(RunStart, AFreshStartIsRefusedWhereCheckpointsAreAndNoneIsGood) {
  const Stopped run;
  for (const int64_t step : {4, 5}) flip_byte(step_folder(run.recipe, step) / "weights.safetensors");
  expect_refused(run.rig, run.recipe, Code::kCorrupt, {"none of the 2 checkpoints", "--start-over"});
  const auto before = everything_in(run.recipe.output);
  std::vector<std::string> notes;
  const auto again = run.rig.open(run.recipe, best_cpu(), keep_notes(notes), {.starts_over = true});
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_TRUE(has_note(notes, "set-aside-1"));
  EXPECT_EQ((*again)->run()->weights_sha256, run.wanted);
  const auto aside = everything_in(fs::path(run.recipe.output) / "set-aside-1");
  EXPECT_TRUE(aside == before) << "all that was there lies in set-aside-1";
}

// A chip without the memory that was planned for.
class FullChip : public test::FaultyChip {
 public:
  FullChip() : FaultyChip(best_cpu(), -1) {}
  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    return Error{Code::kResourceExhausted, fmt::format("allocating {} bytes: there is no room", bytes)};
  }
};

TEST(RunStart, AStartOverThatIsRefusedLeavesTheFolderAsItWas) {
  const Stopped run;
  const auto before = everything_in(run.recipe.output);
  const StartOptions over{.starts_over = true};
  FullChip chip;
  const auto full = run.rig.open(run.recipe, chip, {}, over);
  ASSERT_FALSE(full.ok());
  EXPECT_NE(full.error().message.find("there is no room"), std::string::npos) << full.error().message;
  EXPECT_TRUE(everything_in(run.recipe.output) == before);
  recipes::Recipe other = run.recipe;
  other.model.path = "not-there";
  other.model.config = "";
  expect_refused(run.rig, other, Code::kNotFound, {"not-there"}, over);
  other = run.recipe;
  other.data = {source_of("not-there.jsonl")};
  expect_refused(run.rig, other, Code::kNotFound, {"not-there.jsonl"}, over);
}

TEST(RunStart, TwoRottenLaterCheckpointsCostNoGoodOne) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("undisturbed");
  recipe.steps = 9;
  const std::string wanted = rig.finished(recipe, best_cpu());
  recipe.output = rig.run_folder("rotten").string();
  recipe.checkpoint = {.every = 1, .keep = 3};
  ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(5 * 6 + 1)).ok());  // steps 4, 5 and 6 are there
  for (const int64_t step : {5, 6}) flip_byte(step_folder(recipe, step) / "weights.safetensors");
  recipe.checkpoint = {.every = 100, .keep = 2};
  std::vector<std::string> notes;
  TrainerEvents events = keep_notes(notes);
  events.should_stop = [left = 7]() mutable { return left-- <= 0; };  // behind step 5
  ASSERT_TRUE(rig.run(recipe, best_cpu(), std::move(events)).ok());
  EXPECT_TRUE(has_note(notes, "going on from step 4"));
  EXPECT_TRUE(has_note(notes, "step-00000005 was no good, and is written anew"));
  for (const int64_t step : {4, 5}) EXPECT_TRUE(verify_checkpoint(step_folder(recipe, step)).ok()) << step;
  EXPECT_TRUE(fs::exists(step_folder(recipe, 6))) << "a rotten one is not removed silently";
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
}

TEST(RunStart, TheCheckpointOfAnotherRecipeIsNotGoneOnFrom) {
  const Stopped run;
  recipes::Recipe other = run.rig.recipe("other");
  other.seed = 9;
  other.steps = 9;
  run.rig.finished(other, best_cpu());
  fs::copy(step_folder(other, 8), step_folder(run.recipe, 8), fs::copy_options::recursive);
  std::vector<std::string> notes;
  EXPECT_EQ(run.rig.finished(run.recipe, best_cpu(), keep_notes(notes)), run.wanted);
  EXPECT_TRUE(has_note(notes, "it is of another recipe than this run"));
  EXPECT_TRUE(everything_in(step_folder(run.recipe, 8)) == everything_in(step_folder(other, 8)));
  EXPECT_TRUE(fs::exists(step_folder(run.recipe, 6)));
}

// Nor is it lost where the run writes its own of that step.
TEST(RunStart, TheCheckpointOfAnotherRecipeIsSetAsideWhereItsStepIsWritten) {
  const Stopped run;
  recipes::Recipe other = run.rig.recipe("other");
  other.seed = 9;
  run.rig.finished(other, best_cpu());
  const auto foreign = everything_in(step_folder(other, 6));
  fs::path aside = step_folder(run.recipe, 6);
  aside += ".set-aside-2";
  fs::create_directories(step_folder(run.recipe, 6).string() + ".set-aside-1");
  std::vector<std::string> notes;
  fs::copy(step_folder(other, 6), step_folder(run.recipe, 6), fs::copy_options::recursive);
  EXPECT_EQ(run.rig.finished(run.recipe, best_cpu(), keep_notes(notes)), run.wanted);
  EXPECT_TRUE(has_note(notes, "it is set aside as step-00000006.set-aside-2"));
  EXPECT_TRUE(everything_in(aside) == foreign);
  EXPECT_TRUE(verify_checkpoint(step_folder(run.recipe, 6)).ok());
  // One that is put there while the run is at work.
  recipes::Recipe late = run.recipe;
  late.output = run.rig.run_folder("late").string();
  TrainerEvents events;
  events.step = [&](const StepReport& report) {
    if (report.step == 5) fs::copy(step_folder(other, 6), step_folder(late, 6), fs::copy_options::recursive);
  };
  EXPECT_EQ(run.rig.finished(late, best_cpu(), std::move(events)), run.wanted);
  EXPECT_TRUE(everything_in(step_folder(late, 6).string() + ".set-aside-1") == foreign);
  // The finished run starts again, and leaves all as it is.
  EXPECT_EQ(run.rig.finished(run.recipe, best_cpu()), run.wanted);
  EXPECT_TRUE(everything_in(aside) == foreign);
}

// Rolling back is a start as well: a checkpoint that cannot be read ends the run, and it goes on when it can.
TEST(RunStart, ARollBackPassesOverNothingThatCannotBeRead) {
  const TrainerRig rig;
  const std::string wanted = rig.finished(guarded(rig, "undisturbed"), best_cpu());
  const recipes::Recipe recipe = guarded(rig, "guarded");
  std::map<fs::path, std::string> away;
  TrainerEvents events;
  events.step = [&](const StepReport&) {
    const auto found = list_checkpoints(fs::path(recipe.output) / "checkpoints").value();
    for (const CheckpointInfo& checkpoint : found) {
      const fs::path path = checkpoint.folder / "weights.safetensors";
      if (fs::is_symlink(path)) continue;
      away[path] = read_file(path, 1 << 24).value();
      fs::remove(path);
      fs::create_symlink("weights.safetensors", path);
    }
  };
  const auto result = rig.run(recipe, best_cpu(), std::move(events));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kUnavailable) << result.error().message;
  EXPECT_NE(result.error().message.find("nothing was changed"), std::string::npos) << result.error().message;
  EXPECT_EQ(runs::list_runs(recipe.output).value()[0].status, "failed");
  for (const auto& [path, bytes] : away) {
    if (!fs::is_symlink(path)) continue;
    fs::remove(path);
    std::ofstream(path, std::ios::binary) << bytes;
  }
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
}

recipes::Recipe watched(const TrainerRig& rig, const std::string& name) {
  std::ofstream(rig.path() / "held.txt") << "12 + 7 = 19\n3 + 4 = 7\n";
  recipes::Recipe recipe = rig.recipe(name);
  recipe.validation = {source_of("held.txt")};
  recipe.validate = {.every = 2, .rows = 4};
  recipe.sample = {.every = 2, .prompts = {"1 + 1", "2 + 2"}, .max_tokens = 2};
  return recipe;
}

void expect_each_step_once(const fs::path& folder) {
  const std::map<int64_t, int> each = {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}};
  EXPECT_EQ(steps_of(folder / "metrics.jsonl", "loss"), each);
  const std::map<int64_t, int> some = {{0, 1}, {2, 1}, {4, 1}, {6, 1}}, twice = {{0, 2}, {2, 2}, {4, 2}, {6, 2}};
  EXPECT_EQ(steps_of(folder / "metrics.jsonl", "validation_loss"), some);
  EXPECT_EQ(steps_of(folder / "samples.jsonl", "answer"), twice);
  for (const char* name : {"metrics.aside.jsonl", "samples.aside.jsonl"})
    EXPECT_FALSE(fs::exists(folder / name)) << name;
}

TEST(RunStart, EachStepStandsOnceHoweverTheRunWasInterrupted) {
  const TrainerRig rig;
  recipes::Recipe recipe = watched(rig, "once");
  // Cut off in step 0 and in step 3, as a kill would: no checkpoint of the moment is written.
  for (const int64_t fault_at : {int64_t{40}, int64_t{60 * 3 + 20}, int64_t{40}}) {
    test::FaultyChip chip(best_cpu(), fault_at, test::Fault::kNaN);
    EXPECT_FALSE(rig.run(recipe, chip).ok());
  }
  rig.finished(recipe, best_cpu());
  expect_each_step_once(recipe.output);
  // Stopped before its first step, and behind every other.
  for (const int64_t k : {0, 1, 5, 10, 11, 27}) {
    recipe.output = rig.run_folder("once-" + std::to_string(k)).string();
    ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(k)).ok());
    ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(k)).ok());
    rig.finished(recipe, best_cpu());
    expect_each_step_once(recipe.output);
  }
}

// A checkpoint that was damaged and is brought back: its lines come back as well.
TEST(RunStart, LinesComeBackWithTheirCheckpoint) {
  const TrainerRig rig;
  recipes::Recipe recipe = watched(rig, "back");
  recipe.checkpoint = {.every = 1, .keep = 9};
  ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(27)).ok());
  const fs::path copy = rig.path() / "copy";
  fs::copy(fs::path(recipe.output) / "checkpoints", copy, fs::copy_options::recursive);
  for (const int64_t step : {2, 3, 4, 5}) flip_byte(step_folder(recipe, step) / "moments.safetensors");
  ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(7)).ok());  // from step 1 to 2
  EXPECT_EQ(steps_of(fs::path(recipe.output) / "metrics.jsonl", "loss"), (std::map<int64_t, int>{{1, 1}, {2, 1}}));
  EXPECT_EQ(steps_of(fs::path(recipe.output) / "metrics.aside.jsonl", "loss"),
            (std::map<int64_t, int>{{3, 1}, {4, 1}, {5, 1}}));
  for (const int64_t step : {3, 4, 5}) {
    fs::remove_all(step_folder(recipe, step));
    fs::copy(copy / fmt::format("step-{:08}", step), step_folder(recipe, step), fs::copy_options::recursive);
  }
  std::vector<std::string> notes;
  rig.finished(recipe, best_cpu(), keep_notes(notes));
  EXPECT_TRUE(has_note(notes, "going on from step 5"));
  expect_each_step_once(recipe.output);
}

TEST(RunStart, AFinishedRunKnowsItsValidationLossAgain) {
  const TrainerRig rig;
  const recipes::Recipe recipe = watched(rig, "known");
  const auto first = rig.run(recipe, best_cpu());
  const auto second = rig.run(recipe, best_cpu());
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(second->validation_loss.has_value());
  EXPECT_EQ(*second->validation_loss, *first->validation_loss);
}

TEST(RunStart, WhatTheUserPutBesideTheModelIsNotLost) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("beside");
  const std::string wanted = rig.finished(recipe, best_cpu());
  const fs::path model = fs::path(recipe.output) / "model";
  std::ofstream(model / "README.md") << "about it";
  std::ofstream(model / "LICENSE") << "mine";
  std::ofstream(model / "generation_config.json") << "{\"temperature\": 0.5}";
  const auto before = everything_in(model);
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
  EXPECT_TRUE(everything_in(model) == before) << "the same weights: nothing is written";
  // Other weights may not take the place of these files, and what is in their way is named.
  flip_byte(model / "model.safetensors");
  const auto damaged = everything_in(model);
  const auto refused = rig.run(recipe, best_cpu());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("'LICENSE'"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(everything_in(model) == damaged);
  for (const char* name : {"README.md", "LICENSE"}) fs::remove(model / name);
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
  EXPECT_EQ(sha256_hex(as_bytes(read_file(model / "model.safetensors", 1 << 24).value())), wanted);
  // Where steps are left to do, that is said before them.
  const Stopped stopped;
  fs::create_directory(fs::path(stopped.recipe.output) / "model");
  std::ofstream(fs::path(stopped.recipe.output) / "model" / "README.md") << "about it";
  expect_refused(stopped.rig, stopped.recipe, Code::kInvalidArgument, {"'README.md'", "move it out"});
}

TEST(RunStart, AFailureIsInTheRecordWithItsReason) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("fails");
  test::FaultyChip chip(best_cpu(), 40, test::Fault::kNaN);
  EXPECT_FALSE(rig.run(recipe, chip).ok());
  const auto info = nlohmann::json::parse(read_file(fs::path(recipe.output) / "run.json", 1 << 20).value());
  EXPECT_EQ(info["status"], "failed");
  EXPECT_NE(info["reason"].get<std::string>().find("training step 0"), std::string::npos);
  const std::string page = read_file(fs::path(recipe.output) / "report.html", 1 << 24).value();
  EXPECT_NE(page.find("This run is not finished: it failed at step 0 of 6: training step 0"), std::string::npos);
  EXPECT_TRUE(rig.run(recipe, best_cpu(), stop_after(6)).ok());
  EXPECT_FALSE(
      nlohmann::json::parse(read_file(fs::path(recipe.output) / "run.json", 1 << 20).value()).contains("reason"));
}

// --- The data -------------------------------------------------------------------------------------------------------

void write_lines(const fs::path& path, int n, const std::string& text) {
  std::ofstream file(path);
  for (int i = 0; i < n; ++i) file << "{\"text\": \"" << text << " " << i << " + 1 = " << i + 1 << "\"}\n";
}

// On a folder of two files, stopped behind step 3.
struct WithData {
  TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("data");
  WithData() {
    fs::create_directories(rig.path() / "texts");
    write_lines(rig.path() / "texts" / "a.jsonl", 40, "a");
    write_lines(rig.path() / "texts" / "b.jsonl", 30, "b");
    std::ofstream(rig.path() / "held.txt") << "12 + 7 = 19\n3 + 4 = 7\n";
    recipe.data = {source_of("texts")};
    recipe.validation = {source_of("held.txt")};
    recipe.validate = {.every = 2, .rows = 4};
    EXPECT_TRUE(rig.run(recipe, best_cpu(), stop_after(16)).ok());
  }
  fs::path texts(const char* name) const { return rig.path() / "texts" / name; }
};

TEST(RunStart, OtherDataIsRefusedByName) {
  const WithData run;
  const auto refused = [&](const std::vector<std::string>& parts) {
    expect_refused(run.rig, run.recipe, Code::kInvalidArgument, parts);
  };
  const std::string wanted = [&] {
    recipes::Recipe whole = run.recipe;
    whole.output = run.rig.run_folder("whole").string();
    return run.rig.finished(whole, best_cpu());
  }();
  const std::string a = read_file(run.texts("a.jsonl"), 1 << 20).value();
  const auto restore = [&] {
    std::ofstream(run.texts("a.jsonl"), std::ios::binary) << a;
    write_lines(run.texts("b.jsonl"), 30, "b");
  };
  std::string edited = a;
  edited[12] = 'z';
  std::ofstream(run.texts("a.jsonl"), std::ios::binary) << edited;
  refused({"from step 3", "texts/a.jsonl was edited", "--accept-changed-data"});
  write_lines(run.texts("a.jsonl"), 39, "a");
  refused({"texts/a.jsonl was shortened"});
  write_lines(run.texts("a.jsonl"), 41, "a");
  write_lines(run.texts("b.jsonl"), 10, "c");
  refused({"texts/a.jsonl has grown", "texts/b.jsonl was shortened"});
  restore();
  fs::remove(run.texts("b.jsonl"));
  refused({"texts/b.jsonl is gone"});
  restore();
  write_lines(run.texts("c.jsonl"), 3, "c");
  refused({"texts/c.jsonl is new"});
  fs::rename(run.texts("b.jsonl"), run.texts("d.jsonl"));
  refused({"texts/b.jsonl is gone", "texts/c.jsonl is new", "texts/d.jsonl is new"});
  fs::remove(run.texts("c.jsonl"));
  fs::remove(run.texts("d.jsonl"));
  restore();
  std::ofstream(run.rig.path() / "held.txt") << "12 + 7 = 19\n3 + 4 = 8\n";
  refused({"in the validation", "held.txt was edited"});
  std::ofstream(run.rig.path() / "held.txt") << "12 + 7 = 19\n3 + 4 = 7\n";
  // The tokenizer is part of what the documents are.
  const fs::path tokenizer = run.rig.path() / "tokenizer" / "tokenizer.json";
  auto json = nlohmann::json::parse(read_file(tokenizer, 1 << 24).value());
  const auto before = json;
  json["model"]["merges"] = nlohmann::json::array();
  std::ofstream(tokenizer) << json.dump();
  refused({"the same files make other tokens", "tokenizer"});
  std::ofstream(tokenizer) << before.dump();
  // What changes no document is no change: an empty line is left out.
  std::ofstream(run.texts("a.jsonl"), std::ios::app) << "\n";
  std::vector<std::string> notes;
  EXPECT_EQ(run.rig.finished(run.recipe, best_cpu(), keep_notes(notes)), wanted);
  EXPECT_TRUE(has_note(notes, "texts/a.jsonl has grown"));
  EXPECT_TRUE(has_note(notes, "the documents made of it are the same"));
}

TEST(RunStart, AChangeThatIsMeantStandsInTheRecordAndTheReport) {
  const WithData run;
  write_lines(run.texts("a.jsonl"), 35, "x");
  std::vector<std::string> notes;
  {
    const auto trainer = run.rig.open(run.recipe, best_cpu(), keep_notes(notes), {.accepts_changed_data = true});
    ASSERT_TRUE(trainer.ok()) << trainer.error().message;
  }
  EXPECT_TRUE(has_note(notes, "from step 3 on with other data, as was asked for: texts/a.jsonl was shortened"));
  // It was said once: without another change the flag is not needed again, and back is another change.
  const auto result = run.rig.run(run.recipe, best_cpu(), stop_after(7));
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->step, 4);
  write_lines(run.texts("a.jsonl"), 40, "a");
  expect_refused(run.rig, run.recipe, Code::kInvalidArgument, {"from step 4", "texts/a.jsonl has grown"});
  write_lines(run.texts("a.jsonl"), 35, "x");
  run.rig.finished(run.recipe, best_cpu());
  const auto info = nlohmann::json::parse(read_file(fs::path(run.recipe.output) / "run.json", 1 << 20).value());
  ASSERT_EQ(info["data"]["changes"].size(), 1u);
  EXPECT_EQ(info["data"]["changes"][0]["from_step"], 3);
  EXPECT_NE(info["data"]["began_with"], info["data"]["training"]["documents_sha256"]);
  EXPECT_EQ(info["data"]["training"]["files"][0]["name"], "texts/a.jsonl");
  const std::string page = read_file(fs::path(run.recipe.output) / "report.html", 1 << 24).value();
  EXPECT_NE(page.find("from step 3 on: texts/a.jsonl was shortened"), std::string::npos);
  const std::string manifest = read_file(step_folder(run.recipe, 6) / "manifest.json", 1 << 24).value();
  EXPECT_NE(manifest.find(info["data"]["began_with"].get<std::string>()), std::string::npos);
}

// A checkpoint that lies behind a change of the data, trained on the old data, is not of the line any more.
TEST(RunStart, ACheckpointOfTheOldDataDoesNotComeBackBehindAChange) {
  WithData run;
  run.recipe.checkpoint = {.every = 1, .keep = 9};
  run.recipe.output = run.rig.run_folder("line").string();
  ASSERT_TRUE(run.rig.run(run.recipe, best_cpu(), stop_after(27)).ok());
  const fs::path moments = step_folder(run.recipe, 5) / "moments.safetensors";
  const std::string good = read_file(moments, 1 << 24).value();
  flip_byte(moments);
  write_lines(run.texts("a.jsonl"), 35, "x");
  std::vector<std::string> notes;
  {
    const auto changed = run.rig.open(run.recipe, best_cpu(), keep_notes(notes), {.accepts_changed_data = true});
    ASSERT_TRUE(changed.ok()) << changed.error().message;
  }
  EXPECT_TRUE(has_note(notes, "from step 4 on with other data"));
  std::ofstream(moments, std::ios::binary) << good;
  ASSERT_TRUE(verify_checkpoint(step_folder(run.recipe, 5)).ok());
  const auto old = everything_in(step_folder(run.recipe, 5));
  notes.clear();
  run.rig.finished(run.recipe, best_cpu(), keep_notes(notes));
  EXPECT_TRUE(has_note(notes, "it was trained on other data than the record of this run says"));
  EXPECT_TRUE(has_note(notes, "going on from step 4"));
  EXPECT_TRUE(has_note(notes, "it is set aside as step-00000005.set-aside-1"));
  EXPECT_TRUE(everything_in(step_folder(run.recipe, 5)) != old);
  EXPECT_TRUE(everything_in(step_folder(run.recipe, 5).string() + ".set-aside-1") == old);
}

TEST(RunStart, RunsWithoutARecordGoOnAndGetOne) {
  WithData run;
  const fs::path path = fs::path(run.recipe.output) / "run.json";
  auto info = nlohmann::json::parse(read_file(path, 1 << 20).value());
  info.erase("data");
  std::ofstream(path) << info.dump();
  // The checkpoints have it still.
  write_lines(run.texts("a.jsonl"), 41, "a");
  expect_refused(run.rig, run.recipe, Code::kInvalidArgument, {"texts/a.jsonl has grown"});
  write_lines(run.texts("a.jsonl"), 40, "a");
  fs::remove(path);
  run.rig.finished(run.recipe, best_cpu());
  info = nlohmann::json::parse(read_file(path, 1 << 20).value());
  EXPECT_EQ(info["data"]["training"]["files"].size(), 2u);
}

// As an earlier version wrote them: neither the record nor the checkpoints know the data.
TEST(RunStart, RunsOfAnEarlierVersionGoOn) {
  WithData run;
  const fs::path record = fs::path(run.recipe.output) / "run.json";
  auto info = nlohmann::json::parse(read_file(record, 1 << 20).value());
  for (const char* key : {"data", "saved_step"}) info.erase(key);
  std::ofstream(record) << info.dump();
  const auto found = list_checkpoints(fs::path(run.recipe.output) / "checkpoints").value();
  for (const auto& checkpoint : found) {
    auto manifest = nlohmann::json::parse(read_file(checkpoint.folder / "manifest.json", 1 << 20).value());
    for (const char* key : {"data", "recipe_identity", "validation_loss"}) manifest["state"].erase(key);
    manifest.erase("sha256");
    manifest["sha256"] = sha256_hex(as_bytes(manifest.dump()));
    std::ofstream(checkpoint.folder / "manifest.json") << manifest.dump();
  }
  std::vector<std::string> notes;
  run.rig.finished(run.recipe, best_cpu(), keep_notes(notes));
  EXPECT_TRUE(has_note(notes, "this run has no record of the data"));
  EXPECT_TRUE(has_note(notes, "going on from step 3"));
  info = nlohmann::json::parse(read_file(record, 1 << 20).value());
  EXPECT_EQ(info["data"]["training"]["files"].size(), 2u);
}

TEST(RunStart, DataThatMakesTheRunShorterThanItIsIsRefused) {
  WithData run;
  run.recipe.output = run.rig.run_folder("short").string();
  run.recipe.steps = 0;
  run.recipe.epochs = 3;
  ASSERT_TRUE(run.rig.run(run.recipe, best_cpu(), stop_after(5 * 8 + 1)).ok());
  write_lines(run.texts("a.jsonl"), 2, "a");
  write_lines(run.texts("b.jsonl"), 2, "b");
  expect_refused(run.rig, run.recipe, Code::kInvalidArgument, {"8 steps are done", "output=FOLDER"},
                 {.accepts_changed_data = true});
}

TEST(RunStart, ARunWithoutACheckpointBeginsAnewWithOtherData) {
  WithData run;
  run.recipe.output = run.rig.run_folder("early").string();
  test::FaultyChip chip(best_cpu(), 40, test::Fault::kNaN);
  EXPECT_FALSE(run.rig.run(run.recipe, chip).ok());
  write_lines(run.texts("a.jsonl"), 35, "x");
  std::vector<std::string> notes;
  const std::string found = run.rig.finished(run.recipe, best_cpu(), keep_notes(notes));
  EXPECT_TRUE(has_note(notes, "no checkpoint was made of it"));
  run.recipe.output = run.rig.run_folder("late").string();
  EXPECT_EQ(run.rig.finished(run.recipe, best_cpu()), found);
}

}  // namespace
}  // namespace naru::train
