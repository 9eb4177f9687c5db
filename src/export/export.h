// What is trained, as others load it: a Hugging Face folder (model.safetensors, config.json, tokenizer.json,
// tokenizer_config.json with the chat template, generation_config.json), GGUF made of it, and adapters as PEFT has
// them. Written whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "export/gguf_kinds.h"
#include "formats/adapter_config.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"
#include "models/parameters.h"

namespace naru::exports {

enum class ExportDType : uint8_t { kF32, kBF16 };

struct ModelToExport {
  formats::ModelConfig config;
  std::vector<models::Parameter> parameters;
  // Values of parameter `index`, f32.
  std::function<Status(int64_t index, float* out)> read;
  ExportDType dtype = ExportDType::kF32;
  std::filesystem::path tokenizer_from;                     // folder or .gguf whose tokenizer goes with it; empty: none
  std::optional<std::string> chat_template = std::nullopt;  // in the place of the tokenizer's own
  bool is_base = false;  // it never saw the tokenizer's chat template, which stays behind
  std::string form;      // "latent" or "expanded": naru_attention_form; "" for other attention
  // A folder that holds these very weights, and misses no file, stays as it is, with all that is in it.
  bool keeps_equal = false;
};

// A folder is replaced only where it holds nothing but a model's files (or an adapter's): anything else is the user's,
// and is named.
Status check_model_place(const std::filesystem::path& folder);

// Returns the SHA-256 of model.safetensors. A folder that is there is replaced in one step, where it may be
// (check_model_place). Progress counts the bytes of tensors.
Result<std::string> export_hugging_face(const ModelToExport& model, const std::filesystem::path& folder,
                                        const formats::ProgressCallback& progress = {},
                                        Existing existing = Existing::kReplace);

// Low-rank parts beside a model, as PEFT reads them: adapter_config.json and adapter_model.safetensors, f32.
struct AdapterToExport {
  formats::AdapterConfig config;
  std::string base;                           // how the file calls the model
  std::vector<models::Parameter> parameters;  // under PEFT's names
  std::function<Status(int64_t index, float* out)> read;
};
// A folder that is there is replaced in one step, where it may be (check_model_place); where it holds these very values
// it stays.
Status export_adapter(const AdapterToExport& adapter, const std::filesystem::path& folder);

// The tokenizer's files of a Hugging Face folder, from a folder (copied) or a .gguf file (written anew). kNotFound
// where the source has none; kInvalidArgument where it has ids beyond `vocab`.
Status export_tokenizer(const std::filesystem::path& from, int64_t vocab, const std::filesystem::path& folder);

// A GGUF file of a model that naru reads, under the names and in the layout of llama.cpp; gguf_kinds.h says which kind
// each tensor has.
struct GgufOptions {
  GgufKind kind = GgufKind::kF32;
  formats::ProgressCallback progress = {};
  Existing existing = Existing::kRefuse;
  int n_threads = 1;                                // they change no bit
  std::function<void(std::string_view)> note = {};  // what a user should know, before anything is written
};
struct GgufSummary {
  struct Kind {
    DType dtype = DType::kF32;
    int64_t n_tensors = 0;
    int64_t bytes = 0;
  };
  std::string sha256;
  int64_t bytes = 0;
  std::vector<Kind> kinds;  // the one with the most bytes first
};
Result<GgufSummary> convert_to_gguf(const std::filesystem::path& model, const std::filesystem::path& out,
                                    const GgufOptions& options);
// A Hugging Face folder of a .gguf file, or of another folder in a plain dtype. kReplace replaces what
// check_model_place allows. Returns the SHA-256 of model.safetensors.
Result<std::string> convert_to_hugging_face(const std::filesystem::path& model, const std::filesystem::path& folder,
                                            ExportDType dtype, const formats::ProgressCallback& progress = {},
                                            Existing existing = Existing::kRefuse);

}  // namespace naru::exports
