// The folder of a pipeline: its record and its evaluations read back as they were written, damaged ones are refused
// with what to do, sentences say what the numbers say, and nothing on the page gets out of its place.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "formats/utf8.h"
#include "runs/pipeline_report.h"
#include "runs/run_files.h"
#include "tests/runs/file_content.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

using recipes::InputKind;

const std::string kHostileName = "</title><script>alert(1)</script>\"'&\x01\x80";

class PipelineFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "naru-pipeline-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const fs::path& name, const std::string& text) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << text;
  }
  void write_run(const std::string& stage, const std::string& status, const std::string& sha256) {
    write(stage + "/run.json", "{\"name\": \"p-" + stage + "\", \"status\": \"" + status +
                                   "\", \"step\": 3, \"steps\": 5, \"seconds\": 2.5, \"weights_sha256\": \"" + sha256 +
                                   "\"}");
  }
  fs::path root_;
};

PipelineRecord small_record() {
  PipelineRecord record{.name = "p", .stages = {}};
  record.stages.push_back({.name = "base", .recipe = "b.toml", .kind = "sft", .inputs = {}});
  record.stages.push_back({.name = "again",
                           .recipe = "a.toml",
                           .kind = "sft",
                           .inputs = {{InputKind::kModel, "base", "11"},
                                      {InputKind::kTeacher, "rl", "22"},
                                      {InputKind::kSamples, "collect", ""}}});
  return record;
}

TEST_F(PipelineFolder, ARecordReadsBackAsItself) {
  ASSERT_TRUE(write_pipeline_record(root_ / "p", small_record()).ok());
  const auto back = read_pipeline_record(root_ / "p");
  ASSERT_TRUE(back.ok() && *back);
  const StageRecord& again = (*back)->stages.at(1);
  EXPECT_EQ((*back)->name, "p");
  EXPECT_EQ(again.kind, "sft");
  ASSERT_EQ(again.inputs.size(), 3u);
  EXPECT_EQ(again.inputs[1].kind, InputKind::kTeacher);
  EXPECT_EQ(again.inputs[1].stage, "rl");
  EXPECT_EQ(again.inputs[1].sha256, "22");
  EXPECT_EQ(again.model_from(), "base");
  EXPECT_EQ(inputs_text(again.inputs), "base, teacher of rl, samples of collect");
  const auto none = read_pipeline_record(root_ / "nowhere");
  EXPECT_TRUE(none.ok() && !*none);
}

TEST_F(PipelineFolder, RecordsOfOlderVersionsAreRead) {
  write("pipeline.json", R"({"format": 1, "name": "p", "stages": [
    {"name": "base", "recipe": "b.toml", "takes": "", "from_sha256": ""},
    {"name": "rl", "recipe": "r.toml", "takes": "base", "from_sha256": "abc"}]})");
  const auto back = read_pipeline_record(root_);
  ASSERT_TRUE(back.ok() && *back);
  EXPECT_TRUE((*back)->stages[0].inputs.empty());
  ASSERT_EQ((*back)->stages[1].inputs.size(), 1u);
  EXPECT_EQ((*back)->stages[1].inputs[0].sha256, "abc");
  EXPECT_EQ(pipeline_model(root_), root_ / "rl" / "model");
}

TEST_F(PipelineFolder, DamagedRecordsAreRefused) {
  const std::string stage = R"({"name": "a", "recipe": "a", "kind": "sft", "inputs": )";
  for (const std::string& text :
       {std::string("[]"), std::string("{"), std::string(R"({"stages": []})"), std::string(R"({"stages": [{}]})"),
        std::string(R"({"stages": [{"name": "../a"}]})"), "{\"stages\": [" + stage + "3}]}",
        "{\"stages\": [" + stage + R"([{"as": "model"}]}]})",
        "{\"stages\": [" + stage + R"([{"as": "x", "stage": "b"}]}]})"}) {
    write("pipeline.json", text);
    const auto back = read_pipeline_record(root_);
    ASSERT_FALSE(back.ok()) << text;
    EXPECT_EQ(back.error().code, Code::kCorrupt) << text;
    EXPECT_NE(back.error().message.find("move it away"), std::string::npos) << back.error().message;
  }
}

TEST_F(PipelineFolder, AModelIsThatOfTheLastStageThatMakesOne) {
  PipelineRecord record = small_record();
  ASSERT_TRUE(write_pipeline_record(root_, record).ok());
  EXPECT_EQ(pipeline_model(root_), root_ / "again" / "model");
  record.stages.push_back({.name = "collect", .recipe = "c.toml", .kind = "rejection", .inputs = {}});
  ASSERT_TRUE(write_pipeline_record(root_, record).ok());
  EXPECT_EQ(pipeline_model(root_), root_ / "again" / "model");
}

TEST_F(PipelineFolder, WhatAStageGivesIsKnownByItsHash) {
  EXPECT_EQ(*stage_output_sha256(root_ / "a", false), "");
  write_run("a", "done", "abc");
  EXPECT_EQ(*stage_output_sha256(root_ / "a", false), "abc");
  write("a/samples.jsonl", "{}\n");
  EXPECT_EQ(*stage_output_sha256(root_ / "a", true), sha256_hex(as_bytes(std::string_view("{}\n"))));
  write_run("a", "running", "");
  EXPECT_EQ(*stage_output_sha256(root_ / "a", true), "") << "half a file of samples is none";
}

ScoreLine score_line(const std::string& language, double greedy, double drawn, double any, double consistent) {
  const auto share = [](double mean) {
    return ScoredShare{mean, std::max(0.0, mean - 0.05), std::min(1.0, mean + 0.05)};
  };
  return {.language = language,
          .n_problems = 100,
          .greedy = share(greedy),
          .drawn = share(drawn),
          .any = share(any),
          .language_share = consistent,
          .tokens = 12.25,
          .cut_share = 0.125};
}

// base, then two from it: one better in all, one surer only.
PipelineScores small_scores() {
  PipelineScores scores;
  const auto put = [&scores](const std::string& key, std::vector<ScoreLine> lines) {
    scores.evaluations.push_back({.key = key,
                                  .problems = "word_problems",
                                  .model_sha256 = "m" + key,
                                  .answers_sha256 = "a" + key,
                                  .samples = 8,
                                  .is_chat = true,
                                  .lines = std::move(lines)});
  };
  put("k0",
      {score_line("", 0.2, 0.1, 0.5, 0.9), score_line("en", 0.2, 0.1, 0.5, 0.9), score_line("ko", 0.2, 0.2, 0.5, 0.9)});
  put("k1", {score_line("", 0.4, 0.3, 0.7, 1), score_line("en", 0.6, 0.5, 0.7, 1), score_line("ko", 0.2, 0.1, 0.7, 1)});
  put("k2",
      {score_line("", 0.5, 0.5, 0.2, 0.9), score_line("en", 0.5, 0.5, 0.4, 0.9), score_line("ko", 0.5, 0.5, 0.4, 0.9)});
  scores.models = {{.name = "base", .is_start = false, .from = "", .keys = {"k0"}},
                   {.name = "better", .is_start = false, .from = "base", .keys = {"k1"}},
                   {.name = "surer", .is_start = false, .from = "base", .keys = {"k2"}}};
  return scores;
}

TEST(PipelineWords, SayWhatTheNumbersSay) {
  PipelineScores scores = small_scores();
  EXPECT_EQ(what_did_not_improve(scores),
            (std::vector<std::string>{
                "better (word_problems after base): better in all, but pass@1 fell in ko from 20.0 % to 10.0 %.",
                "surer (word_problems after base): one of 8 drawn (pass@8) fell from 50.0 % to 20.0 % and language "
                "consistency stayed at 90.0 %. It is surer of what the model before it could solve, and solves no "
                "more."}));
  // A fall that chance explains is said to be one, and what cannot be better is no failure.
  scores.evaluations[0].lines.resize(1);
  scores.evaluations[1].lines = {score_line("", 0.19, 1, 1, 1)};
  scores.evaluations[0].lines[0].drawn = scores.evaluations[1].lines[0].drawn;
  scores.models.pop_back();
  EXPECT_EQ(
      what_did_not_improve(scores),
      std::vector<std::string>{"better (word_problems after base): the likeliest answer fell from 20.0 % to 19.0 %, "
                               "within what chance explains."});
  scores.evaluations[1].lines[0].greedy.mean = 0.3;
  EXPECT_EQ(what_did_not_improve(scores),
            std::vector<std::string>{"Every stage improved all that was measured, or kept it at 100 %."});
  // Without anything to compare there is nothing to say.
  scores.models[1].from.clear();
  EXPECT_TRUE(what_did_not_improve(scores).empty());
}

TEST_F(PipelineFolder, ScoresReadBackAsTheyAre) {
  const PipelineScores scores = small_scores();
  ASSERT_TRUE(write_pipeline_scores(root_, scores).ok());
  const std::string text = content(root_ / kEvaluationsFile);
  const auto back = read_pipeline_scores(root_);
  ASSERT_TRUE(back.ok()) << back.error().message;
  ASSERT_TRUE(write_pipeline_scores(root_, *back).ok());
  EXPECT_EQ(content(root_ / kEvaluationsFile), text);
  EXPECT_EQ(scores_json(*back), scores_json(scores));
  EXPECT_EQ(back->find("k2")->lines[1].any->mean, 0.4);
  EXPECT_EQ(back->problem_kinds(), std::vector<std::string>{"word_problems"});
  const auto none = read_pipeline_scores(root_ / "nowhere");
  EXPECT_TRUE(none.ok() && none->models.empty() && none->evaluations.empty());
}

// Cut anywhere, or with any value another one, it is read or refused.
TEST_F(PipelineFolder, DamagedScoresAreRefused) {
  ASSERT_TRUE(write_pipeline_scores(root_, small_scores()).ok());
  const std::string text = content(root_ / kEvaluationsFile);
  for (size_t i = 0; i + 2 < text.size(); i += 7) {
    write(kEvaluationsFile, text.substr(0, i));
    const auto back = read_pipeline_scores(root_);
    ASSERT_FALSE(back.ok()) << i;
    EXPECT_EQ(back.error().code, Code::kCorrupt);
  }
  const auto whole = nlohmann::json::parse(text);
  int n_refused = 0;
  const auto flat = whole.flatten();
  for (const auto& [path, value] : flat.items()) {
    auto other = whole;
    other[nlohmann::json::json_pointer(path)] = nlohmann::json::array({-1});
    write(kEvaluationsFile, other.dump());
    const auto back = read_pipeline_scores(root_);
    n_refused += back.ok() ? 0 : 1;
    EXPECT_TRUE(back.ok() || back.error().message.find("move it away") != std::string::npos);
  }
  EXPECT_GT(n_refused, 40);
}

TEST_F(PipelineFolder, ThePageHasEveryStageAndTheTable) {
  PipelineRecord record = small_record();
  record.stages[1].name = "better";
  ASSERT_TRUE(write_pipeline_record(root_, record).ok());
  ASSERT_TRUE(write_pipeline_scores(root_, small_scores()).ok());
  write_run("base", "done", "abcdef");
  write("base/report.html", "x");
  write("base/metrics.jsonl", "{\"step\":1,\"loss\":4.5}\n{\"step\":2,\"loss\":2.5}\n{\"step\":3,\"loss\":0.5}\n");
  ASSERT_TRUE(write_pipeline_report(root_, "naru train p.toml").ok());
  const std::string page = content(root_ / kReportFile);
  for (const std::string_view part :
       {"not done", "naru train p.toml", "<a href=\"./base/report.html\">base</a>",
        "What each stage adds: word_problems", "What did not improve", "better in all, but pass@1 fell in ko", "pass@8",
        "abcdef", "to do", "loss 4.5 → 0.5", "<small class=\"up\">+20.0</small>"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("http"), page.find("http-equiv")) << "no outside part";
  // The same again is the same file.
  ASSERT_TRUE(write_pipeline_report(root_, "naru train p.toml").ok());
  EXPECT_EQ(content(root_ / kReportFile), page);
}

TEST(PipelinePage, NothingGetsOutOfItsPlace) {
  PipelineFacts facts{.name = kHostileName, .command = kHostileName, .stages = {}, .scores = small_scores()};
  StageFacts& stage = facts.stages.emplace_back();
  stage.record = {.name = kHostileName,
                  .recipe = kHostileName,
                  .kind = kHostileName,
                  .inputs = {{InputKind::kModel, kHostileName, kHostileName}}};
  stage.output_sha256 = kHostileName;
  stage.has_report = true;
  stage.curve = Curve{kHostileName, {{1, 1}, {2, 2}}};
  facts.scores.evaluations[0].problems = kHostileName;
  facts.scores.evaluations[1].lines[1].language = kHostileName;
  for (ScoredModel& model : facts.scores.models) model.name = model.from = kHostileName;
  const std::string page = pipeline_report_html(facts);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_TRUE(formats::is_valid_utf8(page));
}

}  // namespace
}  // namespace naru::runs
