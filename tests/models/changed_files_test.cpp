// A checkpoint that is written over at its own length while it is read: never half of one model and half of another.
#include <chrono>
#include <fstream>
#include <thread>

#include "chips/reference/reference_chip.h"
#include "models/parameters.h"
#include "tests/models/harness.h"

namespace naru::models {
namespace {

class ChangedFiles : public testing::Test {
 protected:
  ChangedFiles() {
    std::string pattern = (std::filesystem::temp_directory_path() / "naru-changed-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    std::filesystem::copy(fixture_model("llama-gqa"), folder_, std::filesystem::copy_options::recursive);
  }
  ~ChangedFiles() override { std::filesystem::remove_all(folder_); }

  void write_over() const {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a file system's clock ticks up to 10 ms apart
    std::fstream file(folder_ / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-4, std::ios::end);
    file << "NaN!";
  }

  std::filesystem::path folder_;
};

TEST_F(ChangedFiles, LoadingRefusesThem) {
  const auto chip = reference::make_reference_chip();
  // After the first tensor, and after the last.
  for (const bool is_last : {false, true}) {
    const ModelFiles files = open_model_files(folder_).value();
    const ModelPlan plan = plan_model(files, *chip, {}).value();
    int n_calls = 0;
    ASSERT_TRUE(load_model(files, plan, *chip, [&](int64_t, int64_t) { return ++n_calls > 0; }).ok());
    int n_left = is_last ? n_calls : 1;
    const auto loaded = load_model(files, plan, *chip, [&](int64_t, int64_t) {
      if (--n_left == 0) write_over();
      return true;
    });
    ASSERT_FALSE(loaded.ok());
    EXPECT_EQ(loaded.error().code, Code::kUnavailable);
    EXPECT_NE(loaded.error().message.find("model.safetensors: it was written to"), std::string::npos);
  }
}

TEST_F(ChangedFiles, ReadingAParameterRefusesThem) {
  const ModelFiles files = open_model_files(folder_).value();
  const formats::ModelConfig config = plain_config(files.tensors, files.config).value();
  const std::vector<Parameter> parameters = list_parameters(config);
  std::vector<float> values(static_cast<size_t>(parameters[0].n_elements()));
  ASSERT_TRUE(read_parameter(files.tensors, files.config, parameters[0], values.data()).ok());
  write_over();
  const Status again = read_parameter(files.tensors, files.config, parameters[0], values.data());
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace naru::models
