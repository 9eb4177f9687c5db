// AnswerStart: what an assistant has said already where an answer is to go on and not to begin: behind what the
// template opens the answer with stand its words, encoded as any text from outside.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "text/segment.h"
#include "text/tokenizer.h"

namespace naru::text {

// Reasoning comes first; content ends it. Content that begins with the opening tag of reasoning is read as reasoning
// and what follows its closing tag, where the model has such tags; the closing tag ends it also where nothing follows.
// The white space around the tags is what the model's own would be: line breaks where the template opens reasoning with
// one or leaves the opening to the model, and none twice.
struct AnswerStart {
  std::string reasoning;
  std::string content;
};

// Appends it to a conversation rendered with add_generation_prompt; true where the answer goes on inside reasoning.
// Without content the reasoning goes on, unless the tag that ends it is spelled; content alone closes reasoning that
// the template has opened. Reasoning is kInvalidArgument where the template has closed it, and kUnsupported where it
// opens none and the vocabulary has no tokens of its tags.
Result<bool> append_answer_start(AnswerStart start, const Tokenizer& tokenizer, std::vector<Segment>& segments);

}  // namespace naru::text
