// A tokenizer and a template with nothing behind them: a model as far as prompts and pages of it are concerned.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "formats/tokenizer_files.h"
#include "server/model_facts.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace naru::server {

inline std::string read_text_fixture(const std::string& name) {
  return read_file(std::string(NARU_TEST_DATA "/text/") + name, 16 << 20).value();
}

class PlainModel {
 public:
  // `template_source`: empty for none. `more_tokens` are added to the vocabulary, which has <think> and
  // </think>, and puts <bos> before a text.
  explicit PlainModel(const std::string& template_source, const std::vector<std::string>& more_tokens = {})
      : tokenizer_(make_tokenizer(more_tokens)) {
    if (!template_source.empty()) chat_ = text::ChatTemplate::create(template_source, {{"bos_token", ""}}).value();
    facts.name = "tiny";
    facts.architecture = "llama";
    facts.stored_kind = "q4_0";
    facts.file_bytes = 1000;
    facts.n_parameters = 134515008;
    facts.created = 1700000000;
    facts.chip = "cpu";
    facts.context_tokens = 256;
    facts.vocab = tokenizer_.n_ids();
    facts.tokenizer = &tokenizer_;
    facts.chat_template = chat_ ? &*chat_ : nullptr;
    if (!chat_) facts.template_status = Error{Code::kNotFound, "no template"};
  }
  PlainModel(const PlainModel&) = delete;

  ModelFacts facts;

 private:
  static text::Tokenizer make_tokenizer(const std::vector<std::string>& more_tokens) {
    const std::string json = read_text_fixture("tokenizers/gpt2.json");
    formats::TokenizerSources sources;
    sources.tokenizer_json = as_bytes(json);
    formats::TokenizerData data = formats::parse_tokenizer(sources, "gpt2").value();
    for (const formats::AddedToken& token : data.added_tokens) {
      if (token.text == "<bos>") data.prefix_ids = {token.id};
    }
    for (const std::string& text : more_tokens) {
      formats::AddedToken token;
      token.id = static_cast<int32_t>(data.vocab.size());
      token.text = text;
      token.special = true;
      data.vocab.emplace_back();
      data.added_tokens.push_back(token);
    }
    return text::Tokenizer::create(std::move(data)).value();
  }

  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> chat_;
};

// ChatML that reads nothing of reasoning.
inline const std::string kPlainChat =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

}  // namespace naru::server
