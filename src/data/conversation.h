// Conversations as documents: rendered by the model's chat template, the loss on what the assistant says.
//
// A turn's part of the text begins where the prompt ends that the engine would give the model at that moment (the
// template's rendering of the messages before, with the generation prompt) and ends with the last control token of the
// turn: its end-of-turn token. The text is encoded part by part, cut at these borders: exactly the ids that the model
// sees and makes when it is used, and weights that are exact by construction. Message text never becomes a control
// token.
//
// Templates that rewrite earlier turns (reasoning left out of the history) give a conversation several documents: each
// turn is learnt once, in the form in which the model will meet it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/batches.h"
#include "data/sample.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace naru::data {

struct ConversationDocuments {
  std::vector<Document> documents;  // in the order of their last turns; `source` and `index` are not set
  std::vector<std::string> notes;   // reasons, for a DataNote of the sample's place
  // Reasons that every line of a file may have: told once, with the number of lines.
  std::vector<std::string> shared_notes;
};

// Loss on the assistant's turns; a conversation without one gives no document and a note.
Result<ConversationDocuments> assistant_documents(Sample sample, const text::ChatTemplate& chat_template,
                                                  const text::Tokenizer& tokenizer, std::string_view place);

// The whole rendered text as one document, loss on every token.
Result<ConversationDocuments> whole_conversation(Sample sample, const text::ChatTemplate& chat_template,
                                                 const text::Tokenizer& tokenizer, std::string_view place);

// Adds text without control tokens to the ids of a document.
void append_content(std::string_view text, const text::Tokenizer& tokenizer, Document& document);
// Ends a text: the end of sequence where the tokenizer has one, and loss on every token but the first, which is
// nobody's target.
void finish_text(const text::Tokenizer& tokenizer, Document& document);

// The document of a text: what the tokenizer puts before any text, the content, the end.
Document text_document(std::string_view text, const text::Tokenizer& tokenizer);

}  // namespace naru::data
