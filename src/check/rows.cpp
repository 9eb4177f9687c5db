// Suites of row functions and elementwise ops.
#include <cmath>
#include <limits>

#include "check/suite.h"

namespace naru::check {
namespace {

constexpr Values kFiniteValues[] = {Values::kPlain, Values::kWide, Values::kLow};
constexpr int64_t kColumns[] = {1, 2, 15, 16, 17, 31, 32, 33, 576, 2047, 2048, 2049, 7168};

double three_areas(const Case& c) {
  return 3 * area(c.at("rows"), c.at("cols"));
}

// Few rows of every width, and enough rows of one width that two threads share them.
template <typename Add>
void for_shapes(const Add& add) {
  for (const int64_t cols : kColumns) add(int64_t{3}, cols);
  add(int64_t{70}, int64_t{601});
}

Program build_rms_norm(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols");
  const View x = p.drawn(7, rows, cols), weight = p.plain(8, 1, cols);
  const View out = c.is("in_place") ? p.output("out", x) : p.output("out", rows, cols);
  p.run(contract::RmsNorm{.x = x, .weight = weight, .eps = c.is("eps") ? 1e-6f : 0.0f, .out = out});
  return p;
}

std::vector<Case> rms_norm_cases() {
  CaseList list("rms_norm");
  for (const char* kind : {"eps/apart", "no_eps/apart", "eps/in_place", "no_eps/in_place"}) {
    for (const Values values : {Values::kPlain, Values::kLow}) {
      for_shapes([&](int64_t rows, int64_t cols) { list.add(kind, {{"rows", {rows}}, {"cols", {cols}}}, values); });
    }
    list.add(kind, {{"rows", {70}}, {"cols", {601}}}, Values::kNotFinite);
    list.add(kind, {{"rows", {9}}, {"cols", {33}}}, Values::kWide);
  }
  return list.take();
}

Program build_add(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols");
  const View a = p.drawn(9, rows, cols), b = p.drawn(10, rows, cols);
  const View out = c.is("apart") ? p.output("out", rows, cols) : p.output("out", c.is("in_a") ? a : b);
  p.run(contract::Add{.a = a, .b = b, .out = out});
  return p;
}

Program build_silu_mul(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols");
  const View gate = p.drawn(9, rows, cols), up = p.drawn(10, rows, cols);
  if (c.is("all_exponents")) {  // exp over its whole range, both ends and the neighbours of its limits
    Filler filler = p.filler(11);
    const float edges[] = {0x1.62e42ep+6f, 0x1.62e430p+6f, 88.0f, 0x1.600002p+6f, -88.0f, 104.0f, 0x1p-149f, 0.0f};
    for (int64_t i = 0; i < rows * cols; ++i) {
      const uint32_t random = filler.bits();
      const float any = std::bit_cast<float>(random), near = (static_cast<float>(random) * 0x1p-32f - 0.5f) * 180.0f;
      float& x = p.row(gate, i / cols)[i % cols];
      x = i < 16 ? (i < 8 ? edges[i] : -edges[i - 8]) : i % 2 == 0 ? any : near;
      p.row(up, i / cols)[i % cols] = 1.0f;
    }
  }
  const View out = c.is("in_gate") ? p.output("out", gate)
                   : c.is("in_up") ? p.output("out", up)
                                   : p.output("out", rows, cols);
  p.run(contract::SiluMul{.gate = gate, .up = up, .out = out});
  return p;
}

Program build_round(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols");
  const View x = p.drawn(9, rows, cols);
  p.run(contract::RoundBF16{.x = x, .out = c.is("in_place") ? p.output("out", x) : p.output("out", rows, cols)});
  return p;
}

std::vector<Case> elementwise_cases(std::string_view op, std::initializer_list<const char*> kinds) {
  CaseList list(op);
  for (const char* kind : kinds) {
    for (const Values values : kMostValues) {
      for_shapes([&](int64_t rows, int64_t cols) { list.add(kind, {{"rows", {rows}}, {"cols", {cols}}}, values); });
    }
    list.add(kind, {{"rows", {0}}, {"cols", {5}}});
  }
  return list.take();
}

std::vector<Case> silu_mul_cases() {
  std::vector<Case> cases = elementwise_cases("silu_mul", {"apart/drawn", "in_gate/drawn", "in_up/drawn"});
  cases.push_back(make_case("silu_mul", "apart/all_exponents", {{"rows", {64}}, {"cols", {4096}}}));
  return cases;
}

Program build_combine(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols"), chosen = c.at("chosen");
  const View y = p.drawn(15, rows * chosen, cols), gates = p.plain(16, rows, chosen);
  const View shared = c.is("shared") ? p.drawn(17, rows, cols) : View{};
  const View residual = p.drawn(18, rows, cols);
  const View out = c.is("in_place") ? p.output("out", residual) : p.output("out", rows, cols);
  p.run(contract::Combine{.y = y, .gates = gates, .shared = shared, .residual = residual, .out = out});
  return p;
}

std::vector<Case> combine_cases() {
  CaseList list("combine");
  for (const Values values : kFiniteValues) {
    for (const int64_t cols : {1, 15, 17, 33, 2049}) {
      for (const int64_t chosen : {1, 2, 6, 8}) {
        for (const char* kind : {"alone/in_place", "shared/in_place", "shared/apart"}) {
          list.add(kind, {{"rows", {11}}, {"cols", {cols}}, {"chosen", {chosen}}}, values);
        }
      }
    }
  }
  return list.take();
}

Program build_log_prob(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols");
  const View logits = p.drawn(11, rows, cols);
  Filler filler = p.filler(12);
  std::vector<int32_t> targets;
  for (int64_t t = 0; t < rows; ++t) targets.push_back(static_cast<int32_t>(filler.below(cols)));
  if (c.is_golden()) {
    const auto last = static_cast<int32_t>(cols - 1);
    targets = {0, last, last / 2};
  } else if (rows > 1) {  // exponentials down to the end of the exponent, and one that is zero
    for (int64_t k = 0; k < cols; ++k) p.row(logits, 1)[k] *= 100.0f;
    if (cols > 1) p.row(logits, 0)[cols - 1] = -std::numeric_limits<float>::infinity();
  }
  const View ids = p.ints(targets, rows, 1);
  p.run(contract::LogProb{.logits = logits, .targets = ids, .out = p.output("out", rows, 1)});
  return p;
}

std::vector<Case> log_prob_cases() {
  CaseList list("log_prob");
  for (const Values values : {Values::kPlain, Values::kLow}) {
    for (const int64_t cols : {1, 2, 15, 16, 17, 31, 33, 2047, 2048, 2049, 7168, 49152, 129280}) {
      list.add("", {{"rows", {cols > 8000 ? 2 : 5}}, {"cols", {cols}}}, values);
    }
  }
  list.add("", {{"rows", {9}}, {"cols", {300}}}, Values::kNotFinite);
  return list.take();
}

}  // namespace

std::vector<Suite> row_suites() {
  return {
      {"rms_norm",
       {{"eps", "no_eps"}, {"apart", "in_place"}},
       {kRows, kCols},
       three_areas,
       fits,
       build_rms_norm,
       rms_norm_cases},
      {"round_bf16",
       {{"apart", "in_place"}},
       {kRows, kCols},
       three_areas,
       fits,
       build_round,
       [] {
         return elementwise_cases("round_bf16", {"apart", "in_place"});
       }},
      {"silu_mul",
       {{"apart", "in_gate", "in_up"}, {"drawn", "all_exponents"}},
       {kRows, kCols},
       three_areas,
       fits,
       build_silu_mul,
       silu_mul_cases},
      {"add",
       {{"apart", "in_a", "in_b"}},
       {kRows, kCols},
       three_areas,
       fits,
       build_add,
       [] {
         return elementwise_cases("add", {"apart", "in_a", "in_b"});
       }},
      {"combine",
       {{"alone", "shared"}, {"apart", "in_place"}},
       {kRows, kCols, {"chosen", 1, 64}},
       [](const Case& c) { return area(c.at("rows") * (c.at("chosen") + 4), c.at("cols")); },
       fits,
       build_combine,
       combine_cases},
      {"log_prob", {}, {kRows, kCols}, three_areas, fits, build_log_prob, log_prob_cases},
  };
}

}  // namespace naru::check
