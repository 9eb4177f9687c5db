// Ollama's dialect, inwards: bodies of /api/chat and /api/generate as requests. Pure functions.
//
// Answers stream unless "stream" is false. A chat without messages and a generation without a prompt ask for the model
// to be loaded, which it is: they are pages. What would change an answer and is not done here (images, a template or a
// context of the request's own, a schema) is refused by name.
#pragma once

#include <string>
#include <string_view>

#include "server/dialect.h"
#include "server/fields.h"

namespace naru::server {

ReadRequest read_ollama_chat(std::string_view body);
ReadRequest read_ollama_generate(std::string_view body);

// The model's name; the tag that Ollama gives every name, ":latest", is none of it.
std::string read_ollama_model(Fields& body, std::string_view field = "model");

extern const Dialect kOllamaChat, kOllamaGenerate;
extern const Dialect kOllamaEmbed;  // refuses: nothing here makes embeddings

}  // namespace naru::server
