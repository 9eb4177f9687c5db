// The fields of OpenAI's responses, and what is answered.
#include <limits>

#include "server/limits.h"
#include "server/openapi_fields.h"
#include "server/request_body.h"

namespace naru::server {
namespace {

constexpr int64_t kResponseWordBytes = 256;

std::vector<FieldRow> response_rows() {
  const std::string item =
      R"({"type":"object","properties":{"type":{"enum":["message","function_call","function_call_output","reasoning",null]},)"
      R"("role":{"enum":["system","developer","user","assistant",null]},"content":{},"call_id":{"type":["string","null"]},)"
      R"("name":{"type":["string","null"]},"arguments":{"type":["string","null"]},"output":{}}})";
  std::vector<FieldRow> rows = {
      {"input", any_schema({R"({"type":"string"})", array_schema(item, kMessagesMax, 1)}), "the conversation",
       R"("Hi")", "", true},
      {"model", string_schema(kResponseWordBytes), "a name of GET /v1/models; default: whichever is served", R"("m")"},
      {"instructions", R"({"type":"string"})", "of the system, before the conversation", R"("Be brief.")"},
      {"tools",
       array_schema(R"({"type":"object","required":["type"],"properties":{"type":{"type":"string"}}})", kToolsMax),
       "functions, which the client runs", R"([{"type":"function","name":"add","parameters":{"type":"object"}}])"},
      {"tool_choice",
       any_schema({words_schema({"auto", "none", "required"}),
                   R"({"type":"object","required":["type","name"],"properties":{"type":{"const":"function"},)"
                   R"("name":{"type":"string"}}})"}),
       "whether tools may be called, must be, and which", R"("auto")"},
      {"parallel_tool_calls", boolean_schema(), "several calls in one answer", "true"},
      {"reasoning",
       R"({"type":"object","properties":{"effort":{"enum":["none","minimal","low","medium","high","xhigh","max","ultra",null]}}})",
       "how much is thought", R"({"effort":"low"})"},
      {"text",
       R"({"type":"object","properties":{"format":{"anyOf":[{"type":"object","required":["type"],"properties":{)"
       R"("type":{"enum":["text","json_object","json_schema"]},"schema":{"type":["object","null"]}}},{"type":"null"}]}}})",
       "the form of the answer", R"({"format":{"type":"text"}})"},
      {"include", R"({"type":"array","items":{"type":"string"}})", "what the answer carries besides",
       R"(["reasoning.encrypted_content"])"},
      {"top_logprobs", integer_schema(0, kTopLogProbsAskedMax),
       "log-probabilities of that many of the likeliest tokens", "2"},
      {"max_output_tokens", integer_schema(1, kTokensOfAnswerMax), "the longest answer, reasoning too", "16"},
      {"stream", boolean_schema(), "send the answer while it is made, as server-sent events", "true"},
      {"stream_options", R"({"type":"object"})", "there is nothing to choose", "{}"},
      {"store", boolean_schema(), "nothing is stored", "false"},
      {"background", R"({"type":"boolean","const":false})", "not done here", "false"},
      {"truncation", words_schema({"disabled"}), "a conversation is never cut", R"("disabled")"},
      {"metadata", R"({"type":"object"})", "repeated in the answer", R"({"a":"b"})"},
      {"temperature", number_schema(0, 1000), "0: always the likeliest token", "0.7"},
      {"top_p", number_schema(0, 1), "only the likeliest tokens that together have this probability", "0.9"},
      {"min_p", number_schema(0, 1), "only tokens at least this many times as likely as the likeliest", "0.05"},
      {"top_k", integer_schema(0, std::numeric_limits<int32_t>::max()), "only this many of them; 0: all", "40"},
      {"presence_penalty", number_schema(-100, 100), "subtracted once for a token in the answer", "0.5"},
      {"frequency_penalty", number_schema(-100, 100), "subtracted for each time a token is in the answer", "0.5"},
      {"seed", integer_schema(-1, std::numeric_limits<int64_t>::max()), "the same seed gives the same answer", "7"},
      {"ignore_eos", boolean_schema(), "the model's own end tokens end nothing", "true"},
      {"cache_salt", string_schema(kResponseWordBytes), "computed prompts are shared only under the same salt",
       R"("s")"},
  };
  for (const char* name :
       {"client_metadata", "context_management", "max_tool_calls", "moderation", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "service_tier", "user"}) {
    rows.push_back({name, "{}", "means nothing here; named in x-naru-ignored", R"("any")"});
  }
  return rows;
}

}  // namespace

const BodyTable kResponsesBody = {"openai.responses", "An answer to a conversation, without a store",
                                  response_rows,      "Response",
                                  "ResponseEvent",    "text/event-stream"};

std::vector<ComponentRow> responses_components() {
  return {
      {"ResponseEvent", R"({"type":"object","description":"what stands behind each data:","required":["type"],
        "properties":{"type":{"type":"string"},"sequence_number":{"type":"integer"}}})"},
      {"Response", R"({"type":"object","required":["id","object","status","model","output"],"properties":{
        "id":{"type":"string"},"object":{"const":"response"},"created_at":{"type":"number"},
        "completed_at":{"type":["number","null"],"description":"when it was whole; of status completed alone"},
        "status":{"enum":["completed","incomplete","failed","in_progress"]},"model":{"type":"string"},
        "output":{"type":"array","items":{"type":"object","required":["type"],"properties":{
        "type":{"enum":["message","function_call","reasoning"]}}}},"usage":{"type":["object","null"]}}})"},
  };
}

}  // namespace naru::server
