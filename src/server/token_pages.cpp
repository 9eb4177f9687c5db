#include "server/token_pages.h"

#include <fmt/format.h>

#include "server/chat_prompt.h"
#include "server/json_bytes.h"
#include "server/limits.h"
#include "server/openai_answer.h"
#include "server/openai_request.h"
#include "server/request_body.h"
#include "text/chat_template.h"
#include "text/utf8.h"

namespace naru::server {
namespace {

using text::Value;
using PageText = std::variant<std::string, Refusal>;

constexpr size_t kPageTextBytesMax = kBodyBytesMax;

struct PieceForms {
  bool with_ids = false;    // llama.cpp: tokens are objects with their piece
  bool as_strings = false;  // vLLM: a list of texts beside the ids
};

Refusal no_tokens_at_all() {
  return {400, "reading the request: the model has no tokenizer, and so no tokens of a text", "", "", 0};
}

// Its text where that is whole characters, else its bytes.
std::string piece_json(std::string_view piece) {
  if (text::is_valid_utf8(piece)) return json_bytes(std::string(piece));
  std::string numbers;
  for (const char c : piece) {
    fmt::format_to(std::back_inserter(numbers), "{}{}", numbers.empty() ? "" : ",", static_cast<unsigned char>(c));
  }
  return fmt::format("[{}]", numbers);
}

PageText tokens_page(const std::vector<int32_t>& ids, const ModelFacts& model, const PieceForms& forms) {
  if (static_cast<int64_t>(ids.size()) > kPageTokensMax) {
    return Refusal{400,
                   fmt::format("making tokens: the text has {}, at most {} are said; send it in parts", ids.size(),
                               kPageTokensMax),
                   "", "", 0};
  }
  std::string tokens, strings;
  for (const int32_t id : ids) {
    const char* comma = tokens.empty() ? "" : ",";
    const std::string_view piece = model.tokenizer->piece(id);
    if (forms.with_ids) {
      tokens += fmt::format(R"({}{{"id":{},"piece":{}}})", comma, id, piece_json(piece));
    } else {
      fmt::format_to(std::back_inserter(tokens), "{}{}", comma, id);
    }
    if (forms.as_strings) strings += comma + json_bytes(text::repair_utf8(piece));
  }
  return fmt::format(R"({{"tokens":[{}],"count":{},"max_model_len":{}{}}})", tokens, ids.size(), model.context_tokens,
                     forms.as_strings ? fmt::format(R"(,"token_strs":[{}])", strings) : "");
}

// The fields of a chat's prompt, and those by which pages say what of the prompt they want.
bool read_conversation(Fields& fields, AnswerRequest& chat) {
  const bool opens_answer = fields.boolean("add_generation_prompt").value_or(true);
  const bool goes_on = fields.boolean("continue_final_message").value_or(false);
  read_openai_prompt_fields(fields, chat);
  if (goes_on) chat.continues_last = true;
  if (chat.continues_last && !opens_answer) {
    fields.notes().refuse("add_generation_prompt",
                          "add_generation_prompt is false, and the last message is to be gone on from, which stands "
                          "behind it; leave one out");
  }
  return opens_answer;
}

ReadRequest page_of(Fields& fields, std::string model, std::function<PageText(const ModelFacts&)> make) {
  fields.ignore_rest();
  if (!fields.notes().ok()) return fields.notes().refusal();
  return PageRequest{std::move(model), std::move(make), fields.notes().ignored()};
}

ReadRequest read_tokenize(Fields& fields) {
  PieceForms forms;
  forms.with_ids = fields.boolean("with_pieces").value_or(false);
  forms.as_strings = fields.boolean("return_token_strs").value_or(false);
  const int n_sources = fields.has("content") + fields.has("prompt") + fields.has("messages");
  if (n_sources != 1) {
    fields.notes().refuse(
        "content", fmt::format("{} of content, prompt and messages are given, one was wanted; give one", n_sources));
  }
  if (fields.has("messages")) {
    AnswerRequest chat;
    const bool opens_answer = read_conversation(fields, chat);
    const std::string name = chat.model;
    return page_of(fields, name, [chat = std::move(chat), opens_answer, forms](const ModelFacts& model) -> PageText {
      auto made = render_chat(chat, model, opens_answer);
      if (auto* refusal = std::get_if<Refusal>(&made)) return *refusal;
      return tokens_page(std::get<ChatPrompt>(made).ids, model, forms);
    });
  }
  const auto content = fields.string("content", kPageTextBytesMax);
  const std::string text = content ? *content : fields.string("prompt", kPageTextBytesMax).value_or("");
  text::EncodeOptions options;
  const auto theirs = fields.boolean("add_special_tokens");
  options.add_special = fields.boolean("add_special").value_or(theirs.value_or(!content));
  options.parse_special = fields.boolean("parse_special").value_or(true);
  std::string name = fields.string("model", 256).value_or("");
  return page_of(fields, std::move(name), [text, options, forms](const ModelFacts& model) -> PageText {
    if (model.tokenizer == nullptr) return no_tokens_at_all();
    return tokens_page(model.tokenizer->encode(text, options), model, forms);
  });
}

PageText text_page(const std::vector<int32_t>& ids, const ModelFacts& model) {
  if (model.tokenizer == nullptr) return no_tokens_at_all();
  int64_t n_bytes = 0;
  for (const int32_t id : ids) {
    if (id < 0 || id >= model.tokenizer->n_ids()) {
      return Refusal{400,
                     fmt::format("reading the request: tokens has the id {}, but the vocabulary has ids 0 to {}; send "
                                 "ids of this model's tokenizer",
                                 id, model.tokenizer->n_ids() - 1),
                     "tokens", "", 0};
    }
    n_bytes += static_cast<int64_t>(model.tokenizer->piece(id).size());
  }
  if (n_bytes > kPageTextBytesAllMax) {
    return Refusal{400,
                   fmt::format("making the text: it has {} bytes, at most {} are said; send the tokens in parts",
                               n_bytes, kPageTextBytesAllMax),
                   "tokens", "", 0};
  }
  const std::string text = json_bytes(model.tokenizer->decode(ids));
  return fmt::format(R"({{"content":{0},"prompt":{0}}})", text);
}

ReadRequest read_detokenize(Fields& fields) {
  std::vector<int32_t> ids;
  const Value* tokens = fields.find("tokens");
  const Value::List* list = tokens ? tokens->as_list() : nullptr;
  if (list == nullptr) {
    fields.notes().refuse("tokens", fmt::format("tokens is {}, an array of token ids was wanted; give one",
                                                tokens ? shown_value(*tokens) : "not there"));
  } else if (static_cast<int64_t>(list->size()) > kPageTokensMax) {
    fields.notes().refuse("tokens", fmt::format("tokens has {} ids, at most {} are taken; send them in parts",
                                                list->size(), kPageTokensMax));
    list = nullptr;
  }
  for (size_t i = 0; list && i < list->size() && fields.notes().ok(); ++i) {
    const int64_t* id = (*list)[i].as_int();
    const std::string place = fmt::format("tokens[{}]", i);
    if (id == nullptr || *id < 0 || *id > INT32_MAX) {
      fields.notes().refuse(place,
                            fmt::format("{} is {}, a token id was wanted; correct it", place, shown_value((*list)[i])));
    } else {
      ids.push_back(static_cast<int32_t>(*id));
    }
  }
  std::string name = fields.string("model", 256).value_or("");
  return page_of(fields, std::move(name), [ids](const ModelFacts& model) { return text_page(ids, model); });
}

ReadRequest read_apply_template(Fields& fields) {
  AnswerRequest chat;
  const bool opens_answer = read_conversation(fields, chat);
  const std::string name = chat.model;
  return page_of(fields, name, [chat = std::move(chat), opens_answer](const ModelFacts& model) -> PageText {
    auto made = render_chat(chat, model, opens_answer);
    if (auto* refusal = std::get_if<Refusal>(&made)) return *refusal;
    return fmt::format(R"({{"prompt":{}}})", json_bytes(text::join(std::get<ChatPrompt>(made).segments)));
  });
}

template <ReadRequest (*read)(Fields&)>
ReadRequest read_page(std::string_view body, const HttpRequest&) {
  return read_body(body, read);
}

}  // namespace

const Dialect kTokenize = {"tokens.tokenize", "page-", read_page<read_tokenize>, nullptr, openai_error};
const Dialect kDetokenize = {"tokens.detokenize", "page-", read_page<read_detokenize>, nullptr, openai_error};
const Dialect kApplyTemplate = {"tokens.apply-template", "page-", read_page<read_apply_template>, nullptr,
                                openai_error};

}  // namespace naru::server
