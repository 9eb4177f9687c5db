// Runs of the trainer: however a run is interrupted or damaged it ends in the same weights; what cannot go well is
// refused before it begins, and what goes wrong stops before it spoils anything.
#include <nlohmann/json.hpp>

#include "formats/adapter_config.h"
#include "runs/run_folder.h"
#include "tests/train/faulty_chip.h"
#include "tests/train/trainer_rig.h"
#include "train/checkpoint.h"
#include "train/checkpoint_manifest.h"

namespace naru::train {
namespace {

// Runs until done, asked to stop after every k questions.
std::string finished_in_pieces(const TrainerRig& rig, const recipes::Recipe& recipe, int64_t k,
                               int64_t* n_pieces = nullptr) {
  int64_t step = 0;
  for (int64_t piece = 1; piece < 200; ++piece) {
    const auto result = rig.run(recipe, best_cpu(), stop_after(k));
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    if (!result.ok()) return "failed";
    if (n_pieces != nullptr) *n_pieces = piece;
    if (result->is_done) return result->weights_sha256;
    EXPECT_GE(result->step, step);
    step = result->step;
  }
  return "never done";
}

// A step asks five times: before it, and before each of its four micro-batches.
void check_interruptions(const TrainerRig& rig, recipes::Recipe recipe, const std::vector<int64_t>& ks) {
  const std::string wanted = rig.finished(recipe, best_cpu());
  ASSERT_EQ(wanted.size(), 64u);
  for (const int64_t k : ks) {
    recipe.output = rig.run_folder(recipe.name + "-stopped-" + std::to_string(k)).string();
    const auto stopped = rig.run(recipe, best_cpu(), stop_after(k));
    ASSERT_TRUE(stopped.ok()) << stopped.error().message;
    EXPECT_FALSE(stopped->is_done);
    EXPECT_EQ(stopped->step, k / 5) << "a step is done whole or not at all";
    EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted) << recipe.name << " stopped after " << k;
  }
  recipe.output = rig.run_folder(recipe.name + "-pieces").string();
  int64_t n_pieces = 0;
  EXPECT_EQ(finished_in_pieces(rig, recipe, 6, &n_pieces), wanted) << recipe.name;
  EXPECT_GE(n_pieces, 5);
}

TEST(Trainer, InterruptedIsUninterrupted) {
  const TrainerRig rig;
  check_interruptions(rig, rig.recipe("llama"), {0, 1, 4, 5, 8, 10, 11, 17, 29});
}

TEST(Trainer, InterruptedExpertsWithMuonInBF16) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("v3", "v3.json");
  recipe.compute = contract::ComputeMode::kBF16;
  recipe.optimizer.kind = "muon";
  recipe.loss.bias_update = 0.01;
  check_interruptions(rig, recipe, {3, 10, 18, 26});
  // recompute changes no bit.
  const std::string wanted = rig.finished(recipe, best_cpu());
  recipe.recompute = true;
  recipe.output = rig.run_folder("recompute").string();
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
}

TEST(Trainer, InterruptedPredictionLayers) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("mtp", "v3-mtp.json");
  recipe.loss.mtp = 0.3;
  recipe.loss.bias_update = 0.01;
  check_interruptions(rig, recipe, {7, 18});
  const std::string wanted = rig.finished(recipe, best_cpu());
  recipe.recompute = true;
  recipe.output = rig.run_folder("recompute").string();
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
  // What was trained is trained on, and its files are those of DeepSeek-V3: copies of embedding and head beside it.
  const fs::path model = rig.run_folder("mtp") / "model";
  const auto files = models::open_model_files(model);
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_EQ(files->config.mtp_layers, 2);
  for (const auto& [copy, of] : {std::pair{"model.layers.3.embed_tokens.weight", "model.embed_tokens.weight"},
                                 std::pair{"model.layers.2.shared_head.head.weight", "lm_head.weight"}}) {
    const formats::TensorEntry* entry = files->tensors.find(copy);
    ASSERT_NE(entry, nullptr) << copy;
    const auto a = files->tensors.bytes(*entry), b = files->tensors.bytes(*files->tensors.find(of));
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << copy;
  }
  recipes::Recipe further = rig.recipe("further");
  further.model.config = further.model.tokenizer = "";
  further.model.path = model.string();
  further.loss.mtp = 0.1;
  further.steps = 2;
  EXPECT_NE(rig.finished(further, best_cpu()), wanted);
  // Without their loss they are left out, which is said.
  std::vector<std::string> notes;
  further.loss.mtp = 0;
  further.output = rig.run_folder("without").string();
  rig.finished(further, best_cpu(), keep_notes(notes));
  EXPECT_TRUE(std::any_of(notes.begin(), notes.end(),
                          [](const std::string& n) { return n.find("left out") != std::string::npos; }));
  EXPECT_EQ(models::open_model_files(rig.run_folder("without") / "model")->config.mtp_layers, 0);
}

TEST(Trainer, AMissingTokenizerIsSaidWithWhatMakesOne) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("untokenized");
  recipe.model.tokenizer = "nowhere";
  const auto result = rig.run(recipe, best_cpu());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kNotFound);
  EXPECT_NE(result.error().message.find("--train-tokenizer"), std::string::npos) << result.error().message;
}

TEST(Trainer, RefusesPredictionLayersThatItCannotTrain) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("none", "v3.json");
  recipe.loss.mtp = 0.3;
  const auto none = rig.run(recipe, best_cpu());
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("num_nextn_predict_layers"), std::string::npos) << none.error().message;
  recipe.model.config = "v3-mtp.json";
  recipe.lora.rank = 2;
  const auto adapted = rig.run(recipe, best_cpu());
  ASSERT_FALSE(adapted.ok());
  EXPECT_NE(adapted.error().message.find("lora.rank"), std::string::npos) << adapted.error().message;
}

TEST(Trainer, InterruptedAdapters) {
  const TrainerRig rig;
  rig.finished(rig.recipe("base"), best_cpu());
  recipes::Recipe recipe = rig.recipe("lora");
  recipe.model.config = "";
  recipe.model.tokenizer = "";
  recipe.model.path = (rig.run_folder("base") / "model").string();
  recipe.lora.rank = 2;
  check_interruptions(rig, recipe, {2, 10, 21});
  // Merged in model/, apart in adapter/, which belongs to the model that it was trained beside.
  const fs::path folder = rig.run_folder("lora") / "adapter";
  auto files = models::open_model_files(recipe.model.path);
  auto adapter = models::open_adapter(folder);
  ASSERT_TRUE(files.ok() && adapter.ok()) << (adapter.ok() ? "" : adapter.error().message);
  EXPECT_EQ(adapter->config.rank, 2);
  files->adapter = std::move(*adapter);
  EXPECT_TRUE(models::plan_model(*files, best_cpu(), {}).ok());
  EXPECT_EQ(everything_in(folder), everything_in(rig.run_folder("lora-pieces") / "adapter"));
  // Beside other weights the adapters of a checkpoint mean nothing.
  const auto stopped = rig.run(
      [&] {
        recipe.output = rig.run_folder("other").string();
        return recipe;
      }(),
      best_cpu(), stop_after(7));
  ASSERT_TRUE(stopped.ok());
  recipes::Recipe base = rig.recipe("base2");
  base.seed = 2;
  rig.finished(base, best_cpu());
  fs::remove_all(rig.run_folder("base") / "model");
  fs::copy(rig.run_folder("base2") / "model", rig.run_folder("base") / "model");
  const auto resumed = rig.run(recipe, best_cpu());
  ASSERT_FALSE(resumed.ok());
  EXPECT_NE(resumed.error().message.find("other weights"), std::string::npos) << resumed.error().message;
}

// Changes the state in a checkpoint's manifest, which stays sound.
void change_state(const fs::path& folder, const std::function<void(nlohmann::json&)>& change) {
  std::ifstream in(folder / kManifestName);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  CheckpointManifest manifest = parse_manifest(as_bytes(text), "manifest.json").value();
  nlohmann::json state = nlohmann::json::parse(manifest.state_json);
  change(state);
  manifest.state_json = state.dump();
  std::ofstream(folder / kManifestName) << manifest_text(manifest).value();
}

// Checkpoints of version naru1 carried no numerics id.
TEST(Trainer, ARunIsNotContinuedUnderAnotherArithmetic) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("arithmetic");
  ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(27)).ok());
  const auto found = list_checkpoints(rig.run_folder("arithmetic") / "checkpoints").value();
  const std::string own = "naru2/f32/cache-f32/grouped/train", next = "naru3/f32/cache-f32/grouped/train";
  for (const std::string& other : {next, std::string("naru1")}) {
    for (const auto& checkpoint : found) {
      change_state(checkpoint.folder, [&](nlohmann::json& state) {
        EXPECT_EQ(state.value("numerics_id", ""), own);
        state["numerics_id"] = other;
        if (other == "naru1") state.erase("numerics_id");
      });
    }
    const auto refused = rig.run(recipe, best_cpu());
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    for (const std::string& part : {"the arithmetic " + other, "this program computes " + own,
                                    std::string("another output=FOLDER, or end it with the naru that began it")}) {
      EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
    }
    for (const auto& checkpoint : found)
      change_state(checkpoint.folder, [&](nlohmann::json& state) { state["numerics_id"] = own; });
  }
  EXPECT_EQ(rig.finished(recipe, best_cpu()), rig.finished(rig.recipe("whole"), best_cpu()));
}

TEST(Trainer, ARunIsNotContinuedWithAnotherConfig) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("config");
  ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(27)).ok());
  const fs::path config = rig.path() / recipe.model.config;
  std::ifstream in(config);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  nlohmann::json other = nlohmann::json::parse(text);
  other["rope_theta"] = 500000.0;  // every shape stays
  std::ofstream(config) << other.dump();
  const auto refused = rig.run(recipe, best_cpu());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("config of the model"), std::string::npos) << refused.error().message;
  std::ofstream(config) << text;
  EXPECT_EQ(rig.finished(recipe, best_cpu()), rig.finished(rig.recipe("whole"), best_cpu()));
}

TEST(Trainer, ARunThatLostItsRecordIsNotBegunAnew) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("lost");
  ASSERT_TRUE(rig.run(recipe, best_cpu()).ok());
  const fs::path run = rig.run_folder("lost");
  fs::remove(run / "run.json");
  fs::remove_all(run / "checkpoints");
  const auto lines = fs::file_size(run / "metrics.jsonl");
  for (const bool has_model : {true, false}) {
    if (!has_model) fs::remove_all(run / "model");
    const auto refused = rig.run(recipe, best_cpu());
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kNotFound);
    EXPECT_NE(refused.error().message.find("--start-over"), std::string::npos) << refused.error().message;
    EXPECT_EQ(fs::file_size(run / "metrics.jsonl"), lines);
  }
}

void flip_a_byte(const fs::path& path) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  ASSERT_TRUE(file.good()) << path;
  file.seekg(-5, std::ios::end);
  const auto byte = static_cast<char>(file.get() ^ 4);
  file.seekp(-5, std::ios::end);
  file.put(byte);
}

TEST(Trainer, ADamagedCheckpointFallsBackToTheOneBefore) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("whole");
  const std::string wanted = rig.finished(recipe, best_cpu());
  for (const char* file : {"weights.safetensors", "moments.safetensors", "manifest.json"}) {
    recipe.output = rig.run_folder(std::string("damaged-") + file).string();
    ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(27)).ok());
    const auto found = list_checkpoints(fs::path(recipe.output) / "checkpoints").value();
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].step, 5);
    if (std::string(file) == "manifest.json") {
      fs::resize_file(found[0].folder / file, 20);
    } else {
      flip_a_byte(found[0].folder / file);
    }
    std::vector<std::string> notes;
    EXPECT_EQ(rig.finished(recipe, best_cpu(), keep_notes(notes)), wanted) << file;
    EXPECT_TRUE(has_note(notes, "going on from step 4 of 6")) << file;
    EXPECT_TRUE(has_note(notes, "step-00000005")) << file;
  }
}

TEST(Trainer, AFinishedRunIsDoneAgainAtOnceAndStaysAsItIs) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("twice");
  recipe.validation = recipe.data;  // of a generator, which has a verifier
  const auto first = rig.run(recipe, best_cpu());
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(first->accuracy.has_value());
  const auto before = everything_in(recipe.output);
  TrainerEvents events;
  int64_t n_steps = 0;
  events.step = [&](const StepReport&) { ++n_steps; };
  const auto second = rig.run(recipe, best_cpu(), std::move(events));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(n_steps, 0);
  EXPECT_EQ(second->weights_sha256, first->weights_sha256);
  EXPECT_EQ(second->loss, first->loss);
  EXPECT_EQ(second->accuracy, first->accuracy);
  EXPECT_TRUE(everything_in(recipe.output) == before) << "facts, times and report";
  // A model that is gone is made again, and that is all.
  fs::remove_all(fs::path(recipe.output) / "model");
  fs::remove(fs::path(recipe.output) / "report.html");
  ASSERT_TRUE(rig.run(recipe, best_cpu()).ok());
  EXPECT_TRUE(everything_in(recipe.output) == before);
}

TEST(Trainer, AStopLeavesAReportOfWhatThereIs) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("stopped");
  const fs::path folder = recipe.output;
  const auto page = [&] { return read_file(folder / "report.html", 1 << 20).value(); };
  const StartOptions start{.version = "7.8.9", .command = "naru train it.toml"};
  const auto stopped_behind = [&](int64_t k) {
    const auto trainer = rig.open(recipe, best_cpu(), stop_after(k), start);
    return trainer.ok() ? (*trainer)->run() : Result<RunResult>(trainer.error());
  };
  // Before the first step: there is no loss to say.
  const auto nothing = stopped_behind(0);
  ASSERT_TRUE(nothing.ok());
  EXPECT_FALSE(nothing->loss.has_value());
  EXPECT_FALSE(runs::list_runs(folder).value()[0].loss.has_value());
  EXPECT_NE(page().find("it was stopped at step 0 of 6."), std::string::npos);
  EXPECT_EQ(page().find("training loss"), std::string::npos);
  const auto some = stopped_behind(12);
  ASSERT_TRUE(some.ok());
  EXPECT_TRUE(some->loss.has_value());
  for (const char* part : {"not finished", "naru train it.toml", "7.8.9", "training loss"}) {
    EXPECT_NE(page().find(part), std::string::npos) << part;
  }
  rig.finished(recipe, best_cpu());
  EXPECT_EQ(page().find("not finished"), std::string::npos);
  EXPECT_NE(page().find("\"went_on\":[2]"), std::string::npos);
}

// The peak of a machine is measured once a run, so that shares of it mean the same behind a restart.
TEST(Trainer, ThePeakOfAMachineIsMeasuredOnce) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("peak");
  int n_measured = 0;
  std::vector<StepReport> reports;
  const auto train = [&](int64_t k) {
    TrainerEvents events = stop_after(k);
    events.step = [&](const StepReport& report) { reports.push_back(report); };
    const StartOptions start{.measure_peak = [&] { return ++n_measured * 1e9; }};
    const auto trainer = rig.open(recipe, best_cpu(), std::move(events), start);
    ASSERT_TRUE(trainer.ok() && (*trainer)->run().ok());
    const double per_token = (*trainer)->plan().operations_per_token;
    EXPECT_EQ(per_token, 6.0 * static_cast<double>((*trainer)->plan().n_active));
    ASSERT_FALSE(reports.empty());
    EXPECT_EQ(reports.back().peak_share, per_token * reports.back().tokens_per_s / 1e9);
  };
  train(12);
  train(1000);
  EXPECT_EQ(n_measured, 1);
}

TEST(Trainer, StepsAreReportedAndTheLossFalls) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("falls");
  recipe.steps = 30;
  std::ofstream(rig.path() / "held.txt") << "12 + 7 = 19\n3 + 4 = 7\n";
  recipes::SourceRecipe held;
  held.path = "held.txt";
  recipe.validation = {held};
  recipe.validate = {.every = 10, .rows = 4};
  recipe.sample.prompts = {"1 + 1"};
  recipe.sample.max_tokens = 4;
  std::vector<StepReport> reports;
  TrainerEvents events;
  events.step = [&](const StepReport& report) { reports.push_back(report); };
  const auto result = rig.run(recipe, best_cpu(), std::move(events));
  ASSERT_TRUE(result.ok()) << result.error().message;
  ASSERT_EQ(reports.size(), 30u);
  for (size_t i = 0; i < reports.size(); ++i) {
    EXPECT_EQ(reports[i].step, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(reports[i].steps, 30);
    EXPECT_GT(reports[i].grad_norm, 0);
  }
  EXPECT_EQ(reports[0].lr, 0.005);  // the first of two steps of warm-up
  EXPECT_LT(reports.back().loss, 0.6 * reports.front().loss);
  EXPECT_EQ(result->loss, reports.back().loss);
  ASSERT_TRUE(result->validation_loss.has_value());
  for (const char* file : {"model/model.safetensors", "model/config.json", "model/tokenizer.json", "report.html"}) {
    EXPECT_TRUE(fs::exists(rig.run_folder("falls") / file)) << file;
  }
  const auto runs = runs::list_runs(rig.run_folder("falls")).value();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].status, "done");
  EXPECT_EQ(runs[0].weights_sha256, result->weights_sha256);
}

TEST(Trainer, WhatIsNotFiniteStopsBeforeTheUpdate) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("explodes");
  recipe.optimizer.lr = 1e36;
  recipe.optimizer.weight_decay = 0;
  recipe.schedule.warmup_steps = 0;
  recipe.checkpoint = {.every = 1, .keep = 9};
  const auto result = rig.run(recipe, best_cpu());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kOutOfRange);
  for (const char* part : {"training step ", "finite", "the last checkpoint is whole", "lower optimizer.lr"}) {
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
  }
  const auto found = list_checkpoints(rig.run_folder("explodes") / "checkpoints").value();
  ASSERT_FALSE(found.empty());
  const std::string step = "training step " + std::to_string(found[0].step) + ":";
  EXPECT_NE(result.error().message.find(step), std::string::npos) << result.error().message;
  EXPECT_EQ(runs::list_runs(rig.run_folder("explodes")).value()[0].status, "failed");
  EXPECT_FALSE(fs::exists(rig.run_folder("explodes") / "model"));
}

TEST(Trainer, AGradientThatIsNotANumberStopsBeforeTheUpdate) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("nan");
  test::FaultyChip chip(best_cpu(), 4 * 15 * 3 + 20, test::Fault::kNaN);  // in step 3
  const auto result = rig.run(recipe, chip);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kOutOfRange);
  EXPECT_NE(result.error().message.find("training step 3: the loss is "), std::string::npos) << result.error().message;
  EXPECT_NE(result.error().message.find("the norm of the gradient nan"), std::string::npos) << result.error().message;
  // What was saved is sound: on a good chip the run ends as if nothing had been.
  const std::string wanted = rig.finished(rig.recipe("no-nan"), best_cpu());
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
}

TEST(Trainer, SkipsAndRollsBackAndStillEndsInTheSameWeights) {
  const TrainerRig rig;
  std::vector<std::string> notes;
  const std::string wanted = rig.finished(guarded(rig, "guarded"), best_cpu(), keep_notes(notes));
  ASSERT_EQ(wanted.size(), 64u);
  EXPECT_TRUE(has_note(notes, "skipped, the norm of its gradient is "));
  EXPECT_TRUE(has_note(notes, "three gradients in a row were far out; back to step "));
  // Stopped anywhere, so that there are checkpoints between skipped steps.
  for (const int64_t k : {29, 50}) {
    const recipes::Recipe recipe = guarded(rig, "guarded-" + std::to_string(k));
    EXPECT_EQ(finished_in_pieces(rig, recipe, k), wanted) << k;
  }
  recipes::Recipe off = guarded(rig, "unguarded");
  off.guard.skip_z = off.guard.clip_z = 0;
  EXPECT_NE(rig.finished(off, best_cpu()), wanted);
}

TEST(Trainer, RecheckingChangesNothingAndFindsABadChip) {
  const TrainerRig rig;
  const std::string wanted = rig.finished(rig.recipe("plain"), best_cpu());
  recipes::Recipe recipe = rig.recipe("rechecked");
  recipe.guard.recheck_every = 2;
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
  // Matrices of a micro-batch: seven a layer and the head, twice that in the step that is checked.
  const int64_t a_step = 4 * (7 * 2 + 1);
  for (const int64_t fault_at : {a_step, a_step + 17, 2 * a_step + 3, 3 * a_step - 1}) {
    recipe.output = rig.run_folder("faulty-" + std::to_string(fault_at)).string();
    test::FaultyChip chip(best_cpu(), fault_at);
    std::vector<std::string> notes;
    EXPECT_EQ(rig.finished(recipe, chip, keep_notes(notes)), wanted) << fault_at;
    EXPECT_TRUE(has_note(notes, "the gradient of step 1, try 2: ")) << fault_at;
  }
}

TEST(Trainer, RefusesWhatDoesNotFitInMemory) {
  const TrainerRig rig;
  rig.write_config("huge.json", {{"model_type", "llama"},
                                 {"architectures", {"LlamaForCausalLM"}},
                                 {"hidden_size", 32768},
                                 {"intermediate_size", 131072},
                                 {"num_hidden_layers", 8},
                                 {"num_attention_heads", 256},
                                 {"num_key_value_heads", 256},
                                 {"rms_norm_eps", 1e-5},
                                 {"tie_word_embeddings", true}});
  const auto trainer = rig.open(rig.recipe("huge", "huge.json"), best_cpu());
  ASSERT_FALSE(trainer.ok());
  EXPECT_EQ(trainer.error().code, Code::kResourceExhausted);
  // 8 layers of 4 H^2 + 3 H F + 2 H, the table and the last norm.
  for (const char* part : {"137452781568 parameters", "GiB are available", "batch.micro_rows", "recompute"}) {
    EXPECT_NE(trainer.error().message.find(part), std::string::npos) << trainer.error().message;
  }
  EXPECT_FALSE(fs::exists(rig.run_folder("huge"))) << "refused before anything is made";
}

TEST(Trainer, PlansWhatItTakes) {
  const TrainerRig rig;
  const auto trainer = rig.open(rig.recipe("planned", "v3.json"), best_cpu());
  ASSERT_TRUE(trainer.ok()) << trainer.error().message;
  const TrainingPlan& plan = (*trainer)->plan();
  EXPECT_EQ(plan.values_bytes, 4 * plan.n_parameters);
  EXPECT_EQ(plan.moment_bytes, 8 * plan.n_trained);
  EXPECT_EQ(plan.n_parameters - plan.n_trained, 4) << "the routing bias of one layer";
  EXPECT_EQ(plan.n_parameters - plan.n_active, 2 * 3 * 8 * 16) << "two of four experts of one layer";
  EXPECT_EQ(plan.operations_per_token, 6.0 * static_cast<double>(plan.n_active));
  EXPECT_GT(plan.activation_bytes, 0);
  EXPECT_EQ(plan.steps, 6);
  EXPECT_LE(plan.batch_tokens, 48);
  EXPECT_EQ(plan.numerics_id, "naru2/f32/cache-f32/expanded/train");
}

// What a token meets is counted once for all: as trained, as served, and beside an adapter.
TEST(Trainer, ActiveParametersAreThoseOfTheServedModel) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("counted", "v3.json");
  recipe.steps = 1;
  recipe.schedule.warmup_steps = 0;
  const auto trainer = rig.open(recipe, best_cpu());
  ASSERT_TRUE(trainer.ok() && (*trainer)->run().ok());
  const TrainingPlan& plan = (*trainer)->plan();
  const auto files = models::open_model_files(rig.run_folder("counted") / "model");
  ASSERT_TRUE(files.ok());
  const auto served = models::plan_model(*files, best_cpu(), {});
  ASSERT_TRUE(served.ok());
  EXPECT_EQ(served->n_parameters, plan.n_parameters);
  EXPECT_EQ(served->n_active_parameters, plan.n_active);
  recipe.name = "beside";
  recipe.output = rig.run_folder("beside").string();
  recipe.model.config = "";
  recipe.model.tokenizer = "";
  recipe.model.path = (rig.run_folder("counted") / "model").string();
  recipe.lora = {.rank = 2, .alpha = 4, .targets = {"o_proj"}};
  const auto beside = rig.open(recipe, best_cpu());
  ASSERT_TRUE(beside.ok()) << beside.error().message;
  const TrainingPlan& adapted = (*beside)->plan();
  EXPECT_EQ(adapted.n_parameters, plan.n_parameters + adapted.n_trained);
  EXPECT_EQ(adapted.n_active, plan.n_active + adapted.n_trained);
  EXPECT_EQ(adapted.operations_per_token,
            4.0 * static_cast<double>(adapted.n_active) + 2.0 * static_cast<double>(adapted.n_trained));
}

// Rows, pages and documents each decide.
TEST(Trainer, RoomIsForWhatWasMeasured) {
  const Source& source = fixture_source("v3-f32");
  const TrainingRoom room = measure_room(best_cpu(), source.config, {}, 40, 2, 0.1).value();
  const auto ids = [&](size_t n) { return slice(source.ids, 0, n); };
  EXPECT_TRUE(room.fits(batch_of({ids(20), ids(20)})));
  EXPECT_TRUE(room.fits(batch_of({ids(39), ids(1)})));
  EXPECT_FALSE(room.fits(batch_of({ids(20), ids(21)})));
  EXPECT_FALSE(room.fits(batch_of({ids(2), ids(2), ids(2)})));
  EXPECT_FALSE(TrainingRoom({.rows = 40, .pages = 1, .documents = 2}).fits(batch_of({ids(2), ids(2)})));
}

// Legal numbers whose product is beyond what a plan counts to.
TEST(Trainer, RoomBeyondAllBoundsIsAnError) {
  formats::ModelConfig config = fixture_source("llama-gqa").config;
  config.ffn = int64_t{1} << 24;
  for (const bool recompute : {false, true}) {
    TrainableModel::Options options;
    options.recompute = recompute;
    const auto room = measure_room(best_cpu(), config, options, int64_t{1} << 23, 1, 0);
    ASSERT_FALSE(room.ok());
    EXPECT_EQ(room.error().code, Code::kResourceExhausted);
    EXPECT_NE(room.error().message.find("more bytes than a plan counts to"), std::string::npos) << room.error().message;
  }
  config.layers = 1000;
  config.hidden = int64_t{1} << 20;
  const auto model = measure_room(best_cpu(), config, {}, 1, 1, 0);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, Code::kResourceExhausted);
  EXPECT_NE(model.error().message.find("more than a plan counts to"), std::string::npos) << model.error().message;
}

TEST(Trainer, ASecondOneInTheFolderIsRefused) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("shared");
  {
    const auto first = rig.open(recipe, best_cpu());
    ASSERT_TRUE(first.ok());
    const auto second = rig.open(recipe, best_cpu());
    ASSERT_FALSE(second.ok());
    EXPECT_NE(second.error().message.find("another trainer"), std::string::npos) << second.error().message;
  }
  EXPECT_TRUE(rig.open(recipe, best_cpu()).ok()) << "the lock ends with its holder";
}

// Whatever it is at, and however often: a new run leaves no folder, an old one stays as it was.
TEST(Trainer, AStartThatIsGivenUpChangesNothing) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("given-up");
  const fs::path folder = rig.run_folder("given-up");
  const auto give_up_after = [](int64_t k) {
    TrainerEvents events;
    events.should_give_up = [left = std::make_shared<int64_t>(k)] { return (*left)-- <= 0; };  // it is copied
    return events;
  };
  for (const bool is_new : {true, false}) {
    if (!is_new) {
      ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(13)).ok());
    }
    const auto before = is_new ? std::map<std::string, std::string>() : everything_in(folder);
    int64_t n_given_up = 0;
    for (int64_t k = 0; k < 2000; k += 7, ++n_given_up) {
      const auto trainer = rig.open(recipe, best_cpu(), give_up_after(k));
      if (trainer.ok()) break;
      EXPECT_EQ(trainer.error().code, Code::kCancelled) << trainer.error().message;
      EXPECT_EQ(fs::exists(folder), !is_new) << k;
      if (!is_new) {
        EXPECT_EQ(everything_in(folder), before) << k;
      }
    }
    EXPECT_GT(n_given_up, 30);  // data alone asks 200 times
    EXPECT_LT(n_given_up, 280);
  }
}

// Whatever the family calls its matrices.
TEST(Trainer, AdaptersStandBesideAllMatricesByDefault) {
  const TrainerRig rig;
  const auto targets = [&](const std::string& config) {
    recipes::Recipe recipe = rig.recipe("all-" + config, config);
    recipe.lora.rank = 2;
    recipe.steps = 1;
    rig.finished(recipe, best_cpu());
    return formats::read_adapter_config(rig.run_folder("all-" + config) / "adapter").value().targets;
  };
  EXPECT_EQ(targets("llama.json"),
            (std::vector<std::string>{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}));
  std::string joined;
  for (const std::string& target : targets("v3.json")) joined += target + "\n";
  for (const char* wanted :
       {"q_proj\n", "kv_a_proj_with_mqa\n", "o_proj\n", "shared_experts.up_proj\n", "mlp.down_proj\n"}) {
    EXPECT_NE(joined.find(wanted), std::string::npos) << wanted << joined;
  }
  for (const char* foreign : {"kv_b_proj", ".experts.", "lm_head", "embed", ".gate\n"}) {
    EXPECT_EQ(joined.find(foreign), std::string::npos) << foreign << joined;
  }
}

TEST(Trainer, RefusesAdaptersThatNoMatrixCanHave) {
  const TrainerRig rig;
  for (const auto& [target, part] :
       {std::pair{"kv_b_proj", "cannot have an adapter"}, std::pair{"q_a_proj", "names no matrix of this model"},
        std::pair{"nonsense", "cannot have an adapter"}}) {
    recipes::Recipe recipe = rig.recipe("adapters", "v3.json");
    recipe.lora.rank = 2;
    recipe.lora.targets = {"o_proj", target};
    const auto trainer = rig.open(recipe, best_cpu());
    ASSERT_FALSE(trainer.ok());
    EXPECT_NE(trainer.error().message.find(part), std::string::npos) << trainer.error().message;
  }
}

}  // namespace
}  // namespace naru::train
