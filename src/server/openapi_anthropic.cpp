// The fields of Anthropic's messages and of counting their tokens, and what is answered.
#include <limits>

#include "server/limits.h"
#include "server/openapi_fields.h"
#include "server/request_body.h"

namespace naru::server {
namespace {

constexpr int64_t kWordBytes = 256;
constexpr std::string_view kPassedOver = "means nothing here; named in x-naru-ignored";

std::string blocks_schema(std::string_view properties) {
  return any_schema({R"({"type":"string"})", array_schema(R"({"type":"object","required":["type"],"properties":{)" +
                                                              std::string(properties) + "}}",
                                                          kMessagePartsMax)});
}

// What decides the prompt.
std::vector<FieldRow> prompt_rows() {
  const std::string block =
      R"("type":{"type":"string","enum":["text","tool_use","tool_result","thinking","redacted_thinking"]},)"
      R"("text":{"type":"string"},"thinking":{"type":"string"},"signature":{},"id":{"type":"string"},)"
      R"("name":{"type":"string"},"input":{"type":"object"},"tool_use_id":{"type":"string"},"content":{},)"
      R"("is_error":{"type":["boolean","null"]})";
  const std::string message = R"({"type":"object","required":["role","content"],"properties":{"role":)" +
                              words_schema({"user", "assistant", "system"}) + R"(,"content":)" + blocks_schema(block) +
                              "}}";
  const std::string tool =
      R"({"type":"object","required":["name","input_schema"],"properties":{"name":{"type":"string","pattern":"^[A-Za-z0-9_-]{1,128}$"},)"
      R"("description":{"type":["string","null"]},"input_schema":{"type":"object"},"type":{"enum":["custom",null]}}})";
  std::vector<FieldRow> rows = {
      {"messages", array_schema(message, kMessagesMax, 1), "the conversation", R"([{"role":"user","content":"Hi"}])",
       "", true},
      {"model", string_schema(kWordBytes), "a name of GET /v1/models; default: whichever is served", R"("m")"},
      {"system", blocks_schema(R"("type":{"const":"text"},"text":{"type":"string"})"), "instructions",
       R"("Be brief.")"},
      {"tools", array_schema(tool, kToolsMax), "tools that the client runs",
       R"([{"name":"add","input_schema":{"type":"object"}}])"},
      {"tool_choice",
       R"({"type":"object","required":["type"],"properties":{"type":{"enum":["auto","none","any","tool"]},)"
       R"("name":{"type":["string","null"]},)"
       R"("disable_parallel_tool_use":{"type":["boolean","null"]}}})",
       "whether tools may be called, must be, and which", R"({"type":"auto"})"},
      {"thinking",
       R"({"type":"object","required":["type"],"properties":{"type":{"enum":["enabled","adaptive","disabled"]},)"
       R"("budget_tokens":)" +
           any_schema({integer_schema(1, kTokensOfAnswerMax), R"({"type":"null"})"}) + "}}",
       "reasoning on or off, where the model's template knows both; and the most tokens it may have",
       R"({"type":"enabled","budget_tokens":512})"},
      {"output_config",
       R"({"type":"object","properties":{"effort":{"enum":["low","medium","high","xhigh","max","ultra",null]},)"
       R"("format":{"type":["object","null"],"required":["type","schema"],"properties":{"type":{"const":"json_schema"},)"
       R"("schema":{"type":"object"}}}}})",
       "how much is thought, and the schema of the answer", R"({"effort":"low"})"},
  };
  for (const char* name : {"betas", "context_management", "diagnostics", "inference_geo", "metadata", "service_tier",
                           "speed", "user_profile_id", "workspace_id", "cache_control"}) {
    rows.push_back({name, "{}", kPassedOver, R"("any")"});
  }
  return rows;
}

std::vector<FieldRow> anthropic_rows() {
  const std::string stop = R"({"type":"string","minLength":1,"maxLength":)" + std::to_string(kStopBytesMax) + "}";
  std::vector<FieldRow> rows = prompt_rows();
  for (FieldRow& row : std::vector<FieldRow>{
           {"max_tokens", integer_schema(1, kTokensOfAnswerMax), "the longest answer, reasoning too", "16", "", true},
           {"stop_sequences", any_schema({stop, array_schema(stop, kStopsMax)}), "texts before which the answer ends",
            R"(["END"])"},
           {"stream", boolean_schema(), "send the answer while it is made, as server-sent events", "true"},
           {"temperature", number_schema(0, 1000), "0: always the likeliest token", "0.7"},
           {"top_p", number_schema(0, 1), "only the likeliest tokens that together have this probability", "0.9"},
           {"top_k", integer_schema(0, std::numeric_limits<int32_t>::max()), "only this many of them; 0: all", "40"},
           {"min_p", number_schema(0, 1), "only tokens at least this many times as likely as the likeliest", "0.05"},
           {"seed", integer_schema(-1, std::numeric_limits<int64_t>::max()), "the same seed gives the same answer",
            "7"},
           {"ignore_eos", boolean_schema(), "the model's own end tokens end nothing", "true"},
           {"cache_salt", string_schema(kWordBytes), "computed prompts are shared only under the same salt",
            R"("s")"}}) {
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

const BodyTable kAnthropicBody = {
    "anthropic.messages", "An answer to a conversation", anthropic_rows,  "AnthropicMessage",
    "AnthropicEvent",     "text/event-stream",           "AnthropicError"};
const BodyTable kAnthropicCountBody = {
    "anthropic.count_tokens", "The tokens of its prompt", prompt_rows, "AnthropicCount", "", "", "AnthropicError"};

std::vector<ComponentRow> anthropic_components() {
  return {
      {"AnthropicError", R"({"type":"object","required":["type","error"],"properties":{"type":{"const":"error"},
        "error":{"type":"object","required":["type","message"],"properties":{"type":{"type":"string"},
        "message":{"type":"string"}}}}})"},
      {"AnthropicCount", R"({"type":"object","required":["input_tokens"],"properties":{
        "input_tokens":{"type":"integer"}}})"},
      {"AnthropicEvent",
       R"({"type":"object","description":"what stands behind each data:; its type is the event's name",
        "required":["type"],"properties":{"type":{"enum":["message_start","content_block_start","content_block_delta",
        "content_block_stop","message_delta","message_stop","ping","error"]}}})"},
      {"AnthropicMessage", R"({"type":"object","required":["id","type","role","model","content","stop_reason","usage"],
        "properties":{"id":{"type":"string"},"type":{"const":"message"},"role":{"const":"assistant"},
        "model":{"type":"string"},"content":{"type":"array","items":{"type":"object","required":["type"],
        "properties":{"type":{"enum":["text","thinking","tool_use"]}}}},
        "stop_reason":{"enum":["end_turn","max_tokens","stop_sequence","tool_use"]},
        "stop_sequence":{"type":["string","null"]},"usage":{"type":"object","required":["input_tokens","output_tokens"],
        "properties":{"input_tokens":{"type":"integer"},"output_tokens":{"type":"integer"},
        "cache_read_input_tokens":{"type":"integer"},"cache_creation_input_tokens":{"type":"integer"}}}}})"},
  };
}

}  // namespace naru::server
