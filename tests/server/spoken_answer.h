// Answers of models that are made to say what a test wants, with tools: what is given out, and the next turn's request.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "server/model_facts.h"
#include "server/prepare.h"
#include "server/running_answers.h"
#include "tests/engine/forced_answer.h"
#include "tests/engine/harness.h"

namespace naru::server {

using engine::Rig;

inline PreparedAnswer prepared(const AnswerRequest& request, engine::Engine& engine,
                               const std::shared_ptr<SampledTurns>& turns = {}, uint64_t scope = 0) {
  auto made = prepare(request, facts_of(engine, "m", "cpu", 0), 0, scope, turns);
  EXPECT_TRUE(std::holds_alternative<PreparedAnswer>(made)) << std::get<Refusal>(made).message;
  return std::move(std::get<PreparedAnswer>(made));
}

inline std::string qwen_template() {
  return read_file(std::string(NARU_TEST_DATA) + "/text/families/qwen25.jinja", 1 << 20).value();
}

inline Rig open_with_template(const std::string& source) {
  engine::EngineOptions options = engine::small_options(1024, 2);
  options.chat_template = source;
  return engine::open_rig(engine::fixture_model("gguf-llama-f32"), "cpu", options);
}

inline text::Value tool_named(const std::string& name) {
  const text::Value function(text::Value::Object{{"name", name}, {"parameters", text::Value::Object()}});
  return text::Value::Object{{"type", "function"}, {"function", function}};
}

inline AnswerRequest ask_with_tools() {
  AnswerRequest request;
  request.is_chat = true;
  request.messages = {text::Value::Object{{"role", "user"}, {"content", "Hi"}}};
  request.tools = text::Value::List{tool_named("f")};
  request.sampling.temperature = 0.0;
  return request;
}

struct Spoken {
  std::string content, reasoning;
  std::vector<ToolCallPiece> calls;
  AnswerEvent end;
  AnswerUsage usage;
};

// The answer of a model that says this.
inline Spoken spoken(PreparedAnswer answer, engine::Engine& engine, const std::vector<int32_t>& said) {
  RunningAnswers running(engine, 1, 10);
  for (engine::Request& one : answer.prompts) {
    one.constraint = std::make_shared<const engine::ForcedAnswer>(said, engine.vocab());
  }
  running.start(1, std::move(answer));
  Spoken spoken;
  while (running.has_work()) {
    running.step();
    for (AddressedEvent& each : running.take_events()) {
      EXPECT_NE(each.event.kind, AnswerEvent::Kind::kError) << each.event.error.message;
      spoken.content += each.event.content;
      spoken.reasoning += each.event.reasoning;
      for (ToolCallPiece& piece : each.event.calls) spoken.calls.push_back(std::move(piece));
      if (each.event.kind == AnswerEvent::Kind::kEnd) spoken.end = each.event;
      if (each.event.kind == AnswerEvent::Kind::kDone) spoken.usage = each.event.usage;
    }
  }
  return spoken;
}

inline Spoken spoken(const AnswerRequest& request, engine::Engine& engine, const std::string& said) {
  return spoken(prepared(request, engine), engine, engine.tokenizer()->encode(said));
}

inline const std::string kCall = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";

}  // namespace naru::server
