// Refusal: why a request is not answered, before any dialect has put it into its own words. The dialects make their
// error objects of it; the message says what was found, what was wanted and what to do.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::server {

// Words of Refusal::code that others look for.
inline constexpr std::string_view kQueueFull = "queue_full";
inline constexpr std::string_view kNotDoneHere = "unsupported_parameter";  // what is asked for is legal
inline constexpr std::string_view kFormTooLarge = "form_too_large";

struct Refusal {
  int status = 400;  // of HTTP
  std::string message;
  std::string param;            // the field of the request that is to blame: "messages[2].content"; empty: none
  std::string code;             // one word for programs: "model_not_found"; empty: none
  int retry_after_seconds = 0;  // said in a header; 0: not
};

// What the engine or a template says against a request, as an answer to whoever asked.
Refusal refusal_of(const Error& error);

}  // namespace naru::server
