// The curve of reinforcement learning in a terminal: what stands where, that it fits, and that it is drawn in place.
#include "cli/train_plot.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cli/terminal.h"
#include "cli/train_status.h"
#include "tests/cli/screen.h"

namespace naru::cli {
namespace {

std::vector<std::string> texts_of(const std::vector<PlotRow>& rows) {
  std::vector<std::string> texts;
  for (const PlotRow& row : rows) {
    std::string& text = texts.emplace_back();
    for (const PlotSpan& span : row) text += span.text;
  }
  return texts;
}

// A reward that climbs from 0 to 1 over 20 of 40 steps, and held-out problems at 0, 10 and 20.
TrainCurves climbing() {
  TrainCurves curves;
  curves.add(0, {{"accuracy", 0.25}});
  for (int64_t step = 1; step <= 20; ++step) {
    curves.add(step, {{"reward", static_cast<double>(step - 1) / 19}});
    if (step % 10 == 0) curves.add(step, {{"accuracy", step == 10 ? 0.5 : 1.0}});
  }
  return curves;
}

TEST(TrainCurvesTest, KnowsFirstAndLastAndForgetsWhatTheRunWentBackFrom) {
  TrainCurves curves = climbing();
  EXPECT_EQ(curves.first("reward"), 0.0);
  EXPECT_EQ(curves.last("reward"), 1.0);
  EXPECT_EQ(curves.of("accuracy").size(), 3u);
  EXPECT_FALSE(curves.first("entropy").has_value());
  curves.add(11, {{"reward", 0.125}, {"accuracy", std::nan("")}});
  EXPECT_EQ(curves.of("reward").size(), 11u);
  EXPECT_EQ(curves.last("reward"), 0.125);
  EXPECT_EQ(curves.last("accuracy"), 0.5) << "of step 10; that of step 20 is of a past that was left";
  EXPECT_EQ(curves.pass_k(), 0);
  curves.add(12, {{"pass_1", 0.5}, {"pass_4", 0.75}, {"pass_x", 1}});
  EXPECT_EQ(curves.pass_k(), 4);
}

TEST(TrainCurvesTest, ALongRunStaysSmall) {
  TrainCurves curves;
  for (int64_t step = 1; step <= 50000; ++step) curves.add(step, {{"reward", static_cast<double>(step)}});
  EXPECT_LE(curves.of("reward").size(), kTrainPointsMax);
  EXPECT_EQ(curves.first("reward"), 1.0);
  EXPECT_GT(curves.last("reward"), 49990.0);
}

TEST(TrainPlotTest, StandsWhereItShould) {
  const std::vector<std::string> rows = texts_of(train_plot(climbing(), 40, 60, 8));
  ASSERT_EQ(rows.size(), 8u);
  EXPECT_TRUE(rows[0].starts_with("1.00 ┤")) << rows[0];
  EXPECT_TRUE(rows[0].ends_with("├ 100 %")) << rows[0];
  EXPECT_TRUE(rows[3].starts_with("0.50 ┤")) << rows[3];
  EXPECT_TRUE(rows[6].starts_with("0.00 ┤")) << rows[6];
  // Marks: 25 % at the left, 50 % at a quarter, 100 % in the middle.
  EXPECT_NE(rows[0].find("●"), std::string::npos);
  EXPECT_NE(rows[3].find("●"), std::string::npos);
  EXPECT_TRUE(rows[5].starts_with("     │●") || rows[4].starts_with("     │●")) << rows[4] << '\n' << rows[5];
  // The right half of the run is to come.
  EXPECT_NE(rows[2].find("                      │"), std::string::npos) << rows[2];
  EXPECT_EQ(rows[7], "      ⠤ reward 1.00 (0.00 at first)");  // no room for the other half
  EXPECT_EQ(texts_of(train_plot(climbing(), 40, 90, 8))[7],
            "      ⠤ reward 1.00 (0.00 at first)   ● held-out right 100 % (25 % at first)");
}

TEST(TrainPlotTest, NeverWiderThanAskedAndNothingWithoutRoom) {
  const TrainCurves curves = climbing();
  for (int64_t columns = 0; columns <= 130; ++columns) {
    for (const int64_t rows : {0, 3, 4, 6, 10}) {
      const std::vector<std::string> texts = texts_of(train_plot(curves, 40, columns, rows));
      EXPECT_TRUE(texts.empty() || static_cast<int64_t>(texts.size()) == rows);
      EXPECT_EQ(texts.empty(), columns < 36 || rows < 4) << columns << ' ' << rows;
      for (const std::string& text : texts) EXPECT_LE(display_columns(text), columns) << text;
    }
  }
  EXPECT_TRUE(train_plot({}, 40, 80, 10).empty());
}

// Rewards beside 0 to 1, a run much longer than it is by now, and numbers that are none.
TEST(TrainPlotTest, AnyNumbersAreDrawn) {
  TrainCurves curves;
  curves.add(1, {{"reward", -3.5}});
  curves.add(2, {{"reward", 1e12}});
  curves.add(3, {{"reward", std::nan("")}});
  const std::vector<std::string> rows = texts_of(train_plot(curves, 1000000, 60, 6));
  ASSERT_EQ(rows.size(), 6u);
  EXPECT_TRUE(rows[0].starts_with("1e+12 ┤")) << rows[0];
  EXPECT_EQ(rows[0].find('%'), std::string::npos) << "no held-out problems, no scale of them";
}

TEST(TrainStatusTest, TheCurveIsDrawnInPlaceAboveTheLine) {
  const std::string text = output_of(70, [] {
    const TrainCurves curves = climbing();
    TrainStatus status;
    status.show_curves(curves);
    status.update({.step = 20, .steps = 40, .reward = 1.0, .accuracy = 1.0});
    status.note("a note");
    status.clear();
    status.update({.step = 21, .steps = 40, .reward = 1.0, .accuracy = 1.0});
    ::_exit(0);
  });
  const std::vector<std::string> rows = screen_after(text);
  ASSERT_EQ(rows.size(), 12u) << text;
  EXPECT_EQ(rows[0], "a note");
  EXPECT_TRUE(rows[1].starts_with("1.00 ┤")) << rows[1];
  EXPECT_NE(rows[10].find("⠤ reward 1.00"), std::string::npos) << rows[10];
  EXPECT_NE(rows[11].find("step 21/40  reward 1.000  right 100 %"), std::string::npos) << rows[11];
}

TEST(TrainStatusTest, TheCurveStaysWhenTheRunIsDoneAndTheLineGoes) {
  const std::string text = output_of(70, [] {
    const TrainCurves curves = climbing();
    TrainStatus status;
    status.show_curves(curves);
    status.update({.step = 40, .steps = 40, .reward = 1.0});
    status.finish();
  });
  const std::vector<std::string> rows = screen_after(text);
  ASSERT_EQ(rows.size(), 11u) << text;
  EXPECT_TRUE(rows[0].starts_with("1.00 ┤")) << rows[0];
  EXPECT_EQ(rows[10], "");
}

TEST(TrainStatusTest, ALowTerminalAndAPipeShowNoCurve) {
  const auto work = [] {
    const TrainCurves curves = climbing();
    TrainStatus status;
    status.show_curves(curves);
    status.update({.step = 40, .steps = 40, .reward = 1.0});
    status.finish();
  };
  EXPECT_EQ(output_of(70, work, 13).find("┤"), std::string::npos);
  const std::string piped = output_of(0, work);
  EXPECT_EQ(piped.find("┤"), std::string::npos);
  EXPECT_EQ(count(piped, "\n"), 1) << piped;
}

TEST(TrainLineTest, ARolloutStandsOn80Columns) {
  const TrainProgress p{.step = 120,
                        .steps = 600,
                        .loss = 0,
                        .lr = 5e-5,
                        .grad_norm = 0.7134,
                        .tokens_per_s = 7391.4,
                        .peak_share = 0.414,
                        .seconds_left = 245,
                        .memory_bytes = int64_t{1288490189},
                        .reward = 0.4123,
                        .answer_tokens = 12.34,
                        .rollout_tokens_per_s = 3210,
                        .update_tokens_per_s = 8123,
                        .accuracy = 0.453};
  EXPECT_EQ(train_line(p, 77).text, "step 120/600  reward 0.412  right 45 %  len 12.3  3.2k+8.1k tok/s  4:05 left");
  EXPECT_EQ(train_log_line(p),
            "step 120/600  reward 0.412  right 45 %  len 12.3  3.2k+8.1k tok/s  4:05 left  grad 0.713  1.20 GiB");
  // Held-out problems are asked now and then: of what is older it says of when it is.
  TrainProgress dated = p;
  dated.accuracy_step = 120;
  EXPECT_NE(train_log_line(dated).find("right 45 %  len"), std::string::npos) << train_log_line(dated);
  dated.accuracy_step = 100;
  EXPECT_NE(train_log_line(dated).find("right 45 % at 100  len"), std::string::npos) << train_log_line(dated);
  EXPECT_EQ(clock_text(3600 * 2 + 65), "2:01:05");
  EXPECT_EQ(clock_text(7.5), "0:08");
}

}  // namespace
}  // namespace naru::cli
