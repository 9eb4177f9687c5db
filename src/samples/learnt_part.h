// LearntPart: of a kept answer what training reads, as the beginning of its JSON line: "messages" (and "tools") for
// kind sft, or "text" for kind pretrain.
//
// A conversation is written so that training on it learns the bytes that the model wrote, no others, where the chat
// template allows that: templates put white space of their own around what is said, and take some away, so the answer
// is tried as it is and without the white space around it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/problem.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace naru::samples {

struct PartForm {
  bool is_messages = true;                            // else text
  const text::Tokenizer* tokenizer = nullptr;         // of the model
  const text::ChatTemplate* chat_template = nullptr;  // by which it was asked; null: as plain text
};

// `opens_reasoning`: the prompt ended with the opening tag. Nothing: the template cannot write such an answer.
Result<std::optional<std::string>> learnt_part(const data::Problem& problem, std::string_view answer,
                                               bool opens_reasoning, const PartForm& form);

}  // namespace naru::samples
