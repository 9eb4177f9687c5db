#include "cli/serve_check.h"

#include <fmt/format.h>

#include "formats/tokenizer_files.h"
#include "text/chat_tokenizer.h"
#include "text/tool_support.h"

namespace naru::cli {

Error no_tokenizer_error(const ModelOptions& options, const Error& why) {
  return {why.code,
          fmt::format("starting the server: {}: no answers without a tokenizer: {}; put the tokenizer's files "
                      "beside the weights",
                      short_name(options.path), why.message)};
}

bool can_use_tools(const text::ChatTemplate& chat_template) {
  const text::ToolSupport support = text::tool_support(chat_template);
  return support.lists_tools && support.form != text::ToolCallForm::kNone;
}

Result<ModelCheck> check_served_model(const models::ModelFiles& files, const ModelOptions& options,
                                      int64_t sessions_max, int64_t cache_tokens,
                                      const std::optional<std::string>& chat_template) {
  ModelCheck check;
  NARU_ASSIGN(const auto chip, make_chip(options));
  NARU_ASSIGN(const models::ModelPlan plan, models::plan_model(files, *chip, load_options(options)));
  engine::MemoryOptions memory;
  memory.context_tokens = options.context;
  memory.sessions_max = sessions_max;
  memory.cache_tokens = cache_tokens;
  memory.prefill_chunk = options.prefill_chunk;
  NARU_ASSIGN(check.memory, engine::plan_memory(plan, memory));
  check.n_parameters = plan.n_parameters;
  const contract::ChipInfo info = chip->info();
  check.chip = info.level.empty() ? info.name : fmt::format("{}:{}", info.name, info.level);
  auto data = read_tokenizer_data(options.path);
  const std::filesystem::path folder = files.tensors.folder();  // of a .gguf file without one too
  if (!data.ok() && data.error().code == Code::kNotFound && formats::has_tokenizer(folder)) {
    data = formats::read_tokenizer_folder(folder);
  }
  if (!data.ok()) return no_tokenizer_error(options, data.error());
  if (const Status left_out = formats::leave_out_foreign_tokens(*data, plan.config.vocab); !left_out.ok()) {
    return no_tokenizer_error(options, left_out.error());
  }
  if (chat_template) text::replace_chat_template(*data, *chat_template);
  auto made = text::ChatTokenizer::create(std::move(data).value());
  if (!made.ok()) return no_tokenizer_error(options, made.error());
  check.has_tools = made->chat_template && can_use_tools(*made->chat_template);
  check.has_template = made->chat_template && made->chat_template->can_render(false);
  if (!made->template_status.ok()) check.template_problem = made->template_status.error().message;
  return check;
}

}  // namespace naru::cli
