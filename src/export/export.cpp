// Hugging Face folders: config.json and tokenizer, then the weights tensor by tensor, in a temporary folder that is
// renamed at the end.
#include "export/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.h"
#include "base/file_digest.h"
#include "base/float_bits.h"
#include "base/folder.h"
#include "formats/generation_config.h"
#include "formats/gguf.h"
#include "formats/model_config_writer.h"
#include "formats/safetensors_writer.h"
#include "formats/tokenizer_files.h"
#include "formats/tokenizer_writer.h"
#include "models/config_difference.h"
#include "models/model.h"
#include "models/rope_frequencies.h"
#include "text/splitter.h"

namespace naru::exports {
namespace {

namespace fs = std::filesystem;
using formats::ModelConfig;

// What a tokenizer may consist of in a folder; tokenizer.json alone is needed.
constexpr std::array<std::string_view, 7> kTokenizerFiles = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "vocab.json",
    "merges.txt",     "added_tokens.json"};

Status write_text(const fs::path& path, std::string_view text) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path));
  NARU_TRY(file.write(as_bytes(text)));
  return file.commit();
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

// Of a folder that `convert` may have written, or a model's makers.
bool is_model_file(std::string_view name) {
  return name == "config.json" || name == "generation_config.json" || name == "model.safetensors.index.json" ||
         name == "adapter_config.json" || name.ends_with(".safetensors") ||
         std::ranges::find(kTokenizerFiles, name) != kTokenizerFiles.end();
}

// The first name below a folder, in the order of names, that is not of a model's; "" where there is none.
Result<std::string> foreign_name(const fs::path& folder) {
  std::string first;
  std::error_code code;
  for (fs::directory_iterator entry(folder, code), end; !code && entry != end; entry.increment(code)) {
    std::string name = entry->path().filename().string();
    std::error_code ignored;
    bool is_ours = is_model_file(name);
    if (entry->is_directory(ignored)) {
      is_ours = name == formats::kNamedTemplatesFolder;
      for (fs::directory_iterator in(entry->path(), code), last; is_ours && !code && in != last; in.increment(code)) {
        if (in->path().extension() == ".jinja" && !in->is_directory(ignored)) continue;
        name = (fs::path(name) / in->path().filename()).string();
        is_ours = false;
      }
      if (code) break;
    }
    if (!is_ours && (first.empty() || name < first)) first = name;
  }
  if (!code) return first;
  return Error{Code::kUnavailable,
               fmt::format("looking at the folder {}: {}; check that it may be read", folder.string(), code.message())};
}

// Whether `folder` holds weights of that hash, and every file that `made` has.
bool holds_all_of(const fs::path& folder, const fs::path& made, const char* weights_name, const std::string& sha256) {
  const auto weights = digest_file(folder / weights_name);
  if (!weights.ok() || weights->sha256 != sha256) return false;
  std::error_code code;
  bool all = true;
  for (fs::recursive_directory_iterator entry(made, code), end; !code && entry != end; entry.increment(code)) {
    all = all && is_there(folder / entry->path().lexically_relative(made));
  }
  return all && !code;
}

// The config as config.json will say it.
Result<std::string> config_text(const ModelToExport& model, ModelConfig& config) {
  config = model.config;
  config.from_gguf = false;
  config.fp8_block_rows = config.fp8_block_cols = 0;
  if (!config.is_mla()) config.rope.interleaved = false;
  config.dtype = model.dtype == ExportDType::kF32 ? "float32" : "bfloat16";
  if (model.form == "latent") config.attention_form = formats::AttentionForm::kLatent;
  if (model.form == "expanded") config.attention_form = formats::AttentionForm::kExpanded;
  if (const auto rule = models::llama3_rule_of(config.rope)) config.rope = *rule;
  NARU_ASSIGN(std::string text, formats::model_config_json(config));
  NARU_ASSIGN(const ModelConfig again, formats::parse_model_config(as_bytes(text), "config.json"));
  const std::string difference = models::config_difference(again, config);
  if (difference.empty()) return text;
  return Error{Code::kUnsupported,
               fmt::format("exporting a {} model: config.json cannot say {} of this model; keep it as it is",
                           family_name(config.family), difference)};
}

DType stored_dtype(const models::Parameter& parameter, ExportDType dtype) {
  // The routing bias only orders experts by small differences: f32 in every published model.
  return dtype == ExportDType::kF32 || parameter.use == models::ParameterUse::kRoutingBias ? DType::kF32 : DType::kBF16;
}

// A tensor of the file and the parameter whose values it holds.
struct OutTensor {
  std::string name;
  int64_t parameter = 0;
};

// Every parameter; and for each prediction layer the copies of embedding and head that files of DeepSeek-V3 hold.
std::vector<OutTensor> out_tensors(const ModelToExport& model) {
  std::vector<OutTensor> tensors;
  int64_t embed = -1, head = -1;
  for (const models::Parameter& parameter : model.parameters) {
    const auto index = static_cast<int64_t>(tensors.size());
    tensors.push_back({parameter.name, index});
    if (parameter.use == models::ParameterUse::kEmbedding) embed = index;
    if (parameter.use == models::ParameterUse::kHead) head = index;
  }
  const formats::Family family = model.config.family;
  for (int64_t depth = 0; depth < model.config.mtp_layers; ++depth) {
    const int64_t layer = model.config.layers + depth;
    tensors.push_back({models::tensor_name(family, models::Role::kPredictionEmbed, false, layer), embed});
    tensors.push_back(
        {models::tensor_name(family, models::Role::kPredictionHead, false, layer), head < 0 ? embed : head});
  }
  return tensors;
}

Result<std::string> write_weights(const ModelToExport& model, const fs::path& path,
                                  const formats::ProgressCallback& progress) {
  formats::SafetensorsWriter writer;
  writer.add_metadata("format", "pt");
  int64_t n_max = 0;
  const std::vector<OutTensor> tensors = out_tensors(model);
  for (const OutTensor& tensor : tensors) {
    const models::Parameter& parameter = model.parameters[static_cast<size_t>(tensor.parameter)];
    NARU_TRY(writer.add_tensor(tensor.name, stored_dtype(parameter, model.dtype), parameter.shape));
    n_max = std::max(n_max, parameter.n_elements());
  }
  NARU_TRY(writer.begin(path));
  std::vector<float> values(static_cast<size_t>(n_max));
  std::vector<uint16_t> rounded(model.dtype == ExportDType::kBF16 ? values.size() : 0);
  int64_t done = 0;
  for (const OutTensor& tensor : tensors) {
    const models::Parameter& parameter = model.parameters[static_cast<size_t>(tensor.parameter)];
    const auto n = static_cast<size_t>(parameter.n_elements());
    NARU_TRY(model.read(tensor.parameter, values.data()));
    Bytes bytes = std::as_bytes(std::span(values.data(), n));
    if (stored_dtype(parameter, model.dtype) == DType::kBF16) {
      std::transform(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(n), rounded.begin(), f32_to_bf16);
      bytes = std::as_bytes(std::span(rounded.data(), n));
    }
    NARU_TRY(writer.write(bytes));
    done += static_cast<int64_t>(bytes.size());
    if (progress && !progress(done, writer.data_bytes())) {
      return Error{Code::kCancelled,
                   fmt::format("writing {}: stopped as asked; nothing was left behind", path.string())};
    }
  }
  NARU_TRY(writer.finish());
  return writer.sha256();
}

Status check_ids(const fs::path& from, int64_t n_ids, int64_t vocab) {
  if (n_ids <= vocab) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("exporting the tokenizer of {}: it has ids up to {}, the model has a vocabulary of {}; give "
                           "the tokenizer that the model was made with",
                           from.string(), n_ids - 1, vocab)};
}

Status copy_tokenizer(const fs::path& from, int64_t vocab, const fs::path& folder) {
  NARU_ASSIGN(formats::TokenizerData data, formats::read_tokenizer_folder(from));
  NARU_TRY(formats::leave_out_foreign_tokens(data, vocab));
  NARU_TRY(check_ids(from, data.n_ids(), vocab));
  for (const std::string_view name : kTokenizerFiles) {
    if (!is_there(from / name)) continue;
    NARU_ASSIGN(const std::string text, read_file(from / name, formats::kTokenizerJsonBytesMax));
    NARU_TRY(write_text(folder / name, text));
  }
  const fs::path named = fs::path(formats::kNamedTemplatesFolder);
  if (!is_there(from / named)) return {};
  std::error_code code;
  fs::create_directory(folder / named, code);
  for (const formats::NamedTemplate& one : data.named_chat_templates) {
    if (is_there(from / named / (one.name + ".jinja")))
      NARU_TRY(write_text(folder / named / (one.name + ".jinja"), one.text));
  }
  return {};
}

// A template of the user's in the place of all others: in the file that counts first, and for older readers in
// tokenizer_config.json.
Status put_chat_template(const std::string& source, const fs::path& folder) {
  std::error_code ignored;
  fs::remove_all(folder / formats::kNamedTemplatesFolder, ignored);
  NARU_TRY(write_text(folder / "chat_template.jinja", source));
  const fs::path path = folder / "tokenizer_config.json";
  if (!is_there(path)) return {};
  NARU_ASSIGN(const std::string text, read_file(path, formats::kTokenizerConfigBytesMax));
  auto config = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!config.is_object()) return {};  // it was read before, so it is one
  config["chat_template"] = source;
  return write_text(path, config.dump(2) + "\n");
}

// The tokenizer's files without a chat template, wherever it stood.
Status remove_chat_template(const fs::path& folder) {
  std::error_code ignored;
  fs::remove_all(folder / formats::kNamedTemplatesFolder, ignored);
  for (const char* name : {"chat_template.jinja", "chat_template.json"}) fs::remove(folder / name, ignored);
  const fs::path path = folder / "tokenizer_config.json";
  if (!is_there(path)) return {};
  NARU_ASSIGN(const std::string text, read_file(path, formats::kTokenizerConfigBytesMax));
  auto config = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!config.is_object() || config.erase("chat_template") == 0) return {};
  return write_text(path, config.dump(2) + "\n");
}

// What a GGUF file says by names and flags, said as folders say it: added tokens stand in the vocabulary too, in the
// order of their ids, and the tokens around a text are listed.
void settle_as_folder(formats::TokenizerData& data) {
  text::spell_out_gguf_pre(data);
  for (const formats::AddedToken& token : data.added_tokens) data.vocab[static_cast<size_t>(token.id)] = token.text;
  std::ranges::sort(data.added_tokens, {}, &formats::AddedToken::id);
  if (data.prefix_ids.empty() && data.suffix_ids.empty()) {
    if (data.add_bos.value_or(false) && data.bos_id) data.prefix_ids = {*data.bos_id};
    if (data.add_eos.value_or(false) && data.eos_id) data.suffix_ids = {*data.eos_id};
  }
}

// The makers' advice for sampling, where the tokenizer's files have it. A .gguf file says more of what ends an answer
// than its config does, since readers know some tokens by their texts.
Result<formats::GenerationConfig> advice_of(const fs::path& from, const ModelConfig& config) {
  std::error_code ignored;
  if (from.empty()) return formats::GenerationConfig{};
  if (fs::is_directory(from, ignored) && formats::has_tokenizer(from)) return formats::read_generation_config(from);
  formats::GenerationConfig advice;
  NARU_ASSIGN(const formats::TensorFiles files, formats::TensorFiles::open(from));
  if (files.gguf() == nullptr) return formats::read_generation_config(from);
  NARU_ASSIGN(const formats::TokenizerData data, formats::tokenizer_from_gguf(*files.gguf()));
  NARU_ASSIGN(advice, formats::generation_config_of(*files.gguf()));
  advice.eos_ids = config.eos_ids;
  for (const int32_t id : data.end_ids) {
    if (std::find(advice.eos_ids.begin(), advice.eos_ids.end(), id) == advice.eos_ids.end())
      advice.eos_ids.push_back(id);
  }
  return advice;
}

}  // namespace

Status export_tokenizer(const fs::path& from, int64_t vocab, const fs::path& folder) {
  std::error_code ignored;
  if (fs::is_directory(from, ignored) && formats::has_tokenizer(from)) return copy_tokenizer(from, vocab, folder);
  NARU_ASSIGN(const formats::TensorFiles files, formats::TensorFiles::open(from));
  if (files.gguf() == nullptr) {
    return Error{Code::kNotFound, fmt::format("exporting the tokenizer of {}: there is no tokenizer.json; give a "
                                              "folder with one",
                                              from.string())};
  }
  NARU_ASSIGN(formats::TokenizerData data, formats::tokenizer_from_gguf(*files.gguf()));
  NARU_TRY(check_ids(from, data.n_ids(), vocab));
  NARU_ASSIGN([[maybe_unused]] const text::Splitter known, text::Splitter::create(data));
  settle_as_folder(data);
  return formats::write_tokenizer_folder(data, folder);
}

Status check_model_place(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) return {};  // AtomicFolder refuses what is no folder
  NARU_ASSIGN(const std::string name, foreign_name(folder));
  if (name.empty()) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("writing the model {}: there is a folder of that name, and it holds '{}', which is no file "
                           "of a model: it would be lost; move it out of there, or choose another name",
                           folder.string(), name)};
}

Result<std::string> export_hugging_face(const ModelToExport& model, const fs::path& folder,
                                        const formats::ProgressCallback& progress, Existing existing) {
  if (existing == Existing::kReplace && !model.keeps_equal) NARU_TRY(check_model_place(folder));
  ModelConfig config;
  NARU_ASSIGN(const std::string text, config_text(model, config));
  NARU_ASSIGN(AtomicFolder target, AtomicFolder::create(folder, existing));
  if (!model.tokenizer_from.empty()) NARU_TRY(export_tokenizer(model.tokenizer_from, config.vocab, target.path()));
  if (model.chat_template) NARU_TRY(put_chat_template(*model.chat_template, target.path()));
  if (model.is_base) NARU_TRY(remove_chat_template(target.path()));
  NARU_ASSIGN(const formats::GenerationConfig advice, advice_of(model.tokenizer_from, config));
  NARU_ASSIGN(std::string sha256, write_weights(model, target.path() / "model.safetensors", progress));
  NARU_TRY(write_text(target.path() / "config.json", text));
  NARU_TRY(write_text(target.path() / "generation_config.json", formats::generation_config_json(config, advice)));
  if (model.keeps_equal && holds_all_of(folder, target.path(), "model.safetensors", sha256)) return sha256;
  if (existing == Existing::kReplace) NARU_TRY(check_model_place(folder));
  NARU_TRY(target.commit());
  return sha256;
}

Status export_adapter(const AdapterToExport& adapter, const fs::path& folder) {
  constexpr const char* kName = "adapter_model.safetensors";
  NARU_ASSIGN(AtomicFolder target, AtomicFolder::create(folder, Existing::kReplace));
  ModelToExport values;
  values.parameters = adapter.parameters;
  values.read = adapter.read;
  NARU_ASSIGN(const std::string sha256, write_weights(values, target.path() / kName, {}));
  NARU_TRY(
      write_text(target.path() / "adapter_config.json", formats::adapter_config_json(adapter.config, adapter.base)));
  if (holds_all_of(folder, target.path(), kName, sha256)) return {};
  NARU_TRY(check_model_place(folder));
  return target.commit();
}

namespace {

// Prediction layers whose tensors are in the file, and not only in the config.
bool has_predictions(const models::ModelFiles& files) {
  for (int64_t depth = 0; depth < files.config.mtp_layers; ++depth) {
    const std::string name = models::tensor_name(files.config.family, models::Role::kPredictionJoin,
                                                 files.config.from_gguf, files.config.layers + depth);
    if (name.empty() || files.tensors.find(name) == nullptr) return false;
  }
  return files.config.mtp_layers > 0;
}

}  // namespace

Result<std::string> convert_to_hugging_face(const fs::path& model, const fs::path& folder, ExportDType dtype,
                                            const formats::ProgressCallback& progress, Existing existing) {
  std::error_code ignored;
  if (existing == Existing::kReplace && fs::is_directory(folder, ignored)) {
    NARU_TRY(check_model_place(folder));
  } else {
    NARU_TRY(check_folder_place(folder, existing, [](const fs::directory_entry&) { return false; }));
  }
  NARU_ASSIGN(const models::ModelFiles files, models::open_model_files(model));
  NARU_ASSIGN(ModelConfig plain, models::plain_config(files.tensors, files.config));
  if (has_predictions(files)) plain.mtp_layers = files.config.mtp_layers;
  ModelToExport whole{
      .config = std::move(plain), .parameters = {}, .read = {}, .dtype = dtype, .tokenizer_from = {}, .form = {}};
  whole.parameters = models::list_parameters(whole.config);
  whole.read = [&](int64_t index, float* out) {
    return models::read_parameter(files.tensors, files.config, whole.parameters[static_cast<size_t>(index)], out);
  };
  const formats::GgufIndex* gguf = files.tensors.gguf();
  const bool has_tokenizer =
      gguf != nullptr ? gguf->has("tokenizer.ggml.tokens") : formats::has_tokenizer(files.tensors.folder());
  if (has_tokenizer) whole.tokenizer_from = gguf != nullptr ? files.tensors.file_path(0) : files.tensors.folder();
  return export_hugging_face(whole, folder, progress, existing);
}

}  // namespace naru::exports
