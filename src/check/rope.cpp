// Suites of the rotary embedding.
#include <cmath>

#include "check/suite.h"

namespace naru::check {
namespace {

constexpr int64_t kPairs[] = {1, 4, 7, 8, 9, 15, 16, 17, 24, 25, 32, 33, 64};
constexpr int32_t kPositions[] = {0, 1, 2, 31, 512, 4095, 131071, 1 << 24, (1 << 24) + 1};
constexpr int32_t kGoldenPositions[] = {0, 1, 511, 163839};

const DimensionRange kTokens{"tokens", 0, 1 << 20}, kPairRange{"pairs", 1, 1 << 16};

// Cosines and sines of positions that reach far.
struct Table {
  View cos, sin;
};
Table add_table(Program& p, const Case& c, float factor) {
  const int64_t tokens = c.at("tokens"), pairs = c.at("pairs");
  std::vector<int32_t> positions;
  for (int64_t t = 0; t < tokens; ++t) positions.push_back(c.is_golden() ? kGoldenPositions[t % 4] : kPositions[t % 9]);
  std::vector<float> frequencies;
  for (int64_t i = 0; i < pairs; ++i) {
    frequencies.push_back(std::exp2(c.is_golden() ? -static_cast<float>(i) : -0.5f * static_cast<float>(i)));
  }
  if (!c.is_golden() && pairs > 1) frequencies.back() = 0x1p-130f;
  const View at = p.ints(positions, tokens, 1), by = p.floats(frequencies, 1, pairs);
  const Table table{p.output("cos", tokens, pairs), p.output("sin", tokens, pairs)};
  p.run(contract::RopeTable{.positions = at, .frequencies = by, .factor = factor, .cos = table.cos, .sin = table.sin});
  return table;
}

Program build_table(const Case& c) {
  Program p(c.drawing());
  add_table(p, c, c.is("factor_1") ? 1.0f : 1.2079f);
  return p;
}

std::vector<Case> table_cases() {
  CaseList list("rope_table");
  for (const char* kind : {"factor_1", "factor_1.2"}) {
    list.add(kind, {{"tokens", {9}}, {"pairs", {37}}});
    list.add(kind, {{"tokens", {200}}, {"pairs", {32}}});
    list.add(kind, {{"tokens", {2}}, {"pairs", {1}}});
  }
  return list.take();
}

contract::RopeLayout layout_of(const Case& c) {
  return c.is("interleaved") ? contract::RopeLayout::kInterleaved : contract::RopeLayout::kHalfSplit;
}

Program build_rope(const Case& c) {
  Program p(c.drawing());
  const int64_t tokens = c.at("tokens"), pairs = c.at("pairs"), share = c.at("rows_per_token");
  const Table table =
      c.is("table") ? add_table(p, c, 1.25f) : Table{p.drawn(13, tokens, pairs), p.plain(14, tokens, pairs)};
  const View x = p.drawn(12, tokens * share, 2 * pairs);
  const View out = c.is("in_place") ? p.output("out", x) : p.output("out", tokens * share, 2 * pairs);
  p.run(contract::Rope{
      .x = x, .cos = table.cos, .sin = table.sin, .rows_per_token = share, .layout = layout_of(c), .out = out});
  return p;
}

Program build_grad(const Case& c) {
  Program p(c.drawing());
  const int64_t tokens = c.at("tokens"), pairs = c.at("pairs"), share = c.at("rows_per_token");
  const View dy = p.drawn(56, tokens * share, 2 * pairs);
  const View cos = p.drawn(57, tokens, pairs), sin = p.plain(58, tokens, pairs);
  const View dx = c.is("in_place") ? p.output("dx", dy) : p.output("dx", tokens * share, 2 * pairs);
  p.run(
      contract::RopeGrad{.dy = dy, .cos = cos, .sin = sin, .rows_per_token = share, .layout = layout_of(c), .dx = dx});
  return p;
}

std::vector<Case> rotation_cases(std::string_view op, const std::string& behind, int64_t many_tokens) {
  CaseList list(op);
  for (const char* layout : {"interleaved", "half_split"}) {
    for (const char* place : {"/apart", "/in_place"}) {
      for (const Values values : kMostValues) {
        for (const int64_t pairs : kPairs) {
          for (const int64_t share : {1, 3}) {
            const int64_t tokens = pairs == 32 ? many_tokens : 5;
            list.add(layout + (place + behind), {{"tokens", {tokens}}, {"rows_per_token", {share}}, {"pairs", {pairs}}},
                     values);
          }
        }
      }
    }
  }
  return list.take();
}

double rope_elements(const Case& c) {
  return 2 * area(c.at("tokens") * (c.at("rows_per_token") + 1), 2 * c.at("pairs"));
}

}  // namespace

std::vector<Suite> rope_suites() {
  const std::vector<std::string_view> layouts = {"interleaved", "half_split"}, places = {"apart", "in_place"};
  const DimensionRange share{"rows_per_token", 1, 1024};
  return {
      {"rope_table",
       {{"factor_1", "factor_1.2"}},
       {kTokens, kPairRange},
       [](const Case& c) { return 3 * area(c.at("tokens") + 2, c.at("pairs")); },
       fits,
       build_table,
       table_cases},
      {"rope",
       {layouts, places, {"drawn", "table"}},
       {kTokens, share, kPairRange},
       rope_elements,
       fits,
       build_rope,
       [] {
         std::vector<Case> cases = rotation_cases("rope", "/drawn", 200);
         cases.push_back(
             make_case("rope", "half_split/apart/table", {{"tokens", {9}}, {"rows_per_token", {2}}, {"pairs", {37}}}));
         return cases;
       }},
      {"rope_grad",
       {layouts, places},
       {kTokens, share, kPairRange},
       rope_elements,
       fits,
       build_grad,
       [] { return rotation_cases("rope_grad", "", 513); }},
  };
}

}  // namespace naru::check
