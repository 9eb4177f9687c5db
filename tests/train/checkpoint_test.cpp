// Checkpoints: what is written comes back; killed or out of space at any call that changes the disk, the last good
// checkpoint is intact; damaged and foreign ones are passed over, each with a reason.
#include "train/checkpoint.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/folder.h"
#include "base/sha256.h"
#include "tests/disk_faults.h"
#include "tests/formats/helpers.h"
#include "train/checkpoint_manifest.h"
#include "train/checkpoint_store.h"
#include "train/chip_values.h"

namespace naru::train {
namespace {

namespace fs = std::filesystem;
using formats::expect_error;
using formats::TempFolder;

float value_at(int64_t step, int64_t tensor, int64_t i) {
  return static_cast<float>(step) + 100.0f * static_cast<float>(tensor) + 0.125f * static_cast<float>(i);
}

FileToWrite file_of(const std::string& name, int64_t step) {
  FileToWrite file{.name = name, .tensors = {}, .bytes = {}};
  const std::vector<std::vector<int64_t>> shapes{{3, 4}, {5}, {2, 2}};
  for (int64_t t = 0; t < 3; ++t) {
    TensorToWrite tensor{.name = "tensor." + std::to_string(t), .shape = shapes[static_cast<size_t>(t)], .read = {}};
    tensor.read = [=](int64_t begin, std::span<float> out) -> Status {
      for (size_t i = 0; i < out.size(); ++i) out[i] = value_at(step, t, begin + static_cast<int64_t>(i));
      return {};
    };
    file.tensors.push_back(std::move(tensor));
  }
  return file;
}

Status save(const fs::path& parent, int64_t step) {
  return write_checkpoint(parent, step, {file_of("weights", step), file_of("moments", step + 1)},
                          "{\"step\": " + std::to_string(step) + ", \"hash\": \"\\u00e9\", \"beta\": 0.95}");
}

CheckpointStore store_of(const fs::path& parent, std::vector<std::string>* notes = nullptr) {
  return CheckpointStore(
      parent, [](const CheckpointInfo&) { return std::nullopt; },
      [notes](const std::string& line) {
        if (notes != nullptr) notes->push_back(line);
      });
}

// The newest good checkpoint's step with all its values checked; -1: there are none, -2: none is good.
int64_t newest(const fs::path& parent, std::vector<std::string>* notes = nullptr) {
  const auto found = store_of(parent, notes).newest_good();
  if (!found.ok()) {
    EXPECT_EQ(found.error().code, Code::kCorrupt) << found.error().message;
    return -2;
  }
  if (!found->has_value()) return -1;
  const CheckpointInfo& checkpoint = **found;
  for (const int64_t moments : {0, 1}) {
    const auto files = open_checkpoint_file(checkpoint, moments != 0 ? "moments" : "weights");
    EXPECT_TRUE(files.ok()) << files.error().message;
    EXPECT_EQ(files->entries().size(), 3u);
    for (int64_t t = 0; t < 3; ++t) {
      const auto* entry = files->find("tensor." + std::to_string(t));
      const auto* values = reinterpret_cast<const float*>(files->bytes(*entry).data());
      for (int64_t i = 0; i < entry->n_elements(); ++i) {
        EXPECT_EQ(values[i], value_at(checkpoint.step + moments, t, i));
      }
    }
  }
  return checkpoint.step;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& item : fs::directory_iterator(folder)) names.push_back(item.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Checkpoint, ComesBackAsItWasWritten) {
  const TempFolder folder;
  const fs::path parent = folder / "run/checkpoints";
  EXPECT_EQ(newest(parent), -1);  // no such folder: none
  ASSERT_TRUE(save(parent, 100).ok());
  ASSERT_TRUE(save(parent, 20).ok());
  EXPECT_EQ(newest(parent), 100);
  EXPECT_EQ(names_in(parent), (std::vector<std::string>{"step-00000020", "step-00000100"}));
  EXPECT_EQ(names_in(parent / "step-00000100"),
            (std::vector<std::string>{"manifest.json", "moments.safetensors", "weights.safetensors"}));
  const auto state = store_of(parent).newest_good().value()->state_json;
  EXPECT_EQ(nlohmann::json::parse(state), nlohmann::json::parse(R"({"step": 100, "hash": "é", "beta": 0.95})"));
}

TEST(Checkpoint, LargeTensorsAreAskedForInPieces) {
  const TempFolder folder;
  const int64_t n = 2 * kPieceFloats + 5;
  std::vector<int64_t> begins;
  const auto read = [&](int64_t begin, std::span<float> out) -> Status {
    begins.push_back(begin);
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(begin + static_cast<int64_t>(i));
    return {};
  };
  const FileToWrite file{.name = "weights", .tensors = {{.name = "table", .shape = {n}, .read = read}}, .bytes = {}};
  ASSERT_TRUE(write_checkpoint(folder.path(), 1, {file}, "{}").ok());
  EXPECT_EQ(begins, (std::vector<int64_t>{0, kPieceFloats, 2 * kPieceFloats}));
  const auto found = list_checkpoints(folder.path());
  const auto files = open_checkpoint_file(found->front(), "weights");
  const auto* values = reinterpret_cast<const float*>(files->bytes(*files->find("table")).data());
  for (int64_t i = 0; i < n; ++i) ASSERT_EQ(values[i], static_cast<float>(i));
}

TEST(Checkpoint, TheSameStepIsReplaced) {
  const TempFolder folder;
  ASSERT_TRUE(save(folder.path(), 7).ok());
  const auto before = read_file(folder / "step-00000007/weights.safetensors", 1 << 20).value();
  folder.write("step-00000007/weights.safetensors", "damaged");
  EXPECT_EQ(newest(folder.path()), -2);
  ASSERT_TRUE(save(folder.path(), 7).ok());
  EXPECT_EQ(newest(folder.path()), 7);
  EXPECT_EQ(read_file(folder / "step-00000007/weights.safetensors", 1 << 20).value(), before);
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

TEST(Checkpoint, KilledAtAnyCallTheLastGoodOneIsThere) {
  int n_kills = 0;
  for (int at = 0;; ++at) {
    const TempFolder folder;
    ASSERT_TRUE(save(folder.path(), 100).ok());
    const pid_t child = ::fork();
    if (child == 0) {
      const test::FaultAt fault(at, 0);
      ::_exit(save(folder.path(), 200).ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    std::vector<std::string> notes;
    const int64_t step = newest(folder.path(), &notes);
    EXPECT_TRUE(notes.empty()) << notes.front();  // nothing half is ever under a checkpoint's name
    if (WEXITSTATUS(status) == 0) {
      EXPECT_EQ(step, 200);
      break;
    }
    ASSERT_EQ(WEXITSTATUS(status), 7);
    EXPECT_TRUE(step == 100 || step == 200) << step;
    ++n_kills;
    ASSERT_TRUE(store_of(folder.path()).prune(200, 5, -1).ok());
    for (const std::string& name : names_in(folder.path())) EXPECT_EQ(name.find("partial"), std::string::npos) << name;
    EXPECT_EQ(newest(folder.path()), step);
  }
  EXPECT_GT(n_kills, 20);  // 6 tensors, 3 headers, syncs, renames
}

TEST(Checkpoint, KilledWhileReplacingOneIsThere) {
  for (int at = 0;; ++at) {
    const TempFolder folder;
    ASSERT_TRUE(save(folder.path(), 100).ok());
    const pid_t child = ::fork();
    if (child == 0) {
      const test::FaultAt fault(at, 0);
      ::_exit(save(folder.path(), 100).ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(newest(folder.path()), 100);
    if (WEXITSTATUS(status) == 0) break;
  }
}

TEST(Checkpoint, AFullDiskIsOneMessageAndNothingLeft) {
  int n_errors = 0;
  for (const bool is_lasting : {false, true}) {
    for (int at = 0;; ++at) {
      const TempFolder folder;
      ASSERT_TRUE(save(folder.path(), 100).ok());
      Status status;
      {
        const test::FaultAt fault(at, ENOSPC, is_lasting);
        status = save(folder.path(), 200);
      }
      if (status.ok()) {
        EXPECT_EQ(newest(folder.path()), 200);
        if (at > 80) break;
        continue;
      }
      ++n_errors;
      EXPECT_EQ(status.error().code, Code::kResourceExhausted) << status.error().message;
      EXPECT_NE(status.error().message.find("saving the checkpoint of step 200"), std::string::npos);
      EXPECT_NE(status.error().message.find("No space left on device"), std::string::npos) << status.error().message;
      const auto names = names_in(folder.path());
      EXPECT_EQ(names.front(), "step-00000100");
      for (const std::string& name : names) EXPECT_EQ(name.find("partial"), std::string::npos) << name;
      EXPECT_GE(newest(folder.path()), 100);
    }
  }
  EXPECT_GT(n_errors, 40);
}

TEST(Checkpoint, WithoutAnExchangeOfNamesItIsStillReplaced) {
  const TempFolder folder;
  ASSERT_TRUE(save(folder.path(), 3).ok());
  int n_calls = 0;
  {
    const test::FaultAt count(1 << 30, 0);
    ASSERT_TRUE(save(folder.path(), 3).ok());
    n_calls = test::faults.n_calls;
  }
  {
    const test::FaultAt fault(n_calls - 2, EINVAL);  // renameat2, then the sync of the parent
    ASSERT_TRUE(save(folder.path(), 3).ok());
    EXPECT_GT(test::faults.n_calls, n_calls);
  }
  EXPECT_EQ(newest(folder.path()), 3);
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

TEST(Checkpoint, AFolderThatMayNotBeWrittenIsSaid) {
  const TempFolder folder;
  ASSERT_TRUE(save(folder.path(), 100).ok());
  {
    const test::FaultAt fault(0, EROFS, true);
    expect_error(save(folder.path(), 200), Code::kUnavailable, {"step 200", "Read-only file system", "may be written"});
  }
  EXPECT_EQ(newest(folder.path()), 100);
  folder.write("file", "x");
  expect_error(save(folder / "file", 1), Code::kUnavailable, {"step 1"});
}

TEST(Checkpoint, AReaderThatFailsLeavesNothing) {
  const TempFolder folder;
  FileToWrite file = file_of("weights", 1);
  file.tensors[1].read = [](int64_t, std::span<float>) -> Status {
    return Error{Code::kCancelled, "reading: stopped; go on later"};
  };
  expect_error(write_checkpoint(folder.path(), 1, {file}, "{}"), Code::kCancelled, {"step 1", "stopped"});
  expect_error(write_checkpoint(folder.path(), 1, {file_of("weights", 1)}, "[1]"), Code::kCorrupt, {"state"});
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(Checkpoint, AnyFlippedByteIsFound) {
  const TempFolder folder;
  ASSERT_TRUE(save(folder.path(), 100).ok());
  for (const std::string name : {"weights.safetensors", "moments.safetensors", "manifest.json"}) {
    const fs::path path = folder / "step-00000100" / name;
    const std::string good = read_file(path, 1 << 20).value();
    for (size_t i = 0; i + 1 < good.size(); ++i) {  // the last byte of the manifest is its line end
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << i % 8));
      std::ofstream(path, std::ios::binary) << bad;
      ASSERT_FALSE(verify_checkpoint(folder / "step-00000100").ok()) << name << " at " << i;
    }
    for (const size_t n : {size_t{0}, size_t{1}, good.size() / 2, good.size() - 2}) {
      std::ofstream(path, std::ios::binary) << good.substr(0, n);
      ASSERT_FALSE(verify_checkpoint(folder / "step-00000100").ok()) << name << " cut to " << n;
    }
    std::ofstream(path, std::ios::binary) << good;
  }
  EXPECT_EQ(newest(folder.path()), 100);
}

TEST(Checkpoint, DamagedOnesArePassedOverWithTheReason) {
  const TempFolder folder;
  for (const int64_t step : {1, 2, 3, 4}) ASSERT_TRUE(save(folder.path(), step).ok());
  fs::remove(folder / "step-00000004/moments.safetensors");
  fs::resize_file(folder / "step-00000003/weights.safetensors", 100);
  fs::remove(folder / "step-00000002/manifest.json");
  folder.write("step-00000009", "a file");  // not a folder: no checkpoint
  fs::create_directory(folder / "step-9");  // not our name
  fs::create_directory(folder / "step-00000010.partial-0123456789abcdef");
  std::vector<std::string> notes;
  EXPECT_EQ(newest(folder.path(), &notes), 1);
  ASSERT_EQ(notes.size(), 3u);
  EXPECT_NE(notes[0].find("moments.safetensors"), std::string::npos);
  EXPECT_NE(notes[1].find("100 bytes"), std::string::npos);
  EXPECT_NE(notes[2].find("manifest.json"), std::string::npos);
}

TEST(Checkpoint, AFolderOfAnotherStepsNameIsRefused) {
  const TempFolder folder;
  ASSERT_TRUE(save(folder.path(), 5).ok());
  fs::rename(folder / "step-00000005", folder / "step-00000006");
  expect_error(verify_checkpoint(folder / "step-00000006"), Code::kCorrupt, {"its step is 5", "step-00000006"});
}

TEST(Checkpoint, PruningKeepsTheNewestTheBestAndWhatIsWholeAlone) {
  const TempFolder folder;
  for (const int64_t step : {1, 2, 3, 4, 5, 6}) ASSERT_TRUE(save(folder.path(), step).ok());
  fs::remove(folder / "step-00000006/weights.safetensors");  // does not count as kept
  fs::create_directory(folder / "step-00000007.partial-0123456789abcdef");
  fs::create_directory(folder / "step-00000007.partial-99");  // these are the user's
  fs::create_directory(folder / "mine.partial-0123456789abcdef");
  const auto alive = AtomicFolder::create(folder / "step-00000008").value();
  ASSERT_TRUE(store_of(folder.path()).prune(6, 2, 1).ok());
  EXPECT_EQ(
      names_in(folder.path()),
      (std::vector<std::string>{"mine.partial-0123456789abcdef", "step-00000001", "step-00000004", "step-00000005",
                                "step-00000006", "step-00000007.partial-99", alive.path().filename().string()}));
  ASSERT_TRUE(store_of(folder.path()).prune(6, 0, -1).ok());
  EXPECT_EQ(newest(folder.path()), 5);
  EXPECT_TRUE(store_of(folder / "nowhere").prune(6, 1, -1).ok());
}

void flip_last_byte(const fs::path& path) {
  std::string bytes = read_file(path, 1 << 20).value();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(path, std::ios::binary) << bytes;
}

// Two later ones of the right size with one byte wrong: the good one stays, and the one that was just written.
TEST(Checkpoint, PruningTrustsOnlyWhatWasVerifiedOrWritten) {
  const TempFolder folder;
  for (const int64_t step : {100, 200, 300}) ASSERT_TRUE(save(folder.path(), step).ok());
  for (const int64_t step : {200, 300}) {
    flip_last_byte(folder / ("step-00000" + std::to_string(step) + "/weights.safetensors"));
  }
  std::vector<std::string> notes;
  CheckpointStore store = store_of(folder.path(), &notes);
  EXPECT_EQ(store.newest_good().value()->step, 100);
  EXPECT_EQ(notes.size(), 2u);
  ASSERT_TRUE(store.write(110, {file_of("weights", 110), file_of("moments", 111)}, "{}").ok());
  ASSERT_TRUE(store.prune(110, 2, -1).ok());
  EXPECT_EQ(names_in(folder.path()),
            (std::vector<std::string>{"step-00000100", "step-00000110", "step-00000200", "step-00000300"}));
  EXPECT_TRUE(store.has_later(110).value());
  ASSERT_TRUE(store.prune(110, 1, -1).ok());
  EXPECT_EQ(newest(folder.path()), 110);
  EXPECT_EQ(names_in(folder.path()).size(), 3u);
  // A good one that lies later than the run stands pushes out nothing either.
  ASSERT_TRUE(save(folder.path(), 400).ok());
  ASSERT_TRUE(store.prune(110, 1, -1).ok());
  EXPECT_TRUE(verify_checkpoint(folder / "step-00000110").ok());
  fs::remove_all(folder / "step-00000400");
  // Written over at last, which is said.
  notes.clear();
  ASSERT_TRUE(store.write(200, {file_of("weights", 200), file_of("moments", 201)}, "{}").ok());
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("is written anew"), std::string::npos) << notes[0];
  EXPECT_EQ(newest(folder.path()), 200);
}

// What rots, or is put in the place of a good one, while the process lives, is found by its times.
TEST(Checkpoint, WhatChangesMeanwhileIsNotTrusted) {
  const TempFolder folder;
  CheckpointStore store = store_of(folder.path());
  for (const int64_t step : {1, 2, 3}) {
    ASSERT_TRUE(store.write(step, {file_of("weights", step), file_of("moments", step + 1)}, "{}").ok());
  }
  flip_last_byte(folder / "step-00000003/moments.safetensors");
  flip_last_byte(folder / "step-00000001/moments.safetensors");
  ASSERT_TRUE(store.prune(3, 1, 1).ok());
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-00000001", "step-00000002", "step-00000003"}));
  EXPECT_EQ(store.newest_good().value()->step, 2);
}

TEST(Checkpoint, OnesOfAnotherLineArePassedOverAndStay) {
  const TempFolder folder;
  for (const int64_t step : {1, 2, 3, 4}) ASSERT_TRUE(save(folder.path(), step).ok());
  std::vector<std::string> notes;
  CheckpointStore store(
      folder.path(),
      [](const CheckpointInfo& checkpoint) {
        return checkpoint.step % 2 == 0 ? std::optional<std::string>("it is foreign") : std::nullopt;
      },
      [&](const std::string& line) { notes.push_back(line); });
  EXPECT_EQ(store.newest_good().value()->step, 3);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("it is foreign; it is kept"), std::string::npos) << notes[0];
  ASSERT_TRUE(store.prune(4, 1, -1).ok());
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-00000002", "step-00000003", "step-00000004"}));
}

// None of these is damage: the start ends with the reason, and an older checkpoint does not take the place.
TEST(Checkpoint, WhatCannotBeReadIsNotDamaged) {
  const auto expect_refused = [](const fs::path& parent, Code code, const std::string& part) {
    const auto found = store_of(parent).newest_good();
    ASSERT_FALSE(found.ok()) << part;
    EXPECT_EQ(found.error().code, code) << found.error().message;
    EXPECT_NE(found.error().message.find(part), std::string::npos) << found.error().message;
    EXPECT_NE(found.error().message.find("nothing was changed"), std::string::npos) << found.error().message;
    EXPECT_TRUE(store_of(parent).prune(300, 1, -1).ok());
    EXPECT_TRUE(fs::exists(fs::symlink_status(parent / "step-00000200")));
    EXPECT_EQ(names_in(parent).size(), 2u) << "no good one is removed for the sake of one that cannot be read";
  };
  for (const std::string name : {"manifest.json", "weights.safetensors"}) {
    const TempFolder folder;
    for (const int64_t step : {100, 200}) ASSERT_TRUE(save(folder.path(), step).ok());
    const fs::path path = folder / "step-00000200" / name;
    fs::rename(path, folder / "step-00000200/away");
    fs::create_symlink(name, path);  // to itself
    expect_refused(folder.path(), Code::kUnavailable, "Too many levels of symbolic links");
    fs::remove(path);
    fs::create_symlink(folder / "not-mounted", path);
    expect_refused(folder.path(), Code::kUnavailable, "No such file");
    fs::remove(path);
    fs::create_directory(path);
    expect_refused(folder.path(), Code::kInvalidArgument, name);
    fs::remove(path);
    fs::rename(folder / "step-00000200/away", path);
    EXPECT_EQ(newest(folder.path()), 200);
  }
  const TempFolder folder;
  for (const int64_t step : {100, 200}) ASSERT_TRUE(save(folder.path(), step).ok());
  fs::rename(folder / "step-00000200", folder / "away");
  fs::create_symlink("nowhere", folder / "step-00000200");
  fs::rename(folder / "away", folder.path().parent_path() / "naru-away");
  expect_refused(folder.path(), Code::kUnavailable, "step-00000200");
  fs::remove_all(folder.path().parent_path() / "naru-away");
}

TEST(Checkpoint, WithoutFilesToOpenNothingIsPassedOver) {
  const TempFolder folder;
  for (const int64_t step : {100, 200}) ASSERT_TRUE(save(folder.path(), step).ok());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  int lowest = ::dup(0);
  ::close(lowest);
  for (const int n_free : {0, 1}) {
    const rlimit few{static_cast<rlim_t>(lowest + n_free), before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    const auto found = store_of(folder.path()).newest_good();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    if (found.ok()) {
      EXPECT_EQ(n_free, 1);
      EXPECT_EQ((*found)->step, 200);
    } else {
      EXPECT_NE(found.error().message.find("Too many open files"), std::string::npos) << found.error().message;
    }
  }
}

// The folder of checkpoints itself: a link to a disk that is not there is not a run without checkpoints.
TEST(Checkpoint, AFolderOfCheckpointsOutOfReachIsNoEmptyOne) {
  const TempFolder folder;
  fs::create_symlink(folder / "not-mounted", folder / "checkpoints");
  EXPECT_FALSE(store_of(folder / "checkpoints").newest_good().ok());
  fs::remove(folder / "checkpoints");
  fs::create_symlink("checkpoints", folder / "checkpoints");
  EXPECT_FALSE(store_of(folder / "checkpoints").newest_good().ok());
  fs::remove(folder / "checkpoints");
  folder.write("checkpoints", "a file");
  EXPECT_FALSE(store_of(folder / "checkpoints").newest_good().ok());
}

std::string signed_manifest(nlohmann::json document) {
  document.erase("sha256");
  document["sha256"] = sha256_hex(as_bytes(document.dump()));
  return document.dump();
}

TEST(Manifest, EveryWrongFieldIsNamed) {
  const std::string digest(64, 'a');
  const CheckpointManifest good{.step = 3, .files = {{"weights.safetensors", 10, digest}}, .state_json = "{\"x\":1}"};
  const auto document = nlohmann::json::parse(manifest_text(good).value());
  const auto parse = [](const nlohmann::json& json) {
    return parse_manifest(as_bytes(signed_manifest(json)), "m.json");
  };
  ASSERT_TRUE(parse(document).ok());
  EXPECT_EQ(parse(document)->state_json, "{\"x\":1}");

  auto changed = document;
  changed["format"] = "another";
  expect_error(parse(changed), Code::kUnsupported, {"m.json", "format", "naru-checkpoint"});
  changed = document, changed["version"] = 2;
  expect_error(parse(changed), Code::kUnsupported, {"version", "2", "version of naru"});
  changed = document, changed["step"] = -1;
  expect_error(parse(changed), Code::kCorrupt, {"step"});
  changed = document, changed["state"] = 3;
  expect_error(parse(changed), Code::kCorrupt, {"state"});
  changed = document, changed["files"] = nlohmann::json::array();
  expect_error(parse(changed), Code::kCorrupt, {"files"});
  changed = document, changed["files"].push_back(changed["files"][0]);
  expect_error(parse(changed), Code::kCorrupt, {"twice"});
  changed = document, changed["files"][0]["bytes"] = -5;
  expect_error(parse(changed), Code::kCorrupt, {"bytes"});
  changed = document, changed["files"][0]["sha256"] = "abc";
  expect_error(parse(changed), Code::kCorrupt, {"sha256"});
  for (const std::string name :
       {"../weights.safetensors", "/etc/x.safetensors", "a/b.safetensors", ".safetensors", "..safetensors",
        ".hidden.safetensors", "weights.bin", "w\\x.safetensors", "w\n.safetensors", ""}) {
    changed = document, changed["files"][0]["name"] = name;
    expect_error(parse(changed), Code::kCorrupt, {"files[0].name", "plain name"});
  }
  // A flipped byte in what says the version is damage; another version signs itself as well.
  changed = document, changed["version"] = 3;
  expect_error(parse_manifest(as_bytes(changed.dump()), "m.json"), Code::kCorrupt, {"sha256"});
  changed = document, changed["format"] = "naru-checkpoins";
  expect_error(parse_manifest(as_bytes(changed.dump()), "m.json"), Code::kCorrupt, {"sha256"});
  changed = document, changed.erase("sha256");
  expect_error(parse_manifest(as_bytes(changed.dump()), "m.json"), Code::kCorrupt, {"sha256"});
  changed = document, changed["state"]["x"] = 2;  // without a new digest
  expect_error(parse_manifest(as_bytes(changed.dump()), "m.json"), Code::kCorrupt, {"sha256"});
  changed = document;
  while (static_cast<int64_t>(changed["files"].size()) <= kCheckpointFilesMax) {
    changed["files"].push_back(
        {{"name", "w" + std::to_string(changed["files"].size()) + ".safetensors"}, {"bytes", 1}, {"sha256", digest}});
  }
  expect_error(parse(changed), Code::kCorrupt, {"files", "1000"});
  changed["files"].erase(changed["files"].end() - 1);
  EXPECT_TRUE(parse(changed).ok());
}

}  // namespace
}  // namespace naru::train
