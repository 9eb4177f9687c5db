// Tokens and templates: a text as tokens and back, and a conversation as the prompt that a model is given. The forms of
// llama.cpp's server and of vLLM, which differ in names alone, are both taken, and answers have the names of both.
// All are pages: the tokenizer and the template answer, the engine has no part in them.
#pragma once

#include "server/dialect.h"

namespace naru::server {

// "content" (llama.cpp: nothing is put around it), "prompt" (vLLM: what the tokenizer's files ask for is), or
// "messages".
extern const Dialect kTokenize;
// "tokens": ids of the vocabulary.
extern const Dialect kDetokenize;
// The body of a chat: exactly the prompt that this chat would be answered from.
extern const Dialect kApplyTemplate;

}  // namespace naru::server
