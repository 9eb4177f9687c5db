// What a new vocabulary gets for conversations: ChatML, the scaffold of SmolLM2 and Qwen ("<|im_start|>role\n ...
// <|im_end|>\n"), chosen because every reader of chat templates knows it and because a turn's end is one token. The
// reasoning of an assistant's turn ("reasoning_content") stands between <think> and </think> before the answer.
//
// A text ends with <|im_end|> too (eos), so that a model stops in one way; <|endoftext|> is bos and pad. Nothing is put
// around a text by encoding: the trainer of a model and its template write what they need.
#pragma once

#include <string_view>
#include <vector>

#include "formats/tokenizer_files.h"
#include "text/bpe_trainer.h"

namespace naru::text {

inline constexpr std::string_view kChatmlTemplate =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' and message['reasoning_content'] %}"
    "{{ '<think>\\n' + message['reasoning_content'] + '\\n</think>\\n\\n' }}"
    "{% endif %}"
    "{{ message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

// <|endoftext|>, <|im_start|>, <|im_end|>, and <think>, </think>, which stay in decoded text.
std::vector<NewToken> chatml_tokens();

// Sets bos, eos, pad, the template and what tokenizer_config.json needs, in a vocabulary that has those tokens.
void set_chatml(formats::TokenizerData& data);

}  // namespace naru::text
