// Starts of a run while the disk fails: the n-th call that reads its checkpoints fails, and nothing is passed over or
// changed; the n-th call that changes the folder fails or is the last one, and every line is still there.
#include <fmt/format.h>
#include <sys/wait.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>

#include "runs/json_lines.h"
#include "runs/run_folder.h"
#include "runs/run_lines.h"
#include "tests/disk_faults.h"
#include "tests/train/trainer_rig.h"

namespace naru::train {
namespace {

TEST(StartFaults, WhereACheckpointCannotBeReadNothingIsPassedOverOrChanged) {
  const TrainerRig rig;
  const std::string wanted = rig.finished(rig.recipe("undisturbed"), best_cpu());
  const recipes::Recipe recipe = rig.recipe("stopped");
  for (const auto& [error_number, word] :
       {std::pair{EIO, "Input/output error"}, std::pair{EACCES, "Permission denied"},
        std::pair{EMFILE, "Too many open files"}, std::pair{ENOMEM, "Cannot allocate memory"}}) {
    fs::remove_all(recipe.output);
    ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(27)).ok());
    const auto before = everything_in(recipe.output);
    int at = 0;
    for (;; ++at) {
      const test::ReadFaultAt fault("/stopped/checkpoints/", at, error_number);
      std::vector<std::string> notes;
      const auto trainer = rig.open(recipe, best_cpu(), keep_notes(notes));
      if (test::read_faults.n_calls <= at) break;  // there was no such call
      ASSERT_FALSE(trainer.ok()) << word << " at " << at;
      EXPECT_NE(trainer.error().code, Code::kCorrupt) << trainer.error().message;
      EXPECT_NE(trainer.error().message.find(word), std::string::npos) << trainer.error().message;
      EXPECT_TRUE(notes.empty()) << notes.front();
      ASSERT_TRUE(everything_in(recipe.output) == before) << word << " at " << at;
    }
    EXPECT_GE(at, 10) << "open and read of three files, and open and mmap of two";
  }
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
}

recipes::Recipe any_recipe() {
  return recipes::parse_recipe("steps = 10\n[model]\npath = \"m\"\n[[data]]\npath = \"a\"\n", "one.toml", {}).value();
}

// A folder with the lines of steps 0 to 5, and of 6 to 8 aside.
fs::path folder_with_lines(const fs::path& root) {
  fs::remove_all(root / "run");
  {
    auto run = runs::RunFolder::open(root / "run", any_recipe());
    EXPECT_TRUE(run.ok() && run->begin(-1, nullptr).ok());
    for (int64_t step = 0; step <= 8; ++step) {
      EXPECT_TRUE(run->add(runs::Metrics{step, {{"loss", 1.0}}}).ok());
      EXPECT_TRUE(run->add(runs::Sample{step, "p", "a"}).ok());
    }
    EXPECT_TRUE(run->rewind(5).ok());
  }
  return root / "run";
}

std::set<int64_t> all_steps(const fs::path& lines) {
  std::set<int64_t> steps;
  for (const fs::path& path : {lines, runs::aside_of(lines)}) {
    EXPECT_TRUE(runs::for_each_json_line(path, [&](const nlohmann::json& line, std::string_view) {
                  steps.insert(runs::json_whole(line, "step").value_or(-1));
                }).ok());
  }
  return steps;
}

void expect_all_lines(const fs::path& folder, int at) {
  const std::set<int64_t> all = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(all_steps(folder / "metrics.jsonl"), all) << at;
  EXPECT_EQ(all_steps(folder / "samples.jsonl"), all) << at;
}

// Going back to step 2, and on from step 7, where lines come back.
TEST(StartFaults, KilledAtAnyCallNoLineIsLost) {
  const TrainerRig rig;
  for (const int64_t step : {2, 7}) {
    for (int at = 0;; ++at) {
      const fs::path folder = folder_with_lines(rig.path());
      const pid_t child = ::fork();
      if (child == 0) {
        const test::FaultAt fault(at, 0);
        auto run = runs::RunFolder::open(folder, any_recipe());
        ::_exit(run.ok() && run->begin(step, nullptr).ok() ? 0 : 1);
      }
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      expect_all_lines(folder, at);
      // The next start ends where that one would have.
      {
        auto run = runs::RunFolder::open(folder, any_recipe());
        ASSERT_TRUE(run.ok() && run->begin(step, nullptr).ok()) << at;
      }
      expect_all_lines(folder, at);
      std::vector<int64_t> steps;
      ASSERT_TRUE(runs::for_each_json_line(folder / "metrics.jsonl", [&](const nlohmann::json& line, std::string_view) {
                    steps.push_back(runs::json_whole(line, "step").value_or(-1));
                  }).ok());
      EXPECT_EQ(std::ssize(steps), step + 1) << at;
      for (const auto& entry : fs::directory_iterator(folder)) {
        EXPECT_EQ(entry.path().string().find("partial"), std::string::npos) << entry.path();
      }
      if (WEXITSTATUS(status) == 0) {
        EXPECT_GT(at, 10);
        break;
      }
    }
  }
}

TEST(StartFaults, OnAFullDiskNoLineIsLost) {
  const TrainerRig rig;
  for (int at = 0;; ++at) {
    const fs::path folder = folder_with_lines(rig.path());
    bool is_good = false;
    {
      const test::FaultAt fault(at, ENOSPC, true);
      auto run = runs::RunFolder::open(folder, any_recipe());
      is_good = run.ok() && run->begin(2, nullptr).ok();
    }
    expect_all_lines(folder, at);
    if (is_good) break;
  }
}

// One call fails; the old run is where it was, or aside as a whole where the new one began.
TEST(StartFaults, AStartOverThatFailsLeavesTheOldRunWhereItWas) {
  const TrainerRig rig;
  for (int at = 0;; ++at) {
    const fs::path folder = folder_with_lines(rig.path());
    fs::create_directories(folder / "checkpoints" / "step-00000005");
    const auto before = everything_in(folder);
    bool is_good = false;
    {
      const test::FaultAt fault(at, ENOSPC);
      auto run = runs::RunFolder::open(folder, any_recipe(), true);
      is_good = run.ok() && run->begin(-1, nullptr).ok();
    }
    EXPECT_TRUE(everything_in(is_good ? folder / "set-aside-1" : folder) == before) << at;
    if (is_good && at > 30) break;
  }
}

}  // namespace
}  // namespace naru::train
