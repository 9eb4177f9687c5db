// Runs of kind rejection on a tiny model: the same files however they came to be, what is
// refused, and what a folder says of itself.
#include "samples/sampler.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "data/batches.h"
#include "formats/tokenizer_files.h"
#include "runs/json_lines.h"
#include "runs/run_folder.h"
#include "tests/disk_faults.h"
#include "tests/samples/rig.h"
#include "text/chat_tokenizer.h"

namespace naru::samples {
namespace {

class Samplers : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { rig_ = new SampleRig; }
  static void TearDownTestSuite() {
    delete rig_;
    rig_ = nullptr;
  }
  static SampleRig& rig() { return *rig_; }
  // The files of the plain recipe.
  static const std::pair<std::string, std::string>& wanted() {
    static const auto files = [] {
      EXPECT_TRUE(rig().sample(rig().rejection("wanted")).ok());
      return rig().files_of("wanted");
    }();
    return files;
  }
  static void expect_in(const std::string& message, std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts) {
      EXPECT_NE(message.find(part), std::string::npos) << part << "\n in " << message;
    }
  }
  static inline SampleRig* rig_ = nullptr;
};

// Asks to stop once so many problems are done.
SampleEvents stop_behind(int64_t n_problems) {
  const auto n_done = std::make_shared<int64_t>(0);
  SampleEvents events;
  events.progress = [n_done](const SampleProgress& p) { *n_done = p.problems_done; };
  events.should_stop = [n_done, n_problems] { return *n_done >= n_problems; };
  return events;
}

std::vector<nlohmann::json> lines_in(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST_F(Samplers, EveryAnswerIsKeptOrDropped) {
  const auto kept = lines_in(wanted().first), dropped = lines_in(wanted().second);
  EXPECT_EQ(kept.size() + dropped.size(), 96u);
  EXPECT_GT(kept.size(), 1u);
  std::set<std::pair<int64_t, int64_t>> seen;
  std::map<int64_t, int64_t> right;
  std::set<std::string> learnt;
  const std::string model_sha256 = kept[0]["sample"]["model"];
  EXPECT_EQ(model_sha256,
            sha256_hex(as_bytes(read_file(rig().path() / "model" / "model.safetensors", 1 << 24).value())));
  for (const auto* lines : {&kept, &dropped}) {
    for (const nlohmann::json& line : *lines) {
      const nlohmann::json& facts = line["sample"];
      EXPECT_TRUE(seen.emplace(facts["number"], facts["draw"]).second);
      EXPECT_EQ(facts["seed"], 1);
      EXPECT_EQ(facts["model"], model_sha256);
      EXPECT_EQ(facts["reward"], facts["rewards"]["answer"]);
      EXPECT_EQ(facts["rewards"].size(), 1u);
      if (facts["right"]) ++right[facts["number"]];
    }
  }
  for (const nlohmann::json& line : kept) {
    const nlohmann::json& facts = line["sample"];
    EXPECT_TRUE(facts["right"]);
    EXPECT_EQ(facts["reward"], 1);
    EXPECT_EQ(line["messages"].size(), 2u);
    EXPECT_TRUE(learnt.insert(line["messages"].dump()).second) << "each once";
    EXPECT_EQ(facts["pass_rate"], static_cast<double>(right[facts["number"]]) / 4);
    // Right by what the problem's line says.
    const std::string question = line["messages"][0]["content"], answer = line["messages"][1]["content"];
    const int number = std::stoi(question.substr(std::string("How much is ").size()));
    const size_t last = answer.find_last_of("0123456789");
    ASSERT_NE(last, std::string::npos);
    EXPECT_EQ(answer[last] - '0', number % 10) << question << " " << answer;
  }
  for (const nlohmann::json& line : dropped) {
    const auto reason = reason_from_name(line["dropped"].get<std::string>());
    ASSERT_TRUE(reason.has_value());
    if (line["sample"]["right"]) {
      EXPECT_TRUE(*reason == Reason::kDuplicate || *reason == Reason::kUnwritable) << line;  // <s> in it
    }
  }
}

// What was kept is read by training as it stands, and learnt with the token that ends it.
TEST_F(Samplers, TrainingReadsWhatWasKept) {
  const auto kept = lines_in(wanted().first);
  recipes::Recipe r;
  r.kind = recipes::RunKind::kSft;
  r.batch.context = 128;
  const auto data = formats::read_tokenizer_folder(rig().path() / "model");
  ASSERT_TRUE(data.ok());
  const auto made = text::ChatTokenizer::create(*data);
  ASSERT_TRUE(made.ok() && made->chat_template);
  const auto read = [&](const char* name) {
    r.data = {file_source((rig().run_folder("wanted") / name).string())};
    return data::BatchStream::open(r, r.data, made->tokenizer, &*made->chat_template, rig().path());
  };
  const auto stream = read("samples.jsonl");
  ASSERT_TRUE(stream.ok()) << stream.error().message;
  int64_t n_wanted = 0;
  for (const nlohmann::json& line : kept) n_wanted += line["sample"]["tokens"].get<int64_t>() + 1;
  EXPECT_EQ(stream->n_documents(), std::ssize(kept));
  EXPECT_EQ(stream->statistics()[0].n_targets, n_wanted);
  // What was dropped is no conversation: it cannot be trained on by mistake.
  const auto dropped = read("dropped.jsonl");
  ASSERT_FALSE(dropped.ok());
  expect_in(dropped.error().message, {"dropped.jsonl:1"});
}

TEST_F(Samplers, TheSameFilesWhateverTheBatchAndTheThreads) {
  for (const int64_t at_once : {1, 3, 32}) {
    recipes::Recipe r = rig().rejection(fmt::format("at-once-{}", at_once));
    r.rejection.at_once = at_once;
    ASSERT_TRUE(rig().sample(r).ok());
    EXPECT_EQ(rig().files_of(r.name), wanted()) << at_once;
  }
  const auto chip = test::make_chip("cpu", 1);
  recipes::Recipe r = rig().rejection("one-thread");
  ASSERT_TRUE(samples::run(r, rig().path(), *chip, {}).ok());
  EXPECT_EQ(rig().files_of(r.name), wanted());
  // Another seed is other answers.
  r = rig().rejection("seed");
  r.seed = 2;
  ASSERT_TRUE(rig().sample(r).ok());
  EXPECT_NE(rig().files_of(r.name), wanted());
}

TEST_F(Samplers, StoppedAnywhereItGoesOn) {
  for (const int64_t after : {1, 2, 9, 40, 41, 100}) {
    const recipes::Recipe r = rig().rejection(fmt::format("stopped-{}", after));
    SampleEvents events;
    int64_t n_stops = 0;
    bool is_done = false;
    for (int start = 0; !is_done && start < 400; ++start) {
      events.should_stop = [left = after + 5 * start]() mutable { return left-- <= 0; };
      const auto result = rig().sample(r, events);
      if (!result.ok()) {  // before it began
        ASSERT_EQ(result.error().code, Code::kCancelled);
        continue;
      }
      is_done = result->is_done;
      n_stops += is_done ? 0 : 1;
      if (!is_done) {
        EXPECT_EQ(read_record(r.output).value()->status, "stopped");
      }
    }
    EXPECT_TRUE(is_done);
    EXPECT_GT(n_stops, 0) << after;
    EXPECT_EQ(rig().files_of(r.name), wanted()) << after;
  }
}

// A process that ends at a call that changes the disk, as kill -9 would end it: the n-th, for n from 0 on, each start
// going on with what the last one left.
TEST_F(Samplers, KilledAtAnyCallItGoesOn) {
  const recipes::Recipe r = rig().rejection("killed");
  wanted();
  int n_kills = 0;
  for (int at = 0; at < 400; at += 3) {
    const pid_t child = ::fork();
    if (child == 0) {
      const test::FaultAt fault(at % 40, 0);
      const auto chip = test::make_chip("cpu", 1);  // threads do not come along
      const auto result = samples::run(r, rig().path(), *chip, {});
      ::_exit(result.ok() && result->is_done ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 1) << at << " " << status;
    if (WEXITSTATUS(status) == 0) break;
    ++n_kills;
    // What lies there is the beginning of what comes.
    for (const auto& [name, all] : {std::pair<const char*, const std::string*>{"samples.jsonl", &wanted().first},
                                    {"dropped.jsonl", &wanted().second}}) {
      if (!fs::exists(rig().run_folder("killed") / name)) continue;
      const std::string text = read_file(rig().run_folder("killed") / name, 1 << 24).value();
      EXPECT_TRUE(all->starts_with(text)) << at << name;
    }
  }
  EXPECT_GT(n_kills, 5);
  const auto result = rig().sample(r);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(rig().files_of("killed"), wanted());
}

TEST_F(Samplers, AFullDiskLosesNothing) {
  wanted();
  const recipes::Recipe r = rig().rejection("full");
  int n_full = 0;
  for (int at = 0; at < 300; ++at) {
    Result<SampleResult> result = Error{Code::kInternal, ""};
    {
      const test::FaultAt fault(at, ENOSPC, true);
      result = rig().sample(r);
    }
    if (result.ok()) break;
    ++n_full;
    EXPECT_EQ(result.error().message.find("internal"), std::string::npos);
  }
  EXPECT_GT(n_full, 5);
  ASSERT_TRUE(rig().sample(r).ok());
  EXPECT_EQ(rig().files_of("full"), wanted());
}

TEST_F(Samplers, ADoneRunIsLookedAtAndLeft) {
  const recipes::Recipe r = rig().rejection("done");
  const auto first = rig().sample(r);
  ASSERT_TRUE(first.ok() && first->is_done);
  const auto before = all_files_in(r.output);
  const auto again = rig().sample(r);
  ASSERT_TRUE(again.ok() && again->is_done && again->was_done);
  EXPECT_EQ(all_files_in(r.output), before);
  EXPECT_EQ(again->samples.sha256, first->samples.sha256);
  EXPECT_EQ(again->summary.all().n_kept, first->summary.all().n_kept);
  EXPECT_EQ(again->summary.all().dropped, first->summary.all().dropped);
  EXPECT_EQ(again->summary.all().n_kept_tokens, first->summary.all().n_kept_tokens);
  EXPECT_EQ(again->summary.all().n_solved, first->summary.all().n_solved);
  const auto record = read_record(r.output).value();
  ASSERT_TRUE(record && record->is_done());
  EXPECT_EQ(record->problems, 24);
  EXPECT_EQ(record->problems_done, 24);
  EXPECT_EQ(record->samples.sha256, sha256_hex(as_bytes(rig().files_of("done").first)));
  EXPECT_EQ(record->dropped.sha256, sha256_hex(as_bytes(rig().files_of("done").second)));
  EXPECT_EQ(record->model_sha256, first->model_sha256);
  EXPECT_TRUE(check_files(r.output, *record).ok());
  const auto summary = runs::list_runs(r.output).value()[0];
  EXPECT_EQ(summary.status, "done");
  EXPECT_EQ(summary.step, 24);
  EXPECT_EQ(summary.steps, 24);
  std::ofstream(fs::path(r.output) / "samples.jsonl", std::ios::app) << "{}\n";
  EXPECT_FALSE(check_files(r.output, *record).ok());
  expect_in(rig().refusal(r), {"samples.jsonl", "somebody added to it"});
}

TEST_F(Samplers, AnotherRunsFolderIsRefused) {
  recipes::Recipe r = rig().rejection("other");
  const auto stopped = rig().sample(r, stop_behind(10));
  ASSERT_TRUE(stopped.ok() && !stopped->is_done);
  recipes::Recipe other = r;
  other.seed = 9;
  expect_in(rig().refusal(other), {"seed is 1 there and 9 here", "--start-over"});
  other = r;
  other.rejection.temperature = 0.5;
  expect_in(rig().refusal(other), {"rejection.temperature is 1.0 there and 0.5 here"});
  other = r;
  other.rejection.keep = 2;
  expect_in(rig().refusal(other), {"rejection.keep is 0 there and 2 here"});
  // Other bytes under the same name.
  const fs::path weights = rig().path() / "model" / "model.safetensors";
  const std::string bytes = read_file(weights, 1 << 24).value();
  std::string changed = bytes;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  std::ofstream(weights, std::ios::binary) << changed;
  expect_in(rig().refusal(r), {"the SHA-256 of the model is", "the same was wanted", "--start-over"});
  std::ofstream(weights, std::ios::binary) << bytes;
  ASSERT_TRUE(rig().sample(r).ok());
  EXPECT_EQ(rig().files_of("other"), wanted());
}

TEST_F(Samplers, EditedFilesAreRefusedAndLeft) {
  const recipes::Recipe r = rig().rejection("edited");
  const auto stopped = rig().sample(r, stop_behind(10));
  ASSERT_TRUE(stopped.ok() && !stopped->is_done && stopped->problems_done > 0);
  const fs::path path = fs::path(r.output) / "dropped.jsonl", record = fs::path(r.output) / "run.json";
  const std::string text = read_file(path, 1 << 24).value(), info = read_file(record, 1 << 20).value();
  std::string edited = text;
  edited[edited.size() / 2] ^= 1;
  std::ofstream(path, std::ios::binary) << edited;
  expect_in(rig().refusal(r), {"dropped.jsonl", "it was edited"});
  std::ofstream(path, std::ios::binary) << text.substr(0, text.size() - 3);
  expect_in(rig().refusal(r), {"dropped.jsonl", "it was cut"});
  fs::remove(path);
  expect_in(rig().refusal(r), {"dropped.jsonl", "it is not there"});
  std::ofstream(path, std::ios::binary) << text;
  // A record that does not fit the files, or is none.
  nlohmann::json wrong = nlohmann::json::parse(info);
  wrong["step"] = wrong["step"].get<int64_t>() + 1;
  std::ofstream(record) << wrong.dump();
  expect_in(rig().refusal(r), {"run.json", "lines are of 4 each"});
  wrong["step"] = -7;
  std::ofstream(record) << wrong.dump();
  expect_in(rig().refusal(r), {"run.json"});
  std::ofstream(record) << "[1]";
  expect_in(rig().refusal(r), {"run.json"});
  // A last line that was cut in two, and a record that is gone: all of it is compared with what comes.
  std::ofstream(record) << info;
  ASSERT_TRUE(wanted().second.size() > text.size() + 20);
  std::ofstream(path, std::ios::binary) << wanted().second.substr(0, text.size() + 20);
  fs::remove(record);
  ASSERT_TRUE(rig().sample(r).ok());
  EXPECT_EQ(rig().files_of("edited"), wanted());
}

TEST_F(Samplers, AnEditBehindTheRecordIsFound) {
  const recipes::Recipe r = rig().rejection("behind");
  ASSERT_TRUE(rig().sample(r).ok());
  fs::remove(fs::path(r.output) / "run.json");
  std::string text = rig().files_of("behind").first;
  const size_t at = text.rfind("content");
  text[at + 12] ^= 3;
  std::ofstream(fs::path(r.output) / "samples.jsonl", std::ios::binary) << text;
  const auto result = rig().sample(r);
  ASSERT_FALSE(result.ok());
  expect_in(result.error().message, {"samples.jsonl", "is not what was written there", "--start-over"});
  EXPECT_EQ(rig().files_of("behind").first, text);
  EXPECT_EQ(read_record(r.output).value()->status, "failed");
  const auto anew = rig().sample(r, {}, {.starts_over = true});
  ASSERT_TRUE(anew.ok()) << anew.error().message;
  EXPECT_EQ(rig().files_of("behind"), wanted());
  EXPECT_EQ(read_file(fs::path(r.output) / "set-aside-1" / "samples.jsonl", 1 << 24).value(), text);
}

TEST_F(Samplers, ProblemsOfFilesAndTheirFaults) {
  recipes::Recipe r = rig().rejection("file");
  r.data = {file_source("p.jsonl"), {}};
  r.data[1].generator = "digits";
  r.data[1].weight = 3;
  r.reward.clear();
  r.rejection.problems = 12;
  expect_in(rig().refusal(r), {"p.jsonl"});
  EXPECT_FALSE(fs::exists(r.output));
  const auto put = [&](const std::string& text) { std::ofstream(rig().path() / "p.jsonl") << text; };
  put("{\"prompt\": \"1 2\", \"answer\": 3}\n{\"prompt\": \"2 2\"}\n{\"prompt\": \"2 1\"");
  expect_in(rig().refusal(r), {"p.jsonl:2", "answer", "p.jsonl:3"});
  put("");
  expect_in(rig().refusal(r), {"the file is empty"});
  put("{\"prompt\": \"1 2\", \"answer\": 3}\n{\"prompt\": \"Wort: 2 2\", \"answer\": \"4\"}\n");
  ASSERT_TRUE(rig().sample(r).ok());
  std::map<std::string, int64_t> n_of;
  const auto files = rig().files_of("file");
  for (const std::string* text : {&files.first, &files.second}) {
    for (const nlohmann::json& line : lines_in(*text)) {
      const std::string key = line["sample"]["problem"];
      ++n_of[key.starts_with("p.jsonl") ? key : "digits"];
    }
  }
  EXPECT_EQ(n_of["digits"], 9 * 4);
  EXPECT_EQ(n_of["p.jsonl:1"] + n_of["p.jsonl:2"], 3 * 4);  // one of them twice
  put("{\"prompt\": \"1 2\", \"answer\": 4}\n{\"prompt\": \"Wort: 2 2\", \"answer\": \"4\"}\n");
  expect_in(rig().refusal(r), {"its problems changed: p.jsonl was edited", "put the old ones back"});
}

TEST_F(Samplers, AskedAsTextItIsText) {
  recipes::Recipe r = rig().rejection("text");
  r.rejection.ask = "text";
  r.rejection.right = false;
  ASSERT_TRUE(rig().sample(r).ok());
  const auto kept = lines_in(rig().files_of("text").first);
  ASSERT_FALSE(kept.empty());
  for (const nlohmann::json& line : kept) {
    EXPECT_TRUE(line["text"].get<std::string>().starts_with("How much is "));
    EXPECT_FALSE(line.contains("messages"));
  }
  // A conversation has no form as text.
  std::ofstream(rig().path() / "c.jsonl") << R"({"messages": [{"role": "user", "content": "1"}], "answer": "1"})"
                                          << "\n";
  r.name = "text-chat";
  r.output = rig().run_folder(r.name).string();
  r.data = {file_source("c.jsonl")};
  expect_in(rig().refusal(r), {"c.jsonl:1", "rejection.form"});
}

TEST_F(Samplers, APromptWithoutRoomIsSaid) {
  recipes::Recipe r = rig().rejection("room");
  std::string digits;
  for (int i = 0; i < 1100; ++i) digits += " 7";
  std::ofstream(rig().path() / "long.jsonl") << "{\"prompt\": \"" << digits << "\", \"answer\": \"1\"}\n"
                                             << "{\"prompt\": \"1 2\", \"answer\": \"3\"}\n";
  r.data = {file_source("long.jsonl")};
  const auto plan = Sampler::plan_run(r, rig().path(), sample_chip(), {});
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(plan->n_no_room, 1);
  const auto result = rig().sample(r);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->summary.all().dropped[static_cast<size_t>(Reason::kNoRoom)], 4);
  EXPECT_EQ(result->summary.all().n_answers, 4);
  EXPECT_EQ(result->summary.all().n_problems, 2);
}

// A stage of a pipeline whose model is not there yet is planned by its config.
TEST_F(Samplers, AConfigIsEnoughForAPlan) {
  recipes::Recipe r = rig().rejection("planned");
  r.model = {};
  r.model.config = "model/config.json";
  r.model.tokenizer = "model";
  const auto plan = Sampler::plan_run(r, rig().path(), sample_chip(), {});
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(plan->n_problems, 24);
  EXPECT_TRUE(plan->is_chat);
  EXPECT_EQ(plan->memory_bytes, 0);
  EXPECT_FALSE(fs::exists(r.output));
}

}  // namespace
}  // namespace naru::samples
