#include "server/reasoning_edges.h"

#include <algorithm>

namespace naru::server {
namespace {

constexpr const char* kBlanks = " \t\r\n";

// True where something is left.
bool trim_begin(std::string& text) {
  text.erase(0, std::min(text.find_first_not_of(kBlanks), text.size()));
  return !text.empty();
}

}  // namespace

void ReasoningEdges::trim(engine::TextDelta& delta, const ReasoningState& state) {
  if (!has_begun_reasoning_) has_begun_reasoning_ = trim_begin(delta.reasoning);
  delta.reasoning.insert(0, held_);
  const size_t n_sure = delta.reasoning.find_last_not_of(kBlanks) + 1;
  held_ = delta.reasoning.substr(n_sure);
  if (!state.is_reasoning) held_.clear();
  if (!state.is_end || !state.is_reasoning) delta.reasoning.resize(n_sure);
  if (state.has_reasoned && !state.is_reasoning && !has_begun_content_) has_begun_content_ = trim_begin(delta.content);
}

}  // namespace naru::server
