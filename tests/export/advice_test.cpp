// What goes with a model beside its weights: the makers' advice for sampling, there and back; and no chat template
// where the model never saw one.
#include <fstream>
#include <nlohmann/json.hpp>

#include "export/export.h"
#include "formats/generation_config.h"
#include "formats/gguf_writer.h"
#include "formats/tokenizer_files.h"
#include "tests/export/even_model.h"
#include "tests/formats/helpers.h"
#include "tests/models/harness.h"

namespace naru::exports {
namespace {

namespace fs = std::filesystem;
using formats::TempFolder;
using models::fixture_model;

// A small model of equal weights, with the tokenizer that lies in folder/source.
ModelToExport small_model(const TempFolder& folder) {
  fs::create_directories(folder / "source");
  fs::copy_file(fs::path(NARU_TEST_DATA) / "text/tokenizers/llama3.json", folder / "source/tokenizer.json");
  auto config = models::open_model_files(fixture_model("llama-gqa"))->config;
  config.vocab = formats::read_tokenizer_folder(folder / "source")->n_ids();
  return even_model(config, folder / "source");
}

TEST(Advice, GoesThereAndBack) {
  const TempFolder folder;
  const ModelToExport model = small_model(folder);
  folder.write("source/generation_config.json",
               R"({"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1})");
  ASSERT_TRUE(export_hugging_face(model, folder / "hf").ok());
  ASSERT_TRUE(convert_to_gguf(folder / "hf", folder / "m.gguf", {.kind = GgufKind::kF32}).ok());
  ASSERT_TRUE(convert_to_hugging_face(folder / "m.gguf", folder / "back", ExportDType::kF32).ok());
  for (const char* name : {"hf", "m.gguf", "back"}) {
    const auto files = models::open_model_files(folder / name).value();
    const auto advice = formats::generation_config_of(files.tensors).value();
    EXPECT_TRUE(advice.advises_sampling()) << name;
    EXPECT_EQ(advice.temperature, 0.6) << name;
    EXPECT_EQ(advice.top_p, 0.95) << name;
    EXPECT_EQ(advice.top_k, 20) << name;
    EXPECT_EQ(advice.min_p, 0.05) << name;
    EXPECT_EQ(advice.repetition_penalty, 1.1) << name;
  }
}

TEST(Advice, GreedyIsATemperatureOfZero) {
  const TempFolder folder;
  const ModelToExport model = small_model(folder);
  folder.write("source/generation_config.json", R"({"do_sample": false, "temperature": 0.6})");
  ASSERT_TRUE(export_hugging_face(model, folder / "hf").ok());
  ASSERT_TRUE(convert_to_gguf(folder / "hf", folder / "m.gguf", {.kind = GgufKind::kF32}).ok());
  const auto files = models::open_model_files(folder / "m.gguf").value();
  EXPECT_EQ(formats::generation_config_of(files.tensors)->temperature, 0.0);
}

TEST(Advice, NoneStaysNone) {
  const TempFolder folder;
  ASSERT_TRUE(export_hugging_face(small_model(folder), folder / "hf").ok());
  ASSERT_TRUE(convert_to_gguf(folder / "hf", folder / "m.gguf", {.kind = GgufKind::kF32}).ok());
  for (const char* name : {"hf", "m.gguf"}) {
    const auto files = models::open_model_files(folder / name).value();
    EXPECT_FALSE(formats::generation_config_of(files.tensors)->advises_sampling()) << name;
  }
}

// llama.cpp takes a temperature below 0 for greedy, and a top-k below 0 for the whole vocabulary.
TEST(Advice, NegativeValuesOfGgufAreItsOwnWords) {
  const TempFolder folder;
  formats::GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_f32("general.sampling.temp", -1.0f);
  writer.add_i32("general.sampling.top_k", -1);
  ASSERT_TRUE(writer.begin(folder / "m.gguf").ok());
  ASSERT_TRUE(writer.finish().ok());
  const auto files = formats::TensorFiles::open(folder / "m.gguf");
  ASSERT_TRUE(files.ok()) << files.error().message;
  const auto advice = formats::generation_config_of(*files).value();
  EXPECT_EQ(advice.temperature, 0.0);
  EXPECT_EQ(advice.top_k, 0);
}

TEST(Advice, AValueOutOfItsRangeIsRefused) {
  const TempFolder folder;
  formats::GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_f32("general.sampling.top_p", 1.5f);
  ASSERT_TRUE(writer.begin(folder / "m.gguf").ok());
  ASSERT_TRUE(writer.finish().ok());
  const auto files = formats::TensorFiles::open(folder / "m.gguf");
  ASSERT_TRUE(files.ok()) << files.error().message;
  formats::expect_error(formats::generation_config_of(*files), Code::kCorrupt,
                        {"general.sampling.top_p' is 1.5", "a number from 0 to 1"});
}

TEST(BaseModel, LeavesTheTemplateBehind) {
  const TempFolder folder;
  ModelToExport model = small_model(folder);
  fs::create_directories(folder / "source/additional_chat_templates");
  folder.write("source/tokenizer_config.json", R"({"chat_template": "old", "eos_token": "<eos>", "own_key": 1})");
  folder.write("source/chat_template.jinja", "main");
  folder.write("source/additional_chat_templates/tool_use.jinja", "tools");
  model.is_base = true;
  ASSERT_TRUE(export_hugging_face(model, folder / "base").ok());
  const auto base = formats::read_tokenizer_folder(folder / "base").value();
  EXPECT_FALSE(base.chat_template.has_value());
  EXPECT_TRUE(base.named_chat_templates.empty());
  const auto written = nlohmann::json::parse(std::ifstream(folder / "base/tokenizer_config.json"));
  EXPECT_FALSE(written.contains("chat_template"));
  EXPECT_EQ(written["own_key"], 1);
}

}  // namespace
}  // namespace naru::exports
