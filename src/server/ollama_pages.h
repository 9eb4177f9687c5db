// Ollama's pages about models, as bodies: which there are, which are loaded, what one is. There is one, under the name
// that it is served by, and it is loaded as long as the server runs.
#pragma once

#include <string>
#include <string_view>

#include "server/dialect.h"
#include "server/model_facts.h"

namespace naru::server {

// `digest`: SHA-256 of the model's files; empty while it is being made.
std::string ollama_tags(const ModelFacts& model, std::string_view digest);
std::string ollama_ps(const ModelFacts& model, std::string_view digest);
// The version of Ollama whose API is followed, by which clients choose what they ask for; and ours.
std::string ollama_version(std::string_view version);

extern const Dialect kOllamaShow;

}  // namespace naru::server
