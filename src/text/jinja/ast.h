// The tree of a template: nodes in one array, children by index, so that neither copying nor destroying it recurses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace naru::text::jinja {

using NodeId = int32_t;
inline constexpr NodeId kNoNode = -1;

enum class NodeKind : uint8_t {
  // Expressions. `kids` are the operands in source order.
  kNone,
  kBool,    // number
  kInt,     // number
  kDouble,  // real
  kText,    // text
  kName,    // text
  kList,
  kTuple,
  kDict,    // key, value, key, value, ...
  kAttr,    // object; text
  kItem,    // object, index
  kSlice,   // object, start, stop, step; each kNoNode where left out
  kCall,    // callee, then arguments; the last names.size() of them are named
  kFilter,  // operand (kNoNode inside a filter block), then arguments; text is the filter's name
  kTest,    // operand, then arguments; text is the test's name
  kNot,
  kNegative,
  kPositive,
  kBinary,   // first, then one operand for each operator in names, from left to right: + - * / // % **
  kConcat,   // ~ over all kids
  kCompare,  // first, then one operand for each operator in names: == != < <= > >= in, not in
  kAnd,
  kOr,
  kChoice,  // value, condition, other (kNoNode where left out)
  // Statements.
  kBlock,        // statements
  kData,         // text
  kOutput,       // expression
  kIf,           // condition, block, condition, block, ..., last block (kNoNode without else)
  kFor,          // target, sequence, condition (kNoNode), block, else block (kNoNode)
  kSet,          // target, expression
  kSetBlock,     // target, block, filter chain (kNoNode)
  kMacro,        // text; names: parameters; kids: block, then the defaults of the last parameters
  kFilterBlock,  // filter chain, block
  kBreak,
  kContinue,
  kAttrTarget,  // text: namespace; names[0]: attribute
};

struct Node {
  NodeKind kind = NodeKind::kNone;
  int32_t line = 0;
  int64_t number = 0;
  double real = 0;
  std::string text;
  std::vector<std::string> names;
  std::vector<NodeId> kids;
};

struct Template {
  std::vector<Node> nodes;
  NodeId root = kNoNode;

  const Node& at(NodeId id) const { return nodes[static_cast<size_t>(id)]; }
};

// Parses a template as transformers sets Jinja up: trim_blocks, lstrip_blocks, loop controls, generation blocks.
// Statements that reach beyond the template (include, import, extends, block) and others of no use to a chat template
// are refused by name.
Result<Template> parse_template(std::string_view source);

}  // namespace naru::text::jinja
