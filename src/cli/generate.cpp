#include "cli/generate.h"

#include "cli/interrupts.h"

namespace naru::cli {

Result<engine::Answer> generate(engine::Engine& engine, engine::Request request,
                                const engine::TextOptions& text_options, AnswerView& view) {
  NARU_CHECK(engine.tokenizer() != nullptr);
  engine::Scheduler scheduler(engine);
  NARU_ASSIGN(auto follower,
              engine::AnswerFollower::submit(scheduler, *engine.tokenizer(), std::move(request), text_options));
  while (!follower.is_finished()) {
    if (is_interrupted()) scheduler.abort(follower.request(), engine::FinishReason::kAborted);
    for (const engine::Event& event : scheduler.step()) {
      if (event.kind == engine::Event::Kind::kPrefill) view.on_prefill(event.prompt_done, event.usage.prompt_tokens);
      NARU_ASSIGN(const engine::TextDelta delta, follower.take(event));
      if (!delta.empty()) NARU_TRY(view.on_text(delta));
    }
  }
  return follower.answer();
}

}  // namespace naru::cli
