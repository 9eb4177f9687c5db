// Suites of products with packed matrices, and of embeddings: every stored dtype by every rule that it has.
#include <algorithm>

#include "base/checked.h"
#include "check/kinds.h"
#include "check/suite.h"

namespace naru::check {
namespace {

// Rule w8a8 has no longer sums.
constexpr int64_t kInputsMax = 131072;

const DimensionRange kInputs{"inputs", 0, kInputsMax}, kOutputs{"outputs", 1, 1 << 20};

// Rows of activations. Of those that are not finite most rows are plain, so that not every output is NaN; some begin
// with values below 2^-64, in blocks of their own and in mixed ones.
View add_activations(Program& p, const Case& c, uint32_t stream, int64_t rows, int64_t cols) {
  const View x = p.drawn(stream, rows, cols);
  if (c.is_golden()) return x;
  const bool is_spoilt = c.values == Values::kAny || c.values == Values::kNotFinite;
  Filler filler = p.filler(stream + 100);
  for (int64_t r = 0; r < rows; ++r) {
    float* row = p.row(x, r);
    for (int64_t k = 0; k < cols && is_spoilt && r % 3 != 0; ++k) row[k] = filler.value(Values::kPlain);
    for (int64_t k = 0; k < std::min<int64_t>(48, cols) && r % 5 == 4; ++k) row[k] *= 0x1p-70f;
  }
  return x;
}

std::string block_misfit(const Case& c) {
  const StoredKind kind = stored_kind(c.word(0));
  return dtype_bytes(kind.stored, c.at("inputs")) ? std::string() : "the inputs are no whole blocks of the kind";
}

Program build_matmul(const Case& c) {
  Program p(c.drawing());
  const StoredKind kind = stored_kind(c.word(0));
  const int64_t rows = c.at("rows"), inputs = c.at("inputs"), outputs = c.at("outputs");
  contract::Matmul op{.x = add_activations(p, c, 1, rows, inputs), .targets = {}, .n_targets = 1};
  op.targets[0] = {p.matrix(kind.stored, kind.rule, 2, 1, outputs, inputs),
                   c.is("bias") ? p.plain(3, 1, outputs) : View{}, p.output("out", rows, outputs)};
  if (c.is("three")) {  // the second shares the form of x, the third may have another; of floats all are sums of floats
    const bool is_quantised = contract::has_integer_activations(kind.rule) && inputs % 256 == 0;
    const StoredKind other = is_quantised ? stored_kind("q6_k_as_q6_k") : stored_kind("f32_as_f32");
    op.targets[1] = {p.matrix(kind.stored, kind.rule, 5, 1, 16, inputs), {}, p.output("second", rows, 16)};
    op.targets[2] = {p.matrix(other.stored, other.rule, 8, 1, 7, inputs), {}, p.output("third", rows, 7)};
    op.n_targets = 3;
  }
  p.run(op);
  return p;
}

std::vector<Case> matmul_cases() {
  CaseList list("matmul");
  for (const StoredKind& kind : kStoredKinds) {
    int64_t n = 0;
    const auto add = [&](int64_t rows, int64_t inputs, int64_t outputs, Values values = Values::kPlain) -> Case& {
      const std::string words = std::string(kind.name) + (n % 3 == 0 ? "/bias/one" : "/no_bias/one");
      inputs = round_up(inputs, contract::rule_block(kind.rule));
      Case& c = list.add(words, {{"rows", {rows}}, {"inputs", {inputs}}, {"outputs", {outputs}}}, values);
      c.gap = n++ % 2 == 0 ? 0 : 5;
      return c;
    };
    struct Shape {
      int64_t outputs, rows;
    };
    for (const int64_t inputs : {0, 1, 31, 33, 64, 2047, 2048, 2049, 7168}) {
      for (const Shape shape : {Shape{1, 9}, Shape{15, 2}, Shape{16, 7}, Shape{17, 1}, Shape{33, 8}}) {
        add(shape.rows, inputs, shape.outputs);
      }
    }
    add(33, 2049, 100);
    // Several passes of panels over two segments.
    add(70, 2049, kind.stored == DType::kF32 ? 1100 : 560).is_large = kind.rule != contract::Rule::kQ5_K;
    add(300, 2048, 20);  // several groups of rows
    add(47, 320, 100);
    for (int64_t rows = 1; rows <= 34; ++rows) add(rows, 40, 17);
    for (const Values values : {Values::kWide, Values::kTiny, Values::kAny, Values::kNotFinite}) {
      for (const int64_t inputs : {1, 33, 2049}) {
        for (const int64_t rows : {1, 3, 17}) add(rows, inputs, 50, values);
      }
    }
    if (!contract::has_integer_activations(kind.rule)) {
      for (const int64_t inputs : {1, 33}) add(9, inputs, 50, Values::kEdge);
    }
    for (const int64_t inputs : {256, 512}) {
      list.add(std::string(kind.name) + "/no_bias/three", {{"rows", {11}}, {"inputs", {inputs}}, {"outputs", {40}}});
    }
  }
  return list.take();
}

// Experts: group 2 of five stays empty, group 0 gets the most.
std::vector<int32_t> expert_of_slots(const Case& c, int64_t slots) {
  constexpr int32_t kExpertOf[] = {0, 3, 0, 1, 4, 0, 1};
  if (c.is_golden()) return {0, 2, 4, 0, 1, 2, 2, 3, 4, 0, 2, 3};
  std::vector<int32_t> chosen;
  const auto groups = static_cast<int32_t>(c.at("groups"));
  for (int64_t i = 0; i < slots; ++i) chosen.push_back(kExpertOf[i % 7] % groups);
  return chosen;
}

Program build_grouped_matmul(const Case& c) {
  Program p(c.drawing());
  const StoredKind kind = stored_kind(c.word(0));
  const int64_t rows = c.at("rows"), inputs = c.at("inputs"), outputs = c.at("outputs"), groups = c.at("groups");
  const int64_t share = c.at("rows_share"), slots = rows * share;
  const View x = add_activations(p, c, 4, rows, inputs);
  const View chosen = c.is("heads") ? View{} : p.ints(expert_of_slots(c, slots), slots, 1);
  contract::GroupedMatmul op{.x = x, .groups = chosen, .rows_share = share, .targets = {}};
  op.targets[0] = {p.matrix(kind.stored, kind.rule, 5, groups, outputs, inputs), p.output("out", slots, outputs)};
  if (!c.is("one")) {
    const StoredKind other = c.is("two_alike")      ? kind
                             : c.is("two_with_f32") ? stored_kind("f32_as_f32")
                                                    : stored_kind("f32_as_bf16");
    const int64_t n = outputs + outputs / 2;
    op.targets[1] = {p.matrix(other.stored, other.rule, 9, groups, n, inputs), p.output("second", slots, n)};
    op.n_targets = 2;
  }
  p.run(op);
  return p;
}

std::vector<Case> grouped_matmul_cases() {
  CaseList list("grouped_matmul");
  for (const StoredKind& kind : kStoredKinds) {
    const int64_t inputs = round_up(96, contract::rule_block(kind.rule));
    const auto add = [&](const char* words, int64_t rows, int64_t share) {
      list.add(std::string(kind.name) + words,
               {{"rows", {rows}}, {"inputs", {inputs}}, {"outputs", {37}}, {"groups", {5}}, {"rows_share", {share}}});
    };
    for (const int64_t rows : {1, 7, 40}) {
      for (const int64_t share : {1, 3}) {
        add("/experts/one", rows, share);
        add("/heads/one", rows, share);
      }
      for (const char* words : {"/experts/two_alike", "/experts/two_with_f32", "/experts/two_with_bf16"}) {
        add(words, rows, 3);
      }
    }
  }
  return list.take();
}

Program build_embed(const Case& c) {
  Program p(c.drawing());
  const StoredKind kind = stored_kind(c.word(0));
  const int64_t rows = c.at("rows"), inputs = c.at("inputs"), outputs = c.at("outputs");
  std::vector<int32_t> ids;
  Filler filler = p.filler(7);
  for (int64_t t = 0; t < rows; ++t) ids.push_back(static_cast<int32_t>(t == 0 ? outputs - 1 : filler.below(outputs)));
  if (c.is_golden()) ids = {3, 0, 18, 3};
  const View named = p.ints(ids, rows, 1);
  p.run(contract::Embed{.ids = named,
                        .table = p.matrix(kind.stored, kind.rule, 6, 1, outputs, inputs),
                        .out = p.output("out", rows, inputs)});
  return p;
}

std::vector<Case> embed_cases() {
  CaseList list("embed");
  for (const StoredKind& kind : kStoredKinds) {
    const int64_t block = contract::rule_block(kind.rule);
    const int64_t inputs = round_up(70, block) + (contract::is_block_rule(kind.rule) ? 256 : 0);
    for (const Values values : {Values::kPlain, Values::kWide, Values::kAny}) {
      list.add(kind.name, {{"rows", {5}}, {"inputs", {inputs}}, {"outputs", {21}}}, values);
    }
  }
  return list.take();
}

}  // namespace

std::vector<Suite> product_suites() {
  std::vector<std::string_view> kinds;
  for (const StoredKind& kind : kStoredKinds) kinds.push_back(kind.name);
  const auto elements = [](const Case& c) {
    return area(c.at("rows"), c.at("inputs") + c.at("outputs")) + 2 * area(c.at("outputs") + 32, c.at("inputs"));
  };
  return {
      {"embed", {kinds}, {kRows, kInputs, kOutputs}, elements, block_misfit, build_embed, embed_cases},
      {"matmul",
       {kinds, {"bias", "no_bias"}, {"one", "three"}},
       {kRows, kInputs, kOutputs},
       elements,
       block_misfit,
       build_matmul,
       matmul_cases},
      {"grouped_matmul",
       {kinds, {"experts", "heads"}, {"one", "two_alike", "two_with_f32", "two_with_bf16"}},
       {kRows, kInputs, kOutputs, {"groups", 1, 1024}, {"rows_share", 1, 1024}},
       [](const Case& c) {
         return 3 * area(c.at("rows") * c.at("rows_share"), c.at("inputs") + c.at("outputs")) +
                3 * area(c.at("groups") * c.at("outputs"), c.at("inputs"));
       },
       block_misfit,
       build_grouped_matmul,
       grouped_matmul_cases},
  };
}

}  // namespace naru::check
