// The status line of training: what it says, that it never wraps, and what reaches a terminal, a pipe and a log.
#include "cli/train_status.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "cli/terminal.h"
#include "tests/cli/screen.h"

namespace naru::cli {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

TrainProgress usual() {
  return {.step = 12,
          .steps = 600,
          .loss = 2.19344,
          .lr = 3e-4,
          .grad_norm = 0.7134,
          .tokens_per_s = 7391.4,
          .peak_share = 0.414,
          .seconds_left = 245,
          .memory_bytes = int64_t{1288490189}};
}

TEST(TrainLineTest, SaysEverything) {
  EXPECT_EQ(
      train_log_line(usual()),
      "step  12/600  loss 2.1934  lr 3.00e-04  grad 0.713  7,391 tokens/s  41 % of peak  1.20 GiB  4 min 05 s left");
}

TEST(TrainLineTest, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(train_log_line({.step = 3, .loss = 1, .lr = 0.5, .grad_norm = 0}),
            "step 3  loss 1.0000  lr 5.00e-01  grad 0.000");
  const TrainLine line = train_line({.step = 3, .loss = 1}, 80);
  EXPECT_EQ(line.bar, "");
}

TEST(TrainLineTest, ShowsLostNumbersAsTheyAre) {
  TrainProgress p = usual();
  p.loss = std::nan("");
  p.grad_norm = kInf;
  p.tokens_per_s = kInf;
  p.peak_share = std::nan("");
  p.seconds_left = std::nan("");
  p.memory_bytes = 0;
  EXPECT_EQ(train_log_line(p), "step  12/600  loss nan  lr 3.00e-04  grad inf");
}

TEST(TrainLineTest, SpeedsAndNorms) {
  const auto with = [](double speed, double norm) {
    return train_log_line({.step = 1, .loss = 1, .lr = 1, .grad_norm = norm, .tokens_per_s = speed});
  };
  EXPECT_TRUE(with(9999, 12.3456).ends_with("grad 12.346  9,999 tokens/s"));
  EXPECT_TRUE(with(12345, 1e-5).ends_with("grad 1.00e-05  12,345 tokens/s"));
  EXPECT_TRUE(with(2.5e6, 54321).ends_with("grad 5.43e+04  2.50 M tokens/s"));
}

TEST(TrainLineTest, TimeLeft) {
  EXPECT_EQ(time_left_text(0), "0 s");
  EXPECT_EQ(time_left_text(7.2), "8 s");
  EXPECT_EQ(time_left_text(59.5), "1 min 00 s");
  EXPECT_EQ(time_left_text(245), "4 min 05 s");
  EXPECT_EQ(time_left_text(7800), "2 h 10 min");
  EXPECT_EQ(time_left_text(3 * 86400.0 + 4 * 3600 + 59), "3 d 4 h");
  EXPECT_EQ(time_left_text(kInf), "99999 d 0 h");
}

TEST(TrainLineTest, NeverWiderThanAskedAndTheStepStaysLongest) {
  int64_t n_parts_before = 0;
  for (int64_t columns = 0; columns <= 200; ++columns) {
    const TrainLine line = train_line(usual(), columns);
    EXPECT_LE(display_columns(line.bar + line.text), columns);
    if (columns >= 12) {
      EXPECT_TRUE(line.text.starts_with("step  12/600")) << columns;
    }
    if (columns >= 25) {
      EXPECT_TRUE(line.text.starts_with("step  12/600  loss 2.1934")) << columns;
    }
    const int64_t n_parts = count(line.text, "  ");
    EXPECT_GE(n_parts, n_parts_before) << columns;  // more room never says less
    n_parts_before = n_parts;
  }
  EXPECT_EQ(train_line(usual(), 200).text, train_log_line(usual()));
}

TEST(TrainLineTest, TheBarIsTheShareDone) {
  TrainProgress p = usual();
  const auto full = [&p](int64_t step) {
    p.step = step;
    return count(train_line(p, 200).bar, "━");
  };
  EXPECT_EQ(full(0), 0);
  EXPECT_EQ(full(300), 12);
  EXPECT_EQ(full(599), 23);
  EXPECT_EQ(full(600), 24);
  EXPECT_EQ(full(700), 24);
}

TEST(TrainStatusTest, WithoutATerminalLinesAreFew) {
  const std::string text = output_of(0, [] {
    TrainStatus status;
    TrainProgress p = usual();
    for (p.step = 1; p.step <= 100; ++p.step) status.update(p);
    status.note("checkpoint step-100\nwritten\x1b[2J");
    status.clear();
    status.update(p);
  });
  EXPECT_EQ(count(text, "\n"), 2) << text;
  EXPECT_TRUE(text.starts_with("step   1/600  loss"));
  EXPECT_TRUE(text.ends_with("left\ncheckpoint step-100\\nwritten\xef\xbf\xbd[2J\n")) << text;
  EXPECT_EQ(text.find('\r'), std::string::npos);
}

TEST(TrainStatusTest, ATerminalIsDrawnFiveTimesASecondAtMost) {
  const std::string text = output_of(100, [] {
    TrainStatus status;
    TrainProgress p = usual();
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
    for (p.step = 1; std::chrono::steady_clock::now() < end; ++p.step) {
      status.update(p);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  const int64_t n_drawn = count(text, "step");
  EXPECT_GE(n_drawn, 2);
  EXPECT_LE(n_drawn, 3);
  EXPECT_EQ(screen_after(text), std::vector<std::string>{""});  // nothing outlives the object
}

TEST(TrainStatusTest, NotesStandAboveTheLine) {
  const std::string text = output_of(60, [] {
    TrainStatus status;
    status.note("before the first step");
    status.update(usual());
    status.note("validation loss 2.3012");
    status.note("checkpoint step-12");
    status.clear();
    status.update(usual());
    ::_exit(0);  // a screen as it stands while the run is at work
  });
  const std::vector<std::string> rows = screen_after(text);
  ASSERT_EQ(rows.size(), 4u) << text;
  EXPECT_EQ(rows[0], "before the first step");
  EXPECT_EQ(rows[1], "validation loss 2.3012");
  EXPECT_EQ(rows[2], "checkpoint step-12");
  EXPECT_NE(rows[3].find("step  12/600  loss 2.1934"), std::string::npos);
  EXPECT_LT(display_columns(rows[3]), 60);
}

TEST(TrainStatusTest, ANarrowTerminalNeverWraps) {
  for (const int columns : {1, 8, 20, 40, 79}) {
    const std::string text = output_of(columns, [] {
      TrainStatus status;
      status.update(usual());
      ::_exit(0);
    });
    EXPECT_EQ(count(text, "\n"), 0);
    EXPECT_LT(display_columns(screen_after(text).back()), columns);
  }
}

}  // namespace
}  // namespace naru::cli
