// A folder with a tiny model's config and tokenizer, recipes on it, and runs of the trainer.
#pragma once

#include <unistd.h>

#include <fstream>
#include <map>

#include "tests/train/rig.h"
#include "train/trainer.h"

namespace naru::train {

namespace fs = std::filesystem;

class TrainerRig {
 public:
  TrainerRig() {
    std::string pattern = (fs::temp_directory_path() / "naru-train-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
    fs::create_directories(path_ / "tokenizer");
    fs::copy_file(fs::path(NARU_TEST_DATA) / "text" / "trained" / "smollm.json",
                  path_ / "tokenizer" / "tokenizer.json");
    write_config("llama.json", {{"model_type", "llama"},
                                {"architectures", {"LlamaForCausalLM"}},
                                {"num_key_value_heads", 1},
                                {"rms_norm_eps", 1e-5},
                                {"tie_word_embeddings", true}});
    write_config("v3.json", v3_config());
    nlohmann::json predicting = v3_config();
    predicting["num_nextn_predict_layers"] = 2;
    write_config("v3-mtp.json", predicting);
  }
  static nlohmann::json v3_config() {
    return {{"model_type", "deepseek_v3"},
            {"architectures", {"DeepseekV3ForCausalLM"}},
            {"num_key_value_heads", 2},
            {"rms_norm_eps", 1e-6},
            {"tie_word_embeddings", false},
            {"q_lora_rank", nullptr},
            {"kv_lora_rank", 8},
            {"qk_nope_head_dim", 8},
            {"qk_rope_head_dim", 4},
            {"v_head_dim", 8},
            {"moe_intermediate_size", 8},
            {"first_k_dense_replace", 1},
            {"n_routed_experts", 4},
            {"num_experts_per_tok", 2},
            {"n_shared_experts", 1},
            {"n_group", 1},
            {"topk_group", 1},
            {"topk_method", "noaux_tc"},
            {"scoring_func", "sigmoid"},
            {"norm_topk_prob", true},
            {"routed_scaling_factor", 1.0}};
  }
  ~TrainerRig() { fs::remove_all(path_); }
  TrainerRig(const TrainerRig&) = delete;
  TrainerRig& operator=(const TrainerRig&) = delete;

  const fs::path& path() const { return path_; }
  fs::path run_folder(const std::string& name) const { return path_ / "runs" / name; }

  void write_config(const std::string& name, nlohmann::json config) const {
    const nlohmann::json common = {
        {"vocab_size", 405},    {"hidden_size", 16},       {"num_hidden_layers", 2},         {"num_attention_heads", 2},
        {"hidden_act", "silu"}, {"intermediate_size", 24}, {"max_position_embeddings", 256}, {"rope_theta", 10000.0}};
    for (const auto& [key, value] : common.items()) {
      if (!config.contains(key)) config[key] = value;
    }
    std::ofstream(path_ / name) << config.dump(1);
  }

  // Six steps of four micro-batches of sums of digits.
  recipes::Recipe recipe(const std::string& name, const std::string& config = "llama.json") const {
    recipes::Recipe recipe;
    recipe.name = name;
    recipe.output = run_folder(name).string();
    recipe.steps = 6;
    recipe.model.config = config;
    recipe.model.tokenizer = "tokenizer";
    recipe.model.init_std = 0.1;
    recipes::SourceRecipe source;
    source.generator = "digits";
    source.documents = 200;
    recipe.data = {source};
    recipe.batch = {.context = 48, .rows = 4, .micro_rows = 1, .groups = 3, .overlong = "cut"};
    recipe.optimizer.lr = 0.01;
    recipe.schedule.warmup_steps = 2;
    recipe.checkpoint = {.every = 2, .keep = 2};
    recipe.validate.every = 0;
    return recipe;
  }

  Result<std::unique_ptr<Trainer>> open(const recipes::Recipe& recipe, contract::Chip& chip, TrainerEvents events = {},
                                        const StartOptions& start = {}, TrainerParts parts = {}) const {
    return Trainer::open(recipe, path_, chip, std::move(events), start, std::move(parts));
  }

  Result<RunResult> run(const recipes::Recipe& recipe, contract::Chip& chip, TrainerEvents events = {}) const {
    NARU_ASSIGN(const auto trainer, open(recipe, chip, std::move(events)));
    return trainer->run();
  }

  // The weights of a run to its end.
  std::string finished(const recipes::Recipe& recipe, contract::Chip& chip, TrainerEvents events = {}) const {
    const auto result = run(recipe, chip, std::move(events));
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    if (!result.ok()) return "failed";
    EXPECT_TRUE(result->is_done);
    return result->weights_sha256;
  }

 private:
  fs::path path_;
};

// Thresholds so low that half of all steps are far out.
inline recipes::Recipe guarded(const TrainerRig& rig, const std::string& name) {
  recipes::Recipe recipe = rig.recipe(name);
  recipe.steps = 110;
  recipe.batch = {.context = 32, .rows = 2, .micro_rows = 1, .groups = 1, .overlong = "cut"};
  recipe.optimizer.lr = 0.03;
  recipe.schedule.kind = "constant";
  recipe.guard.clip_z = 1e-7;
  recipe.guard.skip_z = 1e-6;
  recipe.checkpoint = {.every = 20, .keep = 2};
  return recipe;
}

// Every file below a folder but the lock, as bytes; links by where they lead.
inline std::map<std::string, std::string> everything_in(const fs::path& folder) {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    if (entry.is_symlink()) {
      all[name] = "-> " + fs::read_symlink(entry.path()).string();
    } else if (entry.is_regular_file() && name != "lock") {
      all[name] = read_file(entry.path(), 1 << 24).value();
    }
  }
  return all;
}

// Asks to stop at the k-th question.
inline TrainerEvents stop_after(int64_t k) {
  TrainerEvents events;
  events.should_stop = [left = k]() mutable { return left-- <= 0; };
  return events;
}

inline TrainerEvents keep_notes(std::vector<std::string>& notes) {
  TrainerEvents events;
  events.note = [&notes](std::string_view line) { notes.emplace_back(line); };
  return events;
}

inline bool has_note(const std::vector<std::string>& notes, const std::string& part) {
  return std::any_of(notes.begin(), notes.end(),
                     [&](const std::string& note) { return note.find(part) != std::string::npos; });
}

}  // namespace naru::train
