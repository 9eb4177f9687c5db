// Recursive descent over the tokens, by Jinja's grammar (version 3.1). Depth is limited, so no template can exhaust the
// stack here; the interpreter limits its own.
#include <array>
#include <charconv>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace naru::text::jinja {
namespace {

constexpr int kDepthMax = 100;  // expressions and statements inside each other
constexpr size_t kNodesMax = 1 << 18;

bool is_compare_operator(std::string_view text) {
  return text == "==" || text == "!=" || text == "<" || text == "<=" || text == ">" || text == ">=";
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<Template> run() {
    NARU_ASSIGN(const NodeId root, block({}));
    if (token().kind != TokenKind::kEnd) return unexpected();
    tree_.root = root;
    return std::move(tree_);
  }

 private:
  // Counts how deep the parser is in itself.
  class Depth {
   public:
    explicit Depth(int& depth) : depth_(depth) { ++depth_; }
    ~Depth() { --depth_; }

   private:
    int& depth_;
  };

  const Token& token(size_t ahead = 0) const { return tokens_[std::min(next_ + ahead, tokens_.size() - 1)]; }
  void advance() {
    if (next_ + 1 < tokens_.size()) ++next_;
  }
  bool is_operator(std::string_view text, size_t ahead = 0) const {
    return token(ahead).kind == TokenKind::kOperator && token(ahead).text == text;
  }
  bool is_name(std::string_view text, size_t ahead = 0) const {
    return token(ahead).kind == TokenKind::kName && token(ahead).text == text;
  }
  bool take_operator(std::string_view text) {
    if (!is_operator(text)) return false;
    advance();
    return true;
  }
  bool take_name(std::string_view text) {
    if (!is_name(text)) return false;
    advance();
    return true;
  }

  Error error(std::string_view what) const {
    return template_error(Code::kCorrupt, token().line, what, "correct the template");
  }
  Error unexpected() const {
    switch (token().kind) {
      case TokenKind::kEnd: return error("the template ends inside a block");
      case TokenKind::kVariableEnd:
      case TokenKind::kBlockEnd: return error("a tag ends too early");
      case TokenKind::kBlockBegin: return error(fmt::format("'{}' does not belong here", token(1).text));
      default: return error(fmt::format("'{}' does not belong here", token().text));
    }
  }
  Status expect_operator(std::string_view text) {
    if (take_operator(text)) return {};
    return error(fmt::format("'{}' was wanted", text));
  }
  Status expect(TokenKind kind) {
    if (token().kind != kind) return unexpected();
    advance();
    return {};
  }
  Result<std::string> expect_any_name() {
    if (token().kind != TokenKind::kName) return unexpected();
    std::string text = token().text;
    advance();
    return text;
  }
  Status check_depth() const {
    if (depth_ <= kDepthMax && tree_.nodes.size() < kNodesMax) return {};
    return template_error(Code::kResourceExhausted, token().line,
                          fmt::format("more than {} levels of nesting, or more than {} parts", kDepthMax, kNodesMax),
                          "use a simpler template");
  }

  NodeId add(NodeKind kind, std::string text = {}, std::vector<NodeId> kids = {}) {
    Node node;
    node.kind = kind;
    node.line = token().line;
    node.text = std::move(text);
    node.kids = std::move(kids);
    tree_.nodes.push_back(std::move(node));
    return static_cast<NodeId>(tree_.nodes.size() - 1);
  }
  Node& at(NodeId id) { return tree_.nodes[static_cast<size_t>(id)]; }

  // ---- statements ----

  bool at_block_named(std::initializer_list<std::string_view> names) const {
    if (token().kind != TokenKind::kBlockBegin) return false;
    for (const std::string_view name : names) {
      if (is_name(name, 1)) return true;
    }
    return false;
  }

  // Statements up to a block tag with one of the names, which is left in place, or to the end of the template.
  Result<NodeId> block(std::initializer_list<std::string_view> ends) {
    const Depth depth(depth_);
    NARU_TRY(check_depth());
    const NodeId id = add(NodeKind::kBlock);
    while (token().kind != TokenKind::kEnd && !at_block_named(ends)) {
      NodeId kid = kNoNode;
      if (token().kind == TokenKind::kData) {
        kid = add(NodeKind::kData, token().text);
        advance();
      } else if (token().kind == TokenKind::kVariableBegin) {
        advance();
        NARU_ASSIGN(const NodeId value, tuple_or_expression());
        NARU_TRY(expect(TokenKind::kVariableEnd));
        kid = add(NodeKind::kOutput, {}, {value});
      } else {
        NARU_TRY(expect(TokenKind::kBlockBegin));
        NARU_ASSIGN(kid, statement());
      }
      at(id).kids.push_back(kid);
    }
    return id;
  }

  // "{% NAME %}" at the current place.
  Status end_tag(std::string_view name) {
    if (!at_block_named({name}))
      return token().kind == TokenKind::kEnd ? error(fmt::format("'{}' is missing", name)) : unexpected();
    advance();
    advance();
    return expect(TokenKind::kBlockEnd);
  }

  Result<NodeId> statement() {
    NARU_ASSIGN(const std::string name, expect_any_name());
    if (name == "if") return if_statement();
    if (name == "for") return for_statement();
    if (name == "set") return set_statement();
    if (name == "macro") return macro_statement();
    if (name == "filter") return filter_block();
    if (name == "generation") {  // marks what the model says; renders as its body
      NARU_TRY(expect(TokenKind::kBlockEnd));
      NARU_ASSIGN(const NodeId body, block({"endgeneration"}));
      NARU_TRY(end_tag("endgeneration"));
      return body;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) return error(fmt::format("'{}' outside a loop", name));
      NARU_TRY(expect(TokenKind::kBlockEnd));
      return add(name == "break" ? NodeKind::kBreak : NodeKind::kContinue);
    }
    constexpr std::array kRefused = {"include",    "import", "from",  "extends", "block", "call",
                                     "autoescape", "with",   "trans", "do",      "debug"};
    for (const std::string_view refused : kRefused) {
      if (name == refused) {
        return template_error(Code::kUnsupported, token().line,
                              fmt::format("the statement '{}' is not done here", name), "use a template without it");
      }
    }
    return error(fmt::format("'{}' is no statement that belongs here", name));
  }

  Result<NodeId> if_statement() {
    const NodeId id = add(NodeKind::kIf);
    while (true) {
      NARU_ASSIGN(const NodeId condition, tuple_or_expression());
      NARU_TRY(expect(TokenKind::kBlockEnd));
      NARU_ASSIGN(const NodeId body, block({"elif", "else", "endif"}));
      at(id).kids.push_back(condition);
      at(id).kids.push_back(body);
      if (!at_block_named({"elif"})) break;
      advance();
      advance();
    }
    NodeId last = kNoNode;
    if (at_block_named({"else"})) {
      NARU_TRY(end_tag("else"));
      NARU_ASSIGN(last, block({"endif"}));
    }
    at(id).kids.push_back(last);
    NARU_TRY(end_tag("endif"));
    return id;
  }

  Result<NodeId> for_statement() {
    NARU_ASSIGN(const NodeId target, assign_target(false));
    if (!take_name("in")) return error("'in' was wanted");
    NARU_ASSIGN(const NodeId sequence, tuple_or_expression(false));
    NodeId condition = kNoNode;
    if (take_name("if")) {
      NARU_ASSIGN(condition, expression());
    }
    if (is_name("recursive")) {
      return template_error(Code::kUnsupported, token().line, "recursive loops are not done here",
                            "use a template without them");
    }
    NARU_TRY(expect(TokenKind::kBlockEnd));
    ++loops_;
    NARU_ASSIGN(const NodeId body, block({"else", "endfor"}));
    --loops_;
    NodeId otherwise = kNoNode;
    if (at_block_named({"else"})) {
      NARU_TRY(end_tag("else"));
      NARU_ASSIGN(otherwise, block({"endfor"}));
    }
    NARU_TRY(end_tag("endfor"));
    return add(NodeKind::kFor, {}, {target, sequence, condition, body, otherwise});
  }

  Result<NodeId> set_statement() {
    NARU_ASSIGN(const NodeId target, assign_target(true));
    if (take_operator("=")) {
      NARU_ASSIGN(const NodeId value, tuple_or_expression());
      NARU_TRY(expect(TokenKind::kBlockEnd));
      return add(NodeKind::kSet, {}, {target, value});
    }
    NodeId filters = kNoNode;
    NARU_ASSIGN(filters, filter_chain(kNoNode));
    NARU_TRY(expect(TokenKind::kBlockEnd));
    NARU_ASSIGN(const NodeId body, block({"endset"}));
    NARU_TRY(end_tag("endset"));
    return add(NodeKind::kSetBlock, {}, {target, body, filters});
  }

  Result<NodeId> macro_statement() {
    NARU_ASSIGN(std::string name, expect_any_name());
    const NodeId id = add(NodeKind::kMacro, std::move(name), {kNoNode});
    NARU_TRY(expect_operator("("));
    while (!take_operator(")")) {
      if (!at(id).names.empty()) NARU_TRY(expect_operator(","));
      NARU_ASSIGN(std::string parameter, expect_any_name());
      at(id).names.push_back(std::move(parameter));
      if (take_operator("=")) {
        NARU_ASSIGN(const NodeId value, expression());
        at(id).kids.push_back(value);
      } else if (at(id).kids.size() > 1) {
        return error("a parameter without a default after one with a default");
      }
    }
    NARU_TRY(expect(TokenKind::kBlockEnd));
    const int loops = std::exchange(loops_, 0);
    NARU_ASSIGN(const NodeId body, block({"endmacro"}));
    loops_ = loops;
    NARU_TRY(end_tag("endmacro"));
    at(id).kids[0] = body;
    return id;
  }

  Result<NodeId> filter_block() {
    NARU_ASSIGN(const NodeId first, filter(kNoNode));
    NARU_ASSIGN(const NodeId filters, filter_chain(first));
    NARU_TRY(expect(TokenKind::kBlockEnd));
    NARU_ASSIGN(const NodeId body, block({"endfilter"}));
    NARU_TRY(end_tag("endfilter"));
    return add(NodeKind::kFilterBlock, {}, {filters, body});
  }

  // Names to assign to: one, several with commas, or (in set) an attribute of a namespace.
  Result<NodeId> assign_target(bool allows_attribute) {
    std::vector<NodeId> targets;
    bool is_tuple = false;
    const bool in_parentheses = take_operator("(");
    while (true) {
      NARU_ASSIGN(std::string name, expect_any_name());
      if (allows_attribute && is_operator(".")) {
        advance();
        NARU_ASSIGN(std::string attribute, expect_any_name());
        const NodeId id = add(NodeKind::kAttrTarget, std::move(name));
        at(id).names.push_back(std::move(attribute));
        targets.push_back(id);
      } else {
        for (const std::string_view literal : {"true", "false", "none", "True", "False", "None"}) {
          if (name == literal) return error(fmt::format("'{}' cannot be assigned to", name));
        }
        targets.push_back(add(NodeKind::kName, std::move(name)));
      }
      if (!take_operator(",")) break;
      is_tuple = true;
      if (token().kind != TokenKind::kName || is_name("in")) break;
    }
    if (in_parentheses) NARU_TRY(expect_operator(")"));
    if (!is_tuple) return targets[0];
    return add(NodeKind::kTuple, {}, std::move(targets));
  }

  // ---- expressions, weakest binding first ----

  bool at_tuple_end() const {
    return token().kind == TokenKind::kVariableEnd || token().kind == TokenKind::kBlockEnd || is_operator(")");
  }

  // An expression, or several with commas as a tuple. `with_choice` is false where a following "if" belongs to the
  // statement.
  Result<NodeId> tuple_or_expression(bool with_choice = true, bool in_parentheses = false) {
    std::vector<NodeId> items;
    bool is_tuple = false;
    while (!at_tuple_end()) {
      NARU_ASSIGN(const NodeId item, with_choice ? expression() : or_expression());
      items.push_back(item);
      if (!take_operator(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && items.size() == 1) return items[0];
    if (items.empty() && !in_parentheses) return unexpected();
    return add(NodeKind::kTuple, {}, std::move(items));
  }

  Result<NodeId> expression() {
    const Depth depth(depth_);
    NARU_TRY(check_depth());
    NARU_ASSIGN(NodeId value, or_expression());
    while (take_name("if")) {
      NARU_ASSIGN(const NodeId condition, or_expression());
      NodeId other = kNoNode;
      if (take_name("else")) {
        NARU_ASSIGN(other, expression());
      }
      value = add(NodeKind::kChoice, {}, {value, condition, other});
    }
    return value;
  }

  Result<NodeId> or_expression() { return flat(NodeKind::kOr, "or", &Parser::and_expression); }
  Result<NodeId> and_expression() { return flat(NodeKind::kAnd, "and", &Parser::not_expression); }

  // One flat node for a chain of the same word, so that long chains are not deep.
  template <typename Operand>
  Result<NodeId> flat(NodeKind kind, std::string_view word, Operand operand) {
    NARU_ASSIGN(const NodeId first, (this->*operand)());
    if (!is_name(word)) return first;
    std::vector<NodeId> kids = {first};
    while (take_name(word)) {
      NARU_ASSIGN(const NodeId next, (this->*operand)());
      kids.push_back(next);
    }
    return add(kind, {}, std::move(kids));
  }

  Result<NodeId> not_expression() {
    if (!is_name("not")) return compare_expression();
    const Depth depth(depth_);
    NARU_TRY(check_depth());
    advance();
    NARU_ASSIGN(const NodeId operand, not_expression());
    return add(NodeKind::kNot, {}, {operand});
  }

  Result<NodeId> compare_expression() {
    NARU_ASSIGN(const NodeId first, sum_expression());
    NodeId id = kNoNode;
    while (true) {
      std::string name;
      if (token().kind == TokenKind::kOperator && is_compare_operator(token().text)) {
        name = token().text;
        advance();
      } else if (take_name("in")) {
        name = "in";
      } else if (is_name("not") && is_name("in", 1)) {
        name = "not in";
        advance();
        advance();
      } else {
        return id == kNoNode ? first : id;
      }
      NARU_ASSIGN(const NodeId operand, sum_expression());
      if (id == kNoNode) id = add(NodeKind::kCompare, {}, {first});
      at(id).names.push_back(std::move(name));
      at(id).kids.push_back(operand);
    }
  }

  // Left-associative operators of one strength in one flat node, operators in names.
  template <typename Operand>
  Result<NodeId> chain(std::initializer_list<std::string_view> operators, Operand operand) {
    NARU_ASSIGN(const NodeId first, (this->*operand)());
    NodeId id = kNoNode;
    while (true) {
      std::string_view found;
      for (const std::string_view text : operators) {
        if (is_operator(text)) found = text;
      }
      if (found.empty()) return id == kNoNode ? first : id;
      advance();
      NARU_ASSIGN(const NodeId right, (this->*operand)());
      if (id == kNoNode) id = add(NodeKind::kBinary, {}, {first});
      at(id).names.emplace_back(found);
      at(id).kids.push_back(right);
    }
  }

  Result<NodeId> sum_expression() { return chain({"+", "-"}, &Parser::concat_expression); }

  Result<NodeId> concat_expression() {
    NARU_ASSIGN(const NodeId first, product_expression());
    if (!is_operator("~")) return first;
    const NodeId id = add(NodeKind::kConcat, {}, {first});
    while (take_operator("~")) {
      NARU_ASSIGN(const NodeId part, product_expression());
      at(id).kids.push_back(part);
    }
    return id;
  }

  Result<NodeId> product_expression() { return chain({"*", "/", "//", "%"}, &Parser::power_expression); }
  Result<NodeId> power_expression() { return chain({"**"}, &Parser::filtered_expression); }
  Result<NodeId> filtered_expression() { return unary_expression(true); }

  Result<NodeId> unary_expression(bool with_filter) {
    const Depth depth(depth_);
    NARU_TRY(check_depth());
    NodeId id = kNoNode;
    if (is_operator("-") || is_operator("+")) {
      const NodeKind kind = is_operator("-") ? NodeKind::kNegative : NodeKind::kPositive;
      advance();
      NARU_ASSIGN(const NodeId operand, unary_expression(false));
      id = add(kind, {}, {operand});
    } else {
      NARU_ASSIGN(id, primary());
    }
    NARU_ASSIGN(id, postfix(id));
    if (with_filter) {
      NARU_ASSIGN(id, filters_and_tests(id));
    }
    return id;
  }

  Result<NodeId> primary() {
    const Token& t = token();
    switch (t.kind) {
      case TokenKind::kName: return name_or_constant();
      case TokenKind::kText: {
        std::string text = t.text;
        advance();
        for (; token().kind == TokenKind::kText; advance()) text += token().text;
        return add(NodeKind::kText, std::move(text));
      }
      case TokenKind::kInt: {
        int64_t value = 0;
        const auto [end, status] = std::from_chars(t.text.data(), t.text.data() + t.text.size(), value);
        if (status != std::errc() || end != t.text.data() + t.text.size()) return error("a number is too large");
        const NodeId id = add(NodeKind::kInt);
        at(id).number = value;
        advance();
        return id;
      }
      case TokenKind::kDouble: {
        double value = 0;
        const auto [end, status] = std::from_chars(t.text.data(), t.text.data() + t.text.size(), value);
        if (status != std::errc() || end != t.text.data() + t.text.size()) return error("a number is out of range");
        const NodeId id = add(NodeKind::kDouble);
        at(id).real = value;
        advance();
        return id;
      }
      default: break;
    }
    if (take_operator("(")) {
      NARU_ASSIGN(const NodeId id, tuple_or_expression(true, true));
      NARU_TRY(expect_operator(")"));
      return id;
    }
    if (take_operator("[")) return list();
    if (take_operator("{")) return dict();
    return unexpected();
  }

  Result<NodeId> name_or_constant() {
    std::string name = token().text;
    advance();
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      const NodeId id = add(NodeKind::kBool);
      at(id).number = name == "true" || name == "True";
      return id;
    }
    if (name == "none" || name == "None") return add(NodeKind::kNone);
    return add(NodeKind::kName, std::move(name));
  }

  Result<NodeId> list() {
    const NodeId id = add(NodeKind::kList);
    while (!take_operator("]")) {
      if (!at(id).kids.empty()) {
        NARU_TRY(expect_operator(","));
        if (take_operator("]")) break;
      }
      NARU_ASSIGN(const NodeId item, expression());
      at(id).kids.push_back(item);
    }
    return id;
  }

  Result<NodeId> dict() {
    const NodeId id = add(NodeKind::kDict);
    while (!take_operator("}")) {
      if (!at(id).kids.empty()) {
        NARU_TRY(expect_operator(","));
        if (take_operator("}")) break;
      }
      NARU_ASSIGN(const NodeId key, expression());
      NARU_TRY(expect_operator(":"));
      NARU_ASSIGN(const NodeId value, expression());
      at(id).kids.push_back(key);
      at(id).kids.push_back(value);
    }
    return id;
  }

  Result<NodeId> postfix(NodeId id) {
    while (true) {
      if (take_operator(".")) {
        if (token().kind == TokenKind::kInt) {
          NARU_ASSIGN(const NodeId index, primary());
          id = add(NodeKind::kItem, {}, {id, index});
        } else {
          NARU_ASSIGN(std::string name, expect_any_name());
          id = add(NodeKind::kAttr, std::move(name), {id});
        }
      } else if (take_operator("[")) {
        NARU_ASSIGN(id, subscript(id));
      } else if (is_operator("(")) {
        NARU_ASSIGN(id, call(NodeKind::kCall, {}, id));
      } else {
        return id;
      }
    }
  }

  // After "[": an index or a slice.
  Result<NodeId> subscript(NodeId object) {
    NodeId parts[3] = {kNoNode, kNoNode, kNoNode};
    int n_colons = 0;
    while (!is_operator("]")) {
      if (take_operator(":")) {
        if (++n_colons > 2) return unexpected();
        continue;
      }
      if (parts[n_colons] != kNoNode) return unexpected();
      NARU_ASSIGN(parts[n_colons], expression());
    }
    NARU_TRY(expect_operator("]"));
    if (n_colons > 0) return add(NodeKind::kSlice, {}, {object, parts[0], parts[1], parts[2]});
    if (parts[0] == kNoNode) return unexpected();
    return add(NodeKind::kItem, {}, {object, parts[0]});
  }

  // "(...)" where there is one, as the arguments of a node of `kind` whose first kid is `operand`.
  Result<NodeId> call(NodeKind kind, std::string text, NodeId operand) {
    const NodeId id = add(kind, std::move(text), {operand});
    if (!take_operator("(")) return id;
    bool is_first = true;
    while (!take_operator(")")) {
      if (!is_first) {
        NARU_TRY(expect_operator(","));
        if (take_operator(")")) break;
      }
      is_first = false;
      if (is_operator("*") || is_operator("**")) {
        return template_error(Code::kUnsupported, token().line, "'*' arguments are not done here",
                              "use a template without them");
      }
      if (token().kind == TokenKind::kName && is_operator("=", 1)) {
        at(id).names.push_back(token().text);
        advance();
        advance();
      } else if (!at(id).names.empty()) {
        return error("an argument without a name after one with a name");
      }
      NARU_ASSIGN(const NodeId argument, expression());
      at(id).kids.push_back(argument);
    }
    return id;
  }

  // "NAME" or "NAME(...)" of a filter on `operand`.
  Result<NodeId> filter(NodeId operand) {
    NARU_ASSIGN(std::string name, expect_any_name());
    return call(NodeKind::kFilter, std::move(name), operand);
  }

  Result<NodeId> filter_chain(NodeId id) {
    while (take_operator("|")) {
      NARU_ASSIGN(id, filter(id));
    }
    return id;
  }

  Result<NodeId> filters_and_tests(NodeId id) {
    while (true) {
      if (take_operator("|")) {
        NARU_ASSIGN(id, filter(id));
      } else if (take_name("is")) {
        NARU_ASSIGN(id, test(id));
      } else if (is_operator("(")) {
        NARU_ASSIGN(id, call(NodeKind::kCall, {}, id));
      } else {
        return id;
      }
    }
  }

  Result<NodeId> test(NodeId operand) {
    const bool is_negated = take_name("not");
    NARU_ASSIGN(std::string name, expect_any_name());
    NodeId id = kNoNode;
    const Token& next = token();
    const bool starts_argument =
        next.kind == TokenKind::kText || next.kind == TokenKind::kInt || next.kind == TokenKind::kDouble ||
        is_operator("[") || is_operator("{") ||
        (next.kind == TokenKind::kName && next.text != "else" && next.text != "or" && next.text != "and" &&
         next.text != "is" && next.text != "if" && next.text != "not" && next.text != "in");
    if (is_operator("(")) {
      NARU_ASSIGN(id, call(NodeKind::kTest, std::move(name), operand));
    } else {
      id = add(NodeKind::kTest, std::move(name), {operand});
      if (starts_argument) {
        NARU_ASSIGN(NodeId argument, primary());
        NARU_ASSIGN(argument, postfix(argument));
        at(id).kids.push_back(argument);
      }
    }
    return is_negated ? add(NodeKind::kNot, {}, {id}) : id;
  }

  std::vector<Token> tokens_;
  size_t next_ = 0;
  int depth_ = 0;
  int loops_ = 0;
  Template tree_;
};

}  // namespace

Result<Template> parse_template(std::string_view source) {
  NARU_ASSIGN(std::vector<Token> tokens, tokenize_template(source));
  return Parser(std::move(tokens)).run();
}

}  // namespace naru::text::jinja
