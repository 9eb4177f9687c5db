// Statements, scopes and budgets of the interpreter.
#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <utility>

#include "formats/utf8.h"

namespace naru::text::jinja {
namespace {

constexpr int kEvaluationDepthMax = 250;  // expressions, blocks and macro calls inside each other

}  // namespace

const Val* Arguments::find(size_t position, std::string_view name) const {
  if (position < items.size()) return &items[position];
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

Interpreter::Interpreter(const Template& tree, std::vector<std::pair<std::string, Val>> variables, const std::tm& now,
                         const Limits& limits)
    : tree_(tree), now_(now), limits_(limits), steps_left_(limits.steps_max), work_bytes_left_(limits.work_bytes_max) {
  scopes_.emplace_back();
  for (const char* name : {"range", "namespace", "dict", "raise_exception", "strftime_now"}) {
    scopes_[0][name] = std::make_shared<const Bound>(Bound{name, Undefined{}});
  }
  for (auto& [name, value] : variables) scopes_[0][name] = std::move(value);
}

Result<Text> Interpreter::run() {
  Text out;
  NARU_ASSIGN(const Flow flow, run_block(tree_.root, out));
  (void)flow;
  return out;
}

Status Interpreter::step(int64_t n) {
  steps_left_ -= n;
  if (steps_left_ > 0 && depth_ <= kEvaluationDepthMax) return {};
  if (depth_ > kEvaluationDepthMax) {
    return error(fmt::format("more than {} expressions and calls inside each other", kEvaluationDepthMax),
                 Code::kResourceExhausted);
  }
  return error(fmt::format("more than {} steps", limits_.steps_max), Code::kResourceExhausted);
}

Status Interpreter::count_bytes(size_t n) {
  if (n > static_cast<size_t>(limits_.output_bytes_max)) {
    return error(fmt::format("a string of more than {} bytes", limits_.output_bytes_max), Code::kResourceExhausted);
  }
  work_bytes_left_ -= static_cast<int64_t>(n);
  if (work_bytes_left_ >= 0) return {};
  return error(fmt::format("more than {} bytes of strings on the way", limits_.work_bytes_max),
               Code::kResourceExhausted);
}

Status Interpreter::count_name(std::string_view name) {
  if (name.size() <= 64) return {};
  return count_bytes(name.size());
}

Error Interpreter::error(std::string_view what, Code code) const {
  return {code, fmt::format("rendering the chat template: line {}: {}; {}", line_, formats::printable(what, 400),
                            code == Code::kResourceExhausted ? "send less, or use a simpler template"
                            : code == Code::kUnsupported     ? "use a template without it"
                                                             : "use messages and settings that this template takes")};
}

Result<Val> Interpreter::made(Text text) {
  NARU_TRY(count_bytes(text.bytes.size()));
  return Val(std::move(text));
}

Result<Val> Interpreter::made_list(std::vector<Val> items, bool is_tuple) {
  NARU_TRY(step(static_cast<int64_t>(items.size())));
  return make_list(std::move(items), is_tuple);
}

Result<Text> Interpreter::text_of(const Val& value) {
  auto text = to_text(value, static_cast<size_t>(limits_.output_bytes_max));
  if (!text) return error(text.error().message, text.error().code);
  NARU_TRY(count_bytes(text->bytes.size()));
  return text;
}

const Val* Interpreter::find_variable(const std::string& name) const {
  for (size_t i = scopes_.size(); i-- > 0;) {
    if (i < frame_ && i > 0) continue;  // scopes of callers
    const auto found = scopes_[i].find(name);
    if (found != scopes_[i].end()) return &found->second;
  }
  return nullptr;
}

Result<Interpreter::Flow> Interpreter::run_block(NodeId id, Text& out) {
  const Depth depth(depth_);
  NARU_TRY(step());
  for (const NodeId kid : tree_.at(id).kids) {
    const Node& node = tree_.at(kid);
    line_ = node.line;
    NARU_ASSIGN(const Flow flow, run_statement(node, out));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run_statement(const Node& node, Text& out) {
  NARU_TRY(step());
  switch (node.kind) {
    case NodeKind::kBlock: {  // a generation block: what it sets is its own
      scopes_.emplace_back();
      auto flow = run_block(static_cast<NodeId>(&node - tree_.nodes.data()), out);
      scopes_.pop_back();
      return flow;
    }
    case NodeKind::kData:
      NARU_TRY(count_bytes(out.bytes.size() + node.text.size() > static_cast<size_t>(limits_.output_bytes_max)
                               ? static_cast<size_t>(limits_.output_bytes_max) + 1
                               : node.text.size()));
      out.append(node.text, false);
      return Flow::kNext;
    case NodeKind::kOutput: {
      NARU_ASSIGN(const Val value, evaluate(node.kids[0]));
      NARU_TRY(put(value, out));
      return Flow::kNext;
    }
    case NodeKind::kIf: return run_if(node, out);
    case NodeKind::kFor: return run_for(node, out);
    case NodeKind::kSet: {
      NARU_ASSIGN(Val value, evaluate(node.kids[1]));
      NARU_TRY(assign(tree_.at(node.kids[0]), std::move(value)));
      return Flow::kNext;
    }
    case NodeKind::kSetBlock: NARU_TRY(run_set_block(node)); return Flow::kNext;
    case NodeKind::kFilterBlock: NARU_TRY(run_filter_block(node, out)); return Flow::kNext;
    case NodeKind::kMacro:
      scopes_.back()[node.text] = MacroRef{static_cast<NodeId>(&node - tree_.nodes.data())};
      return Flow::kNext;
    case NodeKind::kBreak: return Flow::kBreak;
    case NodeKind::kContinue: return Flow::kContinue;
    default: break;
  }
  return error("a statement that is none", Code::kInternal);
}

Status Interpreter::put(const Val& value, Text& out) {
  NARU_ASSIGN(const Text text, text_of(value));
  if (out.bytes.size() + text.bytes.size() > static_cast<size_t>(limits_.output_bytes_max)) {
    return error(fmt::format("more than {} bytes of output", limits_.output_bytes_max), Code::kResourceExhausted);
  }
  out.append(text);
  return {};
}

Result<Interpreter::Flow> Interpreter::run_if(const Node& node, Text& out) {
  for (size_t i = 0; i + 1 < node.kids.size(); i += 2) {
    NARU_ASSIGN(const Val condition, evaluate(node.kids[i]));
    if (is_true(condition)) return run_block(node.kids[i + 1], out);
  }
  if (node.kids.back() != kNoNode) return run_block(node.kids.back(), out);
  return Flow::kNext;
}

// The items for which the loop's condition holds.
Result<Val> Interpreter::filtered_items(const Node& node, std::vector<Val> items) {
  if (node.kids[2] == kNoNode) return made_list(std::move(items));
  std::vector<Val> kept;
  for (Val& item : items) {
    scopes_.emplace_back();
    auto status = assign(tree_.at(node.kids[0]), item);
    auto condition = status.ok() ? evaluate(node.kids[2]) : Result<Val>(status.error());
    scopes_.pop_back();
    if (!condition) return std::move(condition).error();
    if (is_true(*condition)) kept.push_back(std::move(item));
  }
  return made_list(std::move(kept));
}

Result<Interpreter::Flow> Interpreter::run_for(const Node& node, Text& out) {
  NARU_ASSIGN(const Val sequence, evaluate(node.kids[1]));
  NARU_ASSIGN(std::vector<Val> all, items_of(sequence));
  NARU_ASSIGN(const Val kept, filtered_items(node, std::move(all)));
  const auto loop = std::make_shared<Loop>();
  loop->items = *kept.as<ListPtr>();
  if (loop->items->items.empty()) {
    if (node.kids[4] == kNoNode) return Flow::kNext;
    return run_block(node.kids[4], out);
  }
  for (size_t i = 0; i < loop->items->items.size(); ++i) {
    loop->index0 = i;
    scopes_.emplace_back();  // what the body sets is gone with each turn
    scopes_.back()["loop"] = loop;
    auto status = assign(tree_.at(node.kids[0]), loop->items->items[i]);
    auto flow = status.ok() ? run_block(node.kids[3], out) : Result<Flow>(status.error());
    scopes_.pop_back();
    if (!flow) return flow;
    if (*flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Result<Text> Interpreter::captured(NodeId block) {
  Text out;
  scopes_.emplace_back();
  auto flow = run_block(block, out);
  scopes_.pop_back();
  if (!flow) return std::move(flow).error();
  return out;
}

Status Interpreter::run_set_block(const Node& node) {
  NARU_ASSIGN(Text text, captured(node.kids[1]));
  NARU_ASSIGN(Val value, made(std::move(text)));
  if (node.kids[2] != kNoNode) {
    scopes_.emplace_back();
    scopes_.back()[""] = value;  // what the chain's first filter works on: no name can be empty
    auto filtered = evaluate(node.kids[2]);
    scopes_.pop_back();
    NARU_ASSIGN(value, std::move(filtered));
  }
  return assign(tree_.at(node.kids[0]), std::move(value));
}

Status Interpreter::run_filter_block(const Node& node, Text& out) {
  NARU_ASSIGN(Text text, captured(node.kids[1]));
  NARU_ASSIGN(Val value, made(std::move(text)));
  scopes_.emplace_back();
  scopes_.back()[""] = value;
  auto filtered = evaluate(node.kids[0]);
  scopes_.pop_back();
  if (!filtered) return std::move(filtered).error();
  return put(*filtered, out);
}

Status Interpreter::assign(const Node& target, Val value) {
  NARU_TRY(count_name(target.text));
  if (target.kind == NodeKind::kName) {
    scopes_.back()[target.text] = std::move(value);
    return {};
  }
  if (target.kind == NodeKind::kAttrTarget) {
    NARU_TRY(count_name(target.names[0]));
    const Val* found = find_variable(target.text);
    const auto* holder = found ? found->as<Namespace*>() : nullptr;
    if (!holder) return error(fmt::format("'{}' is no namespace, so its attributes cannot be set", target.text));
    if (target.names[0].starts_with('_')) {
      return error("an attribute of a namespace that begins with '_'", Code::kUnsupported);
    }
    for (auto& [name, old] : (*holder)->entries) {
      if (name == target.names[0]) {
        old = std::move(value);
        return {};
      }
    }
    NARU_TRY(step(static_cast<int64_t>((*holder)->entries.size())));
    (*holder)->entries.emplace_back(target.names[0], std::move(value));
    return {};
  }
  NARU_ASSIGN(std::vector<Val> items, items_of(value));
  if (items.size() != target.kids.size()) {
    return error(fmt::format("{} values for {} names", items.size(), target.kids.size()));
  }
  for (size_t i = 0; i < items.size(); ++i) NARU_TRY(assign(tree_.at(target.kids[i]), std::move(items[i])));
  return {};
}

}  // namespace naru::text::jinja
