#include "server/sampled_turns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/sha256.h"
#include "server/value_json.h"

namespace naru::server {
namespace {

using text::Value;

constexpr int64_t kTurnOverheadBytes = 512;           // of the maps
constexpr double kExactDoubleMax = 9007199254740992;  // up to here a double is the integer that was written

std::string digest_of(const std::string& text) {
  return sha256_hex({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

std::string text_at(const Value& value, std::string_view key) {
  const Value* found = value.find(key);
  return found != nullptr && found->as_string() != nullptr ? *found->as_string() : std::string();
}

// What languages without an order of keys, or with one kind of number, make of a value too. As deep as its JSON is.
void make_plain(Value& value) {
  if (const double* d = value.as_double(); d != nullptr && std::abs(*d) <= kExactDoubleMax && std::trunc(*d) == *d) {
    value = static_cast<int64_t>(*d);
  } else if (Value::List* list = value.as_list()) {
    for (Value& each : *list) make_plain(each);
  } else if (Value::Object* object = value.as_object()) {
    for (auto& [key, each] : *object) make_plain(each);
    std::sort(object->begin(), object->end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  }
}

// Arguments as JSON text that all writers of the same values share; what is none as it is.
std::string arguments_in(const Value& function) {
  const std::string written = text_at(function, "arguments");
  auto parsed = text::parse_value(written, "arguments");
  if (!parsed.ok()) return written;
  make_plain(*parsed);
  return value_json(*parsed);
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

void SampledTurns::keep(uint64_t scope, const std::string& call_id, SampledTurn turn) {
  turn.ids.shrink_to_fit();
  const auto bytes = static_cast<int64_t>(turn.ids.size() * sizeof(int32_t) + turn.before.size() + turn.said.size() +
                                          turn.reasoning.size() + 2 * call_id.size()) +
                     kTurnOverheadBytes;
  if (bytes > bytes_max_) return;
  auto kept = std::make_shared<const SampledTurn>(std::move(turn));
  const Key key(scope, call_id);
  const std::lock_guard lock(mutex_);
  if (kept_.contains(key)) return;  // ids are drawn: it does not happen
  while (bytes_ + bytes > bytes_max_) {
    const auto oldest = kept_.find(order_.front());
    bytes_ -= oldest->second.bytes;
    kept_.erase(oldest);
    order_.pop_front();
  }
  order_.push_back(key);
  try {
    kept_.emplace(key, Kept{std::move(kept), bytes});
  } catch (...) {
    order_.pop_back();
    throw;
  }
  bytes_ += bytes;
}

std::shared_ptr<const SampledTurn> SampledTurns::find(uint64_t scope, const std::string& call_id) const {
  const std::lock_guard lock(mutex_);
  const auto at = kept_.find({scope, call_id});
  return at == kept_.end() ? nullptr : at->second.turn;
}

int64_t SampledTurns::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

const Value::List* calls_in(const Value& message) {
  const Value* calls = message.find("tool_calls");
  const Value::List* list = calls != nullptr ? calls->as_list() : nullptr;
  return list != nullptr && !list->empty() ? list : nullptr;
}

std::string first_call_id(const Value& message) {
  const Value::List* calls = calls_in(message);
  return calls != nullptr ? text_at(calls->front(), "id") : std::string();
}

std::string said_in_turn(const Value& message) {
  Value::List calls;
  for (const Value& call : *calls_in(message)) {
    const Value* inner = call.find("function");
    const Value& function = inner != nullptr ? *inner : call;
    calls.push_back(Value::List{text_at(call, "id"), text_at(function, "name"), arguments_in(function)});
  }
  const std::string content = text_at(message, "content");
  return value_json(Value::List{Value(trimmed(content)), Value(std::move(calls))});
}

std::vector<std::string> histories(std::string begin, const Value::List& messages) {
  std::vector<std::string> list = {digest_of(begin)};
  for (const Value& message : messages) {
    const bool is_turn = text_at(message, "role") == "assistant" && calls_in(message) != nullptr;
    const std::string& before = list.back();
    list.push_back(digest_of(fmt::format("{} {}", before, is_turn ? said_in_turn(message) : value_json(message))));
  }
  return list;
}

}  // namespace naru::server
