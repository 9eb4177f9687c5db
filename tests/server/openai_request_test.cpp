// OpenAI's requests: what is taken, what is refused by the name of its field, and what is ignored and said.
#include "server/openai_request.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "server/limits.h"

namespace naru::server {
namespace {

const std::string kMessages = R"("messages":[{"role":"user","content":"Hi"}])";

std::string chat_body(const std::string& more) {
  return "{" + kMessages + (more.empty() ? "" : "," + more) + "}";
}

AnswerRequest taken(const ReadRequest& read) {
  const auto* request = std::get_if<AnswerRequest>(&read);
  EXPECT_NE(request, nullptr) << std::get<Refusal>(read).message;
  return request ? *request : AnswerRequest();
}

Refusal refused(const ReadRequest& read) {
  const auto* refusal = std::get_if<Refusal>(&read);
  EXPECT_NE(refusal, nullptr);
  return refusal ? *refusal : Refusal();
}

std::string field_of(const text::Value& message, std::string_view name) {
  const text::Value* value = message.find(name);
  return value && value->as_string() ? *value->as_string() : "(none)";
}

TEST(OpenAiChat, EverythingThatCanBeSaid) {
  const AnswerRequest r = taken(read_openai_chat(R"({"model":"m","messages":[
    {"role":"developer","content":"Be brief."},
    {"role":"user","name":"anna","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
    {"role":"assistant","content":"c","reasoning_content":"why","tool_calls":[],"refusal":null},
    {"role":"user","content":""}],
    "temperature":0.5,"top_p":0.25,"top_k":-1,"min_p":0.125,"repetition_penalty":1.5,"presence_penalty":1,
    "frequency_penalty":-2,"seed":9223372036854775807,"logit_bias":{"7":-100,"3":1.5},"stop":["x","y"],"n":2,"max_tokens":5,
    "max_completion_tokens":5,"logprobs":true,"top_logprobs":3,"stream":true,"stream_options":{"include_usage":true},
    "ignore_eos":true,"cache_salt":"s","chat_template_kwargs":{"enable_thinking":false},"tools":[],
    "tool_choice":"auto","response_format":{"type":"text"},"modalities":["text"],"user":"u","foo":1})"));
  ASSERT_EQ(r.messages.size(), 4u);
  EXPECT_EQ(field_of(r.messages[0], "role"), "system");
  EXPECT_EQ(field_of(r.messages[1], "content"), "a\nb");
  EXPECT_EQ(field_of(r.messages[1], "name"), "anna");
  EXPECT_EQ(field_of(r.messages[2], "reasoning_content"), "why");
  EXPECT_EQ(field_of(r.messages[3], "content"), "");
  EXPECT_TRUE(r.is_chat);
  EXPECT_EQ(r.model, "m");
  const AskedSampling& s = r.sampling;
  EXPECT_EQ(s.temperature, 0.5);
  EXPECT_EQ(s.top_p, 0.25);
  EXPECT_EQ(s.top_k, 0);
  EXPECT_EQ(s.min_p, 0.125);
  EXPECT_EQ(s.repetition_penalty, 1.5);
  EXPECT_EQ(s.presence_penalty, 1);
  EXPECT_EQ(s.frequency_penalty, -2);
  EXPECT_EQ(s.seed, uint64_t{9223372036854775807u});
  EXPECT_EQ(s.logit_bias, (std::vector<std::pair<int32_t, float>>{{7, -100.0f}, {3, 1.5f}}));
  EXPECT_EQ(r.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(r.n, 2);
  EXPECT_EQ(r.max_tokens, 5);
  EXPECT_EQ(r.top_logprobs, 3);
  EXPECT_TRUE(r.is_streamed && r.wants_usage && r.ignores_end);
  EXPECT_EQ(r.cache_salt, "s");
  ASSERT_EQ(r.template_settings.size(), 1u);
  EXPECT_EQ(r.template_settings[0].first, "enable_thinking");
  EXPECT_EQ(r.ignored, (std::vector<std::string>{"foo", "user"}));
}

TEST(OpenAiChat, WholeNumbersInAnyForm) {
  EXPECT_EQ(taken(read_openai_chat(chat_body(R"("n":3.0,"max_tokens":1e2)"))).max_tokens, 100);
  EXPECT_EQ(refused(read_openai_chat(chat_body(R"("max_tokens":1e18)"))).param, "max_tokens");
}

TEST(OpenAiChat, WhatIsLeftOutIsLeftOpen) {
  const AnswerRequest r = taken(read_openai_chat(chat_body(R"("temperature":null,"stop":null,"tools":null)")));
  EXPECT_FALSE(r.sampling.temperature || r.sampling.seed || r.top_logprobs);
  EXPECT_EQ(r.n, 1);
  EXPECT_EQ(r.max_tokens, 0);
  EXPECT_FALSE(r.is_streamed);
  EXPECT_TRUE(r.stop.empty() && r.ignored.empty());
  EXPECT_EQ(taken(read_openai_chat(chat_body(R"("stop":"x")"))).stop, std::vector<std::string>{"x"});
}

// Every field with a value of every other type, and past both ends of its range: refused by its name.
TEST(OpenAiChat, WrongTypesAreRefusedByName) {
  struct Field {
    std::string name;
    std::vector<std::string> wrong;
  };
  const std::vector<std::string> no_number = {R"("1")", "true", "[1]", R"({"a":1})"};
  const std::vector<std::string> no_integer = {
      R"("1")", "true", "[1]", R"({"a":1})", "1.5", "1e400", "18446744073709551616"};
  const std::vector<std::string> no_bool = {R"("true")", "1", "[true]", "{}"};
  const std::vector<std::string> no_string = {"1", "true", R"(["a"])", "{}"};
  const auto with = [](std::vector<std::string> list, std::vector<std::string> more) {
    list.insert(list.end(), more.begin(), more.end());
    return list;
  };
  const std::vector<Field> fields = {
      {"model", with(no_string, {'"' + std::string(257, 'a') + '"'})},
      {"temperature", with(no_number, {"-0.1", "1001", "1e400", "-1e308"})},
      {"top_p", with(no_number, {"-1", "1.01"})},
      {"min_p", with(no_number, {"-1", "1.01"})},
      {"repetition_penalty", with(no_number, {"0", "101"})},
      {"presence_penalty", with(no_number, {"-101", "101"})},
      {"frequency_penalty", with(no_number, {"-101", "101"})},
      {"top_k", with(no_integer, {"-2", "2147483648"})},
      {"seed", no_integer},
      {"n", with(no_integer, {"0", "-1", "9", "1000000"})},
      {"max_tokens", with(no_integer, {"0", "-1", "4294967296"})},
      {"max_completion_tokens", with(no_integer, {"0", "-1", "4294967296"})},
      {"stream", no_bool},
      {"logprobs", no_bool},
      {"ignore_eos", no_bool},
      {"stop",
       {"1", "true", "{}", "[1]", R"([""])", R"("")", R"(["a","b",null])",
        '"' + std::string(kStopBytesMax + 1, 'a') + '"'}},
      {"stream_options", {"1", "true", "[]", R"("x")", "{}"}},
      {"logit_bias", {"1", "[]", R"("x")"}},
      {"chat_template_kwargs", {"1", "[]", R"("x")", "true"}},
      {"cache_salt", no_string},
      {"tools", {"1", "true", R"("x")", "{}"}},
      {"functions", {"1", "[{}]"}},
      {"tool_choice", {"1", R"("function")", R"("maybe")", "[]"}},
      {"parallel_tool_calls", no_bool},
      {"function_call", {"1", R"({"name":"f"})"}},
      {"response_format", {"1", "{}", R"("text")", R"({"type":1})", "[]"}},
      {"modalities", {"1", R"(["audio"])", R"(["text","audio"])"}},
      {"audio", {"{}"}},
      {"prediction", {"{}"}},
      {"web_search_options", {"{}"}},
      {"thinking", {"1", "true", "[]", R"("enabled")"}},
      {"reasoning_effort", with(no_string, {R"("extreme")", R"("")"})},
  };
  for (const Field& field : fields) {
    for (const std::string& value : field.wrong) {
      const std::string body = chat_body('"' + field.name + "\":" + value);
      const Refusal refusal = refused(read_openai_chat(body));
      EXPECT_EQ(refusal.status, 400) << body;
      EXPECT_EQ(refusal.param, field.name) << body << "\n" << refusal.message;
      EXPECT_TRUE(refusal.message.starts_with("reading the request: " + field.name)) << refusal.message;
    }
  }
}

TEST(OpenAiChat, MessagesAreRefusedByTheirPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{}", "messages"},
      {R"({"messages":null})", "messages"},
      {R"({"messages":"hi"})", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":[1]})", "messages[0]"},
      {R"({"messages":[{"content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":1,"content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"king","content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"tool","content":"x"}]})", "messages[0].tool_call_id"},
      {R"({"messages":[{"role":"function","name":"f","content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user","content":"x"},{"role":"user"}]})", "messages[1].content"},
      {R"({"messages":[{"role":"user","content":1}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":["x"]}]})", "messages[0].content[0]"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0].text"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]})",
       "messages[0].content[0].type"},
      {R"({"messages":[{"role":"assistant","content":"x","tool_calls":1}]})", "messages[0].tool_calls"},
      {R"({"messages":[{"role":"assistant","content":"x","prefix":1}]})", "messages[0].prefix"},
      {R"({"messages":[{"role":"user","content":"x","prefix":true}]})", "messages[0].prefix"},
      {R"({"messages":[{"role":"assistant","content":"x","prefix":true},{"role":"user","content":"x"}]})",
       "messages[0].prefix"},
      {R"({"messages":[{"role":"user","content":"x","name":7}]})", "messages[0].name"},
  };
  for (const auto& [body, param] : cases) {
    const Refusal refusal = refused(read_openai_chat(body));
    EXPECT_EQ(refusal.param, param) << body << "\n" << refusal.message;
    EXPECT_EQ(refusal.status, 400);
  }
  EXPECT_EQ(taken(read_openai_chat(R"({"messages":[{"role":"user","content":"x","odd":1}]})")).ignored,
            std::vector<std::string>{"messages[0].odd"});
}

TEST(OpenAiChat, WhatIsNoObjectOfJson) {
  for (const std::string body : {"", "null", "[]", "1", "{", "{\"messages\":[}", "\xff", R"({"a":1,"a":2})", R"({} x)",
                                 "{\"model\":\"\xc3\"}", "\xef\xbb\xbf{}"}) {
    const Refusal refusal = refused(read_openai_chat(body));
    EXPECT_EQ(refusal.status, 400) << body;
    EXPECT_EQ(refusal.code, "invalid_json") << body;
  }
  std::string deep = R"({"x":)";
  for (int i = 0; i < 100000; ++i) deep += '[';
  EXPECT_EQ(refused(read_openai_chat(deep)).code, "invalid_json");
}

TEST(OpenAiChat, FieldsThatNeedEachOther) {
  EXPECT_EQ(refused(read_openai_chat(chat_body(R"("top_logprobs":2)"))).param, "top_logprobs");
  EXPECT_EQ(refused(read_openai_chat(chat_body(R"("max_tokens":2,"max_completion_tokens":3)"))).param, "max_tokens");
  EXPECT_EQ(refused(read_openai_chat(chat_body(R"("stream_options":{"include_usage":true})"))).param, "stream_options");
  EXPECT_EQ(refused(read_openai_chat(chat_body(R"("chat_template_kwargs":{"messages":[]})"))).param,
            "chat_template_kwargs.messages");
  // Keys are the client's own: the message quotes them, param, which is logged, does not.
  for (const char* bias : {R"({"-1":1})", R"({"5":101})", R"({"5":1,"05":1})", R"({"my secret":1})"}) {
    const Refusal refusal = refused(read_openai_chat(chat_body(fmt::format(R"("logit_bias":{})", bias))));
    EXPECT_EQ(refusal.param, "logit_bias") << bias;
    EXPECT_NE(refusal.message.find("logit_bias."), std::string::npos) << bias;
  }
  EXPECT_EQ(
      refused(read_openai_chat(chat_body(R"("stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14",)"
                                         R"("15","16","17"])")))
          .param,
      "stop");
}

// DeepSeek's extensions.
TEST(OpenAiChat, WhatIsAskedOfReasoning) {
  EXPECT_EQ(taken(read_openai_chat(chat_body(""))).thinks, std::nullopt);
  EXPECT_EQ(taken(read_openai_chat(chat_body(R"("thinking":{"type":"enabled"})"))).thinks, true);
  const AnswerRequest off = taken(read_openai_chat(chat_body(R"("thinking":{"type":"disabled","budget_tokens":9})")));
  EXPECT_EQ(off.thinks, false);
  EXPECT_EQ(off.ignored, std::vector<std::string>{"thinking.budget_tokens"});
  EXPECT_EQ(refused(read_openai_chat(chat_body(R"("thinking":{"type":"auto"})"))).param, "thinking.type");
  EXPECT_EQ(refused(read_openai_chat(chat_body(R"("thinking":{})"))).param, "thinking.type");
  for (const auto& [word, effort] : std::map<std::string, std::string>{{"none", "none"},
                                                                       {"minimal", "low"},
                                                                       {"low", "low"},
                                                                       {"medium", "high"},
                                                                       {"high", "high"},
                                                                       {"xhigh", "high"},
                                                                       {"max", "max"}}) {
    EXPECT_EQ(taken(read_openai_chat(chat_body(R"("reasoning_effort":")" + word + '"'))).reasoning_effort, effort);
  }
  const std::string both = R"("thinking":{"type":"disabled"},"reasoning_effort":)";
  EXPECT_EQ(taken(read_openai_chat(chat_body(both + R"("none")"))).thinks, false);
  EXPECT_EQ(refused(read_openai_chat(chat_body(both + R"("low")"))).param, "reasoning_effort");
}

TEST(OpenAiChat, ReasoningHasABudget) {
  EXPECT_EQ(taken(read_openai_chat(chat_body(""))).reasoning_tokens_max, 0);
  const AnswerRequest r = taken(read_openai_chat(chat_body(R"("thinking":{"type":"enabled","budget_tokens":9})")));
  EXPECT_EQ(r.reasoning_tokens_max, 9);
  EXPECT_TRUE(r.ignored.empty());
  EXPECT_EQ(taken(read_openai_chat(chat_body(R"("thinking_token_budget":7)"))).reasoning_tokens_max, 7);
  EXPECT_EQ(refused(read_openai_chat(chat_body(R"("thinking_token_budget":0)"))).param, "thinking_token_budget");
  const std::string both = R"("thinking":{"type":"enabled","budget_tokens":9},"thinking_token_budget":)";
  EXPECT_EQ(taken(read_openai_chat(chat_body(both + "9"))).reasoning_tokens_max, 9);
  EXPECT_EQ(refused(read_openai_chat(chat_body(both + "8"))).param, "thinking_token_budget");
}

// Whoever sends one counts on it: nothing of the kind is passed over.
TEST(OpenAiChat, FormsOfOtherServersAreRefused) {
  for (const char* name : {"grammar", "json_schema", "guided_grammar", "guided_decoding", "structural_tag",
                           "guided_whitespace_pattern", "regex", "ebnf", "format", "output_format"}) {
    const std::string field = fmt::format(R"("{}":"x")", name);
    const Refusal chat = refused(read_openai_chat(chat_body(field)));
    EXPECT_EQ(chat.param, name);
    EXPECT_NE(chat.message.find("response_format"), std::string::npos) << chat.message;
    EXPECT_EQ(refused(read_openai_completion(R"({"prompt":"a",)" + field + "}")).param, name);
  }
  EXPECT_TRUE(taken(read_openai_chat(chat_body(R"("grammar":null)"))).ignored.empty());
}

// As vLLM has them, in chats and in completions.
TEST(OpenAiForms, FieldsOfOneForm) {
  const auto both = [](const std::string& field) {
    const AnswerRequest chat = taken(read_openai_chat(chat_body(field)));
    const AnswerRequest text = taken(read_openai_completion(R"({"prompt":"a",)" + field + "}"));
    EXPECT_EQ(chat.form.has_value(), text.form.has_value()) << field;
    EXPECT_EQ(chat.is_json, text.is_json) << field;
    EXPECT_EQ(chat.names.form, text.names.form);
    EXPECT_EQ(chat.ignored, text.ignored);
    return text;
  };
  for (const auto& [name, end] :
       {std::pair<std::string, std::string>{R"("guided_json":)", ""}, {R"("structured_outputs":{"json":)", "}"}}) {
    for (const char* schema : {R"({"type":"integer"})", R"("{\"type\":\"integer\"}")"}) {
      const AnswerRequest r = both(name + schema + end);
      EXPECT_EQ(*std::get<text::SchemaForm>(r.form.value()).schema.find("type")->as_string(), "integer");
    }
  }
  EXPECT_EQ(std::get<text::RegexForm>(both(R"("guided_regex":"a+")").form.value()).regex, "a+");
  EXPECT_EQ(std::get<text::RegexForm>(both(R"("structured_outputs":{"regex":"a+","json":null})").form.value()).regex,
            "a+");
  const std::vector<std::string> yes_no = {"yes", "no"};
  EXPECT_EQ(std::get<text::ChoiceForm>(both(R"("guided_choice":["yes","no"])").form.value()).texts, yes_no);
  const AnswerRequest choice = both(R"("structured_outputs":{"choice":["yes","no"],"odd":1})");
  EXPECT_EQ(std::get<text::ChoiceForm>(choice.form.value()).texts, yes_no);
  EXPECT_EQ(choice.names.form, "structured_outputs.choice");
  EXPECT_EQ(choice.ignored, std::vector<std::string>{"structured_outputs.odd"});
  EXPECT_TRUE(both(R"("structured_outputs":{"json_object":true},"response_format":{"type":"text"})").is_json);
  EXPECT_TRUE(both(R"("response_format":{"type":"json_object"})").is_json);
}

TEST(OpenAiForms, TwoFormsAndWhatIsNoneAreRefused) {
  const auto refusal = [](const std::string& field) {
    const Refusal chat = refused(read_openai_chat(chat_body(field)));
    EXPECT_EQ(refused(read_openai_completion(R"({"prompt":"a",)" + field + "}")).message, chat.message);
    return chat;
  };
  const Refusal two = refusal(R"("response_format":{"type":"json_object"},"guided_regex":"a")");
  EXPECT_EQ(two.param, "guided_regex");
  EXPECT_NE(two.message.find("response_format and guided_regex both ask for a form"), std::string::npos) << two.message;
  const std::pair<std::string, std::string> cases[] = {
      {R"("structured_outputs":{"json":{},"choice":["a"]})", "structured_outputs.choice"},
      {R"("structured_outputs":{"regex":"a"},"guided_regex":"a")", "guided_regex"},
      {R"("response_format":{"type":"json_object"},"structured_outputs":{"json_object":true})",
       "structured_outputs.json_object"},
      {R"("structured_outputs":{})", "structured_outputs"},
      {R"("structured_outputs":{"json_object":false})", "structured_outputs"},
      {R"("structured_outputs":{"grammar":"root ::= x"})", "structured_outputs.grammar"},
      {R"("structured_outputs":{"json":{},"disable_any_whitespace":true})",
       "structured_outputs.disable_any_whitespace"},
      {R"("structured_outputs":{"choice":[]})", "structured_outputs.choice"},
      {R"("structured_outputs":{"choice":["a",1]})", "structured_outputs.choice"},
      {R"("guided_json":"{")", "guided_json"},
      {R"("guided_json":"[]")", "guided_json"},
      {R"("guided_regex":1)", "guided_regex"},
  };
  for (const auto& [field, param] : cases) EXPECT_EQ(refusal(field).param, param) << field;
  EXPECT_NE(refusal(R"("structured_outputs":{})").message.find("asks for nothing: json"), std::string::npos);
  const std::string odd = refusal(R"("structured_outputs":{"regex":null,"grammar":null,"jsn":{}})").message;
  EXPECT_NE(odd.find("asks for nothing (structured_outputs.jsn is not known): json"), std::string::npos) << odd;
  // A schema as text: what is wrong with the text, where, and to correct it.
  const std::string deep = refusal(R"("guided_json":")" + std::string(5000, '[') + "\"").message;
  EXPECT_NE(deep.find("guided_json is a string, and no JSON schema: its objects and arrays are more than 64 deep"),
            std::string::npos)
      << deep;
  EXPECT_TRUE(deep.ends_with("; correct it there")) << deep;
  const std::string cut = refusal(R"("structured_outputs":{"json":"{"})").message;
  EXPECT_NE(cut.find("structured_outputs.json is a string, and no JSON schema: at line 1, column 2: "),
            std::string::npos)
      << cut;
}

TEST(OpenAiChat, TheLastMessageToGoOnFrom) {
  const AnswerRequest r = taken(read_openai_chat(
      R"({"messages":[{"role":"user","content":"Hi"},
          {"role":"assistant","content":"The","reasoning_content":"why","prefix":true}]})"));
  EXPECT_TRUE(r.continues_last);
  EXPECT_EQ(r.messages.size(), 2u);
  EXPECT_EQ(r.messages[1].find("prefix"), nullptr);
  EXPECT_TRUE(r.ignored.empty());
  EXPECT_FALSE(
      taken(read_openai_chat(R"({"messages":[{"role":"assistant","content":"x","prefix":false}]})")).continues_last);
}

TEST(OpenAiCompletion, PromptsOfEveryForm) {
  EXPECT_EQ(taken(read_openai_completion(R"({"prompt":"a","suffix":"b"})")).suffix, "b");
  const AnswerRequest one = taken(read_openai_completion(R"({"prompt":"a b"})"));
  EXPECT_EQ(std::get<std::string>(one.prompts.at(0)), "a b");
  EXPECT_EQ(one.max_tokens, 16);
  EXPECT_EQ(one.n_choices(), 1);
  const AnswerRequest texts = taken(read_openai_completion(R"({"prompt":["a","b"],"n":3,"best_of":3,"logprobs":2})"));
  EXPECT_EQ(texts.n_choices(), 6);
  EXPECT_EQ(texts.top_logprobs, 2);
  const AnswerRequest ids = taken(read_openai_completion(R"({"prompt":[1,2,3],"max_tokens":7})"));
  EXPECT_EQ(std::get<std::vector<int32_t>>(ids.prompts.at(0)), (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(ids.max_tokens, 7);
  EXPECT_EQ(taken(read_openai_completion(R"({"prompt":[[1],"x"]})")).prompts.size(), 2u);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{}", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":1})", "prompt"},
      {R"({"prompt":[1,"a"]})", "prompt"},
      {R"({"prompt":[1,-1]})", "prompt"},
      {R"({"prompt":["a",1]})", "prompt[1]"},
      {R"({"prompt":[[1],[]]})", "prompt[1]"},
      {R"({"prompt":"a","echo":true})", "echo"},
      {R"({"prompt":"a","suffix":["b"]})", "suffix"},
      {R"({"prompt":"a","best_of":2})", "best_of"},
      {R"({"prompt":"a","logprobs":true})", "logprobs"},
      {R"({"prompt":"a","logprobs":21})", "logprobs"},
  };
  for (const auto& [body, param] : cases) EXPECT_EQ(refused(read_openai_completion(body)).param, param) << body;
}

}  // namespace
}  // namespace naru::server
