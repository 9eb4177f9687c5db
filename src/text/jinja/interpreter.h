// Runs a template's tree on data. Everything a template can do is bounded: steps, bytes made, bytes put out, depth of
// calls, length of lists. It reads no clock, file or variable but what it is given.
#pragma once

#include <ctime>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/jinja/ast.h"
#include "text/jinja/data.h"

namespace naru::text::jinja {

struct Limits {
  int64_t steps_max = 1000000;   // nodes visited, items handled
  int64_t output_bytes_max = 0;  // of the rendered text, and of any one string
  int64_t work_bytes_max = 0;    // of all strings made on the way
};

struct Arguments {
  std::vector<Val> items;
  std::vector<std::pair<std::string, Val>> named;

  // The argument at a position or of a name; nullptr where it is not given.
  const Val* find(size_t position, std::string_view name) const;
};

// Names that strings and lists answer to. Some are refused when called: those that would change a list.
bool is_text_method(std::string_view name);
bool is_list_method(std::string_view name);

class Interpreter {
 public:
  // `tree` must outlive the interpreter. `variables` are the template's names; `now` is what strftime_now sees.
  Interpreter(const Template& tree, std::vector<std::pair<std::string, Val>> variables, const std::tm& now,
              const Limits& limits);

  Result<Text> run();

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue };
  using Scope = std::unordered_map<std::string, Val>;
  // Counts how deep the interpreter is in itself; step() checks it.
  class Depth {
   public:
    explicit Depth(int& depth) : depth_(depth) { ++depth_; }
    ~Depth() { --depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    int& depth_;
  };

  // Statements (interpreter.cpp).
  Result<Flow> run_block(NodeId id, Text& out);
  Result<Flow> run_statement(const Node& node, Text& out);
  Result<Flow> run_if(const Node& node, Text& out);
  Result<Flow> run_for(const Node& node, Text& out);
  Result<Val> filtered_items(const Node& node, std::vector<Val> items);
  Status run_set_block(const Node& node);
  Status run_filter_block(const Node& node, Text& out);
  Status put(const Val& value, Text& out);
  Status assign(const Node& target, Val value);
  Result<Text> captured(NodeId block);

  // Expressions (expressions.cpp).
  Result<Val> evaluate(NodeId id);
  Result<Val> evaluate_node(const Node& node);
  Result<Val> evaluate_name(const Node& node);
  Result<Val> evaluate_list(const Node& node);
  Result<Val> evaluate_dict(const Node& node);
  Result<Val> evaluate_item(const Node& node);
  Result<Val> evaluate_slice(const Node& node);
  Result<Val> evaluate_call(const Node& node);
  Result<Val> evaluate_filter(const Node& node);
  Result<Val> evaluate_test(const Node& node);
  Result<Val> evaluate_negative(const Node& node);
  Result<Val> evaluate_binary(const Node& node);
  Result<Val> evaluate_concat(const Node& node);
  Result<Val> evaluate_compare(const Node& node);
  Result<Val> evaluate_logic(const Node& node);
  Result<Val> evaluate_choice(const Node& node);
  Result<Arguments> evaluate_arguments(const Node& node);
  Result<Val> binary(std::string_view op, const Val& a, const Val& b);
  Result<Val> integer_binary(std::string_view op, int64_t a, int64_t b);
  Result<Val> repeat(const Val& sequence, int64_t n);
  Result<bool> compare(std::string_view op, const Val& a, const Val& b);
  Result<bool> contains(const Val& container, const Val& item);
  Result<Val> attribute(const Val& object, std::string_view name);
  Result<Val> loop_attribute(const Loop& loop, std::string_view name);
  Result<Val> item(const Val& object, const Val& index);
  Result<Val> attribute_path(const Val& object, const Val& path);

  // Calls (calls.cpp, methods.cpp).
  Result<Val> call(const Val& callee, const Arguments& arguments);
  Result<Val> call_macro(const Node& macro, const Arguments& arguments);
  Result<Val> call_global(std::string_view name, const Arguments& arguments);
  Result<Val> call_loop_method(Loop& loop, std::string_view name, const Arguments& arguments);
  Result<Val> call_range(const Arguments& arguments);
  Result<Val> call_namespace(const Arguments& arguments);
  Result<Val> call_dict(const Arguments& arguments);
  Result<Val> call_strftime_now(const Arguments& arguments);
  Result<Val> call_text_method(const TextPtr& self, std::string_view name, const Arguments& arguments);
  Result<Val> call_list_method(const List& self, std::string_view name, const Arguments& arguments);
  Result<Val> call_dict_method(const Dict& self, std::string_view name, const Arguments& arguments);
  Result<Val> split(const Text& text, const Val* separator, int64_t splits_max, bool from_right);
  Result<Val> split_blank(const Text& text, int64_t splits_max);
  Result<Val> split_lines(const Text& text);
  Result<Val> replace(const Text& text, const Text& from, const Text& to, int64_t count);
  Result<Val> change_case(const Text& text, std::string_view how);
  Result<Val> strip(const Text& text, const Val* characters, bool left, bool right);
  Result<Val> affix_test(const Text& text, const Arguments& arguments, bool at_start);
  Result<Val> find_in(const Text& text, std::string_view name, const Arguments& arguments);
  Result<Val> partition(const Text& text, const Arguments& arguments, bool from_right);

  // Filters and tests (filters.cpp, sequence_filters.cpp, tests.cpp).
  Result<Val> filter(std::string_view name, const Val& value, const Arguments& arguments);
  Result<Val> sequence_filter(std::string_view name, const Val& value, const Arguments& arguments);
  Result<Val> filter_json(const Val& value, const Arguments& arguments);
  Result<Val> filter_number(std::string_view name, const Val& value, const Arguments& arguments);
  Result<Val> filter_round(const Val& value, const Arguments& arguments);
  Result<Val> filter_indent(const Val& value, const Arguments& arguments);
  Result<Val> filter_length(const Val& value);
  Result<Val> filter_join(const Val& value, const Arguments& arguments);
  Result<Val> filter_map(const Val& value, const Arguments& arguments);
  Result<Val> filter_select(std::string_view name, const Val& value, const Arguments& arguments);
  Result<Val> filter_sort(const Val& value, const Arguments& arguments);
  Result<Val> filter_extreme(const Val& value, const Arguments& arguments, int wanted);
  Result<Val> filter_unique(const Val& value, const Arguments& arguments);
  Result<Val> filter_dictsort(const Val& value, const Arguments& arguments);
  Result<bool> test(std::string_view name, const Val& value, const Arguments& arguments);
  Result<bool> test_case(const Val& value, uint16_t wanted, uint16_t unwanted);

  // The items that iterating over a value gives.
  Result<std::vector<Val>> items_of(const Val& value);
  Result<Text> text_of(const Val& value);
  // A string of the template's making; counted.
  Result<Val> made(Text text);
  Result<Val> made_list(std::vector<Val> items, bool is_tuple = false);
  // The argument as a string, or an error that names it.
  Result<TextPtr> need_text(const Arguments& arguments, size_t position, std::string_view name);
  Result<int64_t> integer_or(const Arguments& arguments, size_t position, std::string_view name, int64_t fallback);

  Status step(int64_t n = 1);
  Status count_bytes(size_t n);
  Status count_name(std::string_view name);  // names cost where they are long
  Error error(std::string_view what, Code code = Code::kInvalidArgument) const;
  Error wrong_operands(std::string_view op, const Val& a, const Val& b) const;
  const Val* find_variable(const std::string& name) const;

  const Template& tree_;
  std::tm now_;
  Limits limits_;
  int64_t steps_left_;
  int64_t work_bytes_left_;
  int depth_ = 0;
  int32_t line_ = 0;
  std::deque<Scope> scopes_;  // the first is the template's; those below frame_ belong to callers
  size_t frame_ = 0;
  std::deque<Namespace> namespaces_;
};

}  // namespace naru::text::jinja
