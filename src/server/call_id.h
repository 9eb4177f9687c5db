// Ids of calls of tools, which the server draws: what answers a call refers to it, and nobody can guess it. An id also
// says whether its turn had any reasoning, so that one that comes back without can be told from one that lost it,
// whichever server is asked.
#pragma once

#include <string>
#include <string_view>

namespace naru::server {

// "call_" and 32 hexadecimal digits; behind them "_0" where the turn had no reasoning.
std::string draw_call_id(bool has_reasoning);
// Whether it is such an id, of a turn without.
bool is_id_without_reasoning(std::string_view id);

}  // namespace naru::server
