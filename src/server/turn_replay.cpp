#include "server/turn_replay.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/value_json.h"

namespace naru::server {
namespace {

using text::Value;

struct TextPlace {
  size_t segment = 0;
  size_t offset = 0;
};

// Behind the last time that the mark is written: the first end token of the scaffold. Texts from outside hold none.
std::optional<TextPlace> find_close(const std::vector<text::Segment>& segments, const std::string& mark,
                                    const ModelFacts& model) {
  size_t i = segments.size();
  size_t from = std::string::npos;
  while (i > 0 && from == std::string::npos) from = segments[--i].text.rfind(mark);
  if (from == std::string::npos) return std::nullopt;
  from += mark.size();
  for (; i < segments.size(); ++i, from = 0) {
    if (segments[i].is_content) continue;
    size_t first = std::string::npos;
    for (const int32_t id : model.end_ids) {
      first = std::min(first, segments[i].text.find(model.tokenizer->piece(id), from));
    }
    if (first != std::string::npos) return TextPlace{i, first};
  }
  return std::nullopt;
}

// The message with these arguments in each of its calls.
void set_arguments(Value& message, const std::string& arguments) {
  Value::List calls = *calls_in(message);
  for (Value& call : calls) {
    Value function = call.find("function") != nullptr ? *call.find("function") : Value();
    function.set("arguments", arguments);
    call.set("function", std::move(function));
  }
  message.set("tool_calls", std::move(calls));
}

bool is_reasoning_same(const Value& message, const SampledTurn& turn) {
  const Value* said = message.find("reasoning_content");
  const std::string* text = said != nullptr ? said->as_string() : nullptr;
  return text == nullptr || text->empty() || trimmed(*text) == trimmed(turn.reasoning);
}

}  // namespace

std::vector<std::string> histories_of(const AnswerRequest& request, const ModelFacts& model) {
  const Value settings(request.template_settings);
  const std::string begin =
      fmt::format("{} {} {} {} {}", model.fingerprint, value_json(request.tools), value_json(settings),
                  request.thinks ? (*request.thinks ? "on" : "off") : "", request.reasoning_effort);
  return histories(begin, request.messages);
}

std::optional<Replay> find_replay(const AnswerRequest& request, const std::vector<std::string>& histories,
                                  const ReplaySource& source) {
  for (size_t i = request.messages.size(); i > 0; --i) {
    const Value& message = request.messages[i - 1];
    const std::string id = first_call_id(message);
    if (id.empty()) continue;
    auto turn = source.turns->find(source.scope, id);
    if (turn == nullptr || turn->before != histories[i - 1] || turn->said != said_in_turn(message) ||
        !is_reasoning_same(message, *turn)) {
      continue;
    }
    return Replay{std::move(turn), id, i - 1};
  }
  return std::nullopt;
}

std::optional<std::vector<text::Segment>> segments_behind(const Replay& replay, const std::string& mark,
                                                          const ModelFacts& model, text::ChatInput input) {
  NARU_CHECK(replay.message < input.messages.size(), replay.message);
  set_arguments(input.messages[replay.message], fmt::format(R"({{"{0}": "{0}"}})", mark));
  // Whether it is this turn that an end token closes, and not one behind it.
  text::ChatInput alone = input;
  alone.messages.resize(replay.message + 1);
  alone.add_generation_prompt = false;
  const auto closed = model.chat_template->render(alone);
  if (!closed.ok() || !find_close(*closed, mark, model)) return std::nullopt;
  auto rendered = model.chat_template->render(input);
  if (!rendered.ok()) return std::nullopt;
  const auto place = find_close(*rendered, mark, model);
  if (!place) return std::nullopt;
  std::vector<text::Segment> behind(rendered->begin() + static_cast<std::ptrdiff_t>(place->segment), rendered->end());
  behind.front().text.erase(0, place->offset);
  return behind;
}

std::optional<std::vector<int32_t>> joined_behind(const SampledTurn& turn, const std::vector<int32_t>& behind,
                                                  const ModelFacts& model) {
  if (behind.empty() || !std::binary_search(model.end_ids.begin(), model.end_ids.end(), behind.front())) {
    return std::nullopt;
  }
  std::vector<int32_t> ids = turn.ids;
  ids.insert(ids.end(), behind.begin() + 1, behind.end());  // the turn has its own end token
  return ids;
}

}  // namespace naru::server
