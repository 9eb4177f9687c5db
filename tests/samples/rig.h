// A tiny model of the fixtures with a tokenizer of single characters, so that it babbles texts that people can read,
// and runs of kind rejection on it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"
#include "samples/sampler.h"
#include "tests/test_chip.h"

namespace naru::samples {

namespace fs = std::filesystem;

inline contract::Chip& sample_chip() {
  static const auto kChip = test::make_test_chip();
  return *kChip;
}

// Every file below a folder but the lock, as bytes; nothing where there is no folder.
inline std::map<std::string, std::string> all_files_in(const fs::path& folder) {
  std::map<std::string, std::string> all;
  if (!fs::exists(folder)) return all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    if (entry.is_regular_file() && name != "lock") all[name] = read_file(entry.path(), 1 << 24).value();
  }
  return all;
}

inline recipes::SourceRecipe file_source(const std::string& path) {
  recipes::SourceRecipe source;
  source.path = path;
  return source;
}

class SampleRig {
 public:
  SampleRig() {
    std::string pattern = (fs::temp_directory_path() / "naru-samples-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
    const fs::path model = path_ / "model";
    fs::copy(fs::path(NARU_TEST_DATA) / "models" / "llama-gqa" / "hf", model, fs::copy_options::recursive);
    // Some characters end an answer, too, so that it is short.
    patch(model / "config.json", [](nlohmann::json& j) { j["eos_token_id"] = {1, 5, 6, 7, 8, 9, 10, 11}; });
    fs::remove(model / "generation_config.json");
    nlohmann::json vocab = {{"<s>", 0}, {"<|im_end|>", 1}};
    for (int c = 0x20; c < 0x7f; ++c) vocab[c == 0x20 ? "Ġ" : std::string(1, static_cast<char>(c))] = c - 0x20 + 2;
    const auto added = [](int id, const char* text) {
      return nlohmann::json{{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
                            {"rstrip", false}, {"normalized", false}, {"special", true}};
    };
    const nlohmann::json tokenizer = {
        {"added_tokens", {added(0, "<s>"), added(1, "<|im_end|>")}},
        {"normalizer", nullptr},
        {"post_processor", nullptr},
        {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
        {"decoder", {{"type", "ByteLevel"}}},
        {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
    std::ofstream(model / "tokenizer.json") << tokenizer.dump();
    std::ofstream(model / "chat_template.jinja")
        << "{% for m in messages %}{{ m['content'] }}{% if m['role'] == 'assistant' %}{{ '<|im_end|>' }}{% else %}:"
           "{% endif %}{% endfor %}";
    std::ofstream problems(path_ / "sums.jsonl");
    for (int i = 0; i < 24; ++i) {
      problems << nlohmann::json{{"prompt", "How much is " + std::to_string(i) + " + 1"}, {"answer", i % 10}} << "\n";
    }
  }
  ~SampleRig() { fs::remove_all(path_); }
  SampleRig(const SampleRig&) = delete;
  SampleRig& operator=(const SampleRig&) = delete;

  const fs::path& path() const { return path_; }
  fs::path run_folder(const std::string& name) const { return path_ / "runs" / name; }

  // Answers are right by chance: their last number is.
  recipes::Recipe rejection(const std::string& name) const {
    recipes::Recipe r;
    r.kind = recipes::RunKind::kRejection;
    r.name = name;
    r.output = run_folder(name).string();
    r.model.path = "model";
    r.data = {file_source("sums.jsonl")};
    r.reward.emplace_back();
    r.reward[0].find = "number";
    r.rejection.answers = 4;
    r.rejection.max_tokens = 24;
    r.rejection.language_low = 0;
    r.rejection.at_once = 4;  // many small steps
    return r;
  }

  Result<SampleResult> sample(const recipes::Recipe& recipe, SampleEvents events = {},
                              const SampleStart& start = {}) const {
    return samples::run(recipe, path_, sample_chip(), std::move(events), start);
  }
  // samples.jsonl and dropped.jsonl.
  std::pair<std::string, std::string> files_of(const std::string& name) const {
    return {read_file(run_folder(name) / "samples.jsonl", 1 << 24).value(),
            read_file(run_folder(name) / "dropped.jsonl", 1 << 24).value()};
  }
  // Why it is refused; it changes nothing then.
  std::string refusal(const recipes::Recipe& recipe) const {
    const auto before = all_files_in(recipe.output);
    const auto result = sample(recipe);
    EXPECT_EQ(before, all_files_in(recipe.output));
    return result.ok() ? "no refusal" : result.error().message;
  }

 private:
  template <typename Change>
  static void patch(const fs::path& path, const Change& change) {
    nlohmann::json json = nlohmann::json::parse(read_file(path, 1 << 20).value());
    change(json);
    std::ofstream(path) << json.dump();
  }
  fs::path path_;
};

}  // namespace naru::samples
