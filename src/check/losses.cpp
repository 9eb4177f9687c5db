// Suite of cross entropy.
#include <limits>

#include "check/shapes.h"
#include "check/suite.h"

namespace naru::check {
namespace {

Program build_cross_entropy(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), cols = c.at("cols");
  const View logits = p.drawn(47, rows, cols);
  Filler filler = p.filler(48);
  std::vector<int32_t> targets;
  std::vector<float> weights;
  constexpr float kWeights[] = {1.0f, 1.0f / 300.0f, 0.0f, -0.0f, 0x1p-135f};
  for (int64_t t = 0; t < rows; ++t) {
    targets.push_back(static_cast<int32_t>(filler.below(cols)));
    weights.push_back(kWeights[t % 5]);
  }
  if (c.is_golden()) {
    const auto last = static_cast<int32_t>(cols - 1);
    targets = {0, last, last / 2};
    weights = {0.25f, 0.001f, 0.0f};
  } else {
    for (int64_t t = 1; t < rows; t += 3) {  // exponentials down to the end of the exponent
      for (int64_t k = 0; k < cols; ++k) p.row(logits, t)[k] = filler.value(Values::kPlain) * 60.0f;
    }
    if (cols > 1 && rows > 0) p.row(logits, 0)[cols - 1] = -std::numeric_limits<float>::infinity();
  }
  const View ids = p.ints(targets, rows, 1), factors = p.floats(weights, rows, 1);
  const View loss = p.output("loss", rows, 1);
  const View dlogits = c.is("loss_alone") ? View{}
                       : c.is("in_place") ? p.output("dlogits", logits)
                                          : p.output("dlogits", rows, cols);
  p.run(contract::CrossEntropy{.logits = logits, .targets = ids, .weights = factors, .loss = loss, .dlogits = dlogits});
  return p;
}

std::vector<Case> cross_entropy_cases() {
  CaseList list("cross_entropy");
  std::vector<Shape> shapes = gradient_shapes();
  shapes.push_back({3, 49152});
  for (const char* kind : {"apart", "in_place", "loss_alone"}) {
    for (const Values values : {Values::kPlain, Values::kLow, Values::kWide}) {
      for (const Shape shape : shapes) {
        if (is_long(shape) && values != Values::kPlain) continue;
        list.add(kind, {{"rows", {shape.rows}}, {"cols", {shape.cols}}}, values);
      }
    }
    list.add(kind, {{"rows", {31}}, {"cols", {300}}}, Values::kNotFinite);
  }
  return list.take();
}

}  // namespace

std::vector<Suite> loss_suites() {
  return {{"cross_entropy",
           {{"apart", "in_place", "loss_alone"}},
           {{"rows", 0, 1 << 20}, {"cols", 1, 1 << 20}},
           [](const Case& c) { return 2 * area(c.at("rows") + 2, c.at("cols")); },
           fits,
           build_cross_entropy,
           cross_entropy_cases}};
}

}  // namespace naru::check
