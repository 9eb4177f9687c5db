// naru pull: a model from a hub, into the models folder.
#include "hub/pull.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "builtin/builtin.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/models.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "hub/http.h"
#include "hub/models_folder.h"
#include "hub/packaged.h"

namespace naru::cli {
namespace {

constexpr int64_t kTimeoutSecondsMax = 3600;
constexpr int64_t kRetriesMax = 100;
constexpr size_t kTokenBytesMax = 4096;
constexpr size_t kCommitDigitsShown = 12;

struct PullCommandOptions {
  std::string name;
  hub::PullOptions pull;
  bool json = false;
};

std::string environment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

Status check_is_online() {
  std::string word = environment("HF_HUB_OFFLINE");
  for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (word.empty()) return {};
  NARU_ASSIGN(const bool is_offline, parse_switch({"HF_HUB_OFFLINE", word}));
  if (!is_offline) return {};
  return Error{Code::kUnavailable, "pulling a model: HF_HUB_OFFLINE is set, and this needs the network; unset it"};
}

// For short names.
Status read_registry_environment(hub::PullOptions* options) {
  if (const std::string index = environment("PIP_INDEX_URL"); !index.empty()) {
    NARU_ASSIGN(options->index, hub::parse_endpoint(index, "PIP_INDEX_URL"));
  }
  return {};
}

// For all other names.
Status read_hub_environment(hub::PullOptions* options) {
  if (const std::string endpoint = environment("HF_ENDPOINT"); !endpoint.empty()) {
    NARU_ASSIGN(options->endpoint, hub::parse_endpoint(endpoint, "HF_ENDPOINT"));
  }
  options->token = environment("HF_TOKEN");
  const bool is_plain =
      std::all_of(options->token.begin(), options->token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (is_plain && options->token.size() <= kTokenBytesMax) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("reading HF_TOKEN: it has spaces or other characters that no token has, or more than {} "
                           "bytes; copy it again from your account's page",
                           kTokenBytesMax)};
}

Json result_json(const hub::PullResult& result) {
  Json files = Json::array();
  for (const hub::PulledFile& file : result.manifest.files) {
    const bool is_large = file.source.hash.kind == Digest::Kind::kSha256;
    files.push_back(
        {{"name", file.name}, {"bytes", file.source.bytes}, {is_large ? "sha256" : "git_blob", file.source.hash.hex}});
  }
  return {{"model", result.manifest.model},
          {"folder", result.folder.string()},
          {"endpoint", result.manifest.endpoint},
          {"commit", result.manifest.commit},
          {"kind", hub::kind_name(result.manifest.kind)},
          {"bytes", result.manifest.bytes()},
          {"bytes_fetched", result.bytes_fetched},
          {"was_there", result.was_there},
          {"files", std::move(files)}};
}

std::string result_text(const hub::PullResult& result, double seconds) {
  const hub::PullManifest& manifest = result.manifest;
  const std::string how =
      result.was_there ? "was here, and is right"
                       : fmt::format("{} fetched in {}", format_bytes(result.bytes_fetched), format_seconds(seconds));
  std::string origin = fmt::format("commit {}", manifest.commit.substr(0, kCommitDigitsShown));
  if (const hub::PackagedModel* packaged = hub::find_packaged(manifest.model); packaged != nullptr) {
    const size_t version = manifest.commit.find('-') + 1;  // of package-version-tags.whl
    origin = fmt::format("package {} {}", packaged->package,
                         manifest.commit.substr(version, manifest.commit.find('-', version) - version));
  }
  std::string text = fmt::format("{} · {} · {} in {} file{} · {} · {}\n", manifest.model, hub::kind_name(manifest.kind),
                                 format_bytes(manifest.bytes()), manifest.files.size(),
                                 manifest.files.size() == 1 ? "" : "s", origin, how);
  text += fmt::format("{}\n", one_line(result.folder.string()));
  const bool is_adapter = manifest.kind == hub::PulledKind::kAdapter;
  return text + fmt::format("naru run {}{}\n", is_adapter ? "MODEL --adapter " : "", manifest.model);
}

Status pull_command(PullCommandOptions& options) {
  if (options.name == builtin::kModelName) {
    return Error{
        Code::kInvalidArgument,
        "pulling builtin: it is the model inside of this program, and nothing is to be fetched; ask it: naru run"};
  }
  NARU_ASSIGN(const hub::ModelName name, hub::parse_name(options.name));
  NARU_TRY(check_is_online());
  NARU_TRY(name.is_packaged() ? read_registry_environment(&options.pull) : read_hub_environment(&options.pull));
  NARU_ASSIGN(options.pull.models, hub::models_folder());
  const auto begin = std::chrono::steady_clock::now();
  Progress progress(fmt::format("pulling {}", options.name), Progress::Unit::kBytes);
  options.pull.progress = [&progress](int64_t done, int64_t total) {
    if (total > 0) progress.update(done, total);
    return !is_interrupted();
  };
  NARU_ASSIGN(const hub::PullResult result, hub::pull_model(name, options.pull));
  progress.clear();
  if (options.json) return write_out(json_text(result_json(result)));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return write_out(result_text(result, seconds.count()));
}

Flag network_flag(std::string name, std::string value, std::string help, int64_t* target, int64_t low, int64_t high) {
  return {std::move(name), std::move(value), kGroupNetwork, std::move(help), [=](const Given& given) -> Status {
            NARU_ASSIGN(*target, parse_integer(given, low, high));
            return {};
          }};
}

}  // namespace

Command make_pull() {
  auto o = std::make_shared<PullCommandOptions>();
  Command c{
      .name = "pull",
      .summary = "get a model from the Hugging Face hub",
      .description =
          "Gets a model from the Hugging Face hub: of a repository in safetensors form the files that naru reads, or "
          "one .gguf file, or an adapter. Every file is checked against its hash. A pull that was stopped or cut "
          "goes on where it was; the model is there when it is whole. The folder of models is NARU_MODELS, else "
          "~/.local/share/naru/models; HF_TOKEN is the token for what is private or gated, HF_ENDPOINT another "
          "hub."};
  c.arguments = {{"NAME",
                  "owner/name, owner/name:file.gguf, either with @revision; or smollm2-135m-instruct, a small "
                  "model to chat with, from the Python registry",
                  true, [o](const Given& given) -> Status {
                    o->name = given.text;
                    return {};
                  }}};
  c.flags = {network_flag("at-once", "N", "files that are fetched at once; default 4", &o->pull.at_once, 1,
                          hub::kTransfersAtOnceMax),
             network_flag("timeout", "SECONDS", "without a byte until a transfer is tried again; default 60",
                          &o->pull.timeout_seconds, 1, kTimeoutSecondsMax),
             network_flag("retries", "N", "tries after the first that bring nothing, until it is given up; default 5",
                          &o->pull.retries, 0, kRetriesMax),
             {"json", "", kGroupOutput, "one JSON object: folder, commit, files with their hashes",
              [o](const Given&) -> Status {
                o->json = true;
                return {};
              },
              0, false, false}};
  c.examples = {{"naru pull HuggingFaceTB/SmolLM2-135M-Instruct", "Then: naru run HuggingFaceTB/SmolLM2-135M-Instruct"},
                {"naru pull Qwen/Qwen2.5-0.5B-Instruct-GGUF:qwen2.5-0.5b-instruct-q8_0.gguf",
                 "One file of many. Without the file's name the message lists them."},
                {"naru pull owner/name@v1.0", "A branch, a tag or a commit; kept beside others of its name."}};
  c.run = [o] { return pull_command(*o); };
  return c;
}

}  // namespace naru::cli
