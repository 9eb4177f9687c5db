// The soak of a chip: that what flips is found, by op, case and bit, that a clean chip has nothing, and what its counts
// say of a rate.
#include "check/soak.h"

#include <gtest/gtest.h>

#include "check/faulty_chip.h"
#include "check/watched_chip.h"
#include "contract/op_table.h"
#include "tests/test_chip.h"

namespace naru::check {
namespace {

// So many runs of ops, however long they take.
SoakOptions for_op_runs(int64_t n, std::vector<std::string> ops) {
  return {.seconds = 60,
          .ops = std::move(ops),
          .patience_s = 60,
          .pause_s = 0.002,
          .seed = 7,
          .go_on = [n](const SoakProgress& progress) { return progress.n_op_runs < n; }};
}

TEST(Soak, ACleanChipHasNothing) {
  ChipUnderTest cpu{.chip = test::make_chip("cpu")};
  cpu.twins.push_back({"with 1 thread", test::make_chip("cpu", 1)});
  const SoakReport report = soak_chip(cpu, for_op_runs(400, {"add", "rms_norm", "attention"})).value();
  EXPECT_EQ(report.n_found, 0);
  EXPECT_TRUE(report.findings.empty());
  EXPECT_TRUE(report.is_stopped);
  EXPECT_GE(report.n_op_runs, 400);
  EXPECT_NEAR(report.rate_at_most(), 3.0 / static_cast<double>(report.n_op_runs),
              0.1 / static_cast<double>(report.n_op_runs));
}

TEST(Soak, FlipsAreFoundByOpAndBit) {
  const auto chip = std::make_shared<FaultyChip>(test::make_chip("distant"), parse_fault("flip@rms_norm:0.1").value());
  const SoakReport report = soak_chip({.chip = chip}, for_op_runs(300, {"add", "rms_norm"})).value();
  EXPECT_GT(report.n_found, 0);
  EXPECT_LE(report.n_found, chip->n_faults());  // a bit of what is no number is none
  for (const SoakFinding& finding : report.findings) {
    EXPECT_EQ(finding.c.op, "rms_norm");
    EXPECT_EQ(finding.n_values, 1) << finding.text();
    EXPECT_EQ(finding.n_bits, 1) << finding.text();
    ASSERT_EQ(finding.values.size(), 1u);
    EXPECT_EQ(finding.values[0].changed.n_bits(), 1);
    EXPECT_NE(finding.values[0].address, 0);
    EXPECT_TRUE(parse_case(case_line(finding.c)).ok());
  }
}

TEST(Soak, ErrorsThatComeNowAndThenAreFound) {
  const auto chip = std::make_shared<FaultyChip>(test::make_chip("distant"), parse_fault("memory@add:0.1").value());
  const SoakReport report = soak_chip({.chip = chip}, for_op_runs(200, {"add"})).value();
  EXPECT_EQ(report.n_found, chip->n_faults());
  ASSERT_FALSE(report.findings.empty());
  EXPECT_NE(report.findings[0].text().find("finds no memory"), std::string::npos) << report.findings[0].text();
}

TEST(Soak, AHangEndsIt) {
  const auto chip = std::make_shared<FaultyChip>(test::make_chip("distant"), parse_fault("hang@add").value());
  const auto hold = chip->hold();
  SoakOptions options = for_op_runs(200, {"add"});
  options.patience_s = 0.2;
  const SoakReport report = soak_chip({.chip = chip}, options).value();
  EXPECT_EQ(report.hangs.substr(0, 33), "add: no answer in 0.2 seconds, in");
  hold->let_go();
}

// Whoever stops it does not wait for what may be an hour.
TEST(Soak, AHangIsNotWaitedForByWhoStopsIt) {
  const auto chip = std::make_shared<FaultyChip>(test::make_chip("distant"), parse_fault("hang@add").value());
  const auto hold = chip->hold();
  SoakOptions options = for_op_runs(200, {"add"});
  options.patience_s = 3600;
  int n_asked = 0;
  options.go_on = [&n_asked](const SoakProgress&) { return ++n_asked < 5; };  // twice before the first run
  const SoakReport report = soak_chip({.chip = chip}, options).value();
  EXPECT_TRUE(report.is_stopped);
  EXPECT_EQ(report.hangs.substr(0, 31), "add: no answer in 2 seconds, in");
  hold->let_go();
}

TEST(Soak, ARateHasAnUpperBound) {
  EXPECT_NEAR(rate_at_most(0, 1000000), 2.9957e-6, 1e-9);  // -log 0.05
  EXPECT_NEAR(rate_at_most(1, 1000000), 4.7439e-6, 1e-9);  // half of the 95 % point of chi-square with 4 degrees
  EXPECT_NEAR(rate_at_most(10, 1000000), 16.9622e-6, 1e-9);
  EXPECT_GT(rate_at_most(1001, 10000), 0.1001);
  EXPECT_NEAR(rate_at_most(1001, 1000000), rate_at_most(1000, 1000000), 3e-6);
  EXPECT_EQ(rate_at_most(10, 10), 1);
  EXPECT_EQ(rate_at_most(0, 0), 1);
}

TEST(Agreement, NamesEachBit) {
  const float before[] = {1, 2, 3, 4, 5, 6}, now[] = {1, 2, 3, 4.5f, 5, -6};
  BitDifference difference;
  difference.compare("weight", 2, 10, now, before);
  EXPECT_EQ(difference.n_values(), 2);
  EXPECT_EQ(difference.n_bits(), 2);
  EXPECT_EQ(difference.text(),
            "2 values with other bits (2 bits), first weight [6, 1]: 4.5 (40900000), and 4 (40800000) before");
  Tries tries;
  EXPECT_FALSE(tries.agrees("a"));
  EXPECT_FALSE(tries.agrees("b"));
  EXPECT_TRUE(tries.agrees("a"));
}

TEST(WatchedChip, ErrorsNameChipCallAndOp) {
  const auto notes = std::make_shared<CallNotes>();
  auto faulty = std::make_unique<FaultyChip>(test::make_chip("distant"), parse_fault("gone@fill").value());
  WatchedChip chip(std::move(faulty), notes);
  const auto buffer = chip.allocate(64).value();
  const View out = make_view(buffer->address(), DType::kF32, 4, 4);
  EXPECT_EQ(notes->mark() % 2, 0u);
  const Status status = chip.run(contract::Fill{.out = out, .value = 1});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kUnavailable);
  EXPECT_EQ(status.error().message.substr(0, 32), "chip distant, run of fill: fill:");
  EXPECT_EQ(notes->mark() % 2, 0u);
  float value = 0;
  EXPECT_EQ(chip.copy_out(&value, buffer->address(), 4).error().message.substr(0, 37),
            "chip distant, copy_out behind fill: c");
  EXPECT_EQ(chip.allocate(64).error().message.substr(0, 23), "chip distant, allocate:");
}

}  // namespace
}  // namespace naru::check
