// Calls: macros, the global functions, and the loop's own functions.
#include <algorithm>

#include <fmt/format.h>

#include "base/checked.h"
#include "text/jinja/interpreter.h"

namespace naru::text::jinja {

Result<Arguments> Interpreter::evaluate_arguments(const Node& node) {
  Arguments arguments;
  const size_t n_named = node.names.size();
  for (size_t i = 1; i < node.kids.size(); ++i) {
    NARU_ASSIGN(Val value, evaluate(node.kids[i]));
    const size_t n_items = node.kids.size() - n_named;
    if (i < n_items) {
      arguments.items.push_back(std::move(value));
    } else {
      NARU_TRY(count_name(node.names[i - n_items]));
      arguments.named.emplace_back(node.names[i - n_items], std::move(value));
    }
  }
  return arguments;
}

Result<Val> Interpreter::evaluate_call(const Node& node) {
  NARU_ASSIGN(const Val callee, evaluate(node.kids[0]));
  NARU_ASSIGN(const Arguments arguments, evaluate_arguments(node));
  return call(callee, arguments);
}

Result<Val> Interpreter::call(const Val& callee, const Arguments& arguments) {
  if (const auto* undefined = callee.as<Undefined>()) return error(*undefined->what);
  if (const auto* macro = callee.as<MacroRef>()) return call_macro(tree_.at(macro->node), arguments);
  const auto* bound = callee.as<std::shared_ptr<const Bound>>();
  if (!bound) return error(fmt::format("a call of a value of type {}", type_name(callee)));
  const Bound& function = **bound;
  if (function.self.is_undefined()) return call_global(function.name, arguments);
  if (function.self.text()) return call_text_method(*function.self.as<TextPtr>(), function.name, arguments);
  if (const List* list = function.self.list()) return call_list_method(*list, function.name, arguments);
  if (const Dict* dict = function.self.dict()) return call_dict_method(*dict, function.name, arguments);
  if (const auto* loop = function.self.as<std::shared_ptr<Loop>>()) {
    return call_loop_method(**loop, function.name, arguments);
  }
  return error(fmt::format("the function '{}'", function.name), Code::kUnsupported);
}

// A macro sees the template's own variables and its parameters, not those of its caller.
Result<Val> Interpreter::call_macro(const Node& macro, const Arguments& arguments) {
  const Depth depth(depth_);
  NARU_TRY(step(static_cast<int64_t>(1 + macro.names.size() * (1 + arguments.named.size()))));
  for (const std::string& name : macro.names) NARU_TRY(count_name(name));
  if (arguments.items.size() > macro.names.size()) {
    return error(
        fmt::format("macro '{}' takes {} arguments, not {}", macro.text, macro.names.size(), arguments.items.size()));
  }
  for (const auto& [name, value] : arguments.named) {
    const auto place = std::find(macro.names.begin(), macro.names.end(), name);
    if (place == macro.names.end()) return error(fmt::format("macro '{}' has no parameter '{}'", macro.text, name));
    if (static_cast<size_t>(place - macro.names.begin()) < arguments.items.size()) {
      return error(fmt::format("macro '{}' is given '{}' twice", macro.text, name));
    }
  }
  const size_t old_frame = frame_;
  const int32_t old_line = line_;
  scopes_.emplace_back();
  frame_ = scopes_.size() - 1;
  const auto run = [&]() -> Result<Text> {
    const size_t n_required = macro.names.size() - (macro.kids.size() - 1);
    for (size_t i = 0; i < macro.names.size(); ++i) {
      if (const Val* given = arguments.find(i, macro.names[i])) {
        scopes_.back()[macro.names[i]] = *given;
      } else if (i >= n_required) {
        NARU_ASSIGN(Val value, evaluate(macro.kids[1 + i - n_required]));
        scopes_.back()[macro.names[i]] = std::move(value);
      } else {
        scopes_.back()[macro.names[i]] = Val::undefined(fmt::format("parameter '{}' was not provided", macro.names[i]));
      }
    }
    Text out;
    NARU_ASSIGN(const Flow flow, run_block(macro.kids[0], out));
    (void)flow;
    return out;
  };
  auto text = run();
  scopes_.pop_back();
  frame_ = old_frame;
  line_ = old_line;
  if (!text) return std::move(text).error();
  return made(std::move(text).value());
}

Result<Val> Interpreter::call_global(std::string_view name, const Arguments& arguments) {
  if (name == "range") return call_range(arguments);
  if (name == "namespace") return call_namespace(arguments);
  if (name == "dict") return call_dict(arguments);
  if (name == "strftime_now") return call_strftime_now(arguments);
  if (name == "raise_exception") {
    const Val* message = arguments.find(0, "message");
    NARU_ASSIGN(const Text text, text_of(message ? *message : Val()));
    return error(fmt::format("the template refuses: {}", text.bytes));
  }
  return error(fmt::format("the function '{}'", name), Code::kUnsupported);
}

Result<Val> Interpreter::call_range(const Arguments& arguments) {
  int64_t bounds[3] = {0, 0, 1};
  const size_t n = arguments.items.size();
  if (n < 1 || n > 3 || !arguments.named.empty()) return error("range takes one to three numbers");
  for (size_t i = 0; i < n; ++i) {
    const auto value = arguments.items[i].integer();
    if (!value) return error("range takes whole numbers");
    bounds[n == 1 ? 1 : i] = *value;
  }
  const auto [start, stop, stride] = bounds;
  if (stride == 0) return error("range with step 0");
  std::vector<Val> items;
  for (int64_t i = start; stride > 0 ? i < stop : i > stop;) {
    NARU_TRY(step());
    items.push_back(Val(i));
    const auto next = checked_add(i, stride);
    if (!next) break;
    i = *next;
  }
  return make_list(std::move(items));
}

Result<Val> Interpreter::call_namespace(const Arguments& arguments) {
  Namespace made_here;
  if (arguments.items.size() > 1) return error("namespace takes one dict at most");
  if (!arguments.items.empty()) {
    const Dict* dict = arguments.items[0].dict();
    if (!dict) return error("namespace takes a dict");
    for (const auto& [key, value] : dict->entries) made_here.entries.emplace_back(key->bytes, value);
  }
  for (const auto& [key, value] : arguments.named) made_here.entries.emplace_back(key, value);
  for (const auto& [key, value] : made_here.entries) {
    if (key.starts_with('_')) return error("an attribute of a namespace that begins with '_'", Code::kUnsupported);
  }
  NARU_TRY(step(static_cast<int64_t>(made_here.entries.size())));
  namespaces_.push_back(std::move(made_here));
  return Val(&namespaces_.back());
}

Result<Val> Interpreter::call_dict(const Arguments& arguments) {
  std::vector<std::pair<TextPtr, Val>> entries;
  if (!arguments.items.empty()) {
    const Dict* dict = arguments.items[0].dict();
    if (!dict || arguments.items.size() > 1) return error("dict takes one dict and named values");
    entries = dict->entries;
  }
  for (const auto& argument : arguments.named) {
    const std::string& key = argument.first;
    NARU_TRY(step(static_cast<int64_t>(entries.size())));
    const auto same =
        std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.first->bytes == key; });
    if (same != entries.end()) {
      same->second = argument.second;
    } else {
      entries.emplace_back(std::make_shared<const Text>(key), argument.second);
    }
  }
  NARU_TRY(step(static_cast<int64_t>(entries.size())));
  return make_dict(std::move(entries));
}

Result<Val> Interpreter::call_strftime_now(const Arguments& arguments) {
  NARU_ASSIGN(const TextPtr format, need_text(arguments, 0, "format"));
  if (format->bytes.empty()) return Val::plain("");
  char buffer[256];
  const size_t n = std::strftime(buffer, sizeof(buffer), format->bytes.c_str(), &now_);
  if (n == 0) return error("strftime_now with a format that gives nothing, or more than 255 bytes");
  Text text;
  text.append(std::string_view(buffer, n), format->has_content());
  return made(std::move(text));
}

Result<Val> Interpreter::call_loop_method(Loop& loop, std::string_view name, const Arguments& arguments) {
  if (name == "cycle") {
    if (arguments.items.empty()) return error("loop.cycle without values");
    return arguments.items[loop.index0 % arguments.items.size()];
  }
  for (const Val& item : arguments.items) {  // only plain data, so that the loop cannot come to hold itself
    if (item.depth() > 0 || !(item.text() || item.number() || item.is_none() || item.is_undefined())) {
      return error("loop.changed of anything but strings and numbers", Code::kUnsupported);
    }
  }
  NARU_ASSIGN(const Val now, made_list(arguments.items, true));
  const bool same = loop.has_changed && are_equal(loop.changed, now, steps_left_);
  NARU_TRY(step());
  loop.has_changed = true;
  loop.changed = now;
  return Val(!same);
}

Result<TextPtr> Interpreter::need_text(const Arguments& arguments, size_t position, std::string_view name) {
  const Val* value = arguments.find(position, name);
  if (!value) return error(fmt::format("argument '{}' is missing", name));
  if (const auto* undefined = value->as<Undefined>()) return error(*undefined->what);
  if (!value->text())
    return error(fmt::format("argument '{}' is of type {}, a string is wanted", name, type_name(*value)));
  return *value->as<TextPtr>();
}

Result<int64_t> Interpreter::integer_or(const Arguments& arguments, size_t position, std::string_view name,
                                        int64_t fallback) {
  const Val* value = arguments.find(position, name);
  if (!value) return fallback;
  const auto number = value->integer();
  if (!number)
    return error(fmt::format("argument '{}' is of type {}, a whole number is wanted", name, type_name(*value)));
  return *number;
}

}  // namespace naru::text::jinja
