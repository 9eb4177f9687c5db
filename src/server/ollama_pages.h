// Ollama's pages about models, as bodies: which there are, which are loaded, what one is. Each has the name that it is
// served by.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/dialect.h"
#include "server/model_facts.h"

namespace naru::server {

struct OllamaModel {
  std::string name;
  const ModelFacts* facts = nullptr;  // nullptr: it was never loaded, so that nothing but the name is known
  std::string digest;                 // SHA-256 of the model's files; empty while it is being made
};
std::string ollama_tags(const std::vector<OllamaModel>& models);
// Of those that are loaded, whose facts are known.
std::string ollama_ps(const std::vector<OllamaModel>& models);
// The version of Ollama whose API is followed, by which clients choose what they ask for; and ours.
std::string ollama_version(std::string_view version);

extern const Dialect kOllamaShow;

}  // namespace naru::server
