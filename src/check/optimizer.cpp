// Suites of what optimizers are made of.
#include <cmath>
#include <limits>

#include "check/shapes.h"
#include "check/suite.h"

namespace naru::check {
namespace {

const DimensionRange kAnyCols{"cols", 0, 1 << 20}, kTensors{"tensors", 0, 1000, 1};

// Beside the shapes of all: one row longer than a task of elements, and many short rows.
std::vector<Shape> optimizer_shapes() {
  std::vector<Shape> shapes = gradient_shapes();
  shapes.push_back({1, 50001});
  shapes.push_back({20000, 1});
  return shapes;
}

// Tensor 0 has the case's shape; the others are of all sizes, some larger than a task, many smaller, some of nothing.
std::vector<Shape> tensor_shapes(const Case& c) {
  constexpr Shape kOthers[] = {{1, 1},    {3, 0},    {0, 0},     {1, 50001}, {700, 7},
                               {2, 2048}, {1, 2049}, {5, 16384}, {4, 4097}};
  constexpr auto kN = static_cast<int64_t>(std::size(kOthers));
  if (c.at("tensors") == 0) return {};
  std::vector<Shape> shapes = {{c.at("rows"), c.at("cols")}};
  for (int64_t i = 0; i + 1 < c.at("tensors"); ++i) {
    shapes.push_back(i < kN ? kOthers[i] : Shape{1 + i % 3, 1 + i * 7 % 67});
  }
  return shapes;
}

struct FillValue {
  std::string_view name;
  float value;
};
constexpr FillValue kFills[] = {{"0", 0.0f},
                                {"-0", -0.0f},
                                {"1.5", 1.5f},
                                {"-1.75", -1.75f},
                                {"2^-140", 0x1p-140f},
                                {"-2^-140", -0x1p-140f},
                                {"nan", std::numeric_limits<float>::quiet_NaN()}};

Program build_fill(const Case& c) {
  Program p(c.drawing());
  float value = 0;
  for (const FillValue& fill : kFills) {
    if (c.is(fill.name)) value = fill.value;
  }
  p.run(contract::Fill{.out = p.output("out", c.at("rows"), c.at("cols")), .value = value});
  return p;
}

// Every case with gaps between its rows, and without, which kernels take as one row.
void add_both(CaseList& list, std::string_view kind, Shape shape, Values values) {
  if (is_long(shape) && values != Values::kPlain) return;
  for (const int64_t gap : {3, 0}) list.add(kind, {{"rows", {shape.rows}}, {"cols", {shape.cols}}}, values).gap = gap;
}

std::vector<Case> fill_cases() {
  CaseList list("fill");
  for (const FillValue& fill : kFills) {
    for (const Shape shape : optimizer_shapes()) add_both(list, fill.name, shape, Values::kPlain);
  }
  return list.take();
}

Program build_axpby(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols");
  const View x = p.drawn(63, rows, cols), y = c.is("no_y") || c.is("no_y_in_x") ? View{} : p.drawn(64, rows, cols);
  const View out = c.is("in_x") || c.is("no_y_in_x") ? p.output("out", x)
                   : c.is("in_y")                    ? p.output("out", y)
                                                     : p.output("out", rows, cols);
  const float a = c.is_golden() ? 0.3f : c.is("unit") ? 1.0f : -0.37f;
  const float b = c.is_golden() ? -7.0f : c.is("unit") ? 1.0f : 0x1p-20f;
  p.run(contract::Axpby{.x = x, .y = y, .a = a, .b = b, .out = out});
  return p;
}

std::vector<Case> axpby_cases() {
  CaseList list("axpby");
  for (const char* factors : {"unit/", "factors/"}) {
    for (const char* way : {"apart", "in_x", "in_y", "no_y", "no_y_in_x"}) {
      const std::string kind = std::string(factors) + way;
      for (const Values values : kMostValues) {
        for (const Shape shape : optimizer_shapes()) {
          if (is_long(shape) && values != Values::kPlain) continue;
          list.add(kind, {{"rows", {shape.rows}}, {"cols", {shape.cols}}}, values);
          if (kind.ends_with("in_y")) {
            list.add(kind, {{"rows", {shape.rows}}, {"cols", {shape.cols}}}, values).gap = 0;
          }
        }
      }
    }
  }
  return list.take();
}

Program build_sum_of_squares(const Case& c) {
  Program p(c.drawing());
  std::vector<View> tensors;
  uint32_t stream = 65;
  for (const Shape shape : tensor_shapes(c)) tensors.push_back(p.drawn(stream++, shape.rows, shape.cols));
  const View out = p.output("out", c.at("tensors"), 1);
  p.run(contract::SumOfSquares{.x = p.list(std::move(tensors)), .out = out});
  return p;
}

std::vector<Case> sum_of_squares_cases() {
  CaseList list("sum_of_squares");
  for (const Values values : kMostValues) {
    for (const Shape shape : optimizer_shapes()) {
      list.add("", {{"rows", {shape.rows}}, {"cols", {shape.cols}}}, values);
    }
  }
  list.add("", {{"rows", {0}}, {"cols", {5}}});
  list.add("", {{"rows", {0}}, {"cols", {0}}, {"tensors", {0}}});
  list.add("", {{"rows", {0}}, {"cols", {5}}, {"tensors", {312}}}, Values::kWide);
  return list.take();
}

// The factors of step t, made in double as training makes them.
contract::AdamW factors_of(int t) {
  const double beta1 = 0.9, beta2 = 0.95, lr = 3e-4;
  contract::AdamW op;
  op.grad_scale = 0.73f;
  op.beta1 = static_cast<float>(beta1), op.one_minus_beta1 = static_cast<float>(1 - beta1);
  op.beta2 = static_cast<float>(beta2), op.one_minus_beta2 = static_cast<float>(1 - beta2);
  op.inverse_root_bias2 = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, t)));
  op.eps = 1e-8f;
  op.step_size = static_cast<float>(lr / (1 - std::pow(beta1, t)));
  return op;
}

contract::AdamW golden_factors() {
  contract::AdamW op;
  op.grad_scale = 0.7f;
  op.beta1 = 0.9f, op.one_minus_beta1 = 0.1f;
  op.beta2 = 0.95f, op.one_minus_beta2 = 0.05f;
  op.inverse_root_bias2 = 3.2f;
  op.eps = 1e-8f;
  op.step_size = 0.003f;
  return op;
}

Program build_adamw(const Case& c) {
  Program p(c.drawing());
  std::vector<View> weight, m, v, grad;
  std::vector<float> decay;
  uint32_t stream = 66;
  for (const Shape shape : tensor_shapes(c)) {
    v.push_back(p.drawn(stream, shape.rows, shape.cols));
    weight.push_back(p.drawn(stream + 1, shape.rows, shape.cols));
    m.push_back(p.drawn(stream + 2, shape.rows, shape.cols));
    grad.push_back(p.drawn(stream + 3, shape.rows, shape.cols));
    stream += 4;
    for (int64_t r = 0; r < shape.rows; ++r) {
      float* row = p.row(v.back(), r);
      for (int64_t k = 0; k < shape.cols; ++k) {
        if (c.is_golden()) {
          row[k] *= row[k];
        } else if (c.values != Values::kWide) {  // negative ones stay where anything may stand
          row[k] = std::fabs(row[k]);
        }
      }
    }
    p.output("weight", weight.back());
    p.output("m", m.back());
    p.output("v", v.back());
    decay.push_back(c.is_golden() ? 0.9999f : 1 - 0x1p-10f * static_cast<float>(decay.size() % 4 + 1));
  }
  contract::AdamW op = c.is_golden() ? golden_factors() : factors_of(c.is("step_1") ? 1 : 1000);
  op.weight = p.list(std::move(weight));
  op.grad = p.list(std::move(grad));
  op.m = p.list(std::move(m));
  op.v = p.list(std::move(v));
  op.decay = p.list(std::move(decay));
  p.run(op);
  return p;
}

std::vector<Case> adamw_cases() {
  CaseList list("adamw");
  for (const char* step : {"step_1", "step_1000"}) {
    for (const Values values : kMostValues) {
      for (const Shape shape : optimizer_shapes()) add_both(list, step, shape, values);
    }
  }
  for (const int64_t gap : {3, 0}) {
    list.add("step_1", {{"rows", {0}}, {"cols", {5}}, {"tensors", {312}}}).gap = gap;
  }
  return list.take();
}

std::string tensors_misfit(const Case& c) {
  if (c.at("tensors") > 0 || c.at("rows") + c.at("cols") == 0) return {};
  return "no tensors have no rows and no columns";
}

// The others of a list have no more than 200000 elements and rows together.
double tensor_elements(const Case& c) {
  const double others = c.at("tensors") <= 1 ? 0 : 2e5 + static_cast<double>(c.at("tensors")) * area(3, 67);
  return 4 * (area(c.at("rows"), c.at("cols")) + others);
}

}  // namespace

std::vector<Suite> optimizer_suites() {
  std::vector<std::string_view> fills;
  for (const FillValue& fill : kFills) fills.push_back(fill.name);
  const auto elements = [](const Case& c) { return 3 * area(c.at("rows"), c.at("cols")); };
  return {
      {"fill", {fills}, {kRows, kAnyCols}, elements, fits, build_fill, fill_cases},
      {"axpby",
       {{"unit", "factors"}, {"apart", "in_x", "in_y", "no_y", "no_y_in_x"}},
       {kRows, kAnyCols},
       elements,
       fits,
       build_axpby,
       axpby_cases},
      {"sum_of_squares",
       {},
       {kRows, kAnyCols, kTensors},
       tensor_elements,
       tensors_misfit,
       build_sum_of_squares,
       sum_of_squares_cases},
      {"adamw",
       {{"step_1", "step_1000"}},
       {kRows, kAnyCols, kTensors},
       tensor_elements,
       tensors_misfit,
       build_adamw,
       adamw_cases},
  };
}

}  // namespace naru::check
