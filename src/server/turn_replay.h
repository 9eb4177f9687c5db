// Replay: a conversation whose last known turn with calls stands in the prompt as the model sampled it
// (sampled_turns.h). The template says only what comes behind that turn.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/answer_request.h"
#include "server/model_facts.h"
#include "server/sampled_turns.h"
#include "text/chat_template.h"
#include "text/segment.h"

namespace naru::server {

// Where turns are looked for.
struct ReplaySource {
  const SampledTurns* turns = nullptr;
  uint64_t scope = 0;  // of whoever asks
};

struct Replay {
  std::shared_ptr<const SampledTurn> turn;
  std::string call_id;
  size_t message = 0;  // that it is
};

// histories() of the request's conversation for this model: tools and what is asked of reasoning decide the prompt too.
std::vector<std::string> histories_of(const AnswerRequest& request, const ModelFacts& model);

// The last turn that is known, where the conversation before it and what the message says of it are what they were. A
// message without its reasoning is the turn all the same; one with another reasoning is not.
std::optional<Replay> find_replay(const AnswerRequest& request, const std::vector<std::string>& histories,
                                  const ReplaySource& source);

// What the template writes behind that message, from the end token on that closes it; nothing where it closes it with
// none. `input` is the whole conversation.
std::optional<std::vector<text::Segment>> segments_behind(const Replay& replay, const std::string& mark,
                                                          const ModelFacts& model, text::ChatInput input);

// The turn's tokens with those of segments_behind() behind them; nothing where these do not begin with an end token.
std::optional<std::vector<int32_t>> joined_behind(const SampledTurn& turn, const std::vector<int32_t>& behind,
                                                  const ModelFacts& model);

}  // namespace naru::server
