// See value.h.
#include "text/value.h"

#include "base/bytes.h"
#include "formats/json.h"

namespace naru::text {
namespace {

// Builds the value while the document is walked, so that keys keep their order.
class Builder : public formats::JsonEvents {
 public:
  bool on_null() override { return put(nullptr); }
  bool on_bool(bool value) override { return put(value); }
  bool on_integer(int64_t value) override { return put(value); }
  bool on_double(double value) override { return put(value); }
  bool on_string(std::string&& value) override { return put(std::move(value)); }
  bool on_key(std::string&& key) override {
    if (open_.back().value.find(key))
      return fail(Code::kCorrupt, "key '" + key + "' stands twice in one object; remove one");
    open_.back().key = std::move(key);
    return true;
  }
  bool on_start_object() override { return open(Value::Object()); }
  bool on_end_object() override { return close(); }
  bool on_start_array() override { return open(Value::List()); }
  bool on_end_array() override { return close(); }
  Value take() { return std::move(root_); }

 private:
  struct Open {
    Value value;
    std::string key;  // of the value to come
  };
  bool open(Value value) {
    open_.push_back({std::move(value), {}});
    return true;
  }
  bool close() {
    Value done = std::move(open_.back().value);
    open_.pop_back();
    return put(std::move(done));
  }
  [[gnu::noinline]] bool put(Value&& value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (auto* list = open_.back().value.as_list()) {
      list->push_back(std::move(value));
    } else if (auto* object = open_.back().value.as_object()) {
      object->emplace_back(std::move(open_.back().key), std::move(value));
    }
    return true;
  }
  std::vector<Open> open_;
  Value root_;
};

}  // namespace

const Value* Value::find(std::string_view key) const {
  const Object* object = as_object();
  if (!object) return nullptr;
  for (const auto& [name, value] : *object) {
    if (name == key) return &value;
  }
  return nullptr;
}

void Value::set(std::string_view key, Value value) {
  if (is_null()) state_ = Object();
  Object* object = as_object();
  if (!object) return;
  for (auto& [name, old] : *object) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  object->emplace_back(std::string(key), std::move(value));
}

Result<Value> parse_value(std::string_view json, std::string_view name) {
  formats::JsonLimits limits;
  limits.object_root = false;
  Builder builder;
  NARU_TRY(formats::walk_json(as_bytes(json), name, limits, &builder));
  return builder.take();
}

}  // namespace naru::text
