// Tests: what may stand after "is", and what select and its kin take.
#include <array>

#include <fmt/format.h>

#include "text/jinja/interpreter.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::text::jinja {
namespace {

// Tests that are comparisons under another name.
constexpr std::array<std::pair<std::string_view, std::string_view>, 18> kComparisons = {{{"eq", "=="},
                                                                                         {"equalto", "=="},
                                                                                         {"==", "=="},
                                                                                         {"ne", "!="},
                                                                                         {"!=", "!="},
                                                                                         {"lt", "<"},
                                                                                         {"lessthan", "<"},
                                                                                         {"<", "<"},
                                                                                         {"le", "<="},
                                                                                         {"<=", "<="},
                                                                                         {"gt", ">"},
                                                                                         {"greaterthan", ">"},
                                                                                         {">", ">"},
                                                                                         {"ge", ">="},
                                                                                         {">=", ">="},
                                                                                         {"in", "in"},
                                                                                         {"sameas", "sameas"},
                                                                                         {"divisibleby", "%"}}};

}  // namespace

Result<Val> Interpreter::evaluate_test(const Node& node) {
  NARU_ASSIGN(const Val value, evaluate(node.kids[0]));
  NARU_ASSIGN(const Arguments arguments, evaluate_arguments(node));
  NARU_ASSIGN(const bool holds, test(node.text, value, arguments));
  return Val(holds);
}

Result<bool> Interpreter::test(std::string_view name, const Val& value, const Arguments& arguments) {
  for (const auto& [test_name, op] : kComparisons) {
    if (name != test_name) continue;
    if (arguments.items.size() != 1) return error(fmt::format("the test '{}' takes one argument", name));
    const Val& other = arguments.items[0];
    if (op == "%") {
      NARU_ASSIGN(const Val rest, binary("%", value, other));
      return !is_true(rest);
    }
    if (op != "sameas") return compare(op, value, other);
    if (type_name(value) != type_name(other)) return false;
    return compare("==", value, other);
  }
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "boolean") return value.as<bool>() != nullptr;
  if (name == "true") return value.as<bool>() && *value.as<bool>();
  if (name == "false") return value.as<bool>() && !*value.as<bool>();
  if (name == "integer") return value.as<int64_t>() || (value.wide() && value.wide()->is_integer());
  if (name == "float") return value.as<double>() || (value.wide() && !value.wide()->is_integer());
  if (name == "number") return value.number().has_value() || value.wide();
  if (name == "string") return value.text() != nullptr;
  if (name == "mapping") return value.dict() != nullptr;
  if (name == "sequence") return value.text() || value.list() || value.dict() || value.is_undefined();
  if (name == "iterable") return value.text() || value.list() || value.dict() || value.is_undefined();
  if (name == "callable") return value.as<MacroRef>() || value.as<std::shared_ptr<const Bound>>();
  if (name == "odd" || name == "even") {
    NARU_ASSIGN(const Val rest, binary("%", value, Val(int64_t{2})));
    return is_true(rest) == (name == "odd");
  }
  if (name == "upper") return test_case(value, kUpper, kLower);
  if (name == "lower") return test_case(value, kLower, kUpper);
  return error(fmt::format("the test '{}'", name), Code::kUnsupported);
}

// Some letter has the wanted case, and none the other.
Result<bool> Interpreter::test_case(const Val& value, uint16_t wanted, uint16_t unwanted) {
  NARU_ASSIGN(const Text text, text_of(value));
  bool found = false;
  for (size_t at = 0; at < text.bytes.size();) {
    const CodePoint c = code_point_at(text.bytes.data() + at);
    const uint16_t flags = char_flags(c.value);
    if (flags & unwanted) return false;
    found |= (flags & wanted) != 0;
    at += c.bytes;
  }
  return found;
}

}  // namespace naru::text::jinja
