// GGUF files of quantised kinds: which kind each tensor has, what is said of it, that the same model gives the same
// bytes with any number of threads, and that naru runs what it wrote.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>
#include <map>

#include "base/sha256.h"
#include "chips/reference/reference_chip.h"
#include "export/export.h"
#include "formats/gguf.h"
#include "tests/disk_faults.h"
#include "tests/export/even_model.h"
#include "tests/formats/helpers.h"
#include "tests/models/harness.h"

namespace naru::exports {
namespace {

namespace fs = std::filesystem;
using formats::expect_error;
using formats::TempFolder;
using models::fixture_model;
using models::Role;

constexpr GgufKind kBlockFiles[] = {GgufKind::kQ8_0, GgufKind::kQ4_0,   GgufKind::kQ4_1,   GgufKind::kQ5_0,
                                    GgufKind::kQ5_1, GgufKind::kQ4_K_M, GgufKind::kQ5_K_M, GgufKind::kQ6_K};

// A small model whose rows blocks divide: 256 wide, but the feed-forward's, which are 288.
formats::ModelConfig wide_config(const std::string& fixture) {
  auto config = models::open_model_files(fixture_model(fixture))->config;
  config.hidden = 256;
  config.ffn = 288;
  config.vocab = 64;
  config.heads = 4;
  config.kv_heads = config.is_mla() ? 4 : 2;
  config.mtp_layers = 0;
  if (config.is_mla()) {
    config.mla.kv_lora_rank = 256;
    config.moe.ffn = 32;
  } else {
    config.head_dim = 64;
  }
  return config;
}

// That model with drawn weights as a folder.
fs::path write_model(const TempFolder& folder, const formats::ModelConfig& config,
                     const std::function<void(const models::Parameter&, float*)>& change = {}) {
  ModelToExport model{.config = config,
                      .parameters = models::list_parameters(config),
                      .read = {},
                      .dtype = ExportDType::kF32,
                      .tokenizer_from = {},
                      .form = {}};
  model.read = [&](int64_t index, float* out) -> Status {
    const models::Parameter& parameter = model.parameters[static_cast<size_t>(index)];
    models::draw_parameter(config, parameter, index, 3, 0.06, out);
    if (change) change(parameter, out);
    return {};
  };
  EXPECT_TRUE(export_hugging_face(model, folder / "hf").ok());
  return folder / "hf";
}

std::map<std::string, DType> kinds_of(const fs::path& path) {
  std::map<std::string, DType> kinds;
  const auto files = models::open_model_files(path).value();
  for (const auto& entry : files.tensors.entries()) kinds[entry.name] = entry.dtype;
  return kinds;
}

std::vector<float> logits_of_ids(const fs::path& path) {
  const auto chip = reference::make_reference_chip();
  models::Runner runner(path, *chip, {.compute = contract::ComputeMode::kF32, .cache_dtype = {}, .is_latent_form = {}});
  return runner.is_ready() ? runner.logits({1, 5, 9, 2}, 4).values : std::vector<float>{};
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(double{a[i]} - b[i], 2);
    size += std::pow(double{a[i]}, 2);
  }
  return std::sqrt(error / size);
}

TEST(QuantisedExport, NaruRunsEveryKindOfEveryLayoutAndThreadsChangeNothing) {
  const std::pair<std::string, std::vector<GgufKind>> cases[] = {
      {"llama-gqa", {std::begin(kBlockFiles), std::end(kBlockFiles)}},
      {"v3-f32", {GgufKind::kQ4_0, GgufKind::kQ5_K_M, GgufKind::kQ6_K}},
      {"v2-lite", {GgufKind::kQ5_1, GgufKind::kQ4_K_M}}};
  for (const auto& [fixture, kinds] : cases) {
    const TempFolder folder;
    const fs::path model = write_model(folder, wide_config(fixture));
    const std::vector<float> exact = logits_of_ids(model);
    ASSERT_FALSE(exact.empty());
    for (const GgufKind kind : kinds) {
      SCOPED_TRACE(fixture + " " + std::string(gguf_kind_name(kind)));
      const auto one = convert_to_gguf(model, folder / "1.gguf", {.kind = kind, .existing = Existing::kReplace});
      const auto two =
          convert_to_gguf(model, folder / "2.gguf", {.kind = kind, .existing = Existing::kReplace, .n_threads = 2});
      ASSERT_TRUE(one.ok() && two.ok()) << one.error().message;
      EXPECT_EQ(one->sha256, two->sha256);
      const std::string bytes = read_file(folder / "1.gguf", 1 << 28).value();
      EXPECT_EQ(one->sha256, sha256_hex(as_bytes(bytes)));
      EXPECT_EQ(one->bytes, static_cast<int64_t>(bytes.size()));
      int64_t n_tensors = 0;
      for (const auto& of : one->kinds) n_tensors += of.n_tensors;
      const auto files = models::open_model_files(folder / "1.gguf").value();
      EXPECT_EQ(n_tensors + (files.tensors.find("rope_freqs.weight") != nullptr ? 1 : 0),
                std::ssize(files.tensors.entries()));
      EXPECT_EQ(files.tensors.gguf()->get_int("general.file_type", 0, 100).value(), gguf_file_type(kind));
      EXPECT_EQ(files.tensors.gguf()->get_int("general.quantization_version", 0, 100).value(), 2);
      EXPECT_LT(distance(exact, logits_of_ids(folder / "1.gguf")), kind == GgufKind::kQ8_0 ? 0.02 : 0.4);
    }
  }
}

TEST(QuantisedExport, MixturesGiveTheSensitiveTensorsMoreBits) {
  auto config = wide_config("llama-gqa");
  config.layers = 16;
  std::vector<int64_t> sensitive;
  for (const auto& parameter : models::list_parameters(config)) {
    const auto of = [&](GgufKind kind, int64_t cols) { return tensor_kind(kind, config, parameter, cols); };
    const Role role = parameter.row->role;
    if (role == Role::kV && of(GgufKind::kQ4_K_M, 256).dtype == DType::kQ6_K) sensitive.push_back(parameter.layer);
    if (role == Role::kV || role == Role::kDown) {
      const bool is_sensitive = std::ranges::find(sensitive, parameter.layer) != sensitive.end();
      EXPECT_EQ(of(GgufKind::kQ4_K_M, 512).dtype, is_sensitive ? DType::kQ6_K : DType::kQ4_K) << parameter.name;
      EXPECT_EQ(of(GgufKind::kQ5_K_M, 512).dtype, is_sensitive ? DType::kQ6_K : DType::kQ5_K) << parameter.name;
      EXPECT_EQ(of(GgufKind::kQ4_K_M, 576).dtype, is_sensitive ? DType::kQ8_0 : DType::kQ5_0) << parameter.name;
      EXPECT_EQ(of(GgufKind::kQ5_K_M, 576).dtype, is_sensitive ? DType::kQ8_0 : DType::kQ5_1) << parameter.name;
      EXPECT_EQ(of(GgufKind::kQ4_K_M, 40).dtype, DType::kF16) << parameter.name;
    }
    if (role == Role::kQ) {
      EXPECT_EQ(of(GgufKind::kQ4_K_M, 256).dtype, DType::kQ4_K);
      EXPECT_EQ(of(GgufKind::kQ4_0, 288).dtype, DType::kQ4_0);
      EXPECT_EQ(of(GgufKind::kQ6_K, 288).dtype, DType::kQ8_0);
      EXPECT_EQ(of(GgufKind::kQ6_K, 288).wanted, DType::kQ6_K);
    }
    if (role == Role::kHead) {
      EXPECT_EQ(of(GgufKind::kQ4_0, 256).dtype, DType::kQ6_K);
      EXPECT_EQ(of(GgufKind::kQ4_0, 288).dtype, DType::kQ8_0);
      EXPECT_EQ(of(GgufKind::kQ8_0, 256).dtype, DType::kQ8_0);
      EXPECT_EQ(of(GgufKind::kQ4_K_M, 288).wanted, DType::kQ8_0);
      EXPECT_EQ(of(GgufKind::kF16, 256).dtype, DType::kF16);
    }
    if (role == Role::kEmbed) {
      EXPECT_EQ(of(GgufKind::kQ4_K_M, 256).dtype, DType::kQ4_K);
      auto tied = config;
      tied.tie_embeddings = true;
      EXPECT_EQ(tensor_kind(GgufKind::kQ4_K_M, tied, parameter, 256).dtype, DType::kQ6_K);
    }
    if (parameter.shape.size() == 1) {
      EXPECT_EQ(of(GgufKind::kQ4_0, 256).dtype, DType::kF32);
    }
  }
  EXPECT_EQ(sensitive, (std::vector<int64_t>{0, 1, 4, 7, 10, 13, 14, 15}));
}

TEST(QuantisedExport, RoutersAndNormsStayExactAndExpertsFollowTheRule) {
  const TempFolder folder;
  auto config = wide_config("v3-f32");
  ASSERT_EQ(config.moe.experts, 8);
  const fs::path model = write_model(folder, config);
  std::vector<std::string> notes;
  const auto done =
      convert_to_gguf(model, folder / "m.gguf",
                      {.kind = GgufKind::kQ4_K_M, .note = [&](std::string_view note) { notes.emplace_back(note); }});
  ASSERT_TRUE(done.ok()) << done.error().message;
  const auto kinds = kinds_of(folder / "m.gguf");
  const int64_t last = config.layers - 1;
  const auto in_last = [&](const char* name) { return kinds.at("blk." + std::to_string(last) + "." + name); };
  EXPECT_EQ(in_last("ffn_gate_inp.weight"), DType::kF32);
  EXPECT_EQ(in_last("exp_probs_b.bias"), DType::kF32);
  EXPECT_EQ(in_last("attn_kv_a_norm.weight"), DType::kF32);
  EXPECT_EQ(in_last("ffn_gate_exps.weight"), DType::kQ4_K);
  EXPECT_EQ(in_last("ffn_down_exps.weight"), DType::kQ8_0);  // rows of 32: no block of 256, of the last eighth
  EXPECT_EQ(in_last("attn_v_b.weight"), DType::kQ4_K);
  EXPECT_EQ(in_last("attn_k_b.weight"), DType::kF16);  // rows of 8
  EXPECT_EQ(kinds.at("output.weight"), DType::kQ6_K);
  EXPECT_EQ(kinds.at("token_embd.weight"), DType::kQ4_K);
  const auto said = [&](std::initializer_list<std::string_view> words) {
    return std::ranges::any_of(notes, [&](const std::string& note) {
      return std::ranges::all_of(words, [&](std::string_view word) { return note.find(word) != std::string::npos; });
    });
  };
  EXPECT_TRUE(said({"f16 in the place of q4_k", "rows of 8", "blk.0.attn_k_b.weight"}));
  EXPECT_TRUE(said({"q8_0 in the place of q6_k", "rows of 32"}));
  EXPECT_LE(notes.size(), 8u);
}

TEST(QuantisedExport, BlocksOfTheSameKindAreCopied) {
  const TempFolder folder;
  const fs::path model = write_model(folder, wide_config("llama-gqa"));
  std::vector<std::string> notes;
  const auto note = [&](std::string_view text) { notes.emplace_back(text); };
  ASSERT_TRUE(convert_to_gguf(model, folder / "a.gguf", {.kind = GgufKind::kQ4_K_M}).ok());
  const auto again = convert_to_gguf(folder / "a.gguf", folder / "b.gguf", {.kind = GgufKind::kQ4_K_M, .note = note});
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(read_file(folder / "a.gguf", 1 << 28).value(), read_file(folder / "b.gguf", 1 << 28).value());
  for (const std::string& text : notes) EXPECT_EQ(text.find("already"), std::string::npos) << text;
  // To another kind: it is done, and said.
  ASSERT_TRUE(convert_to_gguf(folder / "a.gguf", folder / "c.gguf", {.kind = GgufKind::kQ4_0, .note = note}).ok());
  EXPECT_TRUE(std::ranges::any_of(notes, [](const std::string& text) {
    return text.find("a.gguf is quantised already (") != std::string::npos && text.find("q4_k") != std::string::npos;
  }));
  EXPECT_LT(distance(logits_of_ids(model), logits_of_ids(folder / "c.gguf")), 0.4);
}

TEST(QuantisedExport, ValuesThatAreNoNumbersAreRefusedByTheTensorsName) {
  const std::pair<float, GgufKind> cases[] = {
      {NAN, GgufKind::kQ4_0}, {-INFINITY, GgufKind::kQ5_K_M}, {1e30f, GgufKind::kQ6_K}};
  for (const auto& [value, kind] : cases) {
    const TempFolder folder;
    const float bad = value;
    const fs::path model = write_model(folder, wide_config("llama-gqa"), [bad](const auto& parameter, float* out) {
      if (parameter.row->role == Role::kDown && parameter.layer == 1) out[parameter.n_elements() - 1] = bad;
    });
    expect_error(convert_to_gguf(model, folder / "m.gguf", {.kind = kind, .n_threads = 2}), Code::kUnsupported,
                 {"blk.1.ffn_down.weight", "cannot hold"});
    EXPECT_FALSE(fs::exists(folder / "m.gguf"));
  }
}

TEST(QuantisedExport, AKindThatFitsNoTensorIsRefused) {
  const TempFolder folder;
  for (const GgufKind kind : kBlockFiles) {
    expect_error(convert_to_gguf(fixture_model("llama-odd"), folder / "m.gguf", {.kind = kind}), Code::kUnsupported,
                 {gguf_kind_name(kind), "no tensor", "42", "--dtype f16"});
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(QuantisedExport, AFullDiskLeavesNothing) {
  const TempFolder folder;
  const fs::path model = write_model(folder, wide_config("llama-gqa"));
  for (int at = 0;; at += 7) {
    bool is_ok = false;
    {
      const test::FaultAt fault(at, ENOSPC, true);
      const auto done = convert_to_gguf(model, folder / "m.gguf", {.kind = GgufKind::kQ4_K_M, .n_threads = 2});
      is_ok = done.ok();
      if (!is_ok) {
        EXPECT_EQ(code_name(done.error().code), code_name(Code::kResourceExhausted)) << done.error().message;
      }
    }
    if (is_ok) break;
    ASSERT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1) << at;
    ASSERT_LT(at, 10000);
  }
  EXPECT_TRUE(models::open_model_files(folder / "m.gguf").ok());
}

// The embedding is 48 MiB; a few pieces of a megabyte are in memory at a time, of the source and of the file.
TEST(QuantisedExport, MemoryStaysThatOfAFewPieces) {
  if (!formats::kMemoryIsMeasured) GTEST_SKIP();
  const TempFolder folder;
  auto config = wide_config("llama-gqa");
  config.vocab = 49152;
  config.tie_embeddings = true;
  ModelToExport model = even_model(config, {});
  ASSERT_TRUE(export_hugging_face(model, folder / "hf").ok());
  const int64_t growth = formats::peak_growth_of([&] {
    EXPECT_TRUE(convert_to_gguf(folder / "hf", folder / "m.gguf", {.kind = GgufKind::kQ8_0, .n_threads = 2}).ok());
  });
  EXPECT_LT(growth, int64_t{28} << 20);
}

TEST(QuantisedExport, WhatOtherEnginesDoNotReadIsSaid) {
  const auto notes_of = [](const std::string& fixture, int64_t layers) {
    const TempFolder folder;
    auto config = models::open_model_files(fixture_model(fixture))->config;
    config.layers = layers;
    std::string notes;
    const auto done = convert_to_gguf(write_model(folder, config), folder / "m.gguf",
                                      {.kind = GgufKind::kQ8_0, .note = [&](std::string_view note) { notes += note; }});
    EXPECT_TRUE(done.ok());
    const auto files = models::open_model_files(folder / "m.gguf").value();
    EXPECT_EQ(files.config.mla.q_lora_rank, config.mla.q_lora_rank);
    return notes + (files.tensors.gguf()->has("deepseek2.attention.q_lora_rank") ? " [key]" : "");
  };
  const std::string three = notes_of("v2-lite", 3), all = notes_of("v2-lite", 27);
  EXPECT_NE(three.find("no query rank only with 27 layers, and this one has 3"), std::string::npos) << three;
  EXPECT_NE(three.find("[key]"), std::string::npos);
  EXPECT_EQ(all.find("27 layers"), std::string::npos) << all;
  EXPECT_EQ(all.find("[key]"), std::string::npos);
  EXPECT_NE(notes_of("v2-group", 2).find("answers otherwise"), std::string::npos);
}

}  // namespace
}  // namespace naru::exports
