// Suites of gradients of row functions, of the experts' combination and of the embedding, and of sums over rows.
#include "check/shapes.h"
#include "check/suite.h"

namespace naru::check {
namespace {

double four_areas(const Case& c) {
  return 4 * area(c.at("rows") + 2, c.at("cols"));
}

Program build_column_sum(const Case& c) {
  Program p(c.drawing());
  const View x = p.drawn(52, c.at("rows"), c.at("cols")), out = p.output("out", p.drawn(51, 1, c.at("cols")));
  if (c.is("low_start")) {
    for (int64_t k = 0; k < out.cols; ++k) p.row(out, 0)[k] = k % 2 == 0 ? -0.0f : -0x1p-140f;
  }
  p.run(contract::ColumnSum{.x = x, .out = out});
  return p;
}

std::vector<Case> column_sum_cases() {
  CaseList list("column_sum");
  std::vector<Shape> shapes = gradient_shapes();
  shapes.push_back({300, 2600});  // several strips
  for (const Values values : kMostValues) {
    for (const Shape shape : shapes) list.add("drawn_start", {{"rows", {shape.rows}}, {"cols", {shape.cols}}}, values);
  }
  list.add("low_start", {{"rows", {0}}, {"cols", {20}}});
  list.add("low_start", {{"rows", {3}}, {"cols", {20}}}, Values::kLow);
  return list.take();
}

Program build_sum_slots(const Case& c) {
  Program p(c.drawing());
  const View x = p.drawn(53, c.at("rows") * c.at("slots"), c.at("cols"));
  p.run(contract::SumSlots{.x = x, .out = p.output("out", c.at("rows"), c.at("cols"))});
  return p;
}

std::vector<Case> sum_slots_cases() {
  CaseList list("sum_slots");
  for (const Values values : kMostValues) {
    for (const int64_t slots : {1, 2, 6, 8}) {
      for (const Shape shape : gradient_shapes()) {
        if (shape.rows * shape.cols > 40000) continue;
        list.add("", {{"rows", {shape.rows}}, {"cols", {shape.cols}}, {"slots", {slots}}}, values);
      }
    }
  }
  return list.take();
}

Program build_rms_norm_grad(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols");
  const View x = p.drawn(40, rows, cols), weight = p.plain(41, 1, cols), dy = p.drawn(42, rows, cols);
  const View dx = c.is("in_place") ? p.output("dx", dy) : p.output("dx", rows, cols);
  const View dweight = c.is("dweight") ? p.output("dweight", p.plain(43, 1, cols)) : View{};
  // r is infinite where eps is 0.
  for (int64_t k = 0; k < cols && rows > 0 && !c.is_golden(); ++k) p.row(x, rows / 2)[k] = 0.0f;
  p.run(contract::RmsNormGrad{
      .x = x, .weight = weight, .eps = c.is("eps") ? 1e-6f : 0.0f, .dy = dy, .dx = dx, .dweight = dweight});
  return p;
}

std::vector<Case> rms_norm_grad_cases() {
  CaseList list("rms_norm_grad");
  std::vector<Shape> shapes = gradient_shapes();
  shapes.push_back({200, 2049});  // several blocks of rows and strips
  shapes.push_back({16390, 3});   // segments enough for two threads
  shapes.push_back({600, 64});    // heads
  const char* ways[] = {"apart/dweight", "in_place/dweight", "in_place/no_dweight"};
  for (const Values values : kMostValues) {
    for (const Shape shape : shapes) {
      if (is_long(shape) && values != Values::kPlain && values != Values::kWide) continue;
      for (const char* eps : {"no_eps/", "eps/"}) {
        if (is_long(shape) && (values == Values::kWide) != (eps[0] == 'n')) continue;
        for (const char* way : ways) {
          list.add(std::string(eps) + way, {{"rows", {shape.rows}}, {"cols", {shape.cols}}}, values);
        }
      }
    }
  }
  return list.take();
}

Program build_silu_mul_grad(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols");
  const View gate = p.drawn(44, rows, cols), up = p.drawn(45, rows, cols), dy = p.drawn(46, rows, cols);
  const View dgate = c.is("in_place") ? p.output("dgate", dy) : p.output("dgate", rows, cols);
  p.run(contract::SiluMulGrad{.gate = gate, .up = up, .dy = dy, .dgate = dgate, .dup = p.output("dup", rows, cols)});
  return p;
}

std::vector<Case> silu_mul_grad_cases() {
  CaseList list("silu_mul_grad");
  for (const char* kind : {"apart", "in_place"}) {
    for (const Values values : kMostValues) {
      for (const Shape shape : gradient_shapes()) {
        if (is_long(shape) && values != Values::kPlain) continue;
        list.add(kind, {{"rows", {shape.rows}}, {"cols", {shape.cols}}}, values);
      }
    }
  }
  return list.take();
}

Program build_combine_grad(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols"), chosen = c.at("chosen");
  const View y = p.drawn(48, rows * chosen, cols), gates = p.plain(49, rows, chosen), dout = p.drawn(50, rows, cols);
  p.run(contract::CombineGrad{.y = y,
                              .gates = gates,
                              .dout = dout,
                              .dy = p.output("dy", rows * chosen, cols),
                              .dgates = p.output("dgates", rows, chosen)});
  return p;
}

std::vector<Case> combine_grad_cases() {
  CaseList list("combine_grad");
  for (const Values values : kMostValues) {
    for (int64_t chosen = 1; chosen <= 8; ++chosen) {
      for (const Shape shape : {Shape{1, 1}, Shape{31, 15}, Shape{31, 33}, Shape{513, 17}, Shape{31, 2049}}) {
        list.add("", {{"rows", {shape.rows}}, {"cols", {shape.cols}}, {"chosen", {chosen}}}, values);
      }
    }
  }
  return list.take();
}

// Half of the tokens share two ids; most ids of a large table are absent.
Program build_embed_grad(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols"), table = c.at("table");
  std::vector<int32_t> ids;
  Filler filler = p.filler(53);
  for (int64_t t = 0; t < rows; ++t) {
    const uint32_t random = filler.bits();
    const uint32_t id = random % 2 == 0 ? random / 2 % 2 * 5 : random / 2;
    ids.push_back(static_cast<int32_t>(id % static_cast<uint32_t>(table)));
  }
  if (c.is_golden()) ids = {3, 0, 8, 3, 3, 0};
  const View named = p.ints(ids, rows, 1), dy = p.drawn(55, rows, cols);
  p.run(contract::EmbedGrad{.ids = named, .dy = dy, .out = p.output("out", p.drawn(54, table, cols, Values::kWide))});
  return p;
}

std::vector<Case> embed_grad_cases() {
  CaseList list("embed_grad");
  for (const Values values : kMostValues) {
    for (const Shape shape : gradient_shapes()) {
      for (const int64_t table : {1, 7, 3000}) {
        if (table * shape.cols > 200000) continue;
        list.add("", {{"rows", {shape.rows}}, {"cols", {shape.cols}}, {"table", {table}}}, values);
      }
    }
  }
  return list.take();
}

}  // namespace

std::vector<Suite> row_gradient_suites() {
  const std::vector<std::string_view> places = {"apart", "in_place"};
  return {
      {"column_sum",
       {{"drawn_start", "low_start"}},
       {kRows, kCols},
       four_areas,
       fits,
       build_column_sum,
       column_sum_cases},
      {"sum_slots",
       {},
       {kRows, kCols, {"slots", 1, 64}},
       [](const Case& c) { return area(c.at("rows") * (c.at("slots") + 1), c.at("cols")); },
       fits,
       build_sum_slots,
       sum_slots_cases},
      {"rms_norm_grad",
       {{"eps", "no_eps"}, places, {"dweight", "no_dweight"}},
       {kRows, kCols},
       four_areas,
       fits,
       build_rms_norm_grad,
       rms_norm_grad_cases},
      {"silu_mul_grad",
       {places},
       {kRows, kCols},
       [](const Case& c) { return 2 * four_areas(c); },
       fits,
       build_silu_mul_grad,
       silu_mul_grad_cases},
      {"combine_grad",
       {},
       {kRows, kCols, {"chosen", 1, 64}},
       [](const Case& c) { return 2 * area(c.at("rows") * (c.at("chosen") + 2), c.at("cols")); },
       fits,
       build_combine_grad,
       combine_grad_cases},
      {"embed_grad",
       {},
       {kRows, kCols, {"table", 1, 1 << 20}},
       [](const Case& c) { return area(2 * c.at("rows") + c.at("table"), c.at("cols")); },
       fits,
       build_embed_grad,
       embed_grad_cases},
  };
}

}  // namespace naru::check
