// Turn: what the assistant says in one message of a conversation, as the model in use would be asked for it and would
// write it: behind the prompt of the engine at that moment, up to its end-of-turn token.
//
// Templates that take reasoning out of what was said before take it out of the message to be learnt too, although their
// prompt may even end in <think>. Such a turn is put together from the prompt, the reasoning, and what the template
// makes of the answer; where that cannot be done the turn says so.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/sample.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace naru::data {

struct Turn {
  size_t message = 0;
  std::vector<text::Segment> segments;  // of the conversation up to and with this turn
  std::string text;                     // the same joined, ended at `end`
  size_t begin = 0, end = 0;            // the bytes that the model writes
  bool has_end_token = false;
  bool is_learnt = true;  // false for a message of weight 0
  bool is_covered = false;
  std::string note;  // what of the message is not learnt as it stands; a reason that many lines may share
};

// messages[message] is the assistant's.
Result<Turn> make_turn(const Sample& sample, size_t message, const text::ChatTemplate& chat_template,
                       const text::Tokenizer& tokenizer, std::string_view place);

// "weight": 0, the word for an answer that is context alone.
bool is_weightless(const text::Value& message);

// The first n_messages rendered as training sees them: on a fixed day. Errors name the place.
Result<std::vector<text::Segment>> render_messages(const Sample& sample, size_t n_messages, bool add_generation_prompt,
                                                   const text::ChatTemplate& chat_template, std::string_view place);

// The bytes [begin, end) of the joined texts, with their marks.
std::vector<text::Segment> part_of(const std::vector<text::Segment>& segments, size_t begin, size_t end);

// How often `part` (not empty) stands in the text, without overlap.
int64_t count_of(std::string_view text, std::string_view part);

// Why the tags of reasoning in the assistant's messages do not become control tokens; empty where they do, or where
// there are none.
std::string spelt_tags_note(const Sample& sample, const text::Tokenizer& tokenizer);

}  // namespace naru::data
