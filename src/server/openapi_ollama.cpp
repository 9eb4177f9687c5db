// The fields of Ollama's chat, generate and show, and what is answered.
#include <limits>

#include "server/limits.h"
#include "server/openapi_fields.h"

namespace naru::server {
namespace {

constexpr int64_t kOllamaWordBytes = 256;

std::vector<FieldRow> ollama_rows() {
  const std::string options =
      R"({"type":"object","properties":{"temperature":{"type":["number","null"],"minimum":0,"maximum":1000},)"
      R"("top_p":{"type":["number","null"],"minimum":0,"maximum":1},"min_p":{"type":["number","null"],"minimum":0,)"
      R"("maximum":1},"top_k":{"type":["integer","null"],"minimum":-1,"maximum":2147483647},"repeat_penalty":)"
      R"({"type":["number","null"],"minimum":0.01,"maximum":100},"presence_penalty":{"type":["number","null"],)"
      R"("minimum":-100,"maximum":100},"frequency_penalty":{"type":["number","null"],"minimum":-100,"maximum":100},)"
      R"("seed":{"type":["integer","null"],"minimum":-1},"num_predict":{"type":["integer","null"],"minimum":-2,)"
      R"("maximum":2147483647},"num_ctx":{"type":["integer","null"],"minimum":1,"maximum":2147483647},"stop":{}}})";
  return {
      {"model", string_schema(kOllamaWordBytes), "a name of /api/tags; default: whichever is served", R"("m")"},
      {"stream", boolean_schema(), "send the answer while it is made, as lines of JSON; default: true", "false"},
      {"options", options, "how tokens are chosen", R"({"temperature":0.5})"},
      {"format", any_schema({R"({"type":"string","enum":["json",""]})", R"({"type":"object"})"}),
       "json: the answer is one JSON object; else the schema of the answer", R"("json")"},
      {"think", any_schema({boolean_schema(), R"({"type":"string"})"}), "reasoning on or off, or how much of it",
       "false"},
      {"logprobs", boolean_schema(), "log-probabilities of the answer's tokens", "true"},
      {"top_logprobs", integer_schema(0, kTopLogProbsAskedMax), "of that many of the likeliest tokens too", "2",
       R"("logprobs":true)"},
      {"keep_alive", any_schema({R"({"type":"string"})", R"({"type":"number"})"}),
       "means nothing here; named in x-naru-ignored", R"("5m")"},
  };
}

std::vector<FieldRow> ollama_chat_rows() {
  std::vector<FieldRow> rows = ollama_rows();
  const std::string message =
      R"({"type":"object","required":["role"],"properties":{"role":)" +
      words_schema({"system", "user", "assistant", "tool"}) +
      R"(,"content":{"type":["string","null"]},"thinking":{"type":["string","null"]},"tool_calls":{},)"
      R"("tool_name":{"type":["string","null"]}}})";
  rows.push_back({"messages", array_schema(message, kMessagesMax), "the conversation; none: the model is only loaded",
                  R"([{"role":"user","content":"Hi"}])"});
  const std::string name =
      R"({"type":"string","pattern":"^[A-Za-z0-9_-]{1,)" + std::to_string(kToolNameBytesMax) + R"(}$"})";
  const std::string tool =
      R"({"type":"object","required":["function"],"properties":{"type":{"enum":["function",null]},"function":)"
      R"({"type":"object","required":["name"],"properties":{"name":)" +
      name + R"(,"description":{"type":["string","null"]},"parameters":{"type":["object","null"]}}}}})";
  rows.push_back({"tools", array_schema(tool, kToolsMax), "functions that the client runs",
                  R"([{"type":"function","function":{"name":"add"}}])"});
  return rows;
}

std::vector<FieldRow> ollama_generate_rows() {
  std::vector<FieldRow> rows = ollama_rows();
  const std::string text = R"({"type":"string"})";
  rows.push_back({"prompt", text, "a message, or (raw) a text to go on with", R"("Hi")"});
  rows.push_back({"system", text, "instructions", R"("Be brief.")"});
  rows.push_back({"suffix", text, "what is to stand behind the answer", R"("end")"});
  rows.push_back({"raw", boolean_schema(), "the prompt as it is, without the model's chat template", "true"});
  return rows;
}

std::vector<FieldRow> ollama_show_rows() {
  return {{"model", string_schema(kOllamaWordBytes), "a name of /api/tags", R"("m")"}};
}

}  // namespace

const BodyTable kOllamaChatBody = {"ollama.chat",  "An answer to a conversation", ollama_chat_rows, "OllamaAnswer",
                                   "OllamaAnswer", "application/x-ndjson",        "OllamaError"};
const BodyTable kOllamaGenerateBody = {"ollama.generate", "An answer to a text",  ollama_generate_rows, "OllamaAnswer",
                                       "OllamaAnswer",    "application/x-ndjson", "OllamaError"};
const BodyTable kOllamaShowBody = {"ollama.show", "What the model is", ollama_show_rows, "OllamaFacts", "", "",
                                   "OllamaError"};

std::vector<ComponentRow> ollama_components() {
  return {
      {"OllamaError", R"({"type":"object","required":["error"],"properties":{"error":{"type":"string"}}})"},
      {"OllamaFacts", R"({"type":"object"})"},
      {"OllamaAnswer", R"({"type":"object","description":"whole, or a line of a stream",
        "required":["model","created_at","done"],"properties":{"model":{"type":"string"},"created_at":{"type":"string"},
        "done":{"type":"boolean"},"done_reason":{"type":"string"},"response":{"type":"string"},
        "thinking":{"type":"string"},"message":{"type":"object"},"total_duration":{"type":"integer"},
        "prompt_eval_count":{"type":"integer"},"eval_count":{"type":"integer"}}})"},
  };
}

}  // namespace naru::server
