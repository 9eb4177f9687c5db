// JSON as it goes over the wire.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace naru::server {

using Json = nlohmann::ordered_json;

// On one line. Bytes that are no UTF-8 come out as U+FFFD, never as an exception.
std::string json_bytes(const Json& json);

// An object with one more field, whose value is JSON text already.
std::string json_with(const Json& object, std::string_view name, std::string_view value);

// A token as answers list it: {"token", "logprob", "bytes"}; bytes that are no UTF-8 are U+FFFD in its text alone.
Json token_json(const std::string& bytes, float logprob);

// The number whose shortest decimal is that of the f32: what a reader gets back is the f32, and no digit more.
double json_number(float value);

}  // namespace naru::server
