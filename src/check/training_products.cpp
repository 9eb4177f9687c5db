// Suites of the products of training: matrices packed anew, gradients of weights, products of two views.
#include <algorithm>

#include "check/suite.h"

namespace naru::check {
namespace {

using contract::Rule;

constexpr const char* kRules[] = {"f32", "bf16"};
constexpr int64_t kSizeMax = 1 << 20;

Rule rule_of(const Case& c) {
  return c.is("bf16") ? Rule::kBF16 : Rule::kF32;
}

// A matrix of zeros is refreshed, then used: the bits of its products are those of a matrix packed anew.
Program build_pack(const Case& c) {
  Program p(c.drawing());
  const int64_t n_groups = c.at("groups"), outputs = c.at("outputs"), inputs = c.at("inputs");
  const bool is_transposed = c.is("columns");
  contract::PackedMatrix* matrix = p.blank_matrix(rule_of(c), n_groups, outputs, inputs);
  std::vector<View> groups;
  for (int64_t g = 0; g < n_groups; ++g) {
    const auto stream = static_cast<uint32_t>(g < 2 ? 30 + g : 100 + g);
    groups.push_back(is_transposed ? p.drawn(stream, inputs, outputs) : p.drawn(stream, outputs, inputs));
  }
  p.run(contract::Pack{.groups = p.list(std::move(groups)),
                       .is_transposed = is_transposed,
                       .is_rounded_first = c.is("rounded_first"),
                       .out = matrix});
  const int64_t rows = 3 * n_groups;
  const View x = p.plain(32, rows, inputs);
  p.run(contract::GroupedMatmul{.x = x, .groups = {}, .targets = {{matrix, p.output("out", rows, outputs)}}});
  return p;
}

std::vector<Case> pack_cases() {
  CaseList list("pack");
  struct Shape {
    int64_t groups, outputs, inputs;
  };
  constexpr Shape kShapes[] = {{1, 1, 1},   {1, 16, 16}, {1, 17, 33},   {3, 15, 31},  {2, 100, 70},
                               {1, 64, 64}, {1, 5, 600}, {1, 70, 1100}, {2, 32, 512}, {1, 40, 0}};
  for (const std::string rule : kRules) {
    for (const char* how : {"/rows/as_is", "/rows/rounded_first", "/columns/as_is", "/columns/rounded_first"}) {
      for (const Values values : kMostValues) {
        for (const Shape& shape : kShapes) {
          list.add(rule + how, {{"groups", {shape.groups}}, {"outputs", {shape.outputs}}, {"inputs", {shape.inputs}}},
                   values);
        }
      }
    }
  }
  return list.take();
}

// Which group a slot's expert is: none chooses group 2 of five; or the first and the last one alone, interleaved; or
// all alike.
std::vector<int32_t> slot_groups(const Case& c) {
  constexpr int32_t kExpertOf[] = {0, 3, 0, 1, 4, 0, 1};
  std::vector<int32_t> chosen;
  const auto n_groups = static_cast<int32_t>(c.at("groups"));
  const bool is_two = c.is("two_experts"), is_even = c.is("even_experts");
  for (int64_t i = 0; i < c.at("slots"); ++i) {
    chosen.push_back(is_even  ? static_cast<int32_t>(i * 7 / 3 % n_groups)
                     : is_two ? (i % 7 == 3 ? n_groups - 1 : 0)
                              : kExpertOf[i % 7] % n_groups);
  }
  return chosen;
}

Program build_weight_grad(const Case& c) {
  Program p(c.drawing());
  const int64_t slots = c.at("slots"), outputs = c.at("outputs"), inputs = c.at("inputs"), share = c.at("rows_share");
  const View dy = p.drawn(36, slots, outputs), x = p.drawn(37, slots / share, inputs);
  const View groups = c.is("heads") ? View{} : p.ints(slot_groups(c), slots, 1);
  std::vector<View> out;
  for (int64_t g = 0; g < c.at("groups"); ++g) {
    const auto stream = static_cast<uint32_t>(g < 3 ? 33 + g : 100 + g);
    const Values start = c.values == Values::kNotFinite ? Values::kPlain : c.values;
    out.push_back(p.output("out of group " + std::to_string(g), p.drawn(stream, outputs, inputs, start)));
  }
  p.run(contract::WeightGrad{
      .dy = dy, .x = x, .groups = groups, .rows_share = share, .rule = rule_of(c), .out = p.list(std::move(out))});
  return p;
}

std::vector<Case> weight_grad_cases() {
  CaseList list("weight_grad");
  for (const std::string rule : kRules) {
    const auto add = [&](const char* groups, int64_t slots, int64_t outputs, int64_t inputs, int64_t n_groups = 1,
                         int64_t share = 1, Values values = Values::kPlain) -> Case& {
      return list.add(rule + groups,
                      {{"slots", {slots}},
                       {"outputs", {outputs}},
                       {"inputs", {inputs}},
                       {"groups", {n_groups}},
                       {"rows_share", {share}}},
                      values);
    };
    for (const int64_t slots : {0, 1, 31, 32, 33, 511, 2047, 2048, 2049, 5000}) add("/heads", slots, 17, 19);
    add("/heads", 8193, 3, 5);
    for (const int64_t outputs : {1, 2, 5, 8, 15, 16, 17, 33, 100}) {
      for (const int64_t inputs : {1, 15, 16, 17, 33, 100}) add("/heads", 45, outputs, inputs);
    }
    for (int64_t outputs = 1; outputs <= 34; ++outputs) add("/heads", 37, outputs, 18);
    add("/heads", 600, 200, 130).is_large = true;
    for (const Values values : kMostValues) {
      for (const int64_t slots : {1, 33, 2050}) add("/heads", slots, 21, 18, 1, 1, values);
      add("/experts", 33, 21, 18, 5, 1, values);
    }
    for (const int64_t tokens : {1, 7, 40, 1100}) {
      for (const int64_t share : {1, 3}) add("/experts", tokens * share, 19, 35, 5, share);
    }
    add("/two_experts", 6000, 6, 17, 3, 2);  // one with more slots than a segment
    add("/even_experts", 300, 6, 17, 24, 2);
    add("/heads", 40, 6, 17, 1, 4);
    for (const int64_t share : {1, 4}) add("/heads", 280, 24, 33, 4, share);
    // More memory than one run takes: the operands are cut into chunks of rows and panels.
    add("/heads", 100003, 30, 66).is_large = true;
  }
  return list.take();
}

Program build_product(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), outputs = c.at("outputs"), inputs = c.at("inputs");
  const bool a_transposed = c.is("a_columns"), b_transposed = c.is("b_columns");
  const View a = a_transposed ? p.drawn(38, inputs, rows) : p.drawn(38, rows, inputs);
  const View b = b_transposed ? p.drawn(39, inputs, outputs) : p.drawn(39, outputs, inputs);
  p.run(contract::Product{.a = a,
                          .b = b,
                          .a_transposed = a_transposed,
                          .b_transposed = b_transposed,
                          .rule = rule_of(c),
                          .out = p.output("out", rows, outputs)});
  return p;
}

std::vector<Case> product_cases() {
  CaseList list("product");
  for (const std::string rule : kRules) {
    const auto add = [&](const char* sides, int64_t rows, int64_t outputs, int64_t inputs,
                         Values values = Values::kPlain) -> Case& {
      return list.add(rule + sides, {{"rows", {rows}}, {"outputs", {outputs}}, {"inputs", {inputs}}}, values);
    };
    for (const char* sides : {"/a_rows/b_rows", "/a_rows/b_columns", "/a_columns/b_rows", "/a_columns/b_columns"}) {
      for (const int64_t inputs : {0, 1, 15, 16, 17, 31, 32, 33, 100, 2047, 2048, 2049, 5000})
        add(sides, 9, 17, inputs);
      for (const auto& [rows, outputs] :
           {std::pair<int64_t, int64_t>{1, 1}, {1, 33}, {33, 1}, {15, 16}, {31, 47}, {100, 100}}) {
        add(sides, rows, outputs, 70);
      }
      add(sides, 0, 5, 7);
      add(sides, 5, 0, 7);
      for (const Values values : kMostValues) add(sides, 18, 21, 33, values);
      for (const Values values : {Values::kTiny, Values::kEdge}) {
        for (const int64_t inputs : {1, 33}) add(sides, 18, 21, inputs, values);
      }
    }
    add("/a_rows/b_rows", 30, 66, 100003).is_large = true;  // more than one run takes
  }
  return list.take();
}

}  // namespace

std::vector<Suite> training_product_suites() {
  const std::vector<std::string_view> rules = {"f32", "bf16"};
  const DimensionRange outputs{"outputs", 0, kSizeMax}, inputs{"inputs", 0, kSizeMax}, groups{"groups", 1, 65536, 1};
  return {
      {"pack",
       {rules, {"rows", "columns"}, {"as_is", "rounded_first"}},
       {groups, {"outputs", 1, kSizeMax}, inputs},
       [](const Case& c) {
         return c.at("groups") * (area(c.at("outputs") + 3, c.at("inputs")) + area(c.at("inputs"), c.at("outputs")) +
                                  area(3, c.at("outputs")));
       },
       fits,
       build_pack,
       pack_cases},
      {"weight_grad",
       {rules, {"heads", "experts", "two_experts", "even_experts"}},
       {{"slots", 0, kSizeMax}, {"outputs", 1, kSizeMax}, {"inputs", 1, kSizeMax}, groups, {"rows_share", 1, 1024, 1}},
       [](const Case& c) {
         return area(c.at("slots"), c.at("outputs") + c.at("inputs")) +
                c.at("groups") * area(c.at("outputs"), c.at("inputs"));
       },
       [](const Case& c) -> std::string {
         return c.at("slots") % c.at("rows_share") == 0 ? "" : "the rows of x do not fill the slots";
       },
       build_weight_grad,
       weight_grad_cases},
      {"product",
       {rules, {"a_rows", "a_columns"}, {"b_rows", "b_columns"}},
       {{"rows", 0, kSizeMax}, outputs, inputs},
       [](const Case& c) {
         const int64_t m = c.at("rows"), n = c.at("outputs"), k = c.at("inputs");
         return area(m, k) + area(k, m) + area(n, k) + area(k, n) + area(m, n);
       },
       fits,
       build_product,
       product_cases},
  };
}

}  // namespace naru::check
