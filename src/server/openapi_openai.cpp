// The fields of OpenAI's chat completions and completions, as openai_request.cpp reads them, and what is answered.
#include <fmt/format.h>

#include <iterator>
#include <limits>

#include "server/limits.h"
#include "server/openapi_fields.h"
#include "server/request_body.h"
#include "text/forms/form.h"

namespace naru::server {
namespace {

constexpr int64_t kShortTextBytes = 256;
constexpr int64_t kIdMax = std::numeric_limits<int32_t>::max();
constexpr std::string_view kIgnored = "means nothing here; named in x-naru-ignored";

void add(std::vector<FieldRow>& rows, std::vector<FieldRow> more) {
  for (FieldRow& row : more) rows.push_back(std::move(row));
}

std::vector<FieldRow> sampling_rows() {
  const std::string bias = R"({"type":"object","maxProperties":)" + std::to_string(kLogitBiasMax) +
                           R"(,"propertyNames":{"pattern":"^(0|[1-9][0-9]{0,8})$"},"additionalProperties":)" +
                           number_schema(-100, 100) + "}";
  return {
      {"temperature", number_schema(0, 1000), "0: always the likeliest token; default: the model's own advice", "0.7"},
      {"top_p", number_schema(0, 1), "only the likeliest tokens that together have this probability", "0.9"},
      {"min_p", number_schema(0, 1), "only tokens at least this many times as likely as the likeliest", "0.05"},
      {"top_k", integer_schema(-1, kIdMax), "only this many of the likeliest tokens; 0 and -1: all", "40"},
      {"repetition_penalty", number_schema(0.01, 100), "makes tokens seen before less likely; 1: off", "1.1"},
      {"presence_penalty", number_schema(-100, 100), "subtracted once for a token in the answer", "0.5"},
      {"frequency_penalty", number_schema(-100, 100), "subtracted for each time a token is in the answer", "0.5"},
      {"logit_bias", bias, "added to the logits of tokens, by their ids", R"({"42":-5})"},
      {"seed", integer_schema(-1, std::numeric_limits<int64_t>::max()),
       "the same seed gives the same answer; default: one is drawn, and x-naru-seed says which", "7"},
  };
}

FieldRow model_row() {
  return {"model", string_schema(kShortTextBytes), "a name of GET /v1/models; default: whichever is served", R"("m")"};
}

// Of both kinds of request.
std::vector<FieldRow> common_rows() {
  const std::string stop_text = R"({"type":"string","minLength":1,"maxLength":)" + std::to_string(kStopBytesMax) + "}";
  std::vector<FieldRow> rows = {
      model_row(),
      {"stream", boolean_schema(), "send the answer while it is made, as server-sent events", "true"},
      {"stream_options", R"({"type":"object","properties":{"include_usage":{"type":["boolean","null"]}}})",
       "include_usage: tokens are counted in a last event", R"({"include_usage":true})", R"("stream":true)"},
      {"n", integer_schema(1, kChoicesMax), "answers to one prompt", "2"},
      {"stop", any_schema({stop_text, array_schema(stop_text, kStopsMax)}), "texts before which the answer ends",
       R"(["END"])"},
      {"ignore_eos", boolean_schema(), "the model's own end tokens end nothing", "true"},
      {"cache_salt", string_schema(kShortTextBytes), "computed prompts are shared only under the same salt", R"("s")"},
      {"priority", integer_schema(-kPriorityMax, kPriorityMax), "of two that wait the lower begins first", "0"},
  };
  add(rows, sampling_rows());
  for (const char* name : {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}) {
    rows.push_back({name, "{}", kIgnored, R"("any")"});
  }
  return rows;
}

std::string messages_schema() {
  const std::string part =
      R"({"type":"object","required":["type","text"],"properties":{"type":{"const":"text"},"text":{"type":"string"}}})";
  const std::string content = any_schema({R"({"type":"string"})", array_schema(part, kMessagePartsMax)});
  const std::string said = R"({"type":"object","required":["role","content"],"properties":{"role":)" +
                           words_schema({"system", "developer", "user", "assistant"}) + R"(,"content":)" + content +
                           R"(,"name":{"type":["string","null"],"maxLength":256},"reasoning_content":)"
                           R"({"type":["string","null"]},"prefix":{"type":["boolean","null"]}}})";
  const std::string call =
      R"({"type":"object","required":["id","type","function"],"properties":{"id":{"type":"string"},)"
      R"("type":{"const":"function"},"function":{"type":"object","required":["name","arguments"],"properties":)"
      R"({"name":{"type":"string"},"arguments":{"type":"string"}}}}})";
  const std::string called = R"({"type":"object","required":["role","tool_calls"],"properties":{"role":)" +
                             words_schema({"assistant"}) + R"(,"content":{"type":["string","null"]},"tool_calls":)" +
                             array_schema(call, kCallsMax, 1) + "}}";
  const std::string result = R"({"type":"object","required":["role","tool_call_id","content"],"properties":{"role":)" +
                             words_schema({"tool"}) + R"(,"tool_call_id":{"type":"string"},"content":)" + content +
                             "}}";
  return array_schema(any_schema({said, called, result}), kMessagesMax, 1);
}

std::string tools_schema() {
  const std::string name =
      R"({"type":"string","pattern":"^[A-Za-z0-9_-]{1,)" + std::to_string(kToolNameBytesMax) + R"(}$"})";
  return array_schema(R"({"type":"object","required":["type","function"],"properties":{"type":{"const":"function"},)"
                      R"("function":{"type":"object","required":["name"],"properties":{"name":)" +
                          name +
                          R"(,"description":{"type":["string","null"]},"parameters":{"type":["object","null"]},)"
                          R"("strict":{"type":["boolean","null"]}}}}})",
                      kToolsMax);
}

// An object in which that field has such a value.
std::string asks(std::string_view field, std::string_view schema) {
  return fmt::format(R"({{"required":["{0}"],"properties":{{"{0}":{1}}}}})", field, schema);
}
constexpr std::string_view kNotNull = R"({"not":{"type":"null"}})";

// Of the fields that ask for a form, an answer's one.
std::string one_form_rule() {
  const std::string parts[] = {
      asks("response_format",
           R"({"type":"object","required":["type"],"properties":{"type":{"enum":["json_object","json_schema"]}}})"),
      asks("structured_outputs", kNotNull), asks("guided_json", kNotNull), asks("guided_regex", kNotNull),
      asks("guided_choice", kNotNull)};
  std::string pairs;
  for (size_t i = 0; i < std::size(parts); ++i) {
    for (size_t j = 0; j < i; ++j) {
      pairs += fmt::format(R"({}{{"allOf":[{},{}]}})", pairs.empty() ? "" : ",", parts[i], parts[j]);
    }
  }
  return fmt::format(R"({{"not":{{"anyOf":[{}]}}}})", pairs);
}

// One of its fields, and no other.
std::string structured_outputs_schema(const std::string& schema, const std::string& choice) {
  const std::pair<std::string_view, std::string> fields[] = {
      {"json", schema}, {"regex", R"({"type":"string"})"}, {"choice", choice}, {"json_object", R"({"const":true})"}};
  std::string alternatives;
  for (const auto& [one, unused] : fields) {
    std::string properties;
    for (const auto& [name, value] : fields) {
      const std::string_view absent = name == "json_object" ? R"({"enum":[false,null]})" : R"({"type":"null"})";
      properties += fmt::format(R"({}"{}":{})", properties.empty() ? "" : ",", name,
                                name == one ? std::string_view(value) : absent);
    }
    alternatives += fmt::format(R"({}{{"type":"object","required":["{}"],"properties":{{{}}}}})",
                                alternatives.empty() ? "" : ",", one, properties);
  }
  return fmt::format(R"({{"anyOf":[{}]}})", alternatives);
}

// An answer of a form: at most one of these asks for one (one_form_rule).
std::vector<FieldRow> form_rows() {
  const std::string format =
      R"({"type":"object","required":["type"],"properties":{"type":{"enum":["text","json_object","json_schema"]},)"
      R"("json_schema":{"type":"object","required":["schema"],"properties":{"schema":{"type":"object"}}}}})";
  const std::string schema = any_schema({R"({"type":"object"})", R"({"type":"string"})"});
  const std::string choice = array_schema(R"({"type":"string","minLength":1})", text::kChoicesOfFormMax, 1);
  return {{"response_format", format, "text, one JSON object, or a value of a schema", R"({"type":"text"})"},
          {"structured_outputs", structured_outputs_schema(schema, choice),
           "an answer of a form: a schema or its text, a regular expression, one of some texts, or one JSON object",
           R"({"choice":["yes","no"]})"},
          {"guided_json", schema, "older name of structured_outputs.json", R"({"type":"integer"})"},
          {"guided_regex", R"({"type":"string"})", "older name of structured_outputs.regex", R"("[0-9]+")"},
          {"guided_choice", choice, "older name of structured_outputs.choice", R"(["yes","no"])"}};
}

// Those that decide the prompt.
std::vector<FieldRow> chat_prompt_rows() {
  const std::string budget = any_schema({integer_schema(1, kTokensOfAnswerMax), R"({"type":"null"})"});
  return {
      {"messages", messages_schema(), "the conversation", R"([{"role":"user","content":"Hi"}])", "", true},
      {"chat_template_kwargs", R"({"type":"object","maxProperties":)" + std::to_string(kTemplateSettingsMax) + "}",
       "variables for the model's chat template", R"({"enable_thinking":false})"},
      {"tools", tools_schema(), "functions that the client runs", R"([{"type":"function","function":{"name":"add"}}])"},
      {"tool_choice",
       any_schema({words_schema({"auto", "none", "required"}),
                   R"({"type":"object","required":["type","function"],"properties":{"type":{"const":"function"},)"
                   R"("function":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}})"}),
       "whether tools may be called, must be, and which", R"("auto")"},
      {"parallel_tool_calls", boolean_schema(), "several calls in one answer; default: true", "true"},
      {"thinking",
       R"({"type":"object","required":["type"],"properties":{"type":{"enum":["enabled","disabled"]},"budget_tokens":)" +
           budget + "}}",
       "reasoning on or off, where the model's template knows both; and the most tokens it may have",
       R"({"type":"enabled","budget_tokens":512})"},
      {"thinking_token_budget", integer_schema(1, kTokensOfAnswerMax), "another name of thinking.budget_tokens", "512"},
      {"reasoning_effort", words_schema({"none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"}),
       "how much is thought", R"("high")"}};
}

std::vector<FieldRow> chat_rows() {
  std::vector<FieldRow> rows = chat_prompt_rows();
  add(rows, common_rows());
  add(rows, form_rows());
  add(rows, {{"max_tokens", integer_schema(1, kTokensOfAnswerMax),
              "the longest answer; default: until the context is full", "16"},
             {"max_completion_tokens", integer_schema(1, kTokensOfAnswerMax), "another name of max_tokens", "16"},
             {"logprobs", boolean_schema(), "log-probabilities of the answer's tokens", "true"},
             {"top_logprobs", integer_schema(0, kTopLogProbsAskedMax), "of that many of the likeliest tokens too", "2",
              R"("logprobs":true)"},
             {"modalities", R"({"type":"array","items":{"const":"text"},"minItems":1,"maxItems":1})", "text alone",
              R"(["text"])"}});
  return rows;
}

std::vector<FieldRow> completion_rows() {
  const std::string ids = array_schema(integer_schema(0, kIdMax), kTokensOfAnswerMax, 1);
  const std::string text = R"({"type":"string"})";
  std::vector<FieldRow> rows = {{"prompt",
                                 any_schema({text, ids, array_schema(any_schema({text, ids}), kPromptsMax, 1)}),
                                 "a text to continue or its tokens, or several of either", R"("Hi")", "", true}};
  add(rows, common_rows());
  add(rows, form_rows());
  add(rows, {{"max_tokens", integer_schema(1, kTokensOfAnswerMax), "the longest answer; default 16", "16"},
             {"suffix", text, "what is to stand behind the answer, where the model can fill in", R"("end")"},
             {"logprobs", integer_schema(0, kTopLogProbsAskedMax), "of each token, and that many alternatives", "2"},
             {"echo", R"({"const":false,"type":"boolean"})", "not done here", "false"}});
  return rows;
}

std::vector<FieldRow> apply_template_rows() {
  std::vector<FieldRow> rows = chat_prompt_rows();
  add(rows,
      {model_row(),
       {"add_generation_prompt", boolean_schema(), "the prompt ends where the answer begins; default: true", "true"},
       {"continue_final_message", boolean_schema(), "the last message is to be gone on from", "false"}});
  return rows;
}

// A text, or the prompt of a chat.
std::vector<FieldRow> tokenize_rows() {
  constexpr std::string_view kSomeText = R"("content":"Hi")";
  constexpr std::string_view kSomeChat = R"("messages":[{"role":"user","content":"Hi"}])";
  std::vector<FieldRow> rows = {
      {"content", string_schema(kBodyBytesMax), "a text, with nothing put around it", R"("Hi")"},
      {"prompt", string_schema(kBodyBytesMax), "a text, with what the tokenizer's files ask for around it", R"("Hi")"},
      {"add_special", boolean_schema(), "what the tokenizer's files ask for stands around the text", "true", kSomeText},
      {"add_special_tokens", boolean_schema(), "another name of add_special", "true", kSomeText},
      {"parse_special", boolean_schema(), "special tokens that the text spells become their ids", "false", kSomeText},
      {"with_pieces", boolean_schema(), "each token as an object with its text", "true", kSomeText},
      {"return_token_strs", boolean_schema(), "the tokens' texts in token_strs", "true", kSomeText},
      {"add_generation_prompt", boolean_schema(), "the prompt ends where the answer begins; default: true", "true",
       kSomeChat},
      {"continue_final_message", boolean_schema(), "the last message is to be gone on from", "false", kSomeChat}};
  FieldRow model = model_row();
  model.needs = kSomeText;
  rows.push_back(std::move(model));
  for (FieldRow& row : chat_prompt_rows()) {
    if (!row.is_required) row.needs = kSomeChat;
    row.is_required = false;
    rows.push_back(std::move(row));
  }
  for (FieldRow& row : rows) row.is_one_of = row.needs.empty();
  return rows;
}

std::vector<FieldRow> detokenize_rows() {
  return {{"tokens", array_schema(integer_schema(0, kIdMax), kPageTokensMax), "ids of the model's tokenizer", "[1,2]",
           "", true},
          model_row()};
}

// What fields decide together.
const std::string kCompletionRules =
    "[" + one_form_rule() +
    R"(,{"if":{"required":["stream_options"],"properties":{"stream_options":{"type":"object"}}},)"
    R"("then":{"required":["stream"],"properties":{"stream":{"const":true}}}}])";
const std::string kChatRules =
    "[" + one_form_rule() +
    R"(,{"if":{"required":["stream_options"],"properties":{"stream_options":{"type":"object"}}},)"
    R"("then":{"required":["stream"],"properties":{"stream":{"const":true}}}},)"
    R"({"if":{"required":["top_logprobs"],"properties":{"top_logprobs":{"type":"integer"}}},)"
    R"("then":{"required":["logprobs"],"properties":{"logprobs":{"const":true}}}},)"
    R"({"not":{"required":["max_tokens","max_completion_tokens"],"properties":{"max_tokens":{"type":"integer"},)"
    R"("max_completion_tokens":{"type":"integer"}}}},)"
    R"({"not":{"required":["thinking","reasoning_effort"],"properties":{"thinking":{"type":"object"},)"
    R"("reasoning_effort":{"type":"string"}}}}])";
constexpr std::string_view kChatPromptRules =
    R"([{"not":{"required":["thinking","reasoning_effort"],"properties":{"thinking":{"type":"object"},)"
    R"("reasoning_effort":{"type":"string"}}}}])";

constexpr std::string_view kTokenizeRules =
    R"([{"oneOf":[{"required":["content"]},{"required":["prompt"]},{"required":["messages"]}]},)"
    R"({"not":{"required":["thinking","reasoning_effort"],"properties":{"thinking":{"type":"object"},)"
    R"("reasoning_effort":{"type":"string"}}}}])";

}  // namespace

const BodyTable kOpenAiChatBody = {"openai.chat",
                                   "An answer to a conversation",
                                   chat_rows,
                                   "ChatCompletion",
                                   "ChatCompletionChunk",
                                   "text/event-stream",
                                   "Error",
                                   kChatRules,
                                   true};
const BodyTable kOpenAiCompletionBody = {"openai.completion",
                                         "A text continued",
                                         completion_rows,
                                         "Completion",
                                         "Completion",
                                         "text/event-stream",
                                         "Error",
                                         kCompletionRules,
                                         true};

const BodyTable kApplyTemplateBody = {"tokens.apply-template",
                                      "The prompt of a conversation as text",
                                      apply_template_rows,
                                      "RenderedPrompt",
                                      "",
                                      "",
                                      "Error",
                                      kChatPromptRules};
const BodyTable kTokenizeBody = {
    "tokens.tokenize", "The tokens of a text or of a conversation", tokenize_rows, "Tokenized", "", "", "Error",
    kTokenizeRules};
const BodyTable kDetokenizeBody = {"tokens.detokenize", "The text of tokens", detokenize_rows, "Detokenized"};

std::vector<ComponentRow> openai_components() {
  return {
      {"RenderedPrompt", R"({"type":"object","required":["prompt"],"properties":{"prompt":{"type":"string"}}})"},
      {"Tokenized", R"({"type":"object","required":["tokens","count","max_model_len"],"properties":{
        "tokens":{"type":"array","items":{"anyOf":[{"type":"integer"},{"type":"object"}]}},"count":{"type":"integer"},
        "max_model_len":{"type":"integer"},"token_strs":{"type":"array","items":{"type":"string"}}}})"},
      {"Detokenized", R"({"type":"object","required":["content","prompt"],"properties":{"content":{"type":"string"},
        "prompt":{"type":"string"}}})"},
      {"Usage", R"({"type":"object","required":["prompt_tokens","completion_tokens","total_tokens"],"properties":{
        "prompt_tokens":{"type":"integer"},"completion_tokens":{"type":"integer"},"total_tokens":{"type":"integer"},
        "prompt_tokens_details":{"type":"object","properties":{"cached_tokens":{"type":"integer"},
          "replayed_tokens":{"type":"integer","description":"with --replay-turns: put back as they were sampled"}}},
        "completion_tokens_details":{"type":"object","properties":{"reasoning_tokens":{"type":"integer"}}},
        "prompt_cache_hit_tokens":{"type":"integer"},"prompt_cache_miss_tokens":{"type":"integer"}}})"},
      {"ChatCompletion",
       R"({"type":"object","required":["id","object","created","model","choices","usage"],"properties":{
        "id":{"type":"string"},"object":{"const":"chat.completion"},"created":{"type":"integer"},
        "model":{"type":"string"},"system_fingerprint":{"type":"string"},
        "choices":{"type":"array","items":{"type":"object","required":["index","message","finish_reason"],"properties":{
          "index":{"type":"integer"},"finish_reason":{"type":"string","enum":["stop","length","tool_calls"]},
          "logprobs":{"type":["object","null"]},
          "message":{"type":"object","required":["role","content"],"properties":{"role":{"const":"assistant"},
            "content":{"type":["string","null"]},"reasoning_content":{"type":"string"},
            "tool_calls":{"type":"array","items":{"type":"object"}},"refusal":{"type":"null"}}}}}},
        "usage":{"$ref":"#/components/schemas/Usage"}}})"},
      {"ChatCompletionChunk", R"({"type":"object","description":"what stands behind each data:, before data: [DONE]",
        "required":["id","object","created","model","choices"],"properties":{
        "id":{"type":"string"},"object":{"const":"chat.completion.chunk"},"created":{"type":"integer"},
        "model":{"type":"string"},"system_fingerprint":{"type":"string"},
        "choices":{"type":"array","items":{"type":"object","required":["index","delta"],"properties":{
          "index":{"type":"integer"},"finish_reason":{"type":["string","null"]},
          "delta":{"type":"object"},"logprobs":{"type":["object","null"]}}}},
        "usage":{"anyOf":[{"$ref":"#/components/schemas/Usage"},{"type":"null"}]}}})"},
      {"Completion", R"({"type":"object","required":["id","object","created","model","choices"],"properties":{
        "id":{"type":"string"},"object":{"const":"text_completion"},"created":{"type":"integer"},
        "model":{"type":"string"},"system_fingerprint":{"type":"string"},
        "choices":{"type":"array","items":{"type":"object","required":["index","text"],"properties":{
          "index":{"type":"integer"},"text":{"type":"string"},"finish_reason":{"type":["string","null"]},
          "logprobs":{"type":["object","null"]}}}},
        "usage":{"anyOf":[{"$ref":"#/components/schemas/Usage"},{"type":"null"}]}}})"},
  };
}

}  // namespace naru::server
