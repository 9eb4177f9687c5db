#include "cli/run_words.h"

#include <fmt/format.h>

#include "base/open_file.h"
#include "cli/builtin_words.h"
#include "cli/find_model.h"
#include "formats/utf8.h"

namespace naru::cli {
namespace {

// Whether nothing is there of a word that was found as it is. No file has a name as long as a prompt may be.
bool is_absent(const std::string& word) {
  constexpr size_t kLongestFileName = 255;
  const auto is_there = is_anything(word);
  return is_there.ok() ? !*is_there : word.size() > kLongestFileName;
}

// One word is MODEL; one that is none, and no path, was meant as PROMPT. What is near a pulled model's name is an error
// of its own.
Status take_one_word(RunOptions& o, const Given& word) {
  NARU_ASSIGN(const std::string found, find_model_path(word.text));
  const bool is_path = word.text.find('/') != std::string::npos && word.text.find_first_of(" \n") == std::string::npos;
  const bool is_text =
      found == word.text && !word.text.empty() && !is_path && !word.text.ends_with(".gguf") && is_absent(found);
  if (!is_text) return set_model_path(&o.model.path)(word);
  const std::string shown = formats::printable(word.text.substr(0, word.text.find('\n')), 100);
  return Error{
      Code::kInvalidArgument,
      fmt::format("reading the command line: naru run: the first word is MODEL, and there is no file, folder "
                  "or pulled model '{0}'; put MODEL before the prompt, for example: naru run {1} \"{0}\" asks the "
                  "built-in model (`naru list` shows what was pulled)",
                  shown, builtin::kModelName)};
}

}  // namespace

Status take_run_words(RunOptions& o, std::vector<Given>& words) {
  const auto wrong = [](const std::string& what) {
    return Error{Code::kInvalidArgument, fmt::format("reading the command line: naru run: {}", what)};
  };
  if (!o.server.empty()) {
    if (words.size() > 1) {
      return wrong(
          "with --server the one argument is PROMPT, two were given; quote the prompt, and name the server's "
          "model with --model");
    }
    if (!words.empty()) o.prompt = words[0].text;
    // What decides how a model computes here; what is in the environment and the defaults file is meant for others.
    for (const char* name : {"chat-template", "adapter", "compute", "cache-dtype", "latent", "threads", "prefill-chunk",
                             "chip", "explain", "context"}) {
      const auto given = o.given_by.find(name);
      if (given == o.given_by.end() || !given->second.starts_with("--")) continue;
      return wrong(fmt::format("--{} is about a model that runs here, and --server was given; leave one out", name));
    }
    if (!o.is_raw || !o.system) return {};
    return wrong("--raw and --system were both given, and a text to go on with has no instructions; leave one out");
  }
  for (const char* name : {"model", "api-key-file"}) {
    const auto given = o.given_by.find(name);
    if (given == o.given_by.end() || !given->second.starts_with("--")) continue;
    return wrong(fmt::format("--{} is about a server, and none was given; give --server URL too", name));
  }
  if (words.empty()) {
    o.is_builtin_by_default = true;
    NARU_ASSIGN(o.model.path, builtin_path("reading the command line: naru run: MODEL is missing"));
    return {};
  }
  if (words.size() == 1) return take_one_word(o, words[0]);
  o.prompt = words[1].text;
  return set_model_path(&o.model.path)(words[0]);
}

}  // namespace naru::cli
