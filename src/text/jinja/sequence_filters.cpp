// Filters on sequences.
#include <algorithm>

#include <fmt/format.h>

#include "base/checked.h"
#include "text/jinja/interpreter.h"

namespace naru::text::jinja {

Result<Val> Interpreter::sequence_filter(std::string_view name, const Val& value, const Arguments& arguments) {
  if (name == "join") return filter_join(value, arguments);
  if (name == "map") return filter_map(value, arguments);
  if (name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr") {
    return filter_select(name, value, arguments);
  }
  if (name == "sort") return filter_sort(value, arguments);
  if (name == "unique") return filter_unique(value, arguments);
  if (name == "dictsort") return filter_dictsort(value, arguments);
  if (name == "min" || name == "max") return filter_extreme(value, arguments, name == "min" ? -1 : 1);
  if (name == "items") {
    if (value.is_undefined()) return made_list({});
    if (!value.dict()) return error(fmt::format("items of a value of type {}", type_name(value)));
    return call_dict_method(*value.dict(), "items", {});
  }
  if (name == "first" || name == "last") {
    NARU_ASSIGN(const std::vector<Val> items, items_of(value));
    if (items.empty()) return Val::undefined(fmt::format("there is no {} item", name));
    return name == "first" ? items.front() : items.back();
  }
  if (name == "list") {
    NARU_ASSIGN(std::vector<Val> items, items_of(value));
    return made_list(std::move(items));
  }
  if (name == "reverse") {
    NARU_ASSIGN(std::vector<Val> items, items_of(value));
    std::reverse(items.begin(), items.end());
    if (!value.text()) return made_list(std::move(items));
    Text out;
    for (const Val& item : items) out.append(*item.text());
    return made(std::move(out));
  }
  if (name == "sum") {
    NARU_ASSIGN(const std::vector<Val> items, items_of(value));
    const Val* attribute_name = arguments.find(0, "attribute");
    const Val* start = arguments.find(1, "start");
    Val total = start ? *start : Val(int64_t{0});
    for (const Val& item : items) {
      Val addend = item;
      if (attribute_name && !attribute_name->is_none()) {
        NARU_ASSIGN(addend, attribute_path(item, *attribute_name));
      }
      NARU_TRY(step());
      NARU_ASSIGN(total, binary("+", total, addend));
    }
    return total;
  }
  return error(fmt::format("the filter '{}'", name), Code::kUnsupported);
}

Result<Val> Interpreter::filter_join(const Val& value, const Arguments& arguments) {
  NARU_ASSIGN(const std::vector<Val> items, items_of(value));
  Text between;
  if (const Val* separator = arguments.find(0, "d")) {
    NARU_ASSIGN(between, text_of(*separator));
  }
  const Val* attribute_name = arguments.find(1, "attribute");
  Text out;
  for (size_t i = 0; i < items.size(); ++i) {
    Val item = items[i];
    if (attribute_name && !attribute_name->is_none()) {
      NARU_ASSIGN(item, attribute_path(item, *attribute_name));
    }
    NARU_ASSIGN(const Text text, text_of(item));
    if (i > 0) out.append(between);
    out.append(text);
    if (out.bytes.size() > static_cast<size_t>(limits_.output_bytes_max)) NARU_TRY(count_bytes(out.bytes.size()));
  }
  return made(std::move(out));
}

// map(attribute=..., default=...) or map("filter", arguments...).
Result<Val> Interpreter::filter_map(const Val& value, const Arguments& arguments) {
  NARU_ASSIGN(std::vector<Val> items, items_of(value));
  const Val* attribute_name = nullptr;
  const Val* fallback = nullptr;
  for (const auto& [name, argument] : arguments.named) {
    if (name == "attribute") attribute_name = &argument;
    if (name == "default") fallback = &argument;
  }
  Arguments rest;
  TextPtr filter_name;
  if (!attribute_name) {
    NARU_ASSIGN(filter_name, need_text(arguments, 0, "filter"));
    rest.items.assign(arguments.items.begin() + 1, arguments.items.end());
    rest.named = arguments.named;
  }
  const Depth depth(depth_);
  for (Val& item : items) {
    NARU_TRY(step());
    if (attribute_name) {
      NARU_ASSIGN(item, attribute_path(item, *attribute_name));
      if (item.is_undefined() && fallback) item = *fallback;
    } else {
      NARU_ASSIGN(item, filter(filter_name->bytes, item, rest));
    }
  }
  return made_list(std::move(items));
}

// select and reject test the items, selectattr and rejectattr an attribute of them; without a test, truth is tested.
Result<Val> Interpreter::filter_select(std::string_view name, const Val& value, const Arguments& arguments) {
  NARU_ASSIGN(const std::vector<Val> items, items_of(value));
  const bool by_attribute = name.ends_with("attr");
  const bool wanted = name.starts_with("select");
  if (by_attribute && arguments.items.empty()) return error(fmt::format("{} without an attribute", name));
  const size_t first = by_attribute ? 1 : 0;
  TextPtr test_name;
  Arguments rest;
  if (arguments.items.size() > first) {
    NARU_ASSIGN(test_name, need_text(arguments, first, "test"));
    rest.items.assign(arguments.items.begin() + static_cast<ptrdiff_t>(first) + 1, arguments.items.end());
    rest.named = arguments.named;
  }
  std::vector<Val> kept;
  for (const Val& item : items) {
    NARU_TRY(step());
    Val tested = item;
    if (by_attribute) {
      NARU_ASSIGN(tested, attribute_path(item, arguments.items[0]));
    }
    bool holds = is_true(tested);
    if (test_name) {
      NARU_ASSIGN(holds, test(test_name->bytes, tested, rest));
    }
    if (holds == wanted) kept.push_back(item);
  }
  return made_list(std::move(kept));
}

namespace {

// ASCII letters made small, for the filters that ignore case by default.
Val folded(const Val& value, bool case_sensitive) {
  if (case_sensitive || !value.text()) return value;
  Text out = *value.text();
  for (char& c : out.bytes) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return Val(std::move(out));
}

bool flag(const Arguments& arguments, size_t position, std::string_view name) {
  const Val* value = arguments.find(position, name);
  return value && is_true(*value);
}

}  // namespace

Result<Val> Interpreter::filter_sort(const Val& value, const Arguments& arguments) {
  NARU_ASSIGN(const std::vector<Val> items, items_of(value));
  const bool reverse = flag(arguments, 0, "reverse"), case_sensitive = flag(arguments, 1, "case_sensitive");
  const Val* attribute_name = arguments.find(2, "attribute");
  std::vector<std::pair<Val, size_t>> keys;
  for (size_t i = 0; i < items.size(); ++i) {
    Val key = items[i];
    if (attribute_name && !attribute_name->is_none()) {
      NARU_ASSIGN(key, attribute_path(key, *attribute_name));
    }
    if (key.text()) NARU_TRY(count_bytes(key.text()->bytes.size()));
    keys.emplace_back(folded(key, case_sensitive), i);
  }
  // All keys must be of one kind with an order; then the order is total, as std::stable_sort needs it.
  for (const auto& [key, unused] : keys) {
    const bool fits = keys[0].first.text() ? key.text() != nullptr : key.number() && *key.number() == *key.number();
    if (!fits) return error("sort of values that are neither all strings nor all numbers", Code::kUnsupported);
  }
  std::stable_sort(keys.begin(), keys.end(), [&](const auto& a, const auto& b) {
    int64_t fuel = 2;
    const int sign = order(a.first, b.first, fuel).value_or(0);
    return reverse ? sign > 0 : sign < 0;
  });
  NARU_TRY(step(static_cast<int64_t>(keys.size()) * 20));
  std::vector<Val> sorted;
  for (const auto& [key, i] : keys) sorted.push_back(items[i]);
  return made_list(std::move(sorted));
}

Result<Val> Interpreter::filter_extreme(const Val& value, const Arguments& arguments, int wanted) {
  NARU_ASSIGN(const std::vector<Val> items, items_of(value));
  const bool case_sensitive = flag(arguments, 0, "case_sensitive");
  const Val* attribute_name = arguments.find(1, "attribute");
  if (items.empty()) return Val::undefined("there is no item");
  Val best_key;
  size_t best = items.size();
  for (size_t i = 0; i < items.size(); ++i) {
    NARU_TRY(step());
    Val key = items[i];
    if (attribute_name && !attribute_name->is_none()) {
      NARU_ASSIGN(key, attribute_path(key, *attribute_name));
    }
    if (key.text()) NARU_TRY(count_bytes(key.text()->bytes.size()));
    key = folded(key, case_sensitive);
    if (best < items.size()) {
      const auto sign = order(key, best_key, steps_left_);
      if (!sign) return wrong_operands("<", key, best_key);
      if (*sign != wanted) continue;
    }
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

Result<Val> Interpreter::filter_unique(const Val& value, const Arguments& arguments) {
  NARU_ASSIGN(const std::vector<Val> items, items_of(value));
  const bool case_sensitive = flag(arguments, 0, "case_sensitive");
  const Val* attribute_name = arguments.find(1, "attribute");
  std::vector<Val> seen, kept;
  for (const Val& item : items) {
    Val key = item;
    if (attribute_name && !attribute_name->is_none()) {
      NARU_ASSIGN(key, attribute_path(key, *attribute_name));
    }
    if (key.text()) NARU_TRY(count_bytes(key.text()->bytes.size()));
    key = folded(key, case_sensitive);
    const bool is_old =
        std::any_of(seen.begin(), seen.end(), [&](const Val& other) { return are_equal(other, key, steps_left_); });
    NARU_TRY(step());
    if (is_old) continue;
    seen.push_back(std::move(key));
    kept.push_back(item);
  }
  return made_list(std::move(kept));
}

// Pairs of a dict by key, or by value.
Result<Val> Interpreter::filter_dictsort(const Val& value, const Arguments& arguments) {
  if (!value.dict()) return error(fmt::format("dictsort of a value of type {}", type_name(value)));
  NARU_ASSIGN(const Val pairs, call_dict_method(*value.dict(), "items", {}));
  bool by_value = false;
  if (arguments.find(1, "by")) {
    NARU_ASSIGN(const TextPtr by, need_text(arguments, 1, "by"));
    by_value = by->bytes == "value";
  }
  Arguments sort;
  sort.items = {Val(flag(arguments, 2, "reverse")), Val(flag(arguments, 0, "case_sensitive")),
                Val(int64_t{by_value ? 1 : 0})};
  return filter_sort(pairs, sort);
}

}  // namespace naru::text::jinja
