// What of a conversation is learnt where a template, a vocabulary or a line is not as simple as ChatML: reasoning that
// templates take out, its tags, weights, calls of tools, and lines of other programs.
#include "data/conversation.h"
#include "tests/data/rig.h"

namespace naru::data {
namespace {

// R1's constructs: reasoning stripped from every message, a prompt that ends in <think>.
constexpr const char* kStripping =
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|im_start|>U:' + m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{% set c = m['content'] %}{% if '</think>' in c %}"
    "{% set c = c.split('</think>')[-1] %}{% endif %}{{ '<|im_start|>A:' + c + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>A:<think>\\n' }}{% endif %}";
constexpr const char* kPlain =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + ':' + m.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant:' }}{% endif %}";

class Turns : public ::testing::Test {
 protected:
  // The documents of a line, what is learnt in brackets; tokens that are <think> and </think> as ⟨ and ⟩.
  std::vector<std::string> learnt(const std::string& line, const char* source) {
    const auto sample = parse_sample(line, "x.jsonl:1");
    if (!sample.ok()) return {sample.error().message};
    const auto made = assistant_documents(*sample, make(source), tokenizer_, "x.jsonl:1");
    if (!made.ok()) return {made.error().message};
    notes_ = made->notes;
    shared_ = made->shared_notes;
    std::vector<std::string> texts;
    for (const Document& document : made->documents) texts.push_back(shown(document));
    return texts;
  }
  std::string shown(const Document& document) const {
    std::string out;
    for (size_t i = 0; i < document.ids.size(); ++i) {
      const bool was = i > 0 && document.loss[i - 1] == 1, is = document.loss[i] == 1;
      if (was != is) out += is ? "[" : "]";
      const auto piece = tokenizer_.piece(document.ids[i]);
      out += piece == "<think>" ? "⟨" : piece == "</think>" ? "⟩" : piece;
    }
    return document.loss.back() == 1 ? out + "]" : out;
  }
  static text::ChatTemplate make(const char* source) {
    return text::ChatTemplate::create(source, {{"bos_token", "<bos>"}}).value();
  }
  text::Tokenizer tokenizer_ = make_test_tokenizer();
  std::vector<std::string> notes_, shared_;
};
using Texts = std::vector<std::string>;

TEST_F(Turns, ReasoningIsLearntBehindThePromptThatOpensIt) {
  const Texts wanted{"<bos><|im_start|>U:q<|im_start|>A:⟨\n[add them\n⟩\n\nfour<|im_end|>]"};
  for (const char* said : {R"("content": "<think>\nadd them\n</think>\n\nfour")",
                           R"("content": "add them\n</think>\n\nfour")",  // as a model writes it behind such a prompt
                           R"("content": "four", "reasoning_content": "add them")",
                           R"("content": "\n\nfour", "thinking": "\nadd them\n")"}) {
    SCOPED_TRACE(said);
    EXPECT_EQ(
        learnt(std::string(R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", )") + said + "}]}",
               kStripping),
        wanted);
    EXPECT_TRUE(notes_.empty() && shared_.empty());
  }
  // The ids before what is learnt are those of the engine's prompt.
  text::ChatInput input;
  input.messages = {text::Value(text::Value::Object{{"role", "user"}, {"content", "q"}})};
  const auto prompt = tokenizer_.encode_segments(make(kStripping).render(input).value());
  const Sample sample = parse_sample(R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant",
      "content": "<think>\nr\n</think>\n\na"}]})",
                                     "x")
                            .value();
  const Document document = assistant_documents(sample, make(kStripping), tokenizer_, "x")->documents.at(0);
  ASSERT_GT(document.ids.size(), prompt.size());
  for (size_t i = 0; i < document.ids.size(); ++i) {
    EXPECT_EQ(document.loss[i], i >= prompt.size() ? 1 : 0);
    if (i >= prompt.size()) continue;
    EXPECT_EQ(document.ids[i], prompt[i]);
  }
}

TEST_F(Turns, EveryTurnIsReasonedAndHistoryIsAsTheTemplateWritesIt) {
  EXPECT_EQ(
      learnt(
          R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nr\n</think>b"},
                      {"role": "user", "content": "c"}, {"role": "assistant", "content": "<think>s</think>d"}]})",
          kStripping),
      (Texts{"<bos><|im_start|>U:a<|im_start|>A:⟨\n[r\n⟩b<|im_end|>]",
             "<bos><|im_start|>U:a<|im_start|>A:b<|im_end|><|im_start|>U:c<|im_start|>A:⟨\n[s⟩d<|im_end|>]"}));
}

TEST_F(Turns, WithoutReasoningBehindSuchAPromptANoteSaysSo) {
  EXPECT_EQ(
      learnt(R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})", kStripping),
      Texts{"<bos><|im_start|>U:q<|im_start|>A:[a<|im_end|>]"});
  ASSERT_EQ(shared_.size(), 1u);
  EXPECT_NE(shared_[0].find("no reasoning"), std::string::npos);
  // An empty block is the model's own way to say nothing.
  EXPECT_EQ(learnt(R"({"messages": [{"role": "user", "content": "q"},
                      {"role": "assistant", "content": "<think>\n</think>\n\n"}]})",
                   kStripping),
            Texts{"<bos><|im_start|>U:q<|im_start|>A:⟨\n[⟩\n\n<|im_end|>]"});
  EXPECT_TRUE(shared_.empty());
}

TEST_F(Turns, ReasoningThatCannotBeLearntIsNoted) {
  // A prompt that closes reasoning, as DeepSeek V3.1's does by default.
  const std::string closing =
      std::string(kStripping).replace(std::string(kStripping).rfind("<think>\\n"), 9, "</think>");
  EXPECT_EQ(
      learnt(
          R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>r</think>a"}]})",
          closing.c_str()),
      Texts{"<bos><|im_start|>U:q<|im_start|>A:[a<|im_end|>]"});
  ASSERT_EQ(shared_.size(), 1u);
  EXPECT_NE(shared_[0].find("not learnt"), std::string::npos);
}

// A template that writes what is said as it stands, behind a prompt that ends in <think> and a line break.
TEST_F(Turns, WrittenReasoningIsPutBehindThePromptInUse) {
  const std::string opening = std::string(kPlain) + "{% if add_generation_prompt %}{{ '<think>\\n' }}{% endif %}";
  for (const char* said : {"<think>r</think>a", "r</think>a", "<think>\\nr</think>a"}) {
    SCOPED_TRACE(said);
    EXPECT_EQ(
        learnt(std::string(R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": ")") +
                   said + R"("}]})",
               opening.c_str()),
        Texts{"<|im_start|>user:q<|im_end|><|im_start|>assistant:⟨\n[r⟩a<|im_end|>]"});
    EXPECT_TRUE(shared_.empty());
  }
  const std::string closing = std::string(kPlain) + "{% if add_generation_prompt %}{{ '<think></think>' }}{% endif %}";
  learnt(R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>r</think>a"}]})",
         closing.c_str());
  ASSERT_EQ(shared_.size(), 1u);
  EXPECT_NE(shared_[0].find("is learnt as the chat template writes it, and not behind the prompt in use"),
            std::string::npos);
}

TEST_F(Turns, TagsOfTheAssistantAreTokensAndNobodyElsesAre) {
  EXPECT_EQ(learnt(R"({"messages": [{"role": "user", "content": "<think>q</think>"},
                      {"role": "assistant", "content": "<think>r</think>a<|im_end|><bos>"}]})",
                   kPlain),
            Texts{"<|im_start|>user:<think>q</think><|im_end|><|im_start|>assistant:[⟨r⟩a<|im_end|><bos><|im_end|>]"});
  const Sample sample = parse_sample(R"({"messages": [{"role": "user", "content": "<think>"},
      {"role": "assistant", "content": "<think></think><think>a<|im_end|><bos>"}]})",
                                     "x")
                            .value();
  const auto made = assistant_documents(sample, make(kPlain), tokenizer_, "x");
  const auto& ids = made->documents.at(0).ids;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 610), 2);  // <think>
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 611), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kEnd), 2);  // the template's
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kBos), 0);
}

TEST_F(Turns, TagsThatTheVocabularyLacksAreSpeltOutAndNoted) {
  std::string json = read_test_file("tokenizers/smollm.json");
  for (size_t at = json.find("think>"); at != std::string::npos; at = json.find("think>"))
    json.replace(at, 6, "thonk>");
  formats::TokenizerSources sources;
  sources.tokenizer_json = as_bytes(json);
  tokenizer_ = text::Tokenizer::create(formats::parse_tokenizer(sources, "smollm").value()).value();
  const std::string line = R"({"messages": [{"role": "user", "content": "q"},
                             {"role": "assistant", "content": "<think>r</think>a"}]})";
  EXPECT_EQ(learnt(line, kPlain),
            Texts{"<|im_start|>user:q<|im_end|><|im_start|>assistant:[<think>r</think>a<|im_end|>]"});
  ASSERT_EQ(shared_.size(), 1u);
  EXPECT_NE(shared_[0].find("<think> is spelt out in ordinary tokens"), std::string::npos);
  const Sample sample = parse_sample(line, "x").value();
  EXPECT_EQ(whole_conversation(sample, make(kPlain), tokenizer_, "x")->shared_notes, shared_);
  // A field that neither template nor vocabulary knows is left out, and said to be.
  learnt(R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a",
            "reasoning_content": "r"}]})",
         kPlain);
  ASSERT_EQ(shared_.size(), 1u);
  EXPECT_NE(shared_[0].find("not learnt"), std::string::npos);
}

TEST_F(Turns, AFieldOfReasoningIsOneStretch) {
  EXPECT_EQ(learnt(R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a",
                      "reasoning_content": "r</think><|im_end|>"}]})",
                   kStripping),
            Texts{"<bos><|im_start|>U:q<|im_start|>A:⟨\n[r</think><|im_end|>\n⟩\n\na<|im_end|>]"});
}

TEST_F(Turns, WeightZeroIsContext) {
  EXPECT_EQ(
      learnt(R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0},
                      {"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "weight": 1}]})",
             kPlain),
      Texts{"<|im_start|>user:a<|im_end|><|im_start|>assistant:b<|im_end|><|im_start|>user:c<|im_end|>"
            "<|im_start|>assistant:[d<|im_end|>]"});
  EXPECT_EQ(learnt(R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                      {"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "weight": 0.0}]})",
                   kPlain),
            Texts{"<|im_start|>user:a<|im_end|><|im_start|>assistant:[b<|im_end|>]"});
  EXPECT_TRUE(
      learnt(R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]})",
             kPlain)
          .empty());
  EXPECT_NE(notes_.at(0).find("weight 0"), std::string::npos);
  for (const char* weight : {"0.5", "2", "-1", "true", "\"0\"", "1e400"}) {
    const Texts refused = learnt(
        std::string(R"({"messages": [{"role": "assistant", "content": "b", "weight": )") + weight + "}]}", kPlain);
    EXPECT_NE(refused.at(0).find("messages[0].weight is "), std::string::npos) << refused[0];
    EXPECT_NE(refused[0].find("0 or 1 was wanted"), std::string::npos) << refused[0];
  }
}

TEST_F(Turns, NoContentIsNeverTheWordNone) {
  const auto line = [](const std::string& rest) {
    return R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant")" + rest + "}]}";
  };
  const std::string call = R"(, "tool_calls": [{"function": {"name": "get", "arguments": "{}"}}])";
  for (const std::string content : {"", R"(, "content": null)"}) {
    for (const std::string none : {"", R"(, "tool_calls": [])", R"(, "tool_calls": null)"}) {
      EXPECT_NE(learnt(line(content + none), kPlain).at(0).find("messages[1].content is "), std::string::npos);
    }
    // A template that writes calls, and of an absent content the word None, which "" avoids.
    const char* writes_none =
        "{% for m in messages %}{{ '<|im_start|>' ~ m.content }}{% for c in m.tool_calls or [] %}{{ '(' + "
        "c.function.name "
        "+ ')' }}{% endfor %}{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif "
        "%}";
    EXPECT_EQ(learnt(line(content + call), writes_none), Texts{"<|im_start|>a<|im_end|><|im_start|>[(get)<|im_end|>]"});
    // DeepSeek V3's way: calls only where content is none.
    const char* wants_none =
        "{% for m in messages %}{% if m.content is none %}{{ '<|im_start|>' + m.tool_calls[0].function.name + "
        "'<|im_end|>' }}{% else %}{{ '<|im_start|>' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}";
    EXPECT_EQ(learnt(line(content + call), wants_none), Texts{"<|im_start|>a<|im_end|><|im_start|>[get<|im_end|>]"});
    // One that knows no tools.
    const std::string refused = learnt(line(content + call), kPlain).at(0);
    EXPECT_NE(refused.find("x.jsonl:1: messages[1] calls get, and the chat template writes no calls"),
              std::string::npos)
        << refused;
  }
  EXPECT_NE(learnt(line(R"(, "content": "I get it.")" + call), kPlain).at(0).find("writes no calls"),
            std::string::npos);
  EXPECT_NE(learnt(line(R"(, "content": "", "tool_calls": [{"id": 1}])"), kPlain).at(0).find("has no name"),
            std::string::npos);
  EXPECT_NE(learnt(line(R"(, "content": "", "tool_calls": 5)"), kPlain).at(0).find("an array of calls"),
            std::string::npos);
  const std::string tools = learnt(R"({"tools": [{"name": "get"}], "messages": [{"role": "user", "content": "a"},
      {"role": "assistant", "content": "b"}]})",
                                   kPlain)
                                .at(0);
  EXPECT_NE(tools.find("\"tools\", and the chat template does not write them"), std::string::npos) << tools;
}

TEST_F(Turns, MistakenRolesAreToldHowToBeOurs) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"messages": [{"role": "gpt", "content": "a"}]})", "write assistant"},
      {R"({"messages": [{"role": "Human", "content": "a"}]})", "write user"},
      {R"({"body": "a"})", "name the key of your text \"text\""}};
  for (const auto& [line, wanted] : cases) {
    const Texts refused = learnt(line, kPlain);
    EXPECT_NE(refused.at(0).find(wanted), std::string::npos) << refused[0];
  }
}

TEST_F(Turns, AnyNumberMayStandInALine) {
  const std::string numbers = R"("n": [18446744073709551616, -9223372036854775809, 1e400, -1E+999, -0, 1e-999, 1.5])";
  EXPECT_EQ(learnt("{" + numbers + R"(, "messages": [{"role": "user", "content": "a", )" + numbers +
                       R"(}, {"role": "assistant", "content": "b"}]})",
                   kPlain),
            Texts{"<|im_start|>user:a<|im_end|><|im_start|>assistant:[b<|im_end|>]"});
  const char* reads =
      "{% for m in messages %}{{ '<|im_start|>' ~ m.content ~ (m.n if m.n is defined else '') ~ '<|im_end|>' }}{% "
      "endfor "
      "%}";
  const auto with = [&](const std::string& n) {
    return learnt(R"({"messages": [{"role": "user", "content": "a", "n": )" + n +
                      R"(}, {"role": "assistant", "content": "b"}]})",
                  reads)
        .at(0);
  };
  EXPECT_TRUE(
      with("123456789012345678901234567890").starts_with("<|im_start|>a123456789012345678901234567890<|im_end|>"));
  EXPECT_TRUE(with("[5, 18446744073709551616]").starts_with("<|im_start|>a[5, 18446744073709551616]<|im_end|>"));
  EXPECT_NE(with("1e400").find("the number 1e400, which no double holds"), std::string::npos) << with("1e400");
  EXPECT_NE(with("01").find("x.jsonl:1"), std::string::npos);  // no JSON at all
  EXPECT_NE(with("1e").find("x.jsonl:1"), std::string::npos);
}

TEST(TurnsOfFiles, MarksAndSharedNotes) {
  const Folder folder;
  const std::string line = R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})";
  folder.write("a.jsonl", "\xEF\xBB\xBF" + line + "\r\n" + line + "\r\n" + line);
  recipes::Recipe recipe = make_recipe({path_source("a.jsonl")});
  recipe.kind = recipes::RunKind::kSft;
  static const text::Tokenizer tokenizer = make_test_tokenizer();
  const text::ChatTemplate chat = text::ChatTemplate::create(kStripping, {{"bos_token", "<bos>"}}).value();
  const auto stream = BatchStream::open(recipe, recipe.data, tokenizer, &chat, folder.path());
  ASSERT_TRUE(stream.ok()) << stream.error().message;
  EXPECT_EQ(stream->n_documents(), 3);
  ASSERT_EQ(stream->notes().size(), 2u);  // not one a line
  EXPECT_EQ(stream->notes()[0].place, "a.jsonl:1");
  EXPECT_EQ(stream->notes()[0].reason, "its byte order mark left out");
  EXPECT_NE(stream->notes()[1].reason.find("in 3 conversations"), std::string::npos) << stream->notes()[1].reason;

  folder.write("a.jsonl", R"({"messages": [{"role": "user", "content": "q"}]})");
  const auto none = BatchStream::open(recipe, recipe.data, tokenizer, &chat, folder.path());
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("has a message of role assistant"), std::string::npos) << none.error().message;
  folder.write("a.jsonl", std::string("\xFF\xFE{\0", 4));
  const auto wide = BatchStream::open(recipe, recipe.data, tokenizer, &chat, folder.path());
  ASSERT_FALSE(wide.ok());
  EXPECT_NE(wide.error().message.find("UTF-16"), std::string::npos) << wide.error().message;
}

}  // namespace
}  // namespace naru::data
