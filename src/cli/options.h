// Options: what the flags of each command set, and the flags that all commands share that run a model.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "chips/registry/registry.h"
#include "cli/command.h"
#include "cli/form_flags.h"
#include "contract/kinds.h"
#include "engine/sampler.h"
#include "export/gguf_kinds.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"
#include "tensor/dtype.h"

namespace naru::cli {

inline constexpr int64_t kTokensMax = int64_t{1} << 31;  // of a context, a prompt or an answer, as a flag gives it

struct ModelOptions {
  std::string path;
  std::optional<std::string> adapter;  // a folder of PEFT's
  std::string chip = std::string(chips::all_chips().front().name);
  int64_t threads = 0;          // 0: all cores that the process may use
  int64_t prefill_chunk = 512;  // rows of one forward pass
  int64_t context = 0;          // 0: by the model and the memory
  contract::ComputeMode compute = contract::ComputeMode::kAuto;
  std::optional<DType> cache_dtype;
  std::optional<bool> is_latent;
  bool explain = false;
};

// Where neither the user nor the model's makers say how tokens are chosen: the plain distribution (temperature 1) makes
// small models babble.
inline constexpr double kDefaultTemperature = 0.7;
inline constexpr double kDefaultTopP = 0.9;

// What the user said of sampling; the rest comes from the model's makers.
struct SamplingFlags {
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k;
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;

  engine::SamplingOptions over(const formats::GenerationConfig& makers) const;
  // "temperature 0.7, top-p 0.9 (the model advises nothing)"
  std::string text(const formats::GenerationConfig& makers) const;
};

struct RunOptions {
  ModelOptions model;
  bool is_builtin_by_default = false;  // nobody named a model
  std::string server;                  // the address of one that answers in the place of a model here; empty: none
  std::string server_model;            // its name there; empty: the one that there is
  std::string api_key_file;
  std::optional<std::string> prompt;
  std::optional<std::string> system;
  std::optional<std::string> chat_template;  // a file with a template, in the place of the model's
  SamplingFlags sampling;
  int64_t max_tokens = 0;  // 0: until the context is full
  std::vector<std::string> stop;
  FormFlags form;
  bool is_raw = false;
  bool hide_reasoning = false;
  bool show_stats = false;
  bool has_history = true;  // of the chat, kept in a file
  bool json = false;
  // Long names of flags that were given, and by what: "--seed", "NARU_SEED".
  std::map<std::string, std::string> given_by;
};

struct ShowOptions {
  ModelOptions model;
  bool machine = false;
  bool sha256 = false;
  bool json = false;
};

struct LogitsOptions {
  ModelOptions model;
  std::string ids_path;
  std::string out_path;
  Existing existing = Existing::kRefuse;  // of out_path
  bool json = false;
};

struct TokenizeOptions {
  std::string path;
  bool decode = false;
  bool parse_special = true;
  bool add_special = false;
  bool json = false;
};

struct BenchOptions {
  ModelOptions model;
  std::vector<int64_t> depths;  // empty: 0, 512, 2048 as far as the model goes
  int64_t prompt_tokens = 512;
  int64_t new_tokens = 128;
  std::vector<int64_t> batches;  // empty: 1
  int64_t repeat = 3;
  bool json = false;
};

struct ConvertOptions {
  enum class Target : uint8_t { kGguf, kHuggingFace };
  std::string path;
  std::string out_path;
  std::string out_argument;               // the same, as the second argument
  Existing existing = Existing::kRefuse;  // of out_path
  std::optional<Target> target;           // default: by the ending of out_path
  std::optional<exports::GgufKind> kind;  // default: f32 where the source is f32 throughout, else bf16
  int64_t threads = 0;                    // 0: all cores that this process may use
  bool json = false;
};

// MODEL, --adapter, and how a model computes: of the commands that run one.
Argument model_argument(std::string* path);
Flag adapter_flag(ModelOptions& o);
Flag context_flag(ModelOptions& o);
void add_model_flags(ModelOptions& o, std::vector<Flag>& flags);
Flag json_flag(bool* target, std::string help);
// --force, of every command that writes an output.
Flag force_flag(Existing* existing);
// --chip and --threads, of every command that computes.
Flag chip_flag(std::string* name);
Flag threads_flag(int64_t* n_threads);
// How tokens are chosen, and how many there are at most: of the command line, and of /set in the chat.
void add_sampling_flags(SamplingFlags& o, std::vector<Flag>& flags);
Flag max_tokens_flag(int64_t* max_tokens);

// The commands, with their options inside.
std::vector<Command> all_commands();

Status run_command(const RunOptions& options);
Status show_command(const ShowOptions& options);
Status logits_command(const LogitsOptions& options);
Status tokenize_command(const TokenizeOptions& options);
Status bench_command(const BenchOptions& options);
Status convert_command(const ConvertOptions& options);

}  // namespace naru::cli
