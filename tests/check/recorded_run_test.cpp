// Recordings: a chip held against one, two held against each other, and what is refused of damaged ones.
#include "check/recorded_run.h"

#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "check/compare_runs.h"
#include "check/replay_chip.h"
#include "check/run_recorder.h"
#include "formats/json_digest.h"
#include "tests/check/small_run.h"

namespace naru::check {
namespace {

namespace fs = std::filesystem;

RunIdentity identity() {
  RunIdentity one;
  one.arithmetic_sha256 = one.model_sha256 = std::string(64, 'a');
  one.kind = "forward";
  one.numerics = "naru";
  one.ids = {1, 2, 3};
  one.chip = "cpu";
  one.compute = "auto";
  return one;
}

class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "naru-record-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  fs::path record(const std::string& name, contract::Chip& chip, const RunIdentity& its = identity()) const {
    const fs::path folder = path_ / name;
    fs::create_directories(folder);
    AtomicFile values = AtomicFile::create(folder / kRecordingValues).value();
    DifferenceLog log;
    RunRecorder recorder(chip, log, values);
    EXPECT_TRUE(run_small(recorder).ok());
    test::check(values.commit());
    RecordedRun run = std::move(recorder).take();
    run.identity = its;
    write(folder / kRecordingJson, recording_text(run).value());
    return folder;
  }
  static void write(const fs::path& path, std::string_view text) {
    AtomicFile file = AtomicFile::create(path).value();
    test::check(file.write(as_bytes(text)));
    test::check(file.commit());
  }

 private:
  fs::path path_;
};

std::vector<OpDifference> beside(const OpenRecording& recording, contract::Chip& chip) {
  DifferenceLog log;
  ReplayChip replay(chip, recording, log);
  EXPECT_TRUE(run_small(replay).ok());
  test::check(replay.finish());
  return log.found().differences;
}

RunComparison compared(const fs::path& a, const fs::path& b) {
  return compare_runs(OpenRecording::open(a).value(), OpenRecording::open(b).value(), [] { return true; }).value();
}

TEST(RecordedRun, ChipsInLockStepWithOne) {
  const Folder folder;
  const auto cpu = test::make_chip("cpu"), distant = test::make_chip("distant");
  const auto recording = OpenRecording::open(folder.record("cpu", *cpu)).value();
  EXPECT_EQ(std::ssize(recording.run().ops), kSmallOps);
  EXPECT_TRUE(beside(recording, *distant).empty());
  const auto chip = faulty("flip@add", faulty("lost@rms_norm"));
  EXPECT_EQ(places(beside(recording, *chip)),
            (std::vector<std::string>{"pass 1, layer 0, rms_norm", "pass 1, layer 0, add", "pass 1, layer 1, rms_norm",
                                      "pass 1, layer 1, add"}));
}

// The culprits alone: what follows from one has other inputs.
TEST(RecordedRun, TwoAreCompared) {
  const Folder folder;
  const auto cpu = test::make_chip("cpu"), distant = test::make_chip("distant");
  const fs::path a = folder.record("a", *cpu), b = folder.record("b", *distant);
  const RunComparison alike = compared(a, b);
  EXPECT_TRUE(alike.culprits.empty());
  EXPECT_EQ(alike.n_alike, kSmallOps);
  EXPECT_EQ(alike.n_followers, 0);
  const auto chip = faulty("narrow@matmul");
  const RunComparison once = compared(a, folder.record("c", *chip));
  EXPECT_EQ(places(once.culprits), (std::vector<std::string>{"pass 1, layer 0, matmul"}));
  EXPECT_EQ(once.culprits.front().also, "the packed matrix that it reads");
  EXPECT_EQ(once.n_alike, 3);  // the first norm, and the two that write nothing but a cache
  EXPECT_GT(once.n_followers, kSmallOps - 5);
  EXPECT_EQ(once.n_alike + once.n_followers + 1, kSmallOps);
  // It adds to what stood there, and its inputs are alike until the second layer.
  const auto last = faulty("lost@column_sum");
  EXPECT_EQ(places(compared(a, folder.record("d", *last)).culprits),
            (std::vector<std::string>{"pass 1, layer 0, column_sum"}));
  // Another cache, by a write of alike inputs, shows in what reads it.
  const auto cache = faulty("lost@cache_write");
  EXPECT_EQ(places(compared(a, folder.record("e", *cache)).culprits).front(), "pass 1, layer 0, attention");
}

std::string refused(const fs::path& folder) {
  const auto recording = OpenRecording::open(folder);
  if (recording.ok()) return "";
  EXPECT_EQ(recording.error().code, Code::kCorrupt) << recording.error().message;
  return recording.error().message;
}

TEST(RecordedRun, DamageIsSeen) {
  const Folder folder;
  const auto cpu = test::make_chip("cpu");
  const fs::path a = folder.record("a", *cpu);
  const std::string text = read_file(a / kRecordingJson, 1 << 24).value();
  const std::string values = read_file(a / kRecordingValues, 1 << 24).value();
  for (size_t at = 0; at < text.size() - 1; at += 7) {  // any bit, of every seventh byte
    std::string other = text;
    other[at] = static_cast<char>(other[at] ^ (1 << at % 7));
    const auto parsed = parse_recording(as_bytes(other), "it");
    EXPECT_FALSE(parsed.ok()) << at;
  }
  for (size_t n = 0; n < text.size() - 1; n += 97) {
    EXPECT_FALSE(parse_recording(as_bytes(std::string_view(text).substr(0, n)), "it").ok()) << n;
  }
  Folder::write(a / kRecordingValues, std::string_view(values).substr(0, values.size() - 4));
  EXPECT_NE(refused(a).find("bytes"), std::string::npos);
  std::string flipped = values;
  flipped[values.size() / 2] ^= 0x10;
  Folder::write(a / kRecordingValues, flipped);
  const auto recording = OpenRecording::open(a).value();
  int n_bad = 0;
  for (size_t op = 0; op < recording.run().ops.size(); ++op) {
    for (size_t o = 0; o < recording.run().ops[op].outputs.size(); ++o) {
      const auto read = recording.values(op, o);
      if (read.ok()) continue;
      ++n_bad;
      EXPECT_EQ(read.error().code, Code::kCorrupt);
      EXPECT_NE(read.error().message.find("are not those that were recorded"), std::string::npos);
    }
  }
  EXPECT_EQ(n_bad, 1);
  // Hashes that are alike do not hide it, whichever of the two has it.
  const auto whole = OpenRecording::open(folder.record("whole", *cpu)).value();
  for (const auto* first : {&whole, &recording}) {
    const auto& second = first == &whole ? recording : whole;
    const auto comparison = compare_runs(*first, second, [] { return true; });
    ASSERT_FALSE(comparison.ok());
    EXPECT_EQ(comparison.error().code, Code::kCorrupt);
    EXPECT_NE(comparison.error().message.find((a / kRecordingValues).string()), std::string::npos);
  }
  fs::remove(a / kRecordingValues);
  EXPECT_EQ(OpenRecording::open(a).error().code, Code::kNotFound);
}

// With its own SHA-256 made right.
std::string changed(const std::string& text, const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json document = nlohmann::json::parse(text);
  change(document);
  document["sha256"] = formats::own_digest(document);
  return formats::compact(document);
}

TEST(RecordedRun, LiesAreRefused) {
  const Folder folder;
  const auto cpu = test::make_chip("cpu");
  const std::string text = read_file(folder.record("a", *cpu) / kRecordingJson, 1 << 24).value();
  const auto code = [&](const std::function<void(nlohmann::json&)>& change) {
    const auto parsed = parse_recording(as_bytes(changed(text, change)), "it");
    return parsed.ok() ? std::string("ok") : std::string(code_name(parsed.error().code));
  };
  EXPECT_EQ(code([](auto&) {}), "ok");
  EXPECT_EQ(code([](auto& d) { d["version"] = 1; }), "unsupported");
  EXPECT_EQ(code([](auto& d) { d["format"] = "naru-checkpoint"; }), "unsupported");
  EXPECT_EQ(code([](auto& d) { d["ops"] = nlohmann::json::array(); }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["op"] = "sort"; }), "unsupported");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["outputs"][0]["shape"] = {2147483647, 2147483647}; }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["outputs"][0]["shape"] = {1}; }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["outputs"][0]["shape"] = {0, 5}; }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["outputs"][0]["shape"] = {-1, 4}; }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["outputs"][0]["shape"] = {1.5, 2}; }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["outputs"][0]["shape"] = {int64_t{1} << 31, 1}; }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["outputs"][0]["dtype"] = "q4_0"; }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["where"] = "layer\n0"; }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["inputs_sha256"] = "00"; }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["ops"][0]["operands"] = std::string(3000, 'x'); }), "corrupt");
  EXPECT_EQ(code([](auto& d) { d["compute"] = "f64"; }), "corrupt");
  EXPECT_NE(code([](auto& d) { d["fault_struck"] = -1; }), "ok");
  EXPECT_NE(code([](auto& d) { d["latent"] = "on"; }), "ok");
  EXPECT_NE(code([](auto& d) { d["ids"] = "1"; }), "ok");
  EXPECT_NE(code([](auto& d) { d.erase("kind"); }), "ok");
}

TEST(RecordedRun, OpsOfOtherShapesAreNotCompared) {
  const Folder folder;
  const auto cpu = test::make_chip("cpu");
  const fs::path a = folder.record("a", *cpu), b = folder.record("b", *cpu);
  const std::string text = read_file(b / kRecordingJson, 1 << 24).value();
  Folder::write(b / kRecordingJson, changed(text, [](auto& d) { d["ops"][1]["operands"] = "[1, 1]"; }));
  const auto comparison =
      compare_runs(OpenRecording::open(a).value(), OpenRecording::open(b).value(), [] { return true; });
  ASSERT_FALSE(comparison.ok());
  EXPECT_EQ(comparison.error().code, Code::kInvalidArgument);
  EXPECT_NE(comparison.error().message.find("op 1 is "), std::string::npos) << comparison.error().message;
}

TEST(RecordedRun, OtherRunsSayNothing) {
  const RunIdentity a = identity();
  const auto why = [&](const std::function<void(RunIdentity&)>& change) {
    RunIdentity b = a;
    change(b);
    const Status status = check_comparable(a, "one", b, "two");
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_EQ(why([](RunIdentity& b) { b.chip = "gpu", b.system = "other", b.fault = "flip"; }), "");
  EXPECT_NE(why([](RunIdentity& b) { b.arithmetic_sha256[0] = 'b'; }).find("texts of the arithmetic"),
            std::string::npos);
  EXPECT_NE(why([](RunIdentity& b) { b.model_sha256[0] = 'b'; }).find("models have other bytes"), std::string::npos);
  EXPECT_NE(why([](RunIdentity& b) { b.kind = "train"; }).find("a step of training"), std::string::npos);
  EXPECT_NE(why([](RunIdentity& b) { b.numerics = "other"; }).find("other rules"), std::string::npos);
  EXPECT_NE(why([](RunIdentity& b) { b.ids.push_back(4); }).find("other tokens"), std::string::npos);
}

// The same tokens, and yet not the same ops: a recording of another program.
TEST(RecordedRun, OtherOpsEndTheRun) {
  const Folder folder;
  const auto cpu = test::make_chip("cpu");
  const fs::path a = folder.record("a", *cpu);
  const std::string text = read_file(a / kRecordingJson, 1 << 24).value();
  Folder::write(a / kRecordingJson, changed(text, [](nlohmann::json& d) { std::swap(d["ops"][0], d["ops"][5]); }));
  const auto recording = OpenRecording::open(a).value();
  DifferenceLog log;
  ReplayChip replay(*cpu, recording, log);
  const auto values = run_small(replay);
  ASSERT_FALSE(values.ok());
  EXPECT_EQ(values.error().code, Code::kInvalidArgument);
  EXPECT_NE(values.error().message.find("op 0 is pass 1, layer 0, rms_norm"), std::string::npos)
      << values.error().message;
}

TEST(RecordedRun, ItsSizeIsKnownBefore) {
  const Folder folder;
  const auto cpu = test::make_chip("cpu");
  const auto recording = OpenRecording::open(folder.record("a", *cpu)).value();
  const auto planner = cpu->planner();
  OpCounter counter(*planner);
  ASSERT_TRUE(run_small(counter).ok());
  EXPECT_EQ(counter.n_ops(), kSmallOps);
  EXPECT_EQ(counter.values_bytes(), recording.run().values_bytes());
  EXPECT_TRUE(check_recordable(kRecordedOpsMax, kRecordedValuesBytesMax).ok());
  EXPECT_EQ(check_recordable(kRecordedOpsMax + 1, 0).error().code, Code::kResourceExhausted);
  EXPECT_EQ(check_recordable(1, kRecordedValuesBytesMax + 1).error().code, Code::kResourceExhausted);
}

}  // namespace
}  // namespace naru::check
