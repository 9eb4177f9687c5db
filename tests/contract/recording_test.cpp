// What is recorded of passes: outputs of every op, and how recordings are compared.
#include <gtest/gtest.h>

#include "check/op_outputs.h"
#include "check/recording.h"
#include "check/suite.h"
#include "contract/op_table.h"

namespace naru::check {
namespace {

// What a suite's program says is written are outputs of its ops, or rows of what is one.
TEST(OpOutputs, AreWhatTheCasesWrite) {
  for (int op = 0; op < contract::kOpCount; ++op) {
    const Suite* suite = find_suite(contract::op_name(op));
    ASSERT_NE(suite, nullptr);
    const Program program = build(suite->cases().front());
    std::vector<View> written;
    for (const contract::Op& one : program.ops()) {
      for (const OpOutput& output : outputs_of(one)) written.push_back(output.view);
    }
    for (const Program::Output& output : program.outputs()) {
      EXPECT_TRUE(std::any_of(written.begin(), written.end(),
                              [&](const View& view) { return view.address == output.view.address; }))
          << suite->op << " " << output.name;
    }
  }
}

OutputValues values(std::vector<uint32_t> bits) {
  return {.name = "out", .rows = 2, .cols = static_cast<int64_t>(bits.size()) / 2, .bits = std::move(bits)};
}

TEST(Recording, HashesTellEveryBitApart) {
  const OutputValues one = values({0x3f800000, 0, 7, 0x80000000});
  for (size_t i = 0; i < 4; ++i) {
    for (uint32_t bit = 1; bit != 0; bit <<= 1) {
      OutputValues other = one;
      other.bits[i] ^= bit;
      EXPECT_NE(hash_of(other), hash_of(one));
      const auto element = first_element(one, other);
      ASSERT_TRUE(element.has_value());
      EXPECT_EQ(element->first * 2 + element->second, static_cast<int64_t>(i));
    }
  }
  EXPECT_EQ(hash_of(one), hash_of(values({0x3f800000, 0, 7, 0x80000000})));
  EXPECT_FALSE(first_element(one, one).has_value());
  EXPECT_EQ(element_text(one, 0, 0), "0x1p+0 = 1 (3f800000)");
}

OutputPlace place(OutputPlace::Stage stage, int64_t layer, std::string_view op, int64_t count = 0) {
  int index = 0;
  while (contract::op_name(index) != op) ++index;
  return {.stage = stage, .layer = layer, .op = index, .count = count, .output = 0};
}

TEST(Recording, PlacesAreSaidInWords) {
  using Stage = OutputPlace::Stage;
  EXPECT_EQ(place_text(place(Stage::kEmbedding, 0, "embed")), "embedding, embed");
  EXPECT_EQ(place_text(place(Stage::kLayer, 3, "attention")), "layer 3, attention");
  EXPECT_EQ(place_text(place(Stage::kLayer, 3, "matmul", 1)), "layer 3, matmul 2");
  EXPECT_EQ(place_text(place(Stage::kHead, 0, "matmul")), "head, matmul");
}

// By position first, then in order; what one of them alone has says nothing.
TEST(Recording, TheFirstDifferenceIsFound) {
  using Stage = OutputPlace::Stage;
  const OutputPlace embed = place(Stage::kEmbedding, 0, "embed"), norm = place(Stage::kLayer, 0, "rms_norm"),
                    copy = place(Stage::kLayer, 0, "axpby"), head = place(Stage::kHead, 0, "matmul");
  const Recording a{.tokens = {{{embed, 1}, {norm, 2}, {head, 3}}, {{embed, 4}, {norm, 5}, {head, 6}}}};
  Recording b{.tokens = {{{copy, 9}, {embed, 1}, {norm, 2}, {head, 3}}, {{embed, 4}, {norm, 5}}}};
  EXPECT_FALSE(compare_recordings(a, b).first.has_value());
  EXPECT_EQ(compare_recordings(a, b).n_alike, 5);
  b.tokens[1][0].hash = 7;
  b.tokens[1][1].hash = 7;
  const RecordingComparison late = compare_recordings(a, b);
  ASSERT_TRUE(late.first.has_value());
  EXPECT_EQ(late.first->position, 1);
  EXPECT_EQ(late.first->place, embed);
  EXPECT_EQ(late.n_alike, 3);
  b.tokens[0][3].hash = 7;
  EXPECT_EQ(compare_recordings(a, b).first->position, 0);
  EXPECT_EQ(compare_recordings(a, b).first->place, head);
}

}  // namespace
}  // namespace naru::check
