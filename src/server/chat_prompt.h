// A conversation as the model is given it: through its template, with what is asked of its reasoning as the variables
// that this template reads. A function of the request and the model alone.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "engine/text_stream.h"
#include "server/answer_request.h"
#include "server/model_facts.h"
#include "server/turn_replay.h"
#include "text/segment.h"

namespace naru::server {

struct ChatPrompt {
  std::vector<text::Segment> segments;  // what the template made; of a replay what is behind it
  std::vector<int32_t> ids;             // the whole prompt as tokens: at least one
  bool opens_reasoning = false;         // the answer begins inside reasoning
  // What was asked of reasoning and the template knows nothing of, by the dialect's names.
  std::vector<std::string> ignored;
  std::vector<std::string> warnings;  // what the prompt may lack, and what to do
  std::string history;                // where turns are replayed: histories_of() of all messages
  std::string replayed_call;          // the id of the first call of the turn that is; empty: none
  int64_t replayed_tokens = 0;        // of the prompt, up to the end of that turn
};

// What no conversation of this request could be rendered for: there is no template, or it has no place for tools.
std::optional<Refusal> refuse_chat(const AnswerRequest& request, const ModelFacts& model);

// `opens_answer`: with the scaffold that an answer follows (add_generation_prompt). `text`, where it is wanted: how
// calls of tools are found in the answer. `replays`: nullptr where the template says all of the prompt.
std::variant<ChatPrompt, Refusal> render_chat(const AnswerRequest& request, const ModelFacts& model,
                                              bool opens_answer = true, engine::TextOptions* text = nullptr,
                                              const ReplaySource* replays = nullptr);

}  // namespace naru::server
