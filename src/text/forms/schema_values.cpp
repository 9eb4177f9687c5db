#include "text/forms/schema_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "text/forms/schema_shape.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

constexpr int64_t kExponentMax = int64_t{1} << 40;  // past it all are alike, and no digits reach it

ExactNumber exact_of_text(std::string_view text) {
  ExactNumber number;
  number.is_negative = text.starts_with('-');
  if (number.is_negative) text.remove_prefix(1);
  int64_t exponent = 0;
  const size_t end = std::min(text.find_first_of("eE"), text.size());
  for (size_t i = end + 1; i < text.size(); ++i) {
    if (text[i] >= '0' && text[i] <= '9') exponent = std::min(exponent * 10 + (text[i] - '0'), kExponentMax);
  }
  if (end + 1 < text.size() && text[end + 1] == '-') exponent = -exponent;
  const size_t point = std::min(text.find('.'), end);
  number.digits = std::string(text.substr(0, point));
  if (point < end) number.digits += text.substr(point + 1, end - point - 1);
  const size_t zeros = std::min(number.digits.find_first_not_of('0'), number.digits.size());
  number.digits.erase(0, zeros);
  number.digits.resize(number.digits.find_last_not_of('0') + 1);
  number.point = static_cast<int64_t>(point) - static_cast<int64_t>(zeros) + exponent;
  if (number.digits.empty()) number = ExactNumber();
  return number;
}

void add_key(const Value& value, std::string& key) {
  if (const auto number = exact_number(value)) {
    key += fmt::format("n{}{}e{};", number->is_negative ? "-" : "", number->digits, number->point);
  } else if (const std::string* text = value.as_string()) {
    key += fmt::format("s{}:", text->size());
    key += *text;
  } else if (const bool* is_true = value.as_bool()) {
    key += *is_true ? 't' : 'f';
  } else if (const Value::List* list = value.as_list()) {
    key += fmt::format("[{}:", list->size());
    for (const Value& item : *list) add_key(item, key);
  } else if (const Value::Object* object = value.as_object()) {
    std::vector<const std::pair<std::string, Value>*> fields;
    for (const auto& field : *object) fields.push_back(&field);
    std::sort(fields.begin(), fields.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
    key += fmt::format("{{{}:", fields.size());
    for (const auto* field : fields) {
      key += fmt::format("{}:", field->first.size());
      key += field->first;
      add_key(field->second, key);
    }
  } else {
    key += '0';
  }
}

bool is_within(const LengthBounds& bounds, uint64_t n) {
  return n >= bounds.min && (!bounds.max || n <= *bounds.max);
}

// A number has no zero at the end of its digits: where these do not reach as far as the multiple's, none but 0 is one.
bool is_multiple(const Multiple& multiple, const ExactNumber& number) {
  if (number.digits.empty()) return true;
  const int64_t zeros = number.point - static_cast<int64_t>(number.digits.size()) + multiple.scale;
  if (zeros < 0) return false;
  uint64_t left = 0;
  for (const char digit : number.digits) left = (left * 10 + static_cast<uint64_t>(digit - '0')) % multiple.step;
  // From some zero on the remainder is 0 or never.
  for (int64_t i = 0; i < std::min<int64_t>(zeros, 64) && left != 0; ++i) left = left * 10 % multiple.step;
  return left == 0;
}

bool is_within(const NumberBounds& bounds, const ExactNumber& number) {
  const auto& [low, high, multiple] = bounds;
  if (multiple && !is_multiple(*multiple, number)) return false;
  const int above = low ? compare(number, exact_number(low->value)) : 1;
  const int below = high ? compare(number, exact_number(high->value)) : -1;
  return above >= (low && low->is_exclusive ? 1 : 0) && below <= (high && high->is_exclusive ? -1 : 0);
}

}  // namespace

std::optional<ExactNumber> exact_number(const Value& value) {
  if (const int64_t* integer = value.as_int()) return exact_of_text(fmt::format("{}", *integer));
  if (const double* number = value.as_double()) return exact_of_text(fmt::format("{}", *number));
  if (const WideNumber* wide = value.as_wide()) return exact_of_text(wide->text);
  return std::nullopt;
}

ExactNumber exact_number(const Decimal& decimal) {
  return exact_of_text((decimal.is_negative ? "-" : "") + decimal.whole + "." + decimal.fraction);
}

int compare(const ExactNumber& a, const ExactNumber& b) {
  const auto sign_of = [](const ExactNumber& x) { return x.digits.empty() ? 0 : x.is_negative ? -1 : 1; };
  if (sign_of(a) != sign_of(b)) return sign_of(a) < sign_of(b) ? -1 : 1;
  int order = a.point != b.point ? (a.point < b.point ? -1 : 1) : a.digits.compare(b.digits);
  order = order < 0 ? -1 : order > 0 ? 1 : 0;
  return a.is_negative ? -order : order;
}

std::string equality_key(const Value& value) {
  std::string key;
  add_key(value, key);
  return key;
}

// Whether the automaton takes the text, a set of states at a time.
bool SchemaReader::matches(const RegexAutomaton& automaton, std::string_view text) {
  std::vector<uint32_t> now = {0}, next;
  std::vector<uint64_t> seen_at(automaton.states.size(), 0);
  builder_.spend(automaton.states.size() / 8);
  uint64_t round = 1;
  const auto close = [&] {
    for (size_t i = 0; i < now.size(); ++i) {
      const auto& jumps = automaton.states[now[i]].jumps;
      builder_.spend(1 + jumps.size());
      for (const uint32_t target : jumps) {
        if (std::exchange(seen_at[target], round) != round) now.push_back(target);
      }
    }
  };
  seen_at[0] = round;
  close();
  for (const uint32_t character : characters_of(text)) {
    if (builder_.is_spent()) return false;
    ++round;
    next.clear();
    for (const uint32_t state : now) {
      builder_.spend(1 + automaton.states[state].edges.size());
      for (const auto& [range, target] : automaton.states[state].edges) {
        const bool fits = range.low <= character && character <= range.high;
        if (fits && std::exchange(seen_at[target], round) != round) next.push_back(target);
      }
    }
    now.swap(next);
    close();
  }
  return std::any_of(now.begin(), now.end(), [&](uint32_t state) { return automaton.states[state].is_final; });
}

bool SchemaReader::admits(const SchemaRefs& refs, const Value& value, int depth) {
  SchemaShape shape;
  return read(refs, shape) && admits(shape, value, depth);
}

bool SchemaReader::admits(const SchemaShape& shape, const Value& value, int depth) {
  if (error_ || !spend(1, shape.place)) return false;
  if (depth > kValueDepthMax) {
    return fail(shape.place, "what a value of enum or const must meet is too deep; make it flatter",
                Code::kResourceExhausted);
  }
  if (shape.is_never || (kinds_of(value) & shape.kinds) == 0) return false;
  if (shape.values && !contains(*shape.values, value)) return false;
  if (const auto number = exact_number(value); number && !is_within(shape.numbers, *number)) return false;
  if (const std::string* text = value.as_string()) {
    if (!spend(text->size() / 8, shape.place)) return false;
    if (!is_within(shape.length, static_cast<uint64_t>(count_code_points(*text)))) return false;
    if (shape.pattern && !matches(*shape.pattern, *text)) return spend(0, shape.place) && false;
  }
  if (const Value::List* list = value.as_list()) {
    if (!is_within(shape.items, list->size())) return false;
    for (size_t i = 0; i < list->size() && !shape.arrays.empty(); ++i) {
      if (!spend(shape.arrays.size(), shape.place)) return false;
      if (!admits(shape.item(i), (*list)[i], depth + 1)) return false;
    }
  }
  if (const Value::Object* object = value.as_object()) {
    if (!is_within(shape.properties, object->size())) return false;
    if (!spend(shape.required.names.size() * (1 + object->size() / 8), shape.place)) return false;
    for (const std::string_view name : shape.required.names) {
      if (value.find(name) == nullptr) return false;
    }
    for (const auto& [name, field] : *object) {
      if (!spend(shape.objects.size(), shape.place)) return false;
      const bool is_bound = !shape.objects.empty() || !shape.names.empty();
      if (is_bound && !admits(property(shape, name), field, depth + 1)) return false;
    }
  }
  for (const SchemaShape::Choice& choice : shape.choices) {
    size_t n_met = 0;
    for (const SchemaRef& alternative : choice.alternatives) {
      n_met += admits(SchemaRefs{alternative}, value, depth + 1) ? 1 : 0;
      if (n_met > (choice.is_one_only ? 1U : 0U)) break;
    }
    if (n_met != 1) return false;
  }
  return !error_;
}

}  // namespace naru::text
