// What the readers of all dialects share: the body as an object, fields that each has, and the end of reading.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/answer_request.h"
#include "server/fields.h"

namespace naru::server {

inline constexpr int64_t kTokensOfAnswerMax = int64_t{1} << 31;  // that anybody asks for

// A string, or an array of them.
std::vector<std::string> read_stops(Fields& body, std::string_view name);

// "seed": absent, or -1, as others write it: one is drawn.
std::optional<uint64_t> read_seed(Fields& body);

// The body's object, as `read` takes it; a refusal where it is none.
ReadRequest read_body(std::string_view body, const std::function<ReadRequest(Fields&)>& read);

// When all fields are read: refuses other servers' fields for answers of a form that nobody has asked about, which must
// not be passed over, and gives the first refusal, or the request with what was ignored.
ReadRequest finish_request(Fields& fields, AnswerRequest& request);

}  // namespace naru::server
