#include "check/golden_cases.h"

#include <fmt/format.h>

#include <algorithm>

#include "check/kinds.h"

namespace naru::check {
namespace {

Case golden(std::string_view op, std::string_view kind, std::initializer_list<Dimension> dimensions) {
  return make_case(op, kind, dimensions, Values::kGolden);
}

using Cases = std::vector<GoldenCase>;

void add_products(Cases& cases) {
  for (const StoredKind& kind : kStoredKinds) {
    if (kind.name == "f16_as_bf16") continue;
    const bool is_block = contract::is_block_rule(kind.rule);
    const std::string name(kind.name);
    // Block kinds: one segment and a block into the next; float kinds: an odd row beyond a segment.
    for (const int64_t rows : {1, 9}) {
      cases.push_back({fmt::format("matmul/{}/rows_{}", name, rows),
                       {golden("matmul", name + "/bias/one",
                               {{"rows", {rows}}, {"inputs", {is_block ? 2304 : 2081}}, {"outputs", {35}}})}});
    }
    const int64_t narrow = is_block ? 256 : 77;
    cases.push_back(
        {"grouped_matmul/" + name,
         {golden("grouped_matmul", name + "/experts/one",
                 {{"rows", {4}}, {"inputs", {narrow}}, {"outputs", {17}}, {"groups", {5}}, {"rows_share", {3}}})}});
    cases.push_back(
        {"embed/" + name, {golden("embed", name, {{"rows", {4}}, {"inputs", {narrow}}, {"outputs", {19}}})}});
  }
}

void add_training_products(Cases& cases) {
  const auto pack = [](const std::string& kind) {
    return golden("pack", kind, {{"groups", {2}}, {"outputs", {37}}, {"inputs", {45}}});
  };
  // Experts: group 1 has no slots, group 0 more than a segment. Heads: group i mod 3.
  const auto weight_grad = [](const std::string& kind) {
    return golden("weight_grad", kind,
                  {{"slots", {2520}}, {"outputs", {21}}, {"inputs", {35}}, {"groups", {3}}, {"rows_share", {2}}});
  };
  const auto product = [](const std::string& kind) {
    return golden("product", kind, {{"rows", {19}}, {"outputs", {33}}, {"inputs", {2081}}});
  };
  for (const std::string rule : {"f32", "bf16"}) {
    for (const std::string side : {"rows", "columns"}) {
      const bool is_columns = side == "columns";
      cases.push_back({"pack/" + rule + "/" + side, {pack(rule + "/" + side + "/as_is")}});
      cases.push_back({"weight_grad/" + rule + (is_columns ? "/experts" : "/heads"),
                       {weight_grad(rule + (is_columns ? "/two_experts" : "/heads"))}});
      cases.push_back({"product/" + rule + "/a_" + side + "_b_columns", {product(rule + "/a_" + side + "/b_columns")}});
    }
    cases.push_back({"product/" + rule + "/a_rows_b_rows", {product(rule + "/a_rows/b_rows")}});
  }
  cases.push_back({"pack/f32/rounded_first", {pack("f32/rows/rounded_first")}});
}

void add_rows(Cases& cases) {
  for (const int64_t cols : {1, 33, 2049}) {
    const auto three = [&](std::string_view op, std::string_view kind) {
      return golden(op, kind, {{"rows", {3}}, {"cols", {cols}}});
    };
    const auto name = [&](const char* op) { return fmt::format("{}/{}", op, cols); };
    cases.push_back({name("rms_norm"), {three("rms_norm", "eps/apart")}});
    cases.push_back(
        {name("elementwise"), {three("silu_mul", "apart/drawn"), three("add", "apart"), three("round_bf16", "apart")}});
    cases.push_back({name("log_prob"), {three("log_prob", "")}});
    cases.push_back(
        {name("rms_norm_grad"), {golden("rms_norm_grad", "eps/apart/dweight", {{"rows", {5}}, {"cols", {cols}}})}});
    cases.push_back({name("silu_mul_grad"), {three("silu_mul_grad", "apart")}});
    cases.push_back({name("cross_entropy"), {three("cross_entropy", "apart")}});
    cases.push_back(
        {name("combine_grad"), {golden("combine_grad", "", {{"rows", {3}}, {"cols", {cols}}, {"chosen", {4}}})}});
  }
  for (const std::string layout : {"interleaved", "half_split"}) {
    const std::initializer_list<Dimension> shape = {{"tokens", {4}}, {"rows_per_token", {3}}, {"pairs", {20}}};
    cases.push_back({"rope/" + layout, {golden("rope", layout + "/apart/table", shape)}});
    cases.push_back({"rope_grad/" + layout, {golden("rope_grad", layout + "/apart", shape)}});
  }
  cases.push_back({"combine", {golden("combine", "shared/apart", {{"rows", {3}}, {"cols", {45}}, {"chosen", {4}}})}});
  // Rows beyond a segment of 2048.
  cases.push_back({"column_sum", {golden("column_sum", "drawn_start", {{"rows", {4101}}, {"cols", {19}}})}});
  cases.push_back({"sum_slots", {golden("sum_slots", "", {{"rows", {5}}, {"cols", {45}}, {"slots", {6}}})}});
  cases.push_back({"embed_grad", {golden("embed_grad", "", {{"rows", {6}}, {"cols", {45}}, {"table", {9}}})}});
}

void add_experts(Cases& cases) {
  for (const std::string scoring : {"softmax", "sigmoid"}) {
    const char* how = scoring == "sigmoid" ? "/bias_and_normalised" : "/as_is";
    int number = 0;
    for (const char* groups : {"/no_groups", "/max_groups", "/top_two_groups"}) {
      cases.push_back({fmt::format("route/{}/groups_{}", scoring, number++),
                       {golden("route", scoring + groups + how,
                               {{"rows", {5}}, {"experts", {24}}, {"chosen", {3}}, {"groups", {4}}, {"kept", {2}}})}});
    }
    const std::initializer_list<Dimension> shape = {{"rows", {5}}, {"experts", {24}}, {"chosen", {3}}};
    cases.push_back({"route_given/" + scoring, {golden("route", scoring + "/no_groups/given", shape)}});
    cases.push_back({"route_grad/" + scoring, {golden("route_grad", scoring + "/as_is/no_dscores", shape)}});
    cases.push_back(
        {"route_grad/" + scoring + "/normalised", {golden("route_grad", scoring + "/normalised/dscores", shape)}});
    cases.push_back(
        {"balance_loss/" + scoring,
         {golden("balance_loss", scoring, {{"rows", {5}}, {"experts", {24}}, {"chosen", {3}}, {"documents", {2}}})}});
  }
}

void add_optimizer(Cases& cases) {
  const auto of = [](std::string_view op, std::string_view kind, int64_t rows, int64_t cols) {
    return golden(op, kind, {{"rows", {rows}}, {"cols", {cols}}});
  };
  cases.push_back({"fill", {of("fill", "-1.75", 3, 21)}});
  cases.push_back({"axpby", {of("axpby", "factors/apart", 3, 45), of("axpby", "factors/no_y", 3, 45)}});
  cases.push_back({"sum_of_squares", {of("sum_of_squares", "", 11, 2081)}});
  cases.push_back({"adamw", {of("adamw", "step_1", 3, 45)}});
}

void add_attention(Cases& cases) {
  for (const bool is_selected : {false, true}) {
    for (const std::string dtype : {"f32", "bf16"}) {
      for (const std::string form : {"latent", "grouped"}) {
        const bool is_latent = form == "latent";
        const std::string kind = dtype + "/" + form + (is_selected ? "/mixed" : "/every");
        const std::string name = is_selected ? "attention_selected" : "attention";
        const auto case_of = [&](const char* op, const std::string& words, std::vector<Dimension> feed) {
          const std::initializer_list<Dimension> shape = {{"heads", {6}},
                                                          {"key_heads", {is_latent ? 1 : 2}},
                                                          {"width", {is_latent ? 72 : 40}},
                                                          {"value_width", {is_latent ? 56 : 24}},
                                                          {"scale_log2", {-4}},
                                                          {"lengths", feed[0].sizes}};
          Case c = make_case(op, words, shape, Values::kGolden);
          for (Dimension& dimension : c.dimensions) {
            if (dimension.name == "last") dimension.sizes = feed[1].sizes;
          }
          return c;
        };
        // A sequence of 530 positions, and queries at its end: across cache pages and a segment of 512.
        cases.push_back({name + "/" + dtype + "/" + form,
                         {case_of("attention", kind + "/no_stats", {{"lengths", {530}}, {"last", {21}}})}});
        // Packed documents, long and short, forward with stats and then back.
        cases.push_back({name + "_grad/" + dtype + "/" + form,
                         {case_of("attention_grad", kind, {{"lengths", {2, 3, 67, 33}}, {"last", {0}}})},
                         "out"});
      }
    }
  }
}

}  // namespace

const std::vector<GoldenCase>& golden_cases() {
  static const Cases kCases = [] {
    Cases cases;
    add_products(cases);
    add_training_products(cases);
    add_rows(cases);
    add_experts(cases);
    add_optimizer(cases);
    add_attention(cases);
    return cases;
  }();
  return kCases;
}

bool is_golden_case(const Case& c) {
  const auto is_it = [&](const Case& golden_case) {
    Case alike = c;
    alike.seed = golden_case.seed, alike.gap = golden_case.gap, alike.is_large = golden_case.is_large;
    return case_line(alike) == case_line(golden_case);
  };
  const std::vector<GoldenCase>& all = golden_cases();
  return std::any_of(all.begin(), all.end(), [&](const GoldenCase& golden_case) {
    return std::any_of(golden_case.cases.begin(), golden_case.cases.end(), is_it);
  });
}

}  // namespace naru::check
