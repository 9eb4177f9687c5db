// RunLister: what has not changed is not read again, what has is, and links lead nobody out of the folder.
#include "runs/run_lister.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "runs/run_files.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

class RunListerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "naru-lister-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    fs::create_directories(root_ / "runs");
  }
  void TearDown() override { fs::remove_all(root_); }
  void write_run(const fs::path& run, const std::string& started, double loss, const std::string& more = "") {
    fs::create_directories(root_ / run);
    std::ofstream(root_ / run / kRunFile)
        << "{\"name\": \"x\", \"status\": \"done\", \"started\": \"" << started << "\"}";
    std::ofstream(root_ / run / kMetricsFile) << "{\"step\": 1, \"loss\": " << loss << "}\n" << more;
  }
  // The folders of the runs, in their order.
  std::vector<std::string> listed(RunLister& lister) {
    std::vector<std::string> names;
    const auto runs = lister.list();
    EXPECT_TRUE(runs.ok()) << (runs.ok() ? "" : runs.error().message);
    for (const RunSummary& run : runs.ok() ? *runs : std::vector<RunSummary>()) {
      names.push_back(run.folder.lexically_relative(root_ / "runs").string());
    }
    return names;
  }
  using Names = std::vector<std::string>;
  fs::path root_;
};

TEST_F(RunListerTest, ReadsAgainWhatHasChangedAlone) {
  write_run("runs/a", "1", 0.5);
  write_run("runs/b", "2", 0.25);
  RunLister lister(root_ / "runs");
  EXPECT_EQ(listed(lister), Names({"a", "b"}));
  EXPECT_EQ(lister.n_read(), 2);
  listed(lister);
  EXPECT_EQ(lister.n_read(), 2);
  write_run("runs/b", "2", 0.25, "{\"step\": 2, \"loss\": 0.125}\n");
  const auto runs = lister.list();
  EXPECT_EQ(lister.n_read(), 3);
  ASSERT_EQ(runs->size(), 2u);
  EXPECT_EQ((*runs)[0].loss, 0.5);
  EXPECT_EQ((*runs)[1].loss, 0.125);
  EXPECT_EQ((*runs)[1].step, 2);
  // Gone and there again is another run.
  fs::remove_all(root_ / "runs/b");
  EXPECT_EQ(listed(lister), Names({"a"}));
  write_run("runs/b", "0", 0.25);
  EXPECT_EQ(listed(lister), Names({"b", "a"}));
  EXPECT_EQ(lister.n_read(), 4);
}

TEST_F(RunListerTest, MeetsPipelinesWithTheirStages) {
  PipelineRecord record{.name = "p", .stages = {}};
  record.stages.push_back({.name = "base", .recipe = "b.toml", .kind = "sft", .inputs = {}});
  record.stages.push_back({.name = "rl", .recipe = "r.toml", .kind = "grpo", .inputs = {}});
  ASSERT_TRUE(write_pipeline_record(root_ / "runs/p", record).ok());
  write_run("runs/p/base", "2", 1);
  write_run("runs/alone", "1", 1);
  RunLister lister(root_ / "runs");
  EXPECT_EQ(listed(lister), Names({"alone", "p/base"}));
  ASSERT_EQ(lister.pipelines().size(), 1u);
  EXPECT_EQ(lister.pipelines()[0].folder, root_ / "runs/p");
  EXPECT_EQ(lister.pipelines()[0].record.stages[1].kind, "grpo");
  write_run("runs/p/rl", "3", 1);
  EXPECT_EQ(listed(lister), Names({"alone", "p/base", "p/rl"}));
  // The folder of a pipeline is one of its stages' runs, and of none twice.
  RunLister of_stages(root_ / "runs/p");
  EXPECT_EQ(listed(of_stages), Names({"p/base", "p/rl"}));
  EXPECT_EQ(of_stages.pipelines().size(), 1u);
  record.stages.pop_back();
  ASSERT_TRUE(write_pipeline_record(root_ / "runs/p", record).ok());
  EXPECT_EQ(listed(lister), Names({"alone", "p/base"}));
}

TEST_F(RunListerTest, StaysInsideWhereThatIsWanted) {
  write_run("runs/own", "1", 1);
  write_run("outside/secret", "2", 1);
  std::ofstream(root_ / "outside/lines") << "{\"step\": 1, \"loss\": 7}\n";
  fs::create_directory_symlink(root_ / "outside/secret", root_ / "runs/link");
  fs::create_directory_symlink("own", root_ / "runs/inside");
  fs::create_directory_symlink(root_ / "nowhere", root_ / "runs/dead");
  for (const std::string file : {kRunFile, kMetricsFile, kSamplesFile, kRecipeFile, kCheckpointsFolder}) {
    const fs::path run = "runs/with-" + file;
    write_run(run, "3", 1);
    fs::remove(root_ / run / file);
    fs::create_symlink(root_ / "outside/lines", root_ / run / file);
  }
  // A stage that is a link, and a record that is one.
  PipelineRecord record{.name = "p", .stages = {}};
  record.stages.push_back({.name = "secret", .recipe = "", .kind = "sft", .inputs = {}});
  ASSERT_TRUE(write_pipeline_record(root_ / "runs/p", record).ok());
  fs::create_directory_symlink(root_ / "outside/secret", root_ / "runs/p/secret");
  fs::create_directories(root_ / "runs/q");
  ASSERT_TRUE(write_pipeline_record(root_ / "outside", record).ok());
  fs::create_symlink(root_ / "outside/pipeline.json", root_ / "runs/q/pipeline.json");

  RunLister stays(root_ / "runs", Links::kStayInside);
  EXPECT_EQ(listed(stays), Names({"inside", "own"}));
  ASSERT_EQ(stays.pipelines().size(), 1u);
  EXPECT_EQ(stays.pipelines()[0].folder, root_ / "runs/p");
  RunLister follows(root_ / "runs");
  EXPECT_EQ(listed(follows).size(), 9u);
  // The folder itself may be a link: whoever started the server has named it.
  fs::create_directory_symlink(root_ / "runs", root_ / "other-name");
  EXPECT_EQ(RunLister(root_ / "other-name", Links::kStayInside).list()->size(), 2u);
}

}  // namespace
}  // namespace naru::runs
