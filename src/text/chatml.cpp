#include "text/chatml.h"

#include <algorithm>

#include "base/check.h"

namespace naru::text {
namespace {

int32_t id_of(const formats::TokenizerData& data, std::string_view text) {
  const auto token = std::find_if(data.added_tokens.begin(), data.added_tokens.end(),
                                  [text](const formats::AddedToken& added) { return added.text == text; });
  NARU_CHECK(token != data.added_tokens.end(), std::string(text));
  return token->id;
}

}  // namespace

std::vector<NewToken> chatml_tokens() {
  return {
      {"<|endoftext|>", true}, {"<|im_start|>", true}, {"<|im_end|>", true}, {"<think>", false}, {"</think>", false}};
}

void set_chatml(formats::TokenizerData& data) {
  data.bos_id = data.pad_id = id_of(data, "<|endoftext|>");
  data.eos_id = id_of(data, "<|im_end|>");
  data.add_bos = data.add_eos = false;
  data.chat_template = kChatmlTemplate;
  data.tokenizer_class = "PreTrainedTokenizerFast";
}

}  // namespace naru::text
