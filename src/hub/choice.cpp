#include "hub/choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/memory.h"
#include "base/nearest.h"
#include "formats/tensor_file.h"
#include "formats/tokenizer_files.h"
#include "formats/utf8.h"

namespace naru::hub {
namespace {

using formats::printable;

// What the readers of src/formats look for beside the weights.
constexpr std::array<std::string_view, 8> kCompanions = {
    "config.json",       "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja",    "NOTICE"};
constexpr std::array<std::string_view, 2> kAdapterFiles = {"adapter_config.json", "adapter_model.safetensors"};
constexpr size_t kShownFilesMax = 40;  // .gguf files in a message

std::string base_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

bool is_gguf(std::string_view path) {
  return path.ends_with(".gguf");
}

// "-00001-of-00005.gguf"
bool is_split_gguf(std::string_view path) {
  constexpr std::string_view kForm = "-00001-of-00005.gguf";
  if (!is_gguf(path) || path.size() <= kForm.size()) return false;
  const std::string_view ending = path.substr(path.size() - kForm.size());
  for (size_t i = 0; i < kForm.size(); ++i) {
    const bool is_digit = ending[i] >= '0' && ending[i] <= '9';
    if (kForm[i] >= '0' && kForm[i] <= '9' ? !is_digit : ending[i] != kForm[i]) return false;
  }
  return true;
}

bool is_companion(std::string_view path) {
  if (path.starts_with("LICENSE") && path.find('/') == std::string_view::npos) return true;
  if (std::find(kCompanions.begin(), kCompanions.end(), path) != kCompanions.end()) return true;
  if (!path.starts_with(formats::kNamedTemplatesFolder) || !path.ends_with(".jinja")) return false;
  return path.find('/') == formats::kNamedTemplatesFolder.size() && path.rfind('/') == path.find('/');
}

Error choice_error(Code code, const ModelName& name, std::string_view found, std::string_view next) {
  return {code, fmt::format("pulling {}: {}; {}", name.text(), found, next)};
}

// A file can be checked only where the hub says what it is.
Status add(const HubFile& file, std::string name, Choice* choice) {
  if (file.bytes < 0 || file.hash.hex.empty()) {
    return Error{Code::kUnsupported,
                 fmt::format("pulling {}: the hub says neither its size nor its hash, so that it could not be checked; "
                             "use another HF_ENDPOINT",
                             printable(file.path, 300))};
  }
  choice->files.push_back({std::move(name), file});
  return {};
}

// "a.gguf (1.2 GiB), b.gguf (2.3 GiB)"
std::string shown_files(const std::vector<const HubFile*>& files) {
  std::string text;
  for (size_t i = 0; i < std::min(files.size(), kShownFilesMax); ++i) {
    const std::string size = files[i]->bytes < 0 ? "" : fmt::format(" ({})", format_bytes(files[i]->bytes));
    text += fmt::format("{}{}{}", i == 0 ? "" : ", ", printable(files[i]->path, 300), size);
  }
  if (files.size() > kShownFilesMax) text += fmt::format(" and {} more", files.size() - kShownFilesMax);
  return text;
}

std::vector<const HubFile*> whole_ggufs(const Listing& listing) {
  std::vector<const HubFile*> found;
  for (const HubFile& file : listing.files) {
    if (is_gguf(file.path) && !is_split_gguf(file.path)) found.push_back(&file);
  }
  return found;
}

Error is_split(const ModelName& name, std::string_view path) {
  return choice_error(
      Code::kUnsupported, name,
      fmt::format("{} is one part of a split GGUF file, and naru reads whole ones", printable(path, 300)),
      "choose a file that is not split, or merge the parts with `llama-gguf-split --merge`");
}

Result<Choice> choose_named(const ModelName& name, const Listing& listing) {
  const std::string& path = *name.file;
  if (!is_gguf(path)) {
    return choice_error(Code::kInvalidArgument, name, "a single file that is run is a .gguf file",
                        fmt::format("name one, or pull the whole: naru pull {}", name.repository_id()));
  }
  const HubFile* file = listing.find(path);
  if (file == nullptr) {
    const std::vector<const HubFile*> there = whole_ggufs(listing);
    std::vector<std::string_view> paths;
    for (const HubFile* one : there) paths.push_back(one->path);
    const auto near = nearest(path, paths);
    return choice_error(
        Code::kNotFound, name, "the repository has no such file",
        there.empty() ? std::string("it has no .gguf file at all: look at its page")
                      : fmt::format("{}it has {}", near ? fmt::format("did you mean {}? ", printable(*near, 300)) : "",
                                    shown_files(there)));
  }
  if (is_split_gguf(path)) return is_split(name, path);
  Choice choice{PulledKind::kGguf, {}, false};
  NARU_TRY(add(*file, base_name(path), &choice));
  return choice;
}

Result<Choice> choose_folder(const Listing& listing) {
  Choice choice;
  choice.has_shards = listing.find(formats::kSingleFileName) == nullptr;
  for (const HubFile& file : listing.files) {
    const bool is_weights = file.path == (choice.has_shards ? formats::kShardIndexName : formats::kSingleFileName);
    if (is_weights || is_companion(file.path)) NARU_TRY(add(file, file.path, &choice));
  }
  return choice;
}

Result<Choice> choose_one_gguf(const ModelName& name, const Listing& listing) {
  const std::vector<const HubFile*> there = whole_ggufs(listing);
  if (there.size() > 1) {
    return choice_error(Code::kInvalidArgument, name,
                        fmt::format("it has {} .gguf files, one was wanted", there.size()),
                        fmt::format("name one, as in `naru pull {}:{}`: {}", name.repository_id(),
                                    printable(there[0]->path, 300), shown_files(there)));
  }
  Choice choice{PulledKind::kGguf, {}, false};
  NARU_TRY(add(*there[0], base_name(there[0]->path), &choice));
  return choice;
}

Error nothing_to_run(const ModelName& name, const Listing& listing) {
  for (const HubFile& file : listing.files) {
    if (is_split_gguf(file.path)) return is_split(name, file.path);
  }
  const auto is_pickle = [](const HubFile& file) { return file.path.ends_with(".bin") || file.path.ends_with(".pth"); };
  const bool has_pickle = std::any_of(listing.files.begin(), listing.files.end(), is_pickle);
  return choice_error(
      Code::kUnsupported, name,
      fmt::format("none of its {} files is what naru runs: config.json with {} or {}, or a .gguf file{}",
                  listing.files.size(), formats::kSingleFileName, formats::kShardIndexName,
                  has_pickle ? "; its weights are Python pickles, which can run any code" : ""),
      "look for a copy of the model in safetensors or GGUF");
}

}  // namespace

Result<Choice> choose_files(const ModelName& name, const Listing& listing) {
  if (name.file) return choose_named(name, listing);
  const auto has = [&listing](std::string_view path) { return listing.find(path) != nullptr; };
  if (has("config.json") && (has(formats::kSingleFileName) || has(formats::kShardIndexName))) {
    return choose_folder(listing);
  }
  if (!whole_ggufs(listing).empty()) return choose_one_gguf(name, listing);
  if (!std::all_of(kAdapterFiles.begin(), kAdapterFiles.end(), has)) return nothing_to_run(name, listing);
  Choice choice{PulledKind::kAdapter, {}, false};
  for (const std::string_view path : kAdapterFiles) NARU_TRY(add(*listing.find(path), std::string(path), &choice));
  return choice;
}

Status add_shards(std::span<const std::string> shards, const Listing& listing, Choice* choice) {
  for (const std::string& shard : shards) {
    const HubFile* file = listing.find(shard);
    if (file == nullptr) {
      return Error{Code::kCorrupt,
                   fmt::format("reading {}: it names the file {}, which the repository does not have; tell its owner, "
                               "or take another revision",
                               formats::kShardIndexName, printable(shard, 300))};
    }
    NARU_TRY(add(*file, shard, choice));
  }
  choice->has_shards = false;
  return {};
}

}  // namespace naru::hub
