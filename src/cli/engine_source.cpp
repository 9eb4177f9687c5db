#include "cli/engine_source.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/shown_text.h"
#include "cli/builtin_words.h"
#include "cli/context_room.h"
#include "runs/run_files.h"

namespace naru::cli {
namespace {

std::string format_count(int64_t n) {
  if (n >= 1000000000) return fmt::format("{:.1f} B", static_cast<double>(n) / 1e9);
  if (n >= 1000000 && n < 10000000) return millions(n);
  if (n >= 1000000) return fmt::format("{:.0f} M", static_cast<double>(n) / 1e6);
  return grouped(n);
}

// RUN/model says nothing by its last part alone.
std::string model_name(const std::string& path) {
  if (builtin::is_builtin_model(path)) return std::string(builtin::builtin_model()->name);
  const std::filesystem::path place = path;
  const bool is_of_run = place.filename() == runs::kModelFolder && place.has_parent_path();
  return is_of_run ? short_name(place.parent_path().string()) + "/" + runs::kModelFolder : short_name(path);
}

}  // namespace

std::string EngineSource::title() const {
  return fmt::format("{} · {} parameters · context {}", model_name(options_.model.path),
                     format_count(model_.engine->model().n_parameters), context_tokens());
}

ChatSettings EngineSource::settings() const {
  return {options_, model_.engine->generation_config(), model_.engine->vocab()};
}

// A template that takes no such message says so now, and not for every message that follows.
Status EngineSource::check_system(const std::string& text) const {
  NARU_TRY(render_chat(*model_.engine, {{"system", text}, {"user", "x"}}));
  return {};
}

Error EngineSource::too_long(std::string_view what, int64_t n_tokens, std::string_view next) const {
  return {Code::kOutOfRange,
          fmt::format("answering in the chat: {} {} tokens, and the context holds {} with one at least for the "
                      "answer; {}, or start with a longer context (--context N), where the model was made for it",
                      what, n_tokens, context_tokens(), next)};
}

Result<Prompt> EngineSource::make_prompt(Conversation& conversation, int64_t max_tokens) const {
  if (!is_raw_) return fitting_prompt(conversation, max_tokens);
  NARU_ASSIGN(Prompt prompt, encode_raw(*model_.engine, conversation.turns.back().question));
  const auto n_tokens = static_cast<int64_t>(prompt.ids.size());
  if (n_tokens < context_tokens()) return prompt;
  return too_long("the text has", n_tokens, "shorten it");
}

// With as many of the old turns as the context has room for.
Result<Prompt> EngineSource::fitting_prompt(Conversation& c, int64_t max_tokens) const {
  const int64_t context = context_tokens();
  Prompt last;
  size_t last_n = c.turns.size();  // turns that are left out of `last`: never all
  const auto prompt_without = [&](size_t n) -> Result<int64_t> {
    if (n != last_n) {
      NARU_ASSIGN(last, render_chat(*model_.engine, c.messages_without(n)));
      last_n = n;
    }
    return static_cast<int64_t>(last.ids.size());
  };
  const auto tokens = [&](size_t n) { return prompt_without(c.n_left + n); };
  NARU_ASSIGN(const ContextRoom room, make_room(c.turns.size() - 1 - c.n_left, context, max_tokens, tokens));
  if (!room.fits) {
    return too_long(c.system ? "the newest message has, with the system prompt," : "the newest message alone has",
                    room.prompt_tokens, c.system ? "shorten it, or the system prompt (/system)" : "shorten it");
  }
  NARU_TRY(tokens(room.n_dropped));
  if (room.n_dropped > 0) say_turns_left(room.n_dropped, fmt::format("the context of {} tokens", context));
  c.n_left += room.n_dropped;
  return last;
}

Result<engine::Answer> EngineSource::answer(Conversation& conversation, const ChatSettings& settings, uint32_t sample,
                                            AnswerView& view) {
  NARU_ASSIGN(Prompt prompt, make_prompt(conversation, settings.max_tokens()));
  engine::Request request;
  request.ids = std::move(prompt.ids);
  request.sampling = settings.sampling();
  request.sample = sample;
  request.max_tokens = settings.max_tokens();
  engine::TextOptions text_options;
  text_options.stop = options_.stop;
  text_options.split_reasoning = !is_raw_;
  text_options.starts_in_reasoning = prompt.starts_in_reasoning;
  if (form_ != nullptr) request.constraint = constraint_of(form_, text_options);
  return generate(*model_.engine, std::move(request), text_options, view);
}

}  // namespace naru::cli
