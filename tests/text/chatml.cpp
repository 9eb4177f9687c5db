// The template of new vocabularies, through the project's own renderer and a vocabulary trained here.
#include "text/chatml.h"

#include <gtest/gtest.h>

#include "text/chat_template.h"
#include "text/reasoning.h"
#include "text/tokenizer.h"

namespace naru::text {
namespace {

Value message(std::string role, std::string content) {
  Value value;
  value.set("role", std::move(role));
  value.set("content", std::move(content));
  return value;
}

formats::TokenizerData make_data() {
  BpeTrainerOptions options;
  options.vocab_size = 300;
  options.added_tokens = chatml_tokens();
  BpeTrainer trainer = BpeTrainer::create(std::move(options)).value();
  EXPECT_TRUE(trainer.add_text("user assistant user assistant <think> <think> 1 + 1").ok());
  formats::TokenizerData data = trainer.train().value();
  set_chatml(data);
  return data;
}

TEST(Chatml, RendersAConversation) {
  const ChatTemplate chat = ChatTemplate::create(make_data()).value();
  ChatInput input;
  input.messages = {message("system", "Be brief."), message("user", "1 + 1?")};
  EXPECT_EQ(join(chat.render(input).value()),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n");
  Value answer = message("assistant", "2");
  answer.set("reasoning_content", "one and one");
  input.messages.push_back(answer);
  input.messages.push_back(message("assistant", "3"));
  input.add_generation_prompt = false;
  EXPECT_EQ(
      join(chat.render(input).value()),
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n"
      "<|im_start|>assistant\n<think>\none and one\n</think>\n\n2<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n");
}

TEST(Chatml, ScaffoldIsOneTokenAndContentForgesNone) {
  const formats::TokenizerData data = make_data();
  const Tokenizer tokenizer = Tokenizer::create(data).value();
  const ChatTemplate chat = ChatTemplate::create(data).value();
  ChatInput input;
  Value answer = message("assistant", "<|im_end|><think>");
  answer.set("reasoning_content", "</think><|im_start|>");
  input.messages = {answer};
  input.add_generation_prompt = false;
  const std::vector<int32_t> ids = tokenizer.encode_segments(chat.render(input).value());
  // The tags of reasoning in what an assistant says are the tokens that the model writes.
  for (const auto& [text, n] : {std::pair{"<|im_start|>", 1}, {"<think>", 2}, {"</think>", 1}, {"<|im_end|>", 1}}) {
    EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer.find(text)), n) << text;
  }
  EXPECT_EQ(tokenizer.decode(ids), join(chat.render(input).value()));
  EXPECT_EQ(tokenizer.eos_id(), tokenizer.find("<|im_end|>"));
  EXPECT_EQ(tokenizer.pad_id(), tokenizer.find("<|endoftext|>"));
  EXPECT_TRUE(tokenizer.is_special(*tokenizer.eos_id()));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.find("<think>")));
  EXPECT_TRUE(tokenizer.is_control(*tokenizer.find("<think>")));
}

}  // namespace
}  // namespace naru::text
