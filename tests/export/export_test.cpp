// Export and conversion: every fixture model, taken to a Hugging Face folder and to GGUF and back, gives the same bits
// in f32; its tokenizer gives the same ids; what a container cannot say is refused by name, and nothing is left behind.
#include "export/export.h"

#include <cerrno>
#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/float_bits.h"
#include "base/sha256.h"
#include "chips/reference/reference_chip.h"
#include "formats/generation_config.h"
#include "formats/gguf.h"
#include "formats/model_config_writer.h"
#include "models/config_difference.h"
#include "tests/disk_faults.h"
#include "tests/export/even_model.h"
#include "tests/formats/helpers.h"
#include "tests/models/harness.h"
#include "text/tokenizer.h"

namespace naru::exports {
namespace {

namespace fs = std::filesystem;
using formats::expect_error;
using formats::TempFolder;
using models::fixture_folder;
using models::fixture_model;

std::vector<std::string> readable_fixtures() {
  std::vector<std::string> names = models::fixture_names();
  std::erase_if(names, [](const std::string& name) { return !fs::exists(fixture_model(name)); });
  return names;
}

std::string printable_name(const ::testing::TestParamInfo<std::string>& fixture) {
  std::string name = fixture.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

models::Matrix logits_of(const fs::path& model, const std::string& fixture) {
  const auto chip = reference::make_reference_chip();
  auto ids = models::read_json(fixture_folder(fixture) / "ids.json").get<std::vector<int32_t>>();
  ids.resize(std::min<size_t>(ids.size(), 20));
  models::Runner runner(model, *chip,
                        {.compute = contract::ComputeMode::kF32, .cache_dtype = {}, .is_latent_form = {}});
  EXPECT_TRUE(runner.is_ready());
  EXPECT_TRUE(runner.plan().unused_tensors.empty() || runner.plan().config.mtp_layers > 0);
  return runner.is_ready() ? runner.logits(ids, 20) : models::Matrix{};
}

// Where the rule of the rotation goes through rope_freqs, frequencies differ in their last place.
void expect_equal_logits(const fs::path& a, const fs::path& b, const std::string& fixture, bool is_rounded) {
  const models::Matrix x = logits_of(a, fixture), y = logits_of(b, fixture);
  ASSERT_EQ(x.values.size(), y.values.size());
  if (!is_rounded) {
    EXPECT_EQ(models::first_difference(x, y), -1);
    return;
  }
  for (size_t i = 0; i < x.values.size(); ++i) ASSERT_NEAR(x.values[i], y.values[i], 2e-4) << i;
}

bool uses_divisors(const fs::path& model) {
  const auto kind = models::open_model_files(model).value().config.rope.kind;
  return kind == formats::RopeKind::kLlama3 || kind == formats::RopeKind::kDivisors;
}

// The fixtures whose routers or rotation GGUF has no word for.
bool is_beyond_gguf(const std::string& fixture) {
  return fixture == "v3-mscale-differs" || fixture == "v3-half-split";
}

class Export : public ::testing::TestWithParam<std::string> {};

TEST_P(Export, AsAHuggingFaceFolderItGivesTheSameBits) {
  const TempFolder folder;
  const fs::path model = fixture_model(GetParam());
  const auto status = convert_to_hugging_face(model, folder / "hf", ExportDType::kF32);
  ASSERT_TRUE(status.ok()) << status.error().message;
  const bool is_rounded = models::open_model_files(model)->config.rope.kind == formats::RopeKind::kDivisors;
  expect_equal_logits(model, folder / "hf", GetParam(), is_rounded);
  EXPECT_EQ(formats::read_model_config(folder / "hf")->unknown_keys, std::vector<std::string>{});
}

TEST_P(Export, AsGgufAndBackItGivesTheSameBits) {
  const TempFolder folder;
  const fs::path model = fixture_model(GetParam());
  const auto status = convert_to_gguf(model, folder / "m.gguf", {.kind = GgufKind::kF32});
  if (is_beyond_gguf(GetParam())) {
    expect_error(status, Code::kUnsupported, {"GGUF cannot say"});
    EXPECT_TRUE(fs::is_empty(folder.path()));
    return;
  }
  ASSERT_TRUE(status.ok()) << status.error().message;
  const bool is_rounded = uses_divisors(model);
  expect_equal_logits(model, folder / "m.gguf", GetParam(), is_rounded);
  const auto back = convert_to_hugging_face(folder / "m.gguf", folder / "hf", ExportDType::kF32);
  ASSERT_TRUE(back.ok()) << back.error().message;
  expect_equal_logits(model, folder / "hf", GetParam(), is_rounded);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Export, ::testing::ValuesIn(readable_fixtures()), printable_name);

TEST(ExportKinds, ValuesAreRoundedAsTheKindSays) {
  const TempFolder folder;
  const fs::path model = fixture_model("v3-f32");
  const auto source = models::open_model_files(model).value();
  const auto list = models::list_parameters(source.config);
  for (const GgufKind kind : {GgufKind::kF16, GgufKind::kBF16, GgufKind::kQ8_0}) {
    const fs::path out = folder / ("m" + std::to_string(static_cast<int>(kind)) + ".gguf");
    const auto status = convert_to_gguf(model, out, {.kind = kind});
    ASSERT_TRUE(status.ok()) << status.error().message;
    const auto files = models::open_model_files(out).value();
    const double bound = kind == GgufKind::kF16 ? 0x1p-11 : kind == GgufKind::kBF16 ? 0x1p-8 : 0x1p-7;
    for (const models::Parameter& parameter : list) {
      std::vector<float> wanted(static_cast<size_t>(parameter.n_elements())), found(wanted.size());
      ASSERT_TRUE(models::read_parameter(source.tensors, source.config, parameter, wanted.data()).ok());
      ASSERT_TRUE(models::read_parameter(files.tensors, files.config, parameter, found.data()).ok());
      const bool is_exact = parameter.shape.size() == 1 || parameter.use == models::ParameterUse::kRouter;
      float largest = 0;
      for (const float value : wanted) largest = std::max(largest, std::fabs(value));
      for (size_t i = 0; i < wanted.size(); ++i) {
        ASSERT_NEAR(found[i], wanted[i], is_exact ? 0 : bound * largest) << parameter.name;
      }
    }
  }
}

TEST(ExportKinds, Bf16IsTheNearestAndTheRoutingBiasStaysExact) {
  const TempFolder folder;
  const auto source = models::open_model_files(fixture_model("v3-f32")).value();
  ASSERT_TRUE(convert_to_hugging_face(fixture_model("v3-f32"), folder / "hf", ExportDType::kBF16).ok());
  const auto files = models::open_model_files(folder / "hf").value();
  EXPECT_EQ(files.config.dtype, "bfloat16");
  for (const models::Parameter& parameter : models::list_parameters(source.config)) {
    std::vector<float> wanted(static_cast<size_t>(parameter.n_elements())), found(wanted.size());
    ASSERT_TRUE(models::read_parameter(source.tensors, source.config, parameter, wanted.data()).ok());
    ASSERT_TRUE(models::read_parameter(files.tensors, files.config, parameter, found.data()).ok());
    const bool is_exact = parameter.use == models::ParameterUse::kRoutingBias;
    for (size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_EQ(found[i], is_exact ? wanted[i] : round_to_bf16(wanted[i])) << parameter.name;
    }
  }
}

TEST(ExportKinds, ValuesBeyondF16AreRefused) {
  const TempFolder folder;
  const auto files = models::open_model_files(fixture_model("llama-gqa")).value();
  ModelToExport model{.config = models::plain_config(files.tensors, files.config).value(),
                      .parameters = models::list_parameters(files.config),
                      .read = {},
                      .dtype = ExportDType::kF32,
                      .tokenizer_from = {},
                      .form = {}};
  model.read = [&](int64_t index, float* out) -> Status {
    std::fill_n(out, model.parameters[static_cast<size_t>(index)].n_elements(), 70000.0f);
    return {};
  };
  ASSERT_TRUE(export_hugging_face(model, folder / "hf").ok());
  expect_error(convert_to_gguf(folder / "hf", folder / "m.gguf", {.kind = GgufKind::kF16}), Code::kUnsupported,
               {"70000", "f16", "bf16"});
  EXPECT_FALSE(fs::exists(folder / "m.gguf"));
  EXPECT_TRUE(convert_to_gguf(folder / "hf", folder / "m.gguf", {.kind = GgufKind::kBF16}).ok());
}

TEST(ExportFolder, TheDigestIsThatOfTheWeightsAndTheFormIsKept) {
  const TempFolder folder;
  const auto files = models::open_model_files(fixture_model("v3-f32")).value();
  ModelToExport model{.config = models::plain_config(files.tensors, files.config).value(),
                      .parameters = models::list_parameters(files.config),
                      .read = {},
                      .dtype = ExportDType::kF32,
                      .tokenizer_from = {},
                      .form = "expanded"};
  model.read = [&](int64_t index, float* out) {
    return models::read_parameter(files.tensors, files.config, model.parameters[static_cast<size_t>(index)], out);
  };
  int64_t last = 0, total = 0;
  const auto digest = export_hugging_face(model, folder / "hf/", [&](int64_t done, int64_t all) {
    last = done, total = all;
    return true;
  });
  ASSERT_TRUE(digest.ok()) << digest.error().message;
  EXPECT_EQ(*digest, sha256_hex(as_bytes(read_file(folder / "hf/model.safetensors", 1 << 28).value())));
  EXPECT_TRUE(last == total && total > 0);
  EXPECT_EQ(formats::read_model_config(folder / "hf")->attention_form, formats::AttentionForm::kExpanded);
  // Again over itself is fine; over something that is no model it is not.
  EXPECT_EQ(export_hugging_face(model, folder / "hf").value(), *digest);
  fs::create_directory(folder / "mine");
  folder.write("mine/letter.txt", "x");
  expect_error(export_hugging_face(model, folder / "mine"), Code::kInvalidArgument, {"mine", "letter.txt"});
  EXPECT_EQ(read_file(folder / "mine/letter.txt", 10).value(), "x");
  folder.write("hf/README.md", "about it");
  expect_error(export_hugging_face(model, folder / "hf"), Code::kInvalidArgument, {"README.md", "move it out"});
  // Where these weights are there, and no file is missing, all of it may stay.
  model.keeps_equal = true;
  EXPECT_EQ(export_hugging_face(model, folder / "hf").value(), *digest);
  EXPECT_EQ(read_file(folder / "hf/README.md", 10).value(), "about it");
  fs::remove(folder / "hf/generation_config.json");
  expect_error(export_hugging_face(model, folder / "hf"), Code::kInvalidArgument, {"README.md"});
  fs::remove(folder / "hf/README.md");
  EXPECT_EQ(export_hugging_face(model, folder / "hf").value(), *digest);
  EXPECT_TRUE(fs::exists(folder / "hf/generation_config.json"));
  model.keeps_equal = false;
  // Templates by name are of a model, whatever else lies beside them is not.
  fs::create_directory(folder / "hf/additional_chat_templates");
  folder.write("hf/additional_chat_templates/tools.jinja", "x");
  EXPECT_EQ(export_hugging_face(model, folder / "hf").value(), *digest);
  fs::create_directory(folder / "hf/additional_chat_templates");
  folder.write("hf/additional_chat_templates/mine.txt", "x");
  expect_error(export_hugging_face(model, folder / "hf"), Code::kInvalidArgument, {"additional_chat_templates/mine"});
  fs::remove_all(folder / "hf/additional_chat_templates");
  // Stopped half-way, or on a full disk: nothing, and what was there before stays.
  const auto stopped = export_hugging_face(model, folder / "hf", [](int64_t, int64_t) { return false; });
  expect_error(stopped, Code::kCancelled, {"stopped"});
  for (int at = 0;; ++at) {
    bool is_ok = false;
    {
      const test::FaultAt fault(at, ENOSPC, true);
      is_ok = export_hugging_face(model, folder / "hf").ok();
    }
    ASSERT_TRUE(models::open_model_files(folder / "hf").ok()) << at;
    EXPECT_EQ(sha256_hex(as_bytes(read_file(folder / "hf/model.safetensors", 1 << 28).value())), *digest);
    if (is_ok) break;
    ASSERT_LT(at, 10000);
  }
  for (const auto& item : fs::directory_iterator(folder.path())) {
    EXPECT_EQ(item.path().string().find("partial"), std::string::npos);
  }
}

TEST(ExportFolder, PredictionLayersStayInFoldersAndOutOfGguf) {
  const TempFolder folder;
  const fs::path model = fixture_model("v3-mtp");
  ASSERT_TRUE(convert_to_hugging_face(model, folder / "hf", ExportDType::kF32).ok());
  const auto source = models::open_model_files(model).value(), out = models::open_model_files(folder / "hf").value();
  EXPECT_EQ(out.config.mtp_layers, 1);
  EXPECT_EQ(out.tensors.entries().size(), source.tensors.entries().size());
  for (const models::Parameter& parameter : models::list_parameters(source.config)) {
    std::vector<float> wanted(static_cast<size_t>(parameter.n_elements())), found(wanted.size());
    ASSERT_TRUE(models::read_parameter(source.tensors, source.config, parameter, wanted.data()).ok());
    ASSERT_TRUE(models::read_parameter(out.tensors, out.config, parameter, found.data()).ok()) << parameter.name;
    EXPECT_EQ(found, wanted) << parameter.name;
  }
  ASSERT_TRUE(convert_to_gguf(model, folder / "m.gguf", {.kind = GgufKind::kF32}).ok());
  EXPECT_EQ(models::open_model_files(folder / "m.gguf")->config.mtp_layers, 0);
}

TEST(ExportFolder, ATargetThatIsThereIsRefused) {
  const TempFolder folder;
  folder.write("there", "x");
  const fs::path model = fixture_model("llama-gqa");
  expect_error(convert_to_gguf(model, folder / "there", {.kind = GgufKind::kF32}), Code::kInvalidArgument, {"already"});
  expect_error(convert_to_hugging_face(model, folder / "there", ExportDType::kF32), Code::kInvalidArgument,
               {"already"});
  expect_error(convert_to_gguf(model, folder / "no/where/m.gguf", {.kind = GgufKind::kF32}), Code::kNotFound,
               {"m.gguf"});
  expect_error(convert_to_hugging_face(model, folder / "no/where/m", ExportDType::kF32), Code::kNotFound, {"no/where"});
  EXPECT_FALSE(fs::exists(folder / "no"));
  EXPECT_EQ(read_file(folder / "there", 100).value(), "x");
}

TEST(ExportFolder, ATargetIsReplacedWhereThatIsAskedForAndItIsAModel) {
  const TempFolder folder;
  const fs::path model = fixture_model("llama-gqa");
  folder.write("m.gguf", "x");
  ASSERT_TRUE(convert_to_gguf(model, folder / "m.gguf", {.kind = GgufKind::kF32, .existing = Existing::kReplace}).ok());
  EXPECT_TRUE(models::open_model_files(folder / "m.gguf").ok());
  const auto convert = [&] {
    return convert_to_hugging_face(model, folder / "hf", ExportDType::kF32, {}, Existing::kReplace);
  };
  ASSERT_TRUE(convert().ok());
  ASSERT_TRUE(convert().ok());
  folder.write("hf/thesis.txt", "mine");
  expect_error(convert(), Code::kInvalidArgument, {"thesis.txt"});
  EXPECT_EQ(read_file(folder / "hf/thesis.txt", 100).value(), "mine");
}

// Written over at its own length after the first tensor: it would be of two models.
TEST(ExportFolder, ASourceThatChangesMeanwhileIsRefused) {
  const TempFolder folder;
  fs::copy(fixture_model("llama-gqa"), folder / "model", fs::copy_options::recursive);
  int n_calls = 0;
  const auto write_over = [&](int64_t, int64_t) {
    if (++n_calls != 1) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a file system's clock ticks up to 10 ms apart
    std::fstream file(folder / "model/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file << "x";
    return true;
  };
  expect_error(convert_to_gguf(folder / "model", folder / "m.gguf", {.kind = GgufKind::kF32, .progress = write_over}),
               Code::kUnavailable, {"model.safetensors"});
  n_calls = 0;
  expect_error(convert_to_hugging_face(folder / "model", folder / "hf", ExportDType::kF32, write_over),
               Code::kUnavailable, {"model.safetensors"});
  EXPECT_FALSE(fs::exists(folder / "m.gguf") || fs::exists(folder / "hf"));
}

// --- config.json --------------------------------------------------------------------------------------------------

TEST(ConfigJson, WhatItCannotSayIsRefused) {
  auto config = models::open_model_files(fixture_model("llama-gqa"))->config;
  config.qkv_bias = true;
  expect_error(formats::model_config_json(config), Code::kUnsupported, {"llama", "biases"});
  config = models::open_model_files(fixture_model("v3-f32"))->config;
  config.moe.has_bias = false;
  expect_error(formats::model_config_json(config), Code::kUnsupported, {"selection bias"});
  config = models::open_model_files(fixture_model("llama-gqa"))->config;
  config.rope.kind = formats::RopeKind::kDivisors;
  expect_error(formats::model_config_json(config), Code::kUnsupported, {"rope_freqs"});
}

TEST(ConfigJson, PublishedConfigsComeBack) {
  const auto cases = nlohmann::json::parse(formats::fixture("configs.json"));
  int n_checked = 0;
  for (const auto& one : cases) {
    SCOPED_TRACE(one["name"].get<std::string>());
    auto config = formats::parse_model_config(as_bytes(one["config"].dump()), "config.json").value();
    config.fp8_block_rows = config.fp8_block_cols = 0;
    const auto text = formats::model_config_json(config);
    if (!text.ok()) {  // Qwen3 or Llama with a bias of its own is said by one key for all
      ADD_FAILURE() << text.error().message;
      continue;
    }
    const auto again = formats::parse_model_config(as_bytes(*text), "config.json");
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(models::config_difference(*again, config), "");
    EXPECT_EQ(again->bos_ids, config.bos_ids);
    EXPECT_EQ(again->eos_ids, config.eos_ids);
    EXPECT_EQ(again->pad_id, config.pad_id);
    EXPECT_EQ(again->attention_form, config.attention_form);
    EXPECT_EQ(again->dtype, config.dtype);
    EXPECT_TRUE(again->unknown_keys.empty());
    ++n_checked;
  }
  EXPECT_GE(n_checked, 30);
}

TEST(ConfigJson, AnyDifferenceIsNamed) {
  const auto good = models::open_model_files(fixture_model("v3-f32"))->config;
  EXPECT_EQ(models::config_difference(good, good), "");
  const auto difference = [&](auto change) {
    auto other = good;
    change(other);
    return models::config_difference(good, other);
  };
  EXPECT_NE(difference([](auto& c) { c.vocab += 1; }), "");
  EXPECT_NE(difference([](auto& c) { c.rms_eps *= 2; }), "");
  EXPECT_NE(difference([](auto& c) { c.rope.theta *= 1.01; }), "");
  EXPECT_NE(difference([](auto& c) { c.rope.interleaved = !c.rope.interleaved; }), "");
  EXPECT_NE(difference([](auto& c) { c.moe.routed_scaling *= 1.5; }), "");
  EXPECT_NE(difference([](auto& c) { c.moe.norm_topk = !c.moe.norm_topk; }), "");
  EXPECT_NE(difference([](auto& c) { c.moe.topk_group += 1; }), "");
  EXPECT_NE(difference([](auto& c) { c.moe.first_dense += 1; }), "");
  EXPECT_NE(difference([](auto& c) { c.tie_embeddings = !c.tie_embeddings; }), "");
}

// --- tokenizers ---------------------------------------------------------------------------------------------------

const char* const kTexts[] = {"",
                              "hello the world",
                              "  Two  spaces,\n\nlines\r\n\tand don't 12345 67",
                              "나루터 한글 中文字 ñandú café ＦＵＬＬ e\u0301",
                              "<|im_start|>user\nHi<|im_end|>",
                              "x = [1, 2]; // 🙂🙃 \u200d end  "};

void expect_same_ids(const text::Tokenizer& a, const text::Tokenizer& b) {
  for (const char* const text : kTexts) {
    for (const bool add_special : {false, true}) {
      const text::EncodeOptions options{.add_special = add_special, .parse_special = true};
      EXPECT_EQ(a.encode(text, options), b.encode(text, options)) << text;
    }
    EXPECT_EQ(b.decode(b.encode(text)), a.decode(a.encode(text)));
  }
  EXPECT_EQ(a.bos_id(), b.bos_id());
  EXPECT_EQ(a.eos_id(), b.eos_id());
  EXPECT_EQ(a.pad_id(), b.pad_id());
}

TEST(ExportTokenizer, FromGgufItGivesTheSameIds) {
  for (const std::string fixture : {"gguf-llama-f32", "gguf-qwen2-f16", "gguf-qwen3-bf16", "gguf-v3-split"}) {
    const TempFolder folder;
    const auto files = models::open_model_files(fixture_model(fixture)).value();
    const auto data = formats::tokenizer_from_gguf(*files.tensors.gguf()).value();
    const Status status = export_tokenizer(fixture_model(fixture), files.config.vocab, folder.path());
    ASSERT_TRUE(status.ok()) << status.error().message;
    const auto again = formats::read_tokenizer_folder(folder.path());
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(again->chat_template, data.chat_template);
    EXPECT_EQ(text::gguf_pre_of(*again), data.gguf_pre);
    expect_same_ids(text::Tokenizer::create(data).value(), text::Tokenizer::create(*again).value());
    expect_error(export_tokenizer(fixture_model(fixture), 100, folder.path()), Code::kInvalidArgument,
                 {"vocabulary of 100"});
  }
}

// The first added token becomes the one that begins every text.
void put_token_before_texts(const fs::path& folder) {
  auto json = nlohmann::ordered_json::parse(std::ifstream(folder / "tokenizer.json"));
  const std::string text = json["added_tokens"][0]["content"];
  const auto special = nlohmann::ordered_json{{"SpecialToken", {{"id", text}, {"type_id", 0}}}};
  const auto sequence = nlohmann::ordered_json{{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  json["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", nlohmann::ordered_json::array({special, sequence})},
      {"pair", nlohmann::ordered_json::array({special, sequence})},
      {"special_tokens", {{text, {{"id", text}, {"ids", {json["added_tokens"][0]["id"]}}, {"tokens", {text}}}}}}};
  std::ofstream(folder / "tokenizer.json") << json.dump();
  std::ofstream(folder / "tokenizer_config.json")
      << nlohmann::json{{"chat_template", "{{ messages }}"}, {"bos_token", text}}.dump();
}

TEST(ExportTokenizer, FromAFolderToGgufAndBackItGivesTheSameIds) {
  for (const std::string name : {"deepseek_coder", "deepseek_v2", "deepseek_v3", "gpt2", "llama3", "qwen2", "smollm"}) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    fs::create_directory(folder / "source");
    fs::copy_file(fs::path(NARU_TEST_DATA) / "text/tokenizers" / (name + ".json"), folder / "source/tokenizer.json");
    folder.write("source/tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
    if (name == "smollm") put_token_before_texts(folder / "source");
    const auto data = formats::read_tokenizer_folder(folder / "source").value();
    const auto tokenizer = text::Tokenizer::create(data).value();
    // A model of that vocabulary and three ids more, with one value everywhere.
    auto config = models::open_model_files(fixture_model("llama-gqa"))->config;
    config.vocab = data.n_ids() + 3;
    config.bos_ids = config.eos_ids = {};
    ModelToExport model = even_model(config, folder / "source");
    ASSERT_TRUE(export_hugging_face(model, folder / "hf").ok());
    expect_same_ids(tokenizer, text::Tokenizer::create(formats::read_tokenizer_folder(folder / "hf").value()).value());
    const auto status = convert_to_gguf(folder / "hf", folder / "m.gguf", {.kind = GgufKind::kQ8_0});
    if (name == "gpt2") {  // with NFC, which no name of a pre-tokenizer stands for
      expect_error(status, Code::kUnsupported, {"no word for", "normaliser"});
      continue;
    }
    ASSERT_TRUE(status.ok()) << status.error().message;
    const auto files = models::open_model_files(folder / "m.gguf").value();
    const auto again = formats::tokenizer_from_gguf(*files.tensors.gguf()).value();
    EXPECT_EQ(again.chat_template, data.chat_template);
    expect_same_ids(tokenizer, text::Tokenizer::create(again).value());
    ASSERT_TRUE(convert_to_hugging_face(folder / "m.gguf", folder / "back", ExportDType::kBF16).ok());
    const auto back = formats::read_tokenizer_folder(folder / "back").value();
    expect_same_ids(tokenizer, text::Tokenizer::create(back).value());
    // GGUF says by flags which tokens stand around a text; readers of tokenizer.json look for them there.
    EXPECT_EQ(back.prefix_ids, data.prefix_ids);
    EXPECT_EQ(back.suffix_ids, data.suffix_ids);
  }
}

// However many tokens end a model's answers, as GGUF and back as a folder it has them all.
TEST(ExportTokenizer, EveryEndOfAnswersComesBack) {
  const TempFolder folder;
  fs::create_directory(folder / "source");
  fs::copy_file(fs::path(NARU_TEST_DATA) / "text/tokenizers/llama3.json", folder / "source/tokenizer.json");
  const auto data = formats::read_tokenizer_folder(folder / "source").value();
  auto config = models::open_model_files(fixture_model("llama-gqa"))->config;
  config.vocab = data.n_ids();
  config.eos_ids = {7, 9};
  folder.write("source/tokenizer_config.json", R"({"eos_token": "<|eot_id|>"})");
  folder.write("source/generation_config.json", R"({"eos_token_id": [9, 11, 604, 13]})");
  ModelToExport model = even_model(config, folder / "source");
  ASSERT_TRUE(export_hugging_face(model, folder / "hf").ok());
  ASSERT_TRUE(convert_to_gguf(folder / "hf", folder / "m.gguf", {.kind = GgufKind::kQ8_0}).ok());
  const auto sorted = [](std::vector<int32_t> ids) {
    std::sort(ids.begin(), ids.end());
    return ids;
  };
  const std::vector<int32_t> wanted{7, 9, 11, 13, 604};
  const auto files = models::open_model_files(folder / "m.gguf").value();
  EXPECT_EQ(sorted(files.config.eos_ids), wanted);
  EXPECT_EQ(sorted(formats::tokenizer_from_gguf(*files.tensors.gguf())->end_ids), wanted);
  ASSERT_TRUE(convert_to_hugging_face(folder / "m.gguf", folder / "back", ExportDType::kBF16).ok());
  EXPECT_EQ(sorted(formats::read_generation_config(folder / "back")->eos_ids), wanted);
  ASSERT_TRUE(convert_to_gguf(folder / "m.gguf", folder / "again.gguf", {.kind = GgufKind::kF32}).ok());
  EXPECT_EQ(sorted(models::open_model_files(folder / "again.gguf")->config.eos_ids), wanted);
}

TEST(ExportTokenizer, ATemplateOfTheUsersTakesThePlaceOfAllOthers) {
  const TempFolder folder;
  fs::create_directories(folder / "source/additional_chat_templates");
  fs::copy_file(fs::path(NARU_TEST_DATA) / "text/tokenizers/llama3.json", folder / "source/tokenizer.json");
  folder.write("source/tokenizer_config.json", R"({"chat_template": "old", "eos_token": "<eos>", "own_key": 1})");
  folder.write("source/additional_chat_templates/tool_use.jinja", "tools");
  auto config = models::open_model_files(fixture_model("llama-gqa"))->config;
  config.vocab = formats::read_tokenizer_folder(folder / "source")->n_ids();
  ModelToExport model = even_model(config, folder / "source");
  ASSERT_TRUE(export_hugging_face(model, folder / "plain").ok());
  const auto plain = formats::read_tokenizer_folder(folder / "plain").value();
  ASSERT_EQ(plain.named_chat_templates.size(), 1u);  // templates in files of their own stand for all
  EXPECT_EQ(plain.named_chat_templates[0].text, "tools");
  EXPECT_FALSE(plain.chat_template.has_value());
  model.chat_template = "new";
  ASSERT_TRUE(export_hugging_face(model, folder / "own").ok());
  const auto own = formats::read_tokenizer_folder(folder / "own").value();
  EXPECT_EQ(own.chat_template, "new");
  EXPECT_TRUE(own.named_chat_templates.empty());
  const auto written = nlohmann::json::parse(std::ifstream(folder / "own/tokenizer_config.json"));
  EXPECT_EQ(written["chat_template"], "new");  // for readers that know no chat_template.jinja
  EXPECT_EQ(written["own_key"], 1);
}

}  // namespace
}  // namespace naru::exports
