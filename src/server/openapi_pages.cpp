// What the pages of the server's own answer.
#include "server/openapi_fields.h"

namespace naru::server {

std::vector<ComponentRow> page_components() {
  return {
      {"Error", R"({"type":"object","required":["error"],"properties":{"error":{"type":"object",
        "required":["message","type","param","code"],"properties":{
        "message":{"type":"string"},"type":{"type":"string"},
        "param":{"type":["string","null"],"description":"the field that is to blame"},
        "code":{"type":["string","null"],"description":"one word for programs"}}}}})"},
      {"Health", R"({"type":"object","required":["status"],"properties":{
        "status":{"type":"string","enum":["ok","loading","draining"]},
        "progress":{"type":"number","minimum":0,"maximum":1,"description":"of the weights, while they are loaded"},
        "answering":{"type":"integer","description":"requests that are still answered, while it ends"}}})"},
      {"Model", R"({"type":"object","required":["id","object","created","owned_by"],"properties":{
        "id":{"type":"string"},"object":{"const":"model"},"created":{"type":"integer"},"owned_by":{"type":"string"},
        "context_length":{"type":"integer"},"parameters":{"type":"integer"},"numerics_id":{"type":"string"}}})"},
      {"ModelList", R"({"type":"object","required":["object","data"],"properties":{"object":{"const":"list"},
        "data":{"type":"array","items":{"$ref":"#/components/schemas/Model"}}}})"},
      {"ServerFacts", R"({"type":"object","required":["version","arithmetic"],"properties":{
        "version":{"type":"string"},"arithmetic":{"type":["integer","string"]},"model":{"type":"string"},
        "numerics_id":{"type":"string"},"system_fingerprint":{"type":"string"},
        "files":{"type":["array","null"],"description":"null until their hashes are made","items":{"type":"object",
          "properties":{"name":{"type":"string"},"bytes":{"type":"integer"},"sha256":{"type":"string"}}}},
        "chip":{"type":"string"},"context_length":{"type":"integer"},"parallel":{"type":"integer"},
        "queue":{"type":"integer"},"answering":{"type":"integer"},
        "questions":{"type":"array","items":{"type":"string"},"description":"that the page offers; absent: none"},
        "sampling":{"type":"object","description":"what holds where a request says nothing"}}})"},
      {"Object", R"({"type":"object"})"},
      {"Document", R"({"type":"object","required":["openapi","info","paths"]})"},
  };
}

}  // namespace naru::server
