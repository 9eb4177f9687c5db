// Expressions of the interpreter: operators with Python's meaning, names, items, slices.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/checked.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/python_text.h"
#include "text/utf8.h"

namespace naru::text::jinja {

Error Interpreter::wrong_operands(std::string_view op, const Val& a, const Val& b) const {
  if (const auto* undefined = a.as<Undefined>() ? a.as<Undefined>() : b.as<Undefined>()) return error(*undefined->what);
  return error(fmt::format("'{}' between {} and {}", op, type_name(a), type_name(b)));
}

Result<Val> Interpreter::evaluate(NodeId id) {
  const Depth depth(depth_);
  NARU_TRY(step());
  return evaluate_node(tree_.at(id));
}

Result<Val> Interpreter::evaluate_node(const Node& node) {
  switch (node.kind) {
    case NodeKind::kNone: return Val();
    case NodeKind::kBool: return Val(node.number != 0);
    case NodeKind::kInt: return Val(node.number);
    case NodeKind::kDouble: return Val(node.real);
    case NodeKind::kText: return made(Text(node.text));
    case NodeKind::kName: return evaluate_name(node);
    case NodeKind::kList:
    case NodeKind::kTuple: return evaluate_list(node);
    case NodeKind::kDict: return evaluate_dict(node);
    case NodeKind::kAttr: {
      NARU_ASSIGN(const Val object, evaluate(node.kids[0]));
      return attribute(object, node.text);
    }
    case NodeKind::kItem: return evaluate_item(node);
    case NodeKind::kSlice: return evaluate_slice(node);
    case NodeKind::kCall: return evaluate_call(node);
    case NodeKind::kFilter: return evaluate_filter(node);
    case NodeKind::kTest: return evaluate_test(node);
    case NodeKind::kNot: {
      NARU_ASSIGN(const Val value, evaluate(node.kids[0]));
      return Val(!is_true(value));
    }
    case NodeKind::kNegative:
    case NodeKind::kPositive: return evaluate_negative(node);
    case NodeKind::kBinary: return evaluate_binary(node);
    case NodeKind::kConcat: return evaluate_concat(node);
    case NodeKind::kCompare: return evaluate_compare(node);
    case NodeKind::kAnd:
    case NodeKind::kOr: return evaluate_logic(node);
    case NodeKind::kChoice: return evaluate_choice(node);
    default: break;
  }
  return error("an expression that is none", Code::kInternal);
}

Result<Val> Interpreter::evaluate_name(const Node& node) {
  NARU_TRY(count_name(node.text));
  if (const Val* found = find_variable(node.text)) return *found;
  return Val::undefined(fmt::format("'{}' is undefined", node.text));
}

Result<Val> Interpreter::evaluate_list(const Node& node) {
  std::vector<Val> items;
  for (const NodeId kid : node.kids) {
    NARU_ASSIGN(Val item, evaluate(kid));
    items.push_back(std::move(item));
  }
  return made_list(std::move(items), node.kind == NodeKind::kTuple);
}

Result<Val> Interpreter::evaluate_dict(const Node& node) {
  std::vector<std::pair<TextPtr, Val>> entries;
  for (size_t i = 0; i + 1 < node.kids.size(); i += 2) {
    NARU_ASSIGN(const Val key, evaluate(node.kids[i]));
    NARU_ASSIGN(Val value, evaluate(node.kids[i + 1]));
    if (!key.text()) return error(fmt::format("a dict key of type {}", type_name(key)), Code::kUnsupported);
    NARU_TRY(step(static_cast<int64_t>(entries.size())));
    const auto same = std::find_if(entries.begin(), entries.end(),
                                   [&](const auto& entry) { return entry.first->bytes == key.text()->bytes; });
    if (same != entries.end()) {
      same->second = std::move(value);
    } else {
      entries.emplace_back(*key.as<TextPtr>(), std::move(value));
    }
  }
  return make_dict(std::move(entries));
}

Result<Val> Interpreter::evaluate_item(const Node& node) {
  NARU_ASSIGN(const Val object, evaluate(node.kids[0]));
  NARU_ASSIGN(const Val index, evaluate(node.kids[1]));
  return item(object, index);
}

Result<Val> Interpreter::item(const Val& object, const Val& index) {
  if (const auto* undefined = object.as<Undefined>()) return error(*undefined->what);
  if (const Text* key = index.text()) {
    if (const Dict* dict = object.dict()) {
      NARU_TRY(step(static_cast<int64_t>(dict->entries.size() / 8)));
      if (const Val* found = dict->find(key->bytes)) return *found;
    }
    return attribute(object, key->bytes);
  }
  const auto place = index.integer();
  const auto nothing = [&] { return Val::undefined(fmt::format("{} object has no such element", type_name(object))); };
  if (!place) return nothing();
  if (const List* list = object.list()) {
    const auto n = static_cast<int64_t>(list->items.size());
    const int64_t i = *place < 0 ? *place + n : *place;
    return i >= 0 && i < n ? list->items[static_cast<size_t>(i)] : nothing();
  }
  if (const Text* text = object.text()) {
    NARU_TRY(count_bytes(text->bytes.size()));
    const int64_t n = count_code_points(text->bytes);
    const int64_t i = *place < 0 ? *place + n : *place;
    if (i < 0 || i >= n) return nothing();
    size_t at = 0;
    for (int64_t k = 0; k < i; ++k) at += code_point_at(text->bytes.data() + at).bytes;
    return Val(text->part(at, at + code_point_at(text->bytes.data() + at).bytes));
  }
  return nothing();
}

namespace {

// Python's slice: the indices it takes from n items.
struct SliceRange {
  int64_t start, stop, step;
  bool contains(int64_t i) const { return step > 0 ? i < stop : i > stop; }
};

SliceRange slice_range(std::optional<int64_t> start, std::optional<int64_t> stop, int64_t step, int64_t n) {
  const auto clamp = [&](int64_t i) {
    if (i < 0) i = i < -n ? -1 : i + n;
    return std::clamp<int64_t>(i, step > 0 ? 0 : -1, step > 0 ? n : n - 1);
  };
  // A negative index below -n means "before the first" for both directions.
  SliceRange range;
  range.step = step;
  range.start = start ? clamp(*start) : (step > 0 ? 0 : n - 1);
  range.stop = stop ? clamp(*stop) : (step > 0 ? n : -1);
  return range;
}

}  // namespace

Result<Val> Interpreter::evaluate_slice(const Node& node) {
  NARU_ASSIGN(const Val object, evaluate(node.kids[0]));
  std::optional<int64_t> parts[3];
  for (size_t i = 0; i < 3; ++i) {
    if (node.kids[i + 1] == kNoNode) continue;
    NARU_ASSIGN(const Val part, evaluate(node.kids[i + 1]));
    if (part.is_none()) continue;
    parts[i] = part.integer();
    if (!parts[i]) return error(fmt::format("a slice index of type {}", type_name(part)));
  }
  if (const auto* undefined = object.as<Undefined>()) return error(*undefined->what);
  constexpr int64_t kFar = int64_t{1} << 40;  // far beyond any length, and safe to add to
  const int64_t stride = std::clamp(parts[2].value_or(1), -kFar, kFar);
  if (stride == 0) return error("a slice with step 0");
  for (auto& part : parts) {
    if (part) part = std::clamp(*part, -kFar, kFar);
  }
  if (const List* list = object.list()) {
    const SliceRange range = slice_range(parts[0], parts[1], stride, static_cast<int64_t>(list->items.size()));
    std::vector<Val> items;
    for (int64_t i = range.start; range.contains(i); i += range.step)
      items.push_back(list->items[static_cast<size_t>(i)]);
    return made_list(std::move(items), list->is_tuple);
  }
  const Text* text = object.text();
  if (!text) return error(fmt::format("a slice of type {}", type_name(object)));
  NARU_TRY(count_bytes(text->bytes.size()));
  const int64_t n = count_code_points(text->bytes);
  const SliceRange range = slice_range(parts[0], parts[1], stride, n);
  std::vector<size_t> starts;
  if (range.contains(range.start)) {
    for (size_t at = 0; at < text->bytes.size(); at += code_point_at(text->bytes.data() + at).bytes)
      starts.push_back(at);
    starts.push_back(text->bytes.size());
  }
  if (range.step == 1 && range.contains(range.start)) {
    return made(text->part(starts[static_cast<size_t>(range.start)], starts[static_cast<size_t>(range.stop)]));
  }
  Text out;
  for (int64_t i = range.start; range.contains(i); i += range.step) {
    NARU_TRY(step());
    const auto k = static_cast<size_t>(i);
    if (text->marks.size() > 1) NARU_TRY(step(static_cast<int64_t>(text->marks.size() / 8)));
    out.append(*text, starts[k], starts[k + 1]);
  }
  return made(std::move(out));
}

Result<Val> Interpreter::evaluate_negative(const Node& node) {
  NARU_ASSIGN(const Val value, evaluate(node.kids[0]));
  const bool negate = node.kind == NodeKind::kNegative;
  if (const auto i = value.integer()) {
    if (!negate) return Val(*i);
    const auto negated = checked_sub(0, *i);
    if (!negated) return error("a number past 64 bits", Code::kUnsupported);
    return Val(*negated);
  }
  if (const auto d = value.number()) return Val(negate ? -*d : *d);
  if (const auto* undefined = value.as<Undefined>()) return error(*undefined->what);
  return error(fmt::format("'-' before {}", type_name(value)));
}

Result<Val> Interpreter::evaluate_binary(const Node& node) {
  NARU_ASSIGN(Val left, evaluate(node.kids[0]));
  for (size_t i = 0; i < node.names.size(); ++i) {
    NARU_ASSIGN(const Val right, evaluate(node.kids[i + 1]));
    NARU_ASSIGN(left, binary(node.names[i], left, right));
  }
  return left;
}

Result<Val> Interpreter::binary(std::string_view op, const Val& a, const Val& b) {
  const auto text_in = [](const Val& value) { return value.dict() ? value.dict()->written.get() : value.text(); };
  if (op == "+" && (a.text() || b.text()) && text_in(a) && text_in(b)) {
    NARU_TRY(count_bytes(text_in(a)->bytes.size() + text_in(b)->bytes.size()));
    Text sum = *text_in(a);
    sum.append(*text_in(b));
    return Val(std::move(sum));
  }
  if (op == "+" && a.list() && b.list() && a.list()->is_tuple == b.list()->is_tuple) {
    std::vector<Val> items = a.list()->items;
    items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
    return made_list(std::move(items), a.list()->is_tuple);
  }
  if (op == "*" && (a.text() || a.list()) && b.integer()) return repeat(a, *b.integer());
  if (op == "*" && (b.text() || b.list()) && a.integer()) return repeat(b, *a.integer());
  if (op == "%" && a.text()) return error("formatting a string with '%'", Code::kUnsupported);
  const auto x = a.number(), y = b.number();
  if (!x || !y) return wrong_operands(op, a, b);
  if (a.integer() && b.integer() && op != "/") {
    if (op != "**" || *b.integer() >= 0) return integer_binary(op, *a.integer(), *b.integer());
  }
  if (op == "+") return Val(*x + *y);
  if (op == "-") return Val(*x - *y);
  if (op == "*") return Val(*x * *y);
  if (op == "**") return Val(std::pow(*x, *y));
  if (*y == 0) return error("division by zero");
  if (op == "/") return Val(*x / *y);
  if (op == "//") return Val(std::floor(*x / *y));
  const double rest = std::fmod(*x, *y);  // the sign of the divisor, as in Python
  return Val(rest != 0 && (rest < 0) != (*y < 0) ? rest + *y : rest);
}

Result<Val> Interpreter::integer_binary(std::string_view op, int64_t a, int64_t b) {
  std::optional<int64_t> value;
  if (op == "+") value = checked_add(a, b);
  if (op == "-") value = checked_sub(a, b);
  if (op == "*") value = checked_mul(a, b);
  if (op == "**") {
    value = 1;
    int64_t base = a;
    for (int64_t e = b; e > 0 && value; e >>= 1) {
      std::optional<int64_t> square = base;
      if (e & 1) value = checked_mul(*value, base);
      if (e > 1) square = checked_mul(base, base);
      if (!square) {
        value = std::nullopt;
        break;
      }
      base = *square;
    }
  }
  if (op == "//" || op == "%") {
    if (b == 0) return error("division by zero");
    if (b == -1) {  // the one quotient that can overflow
      value = op == "%" ? std::optional<int64_t>(0) : checked_sub(0, a);
    } else {
      const int64_t rest = a % b, wrong_side = rest != 0 && (rest < 0) != (b < 0);
      value = op == "%" ? rest + wrong_side * b : a / b - wrong_side;
    }
  }
  if (!value) return error("a number past 64 bits", Code::kUnsupported);
  return Val(*value);
}

Result<Val> Interpreter::repeat(const Val& sequence, int64_t n) {
  n = std::max<int64_t>(n, 0);
  if (const List* list = sequence.list()) {
    const auto total = checked_mul(n, static_cast<int64_t>(list->items.size()));
    NARU_TRY(step(total.value_or(limits_.steps_max)));
    std::vector<Val> items;
    for (int64_t i = 0; i < n && !list->items.empty(); ++i) {
      items.insert(items.end(), list->items.begin(), list->items.end());
    }
    return make_list(std::move(items), list->is_tuple);
  }
  const Text& text = *sequence.text();
  const auto total = checked_mul(n, static_cast<int64_t>(text.bytes.size()));
  NARU_TRY(count_bytes(static_cast<size_t>(total.value_or(INT64_MAX))));
  Text out;
  for (int64_t i = 0; i < n && !text.bytes.empty(); ++i) out.append(text);
  return Val(std::move(out));
}

Result<Val> Interpreter::evaluate_concat(const Node& node) {
  Text out;
  for (const NodeId kid : node.kids) {
    NARU_ASSIGN(const Val value, evaluate(kid));
    NARU_ASSIGN(const Text text, text_of(value));
    out.append(text);
    NARU_TRY(count_bytes(out.bytes.size()));
  }
  return Val(std::move(out));
}

Result<Val> Interpreter::evaluate_compare(const Node& node) {
  NARU_ASSIGN(Val left, evaluate(node.kids[0]));
  for (size_t i = 0; i < node.names.size(); ++i) {
    NARU_ASSIGN(Val right, evaluate(node.kids[i + 1]));
    NARU_ASSIGN(const bool holds, compare(node.names[i], left, right));
    if (!holds) return Val(false);
    left = std::move(right);
  }
  return Val(true);
}

Result<bool> Interpreter::compare(std::string_view op, const Val& a, const Val& b) {
  if (op == "==" || op == "!=") {
    const bool equal = are_equal(a, b, steps_left_);
    NARU_TRY(step());
    return equal == (op == "==");
  }
  if (op == "in" || op == "not in") {
    NARU_ASSIGN(const bool found, contains(b, a));
    return found == (op == "in");
  }
  const auto sign = order(a, b, steps_left_);
  NARU_TRY(step());
  if (!sign) return wrong_operands(op, a, b);
  if (op == "<") return *sign < 0;
  if (op == "<=") return *sign <= 0;
  if (op == ">") return *sign > 0;
  return *sign >= 0;
}

Result<bool> Interpreter::contains(const Val& container, const Val& item_wanted) {
  if (const Text* text = container.text()) {
    const Text* wanted = item_wanted.text();
    if (!wanted) return wrong_operands("in", item_wanted, container);
    NARU_TRY(count_bytes(text->bytes.size()));
    return find_text(text->bytes, wanted->bytes) != std::string::npos;
  }
  if (const List* list = container.list()) {
    for (const Val& item_found : list->items) {
      NARU_TRY(step());
      if (are_equal(item_found, item_wanted, steps_left_)) return true;
    }
    NARU_TRY(step());
    return false;
  }
  if (const Dict* dict = container.dict()) {
    NARU_TRY(step(static_cast<int64_t>(dict->entries.size() / 8)));
    return item_wanted.text() && dict->find(item_wanted.text()->bytes);
  }
  if (container.is_undefined()) return false;
  return wrong_operands("in", item_wanted, container);
}

Result<Val> Interpreter::evaluate_logic(const Node& node) {
  const bool stops_at = node.kind == NodeKind::kOr;
  Val value;
  for (const NodeId kid : node.kids) {
    NARU_ASSIGN(value, evaluate(kid));
    if (is_true(value) == stops_at) break;
  }
  return value;
}

Result<Val> Interpreter::evaluate_choice(const Node& node) {
  NARU_ASSIGN(const Val condition, evaluate(node.kids[1]));
  if (is_true(condition)) return evaluate(node.kids[0]);
  if (node.kids[2] != kNoNode) return evaluate(node.kids[2]);
  return Val::undefined("an inline 'if' without 'else' was false");
}

Result<Val> Interpreter::attribute(const Val& object, std::string_view name) {
  NARU_TRY(count_name(name));
  if (const auto* undefined = object.as<Undefined>()) return error(*undefined->what);
  const auto method = [&] { return Val(std::make_shared<const Bound>(Bound{std::string(name), object})); };
  if (const Dict* dict = object.dict()) {
    if (name == "items" || name == "keys" || name == "values" || name == "get") return method();
    NARU_TRY(step(static_cast<int64_t>(dict->entries.size() / 8)));
    if (const Val* found = dict->find(name)) return *found;
  } else if (const auto* holder = object.as<Namespace*>()) {
    NARU_TRY(step(static_cast<int64_t>((*holder)->entries.size() / 8)));
    for (const auto& [key, value] : (*holder)->entries) {
      if (key == name) return value;
    }
  } else if (const auto* loop = object.as<std::shared_ptr<Loop>>()) {
    if (name == "cycle" || name == "changed") return method();
    return loop_attribute(**loop, name);
  } else if ((object.text() && is_text_method(name)) || (object.list() && is_list_method(name))) {
    return method();
  }
  return Val::undefined(fmt::format("'{} object' has no attribute '{}'", type_name(object), name));
}

Result<Val> Interpreter::loop_attribute(const Loop& loop, std::string_view name) {
  const auto n = static_cast<int64_t>(loop.items->items.size());
  const auto i = static_cast<int64_t>(loop.index0);
  if (name == "index") return Val(i + 1);
  if (name == "index0") return Val(i);
  if (name == "revindex") return Val(n - i);
  if (name == "revindex0") return Val(n - i - 1);
  if (name == "first") return Val(i == 0);
  if (name == "last") return Val(i + 1 == n);
  if (name == "length") return Val(n);
  if (name == "depth") return Val(int64_t{1});  // how deep a recursive loop is in itself; there are none here
  if (name == "depth0") return Val(int64_t{0});
  if (name == "previtem") {
    return i > 0 ? loop.items->items[loop.index0 - 1] : Val::undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return i + 1 < n ? loop.items->items[loop.index0 + 1] : Val::undefined("there is no next item");
  }
  return Val::undefined(fmt::format("'loop' has no attribute '{}'", name));
}

// "a.b.0" as map, sort and the like take it.
Result<Val> Interpreter::attribute_path(const Val& object, const Val& path) {
  if (path.integer()) return item(object, path);
  if (!path.text()) return error("an attribute that is no string");
  Val value = object;
  std::string_view rest = path.text()->bytes;
  NARU_TRY(count_name(rest));
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view name = rest.substr(0, dot);
    const bool is_number = !name.empty() && name.size() < 10 && std::all_of(name.begin(), name.end(), is_ascii_digit);
    NARU_TRY(step());
    if (is_number) {
      NARU_ASSIGN(value, item(value, Val(int64_t{std::atoi(std::string(name).c_str())})));
    } else if (value.dict()) {  // items win over methods here
      const Val* found = value.dict()->find(name);
      value = found ? *found : Val::undefined(fmt::format("no attribute '{}'", name));
    } else {
      NARU_ASSIGN(value, attribute(value, name));
    }
    if (dot == std::string_view::npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

Result<std::vector<Val>> Interpreter::items_of(const Val& value) {
  std::vector<Val> items;
  if (const List* list = value.list()) {
    NARU_TRY(step(static_cast<int64_t>(list->items.size())));
    return list->items;
  }
  if (const Dict* dict = value.dict()) {
    NARU_TRY(step(static_cast<int64_t>(dict->entries.size())));
    for (const auto& [key, unused] : dict->entries) items.push_back(key);
    return items;
  }
  if (const Text* text = value.text()) {
    NARU_TRY(step(static_cast<int64_t>(text->bytes.size() * (1 + text->marks.size() / 8))));
    for (size_t at = 0; at < text->bytes.size();) {
      const size_t n = code_point_at(text->bytes.data() + at).bytes;
      items.push_back(Val(text->part(at, at + n)));
      at += n;
    }
    return items;
  }
  if (value.is_undefined()) return items;
  return error(fmt::format("going through a value of type {}", type_name(value)));
}

}  // namespace naru::text::jinja
