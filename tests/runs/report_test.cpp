// report.html: nothing that a run holds can get out of its place on the page, and what it holds is there.
#include "runs/report.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "formats/utf8.h"
#include "runs/json_lines.h"
#include "runs/report_answers.h"
#include "runs/report_page.h"
#include "runs/run_files.h"
#include "tests/runs/file_content.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

const std::string kHostile =
    "</pre></script><script>window.pwned=1</script><img src=x onerror='window.pwned=1'>\"&amp;<!--\x01\x80\xf0\x9f";

size_t count(const std::string& text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

class ReportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "naru-report-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const char* name, const std::string& text) { std::ofstream(root_ / name, std::ios::binary) << text; }
  std::string report() {
    const Status status = write_report(root_);
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
    return content(root_ / kReportFile);
  }
  fs::path root_;
};

TEST(HtmlEscaped, LeavesNoWayOut) {
  EXPECT_EQ(html_escaped("<a href='x' b=\"y\">&amp;"), "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;amp;");
  EXPECT_EQ(html_escaped("한\n\té"), "한\n\té");
  EXPECT_EQ(html_escaped(std::string_view("\0\x01\x7f", 3)), "\xef\xbf\xbd\xef\xbf\xbd\x7f");
  EXPECT_EQ(html_escaped("\x80z\xed\x9f"), "\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(html_escaped("é\x80z"), "é\xef\xbf\xbdz");  // one continuation too many
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string pair = {static_cast<char>(a), static_cast<char>(b), '<'};
      ASSERT_TRUE(formats::is_valid_utf8(html_escaped(pair))) << a << ' ' << b;
      ASSERT_EQ(html_escaped(pair).find('<'), std::string::npos) << a << ' ' << b;
    }
  }
}

TEST(Thinned, KeepsExtremesAndOrder) {
  std::vector<std::pair<int64_t, double>> points;
  for (int64_t i = 0; i < 100000; ++i) points.emplace_back(i, static_cast<double>(i * 7919 % 1000));
  points[54321].second = 1e6;
  points[777].second = -1e6;
  const auto thin = thinned(points, 400);
  EXPECT_LE(thin.size(), 400u);
  EXPECT_TRUE(std::is_sorted(thin.begin(), thin.end()));
  EXPECT_NE(std::find(thin.begin(), thin.end(), points[54321]), thin.end());
  EXPECT_NE(std::find(thin.begin(), thin.end(), points[777]), thin.end());
  points.resize(400);
  EXPECT_EQ(thinned(points, 400), points);
  points.resize(401, {401, 0});
  EXPECT_LE(thinned(points, 400).size(), 400u);
  EXPECT_TRUE(thinned({}, 400).empty());
}

TEST_F(ReportTest, HostileTextStaysText) {
  const auto json = [](const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  const std::string h = json(kHostile);
  write(kRunFile, fmt::format("{{\"name\": {}, \"status\": {}, \"machine\": {}, {}: {}, \"steps\": 4, \"step\": 4}}", h,
                              h, h, h, h));
  write(kRecipeFile, "# " + kHostile);
  write(
      kSamplesFile,
      fmt::format("{{\"step\": 1, \"prompt\": {}, \"answer\": {}}}\n{{\"step\": 2, \"prompt\": {}, \"answer\": {}}}\n",
                  h, h, h, h));
  write(kMetricsFile,
        fmt::format("{{\"step\": 1, {}: 2.5, \"loss\": 3}}\n{{\"step\": 2, {}: 1e300, \"loss\": 2}}\n", h, h));
  fs::create_directories(root_ / kCheckpointsFolder / "step-<script>x");
  const std::string page = report();
  EXPECT_TRUE(formats::is_valid_utf8(page));
  EXPECT_EQ(count(page, "<script"), 2u);  // the curves and our own
  EXPECT_EQ(count(page, "</script"), 2u);
  EXPECT_EQ(count(page, "<style"), 1u);
  EXPECT_EQ(count(page, "<img"), 0u);
  EXPECT_EQ(count(page, "<!--"), 0u);
  EXPECT_EQ(count(page, "'window.pwned"), 1u);  // inside of the curves' JSON, where it is a name
  EXPECT_GE(count(page, "&lt;script&gt;window.pwned=1"), 6u);
  EXPECT_EQ(count(page, "class=\"status other\""), 1u);
  EXPECT_EQ(count(page, "http"), count(page, "http-equiv") + count(page, "http://www.w3.org/2000/svg"));
}

TEST_F(ReportTest, PolicyNamesTheScript) {
  write(kRunFile, "{}");
  const std::string page = report();
  // base64 of the digest, by its first three bytes: four letters.
  const std::string hex = sha256_hex(as_bytes(kReportScript));
  const unsigned bits = static_cast<unsigned>(std::stoul(hex.substr(0, 6), nullptr, 16));
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string begin = "script-src 'sha256-";
  for (int shift = 18; shift >= 0; shift -= 6) begin += kAlphabet[bits >> shift & 63];
  EXPECT_NE(page.find(begin), std::string::npos);
  EXPECT_EQ(page.find("unsafe-inline"), std::string::npos);
  EXPECT_EQ(page.find(" style=\""), std::string::npos);  // the policy would drop it
}

TEST_F(ReportTest, ShowsTheRun) {
  write(kRunFile,
        "{\"name\": \"one\", \"status\": \"done\", \"step\": 1234567, \"steps\": 1234567, \"seconds\": 7384, "
        "\"tokens\": 2000000, "
        "\"parameters\": 4000000, \"active_parameters\": 1000000, \"weights_sha256\": \"abc123\", \"numerics_id\": "
        "\"naru1/f32\", \"naru\": \"0.1.0\", \"model\": \"m/config.json\", \"started\": \"2026-11-25T10:20:05Z\", "
        "\"peak_memory_bytes\": 2097152, \"planned_memory_bytes\": 3145728, \"mystery\": 42}");
  write(kMetricsFile,
        "{\"step\": 1, \"loss\": 3.5}\nbroken\n{\"step\": 2, \"loss\": 2.25, \"validation_loss\": 2.5}\n{\"step\": 3, "
        "\"loss\": null}\n");
  write(kSamplesFile,
        "{\"step\":0,\"prompt\":\"2+2=\",\"answer\":\"fish\"}\n{\"step\":3,\"prompt\":\"2+2=\",\"answer\":\"4\"}\n");
  write(kRecipeFile, "steps = 3\n");
  const std::string page = report();
  for (const std::string_view part : {"<title>one",
                                      "status done",
                                      "2.2500",
                                      "2.5000",
                                      "1,234,567",
                                      "2 h 03 min",
                                      "12 teraoperations",
                                      "6 × parameters that a token meets",
                                      "abc123",
                                      "naru1/f32",
                                      "4,000,000, 1,000,000 active for a token",
                                      "trained by",
                                      "naru 0.1.0",
                                      "2026-11-25 10:20:05 UTC",
                                      "2.0 MiB at the peak, 3.0 MiB planned",
                                      "1 line of metrics.jsonl could not be read",
                                      "before, step 0",
                                      "fish",
                                      "after, step 3",
                                      "steps = 3",
                                      "\"steps\":[1,2],\"values\":[3.5,2.25]"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
  // What the model is comes before its hashes; what has no label is not shown, and nothing is asked of who reads it.
  EXPECT_LT(page.find("m/config.json"), page.find("abc123"));
  EXPECT_LT(page.find("at the peak"), page.find("abc123"));
  for (const std::string_view part : {"mystery", "peak_memory_bytes", "not finished", "Starts"}) {
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  }
}

TEST_F(ReportTest, ARunThatIsNotDoneSaysSoAndWhatGoesOnWithIt) {
  write(kRunFile,
        "{\"name\": \"one\", \"status\": \"stopped\", \"step\": 1200, \"steps\": 2000, \"command\": \"naru train "
        "'a b.toml' <x>\", \"starts\": [{\"from_step\": 0, \"step\": 500, \"status\": \"killed\", \"began\": "
        "\"2026-11-25T10:20:05Z\"}, 7, {\"from_step\": 500, \"step\": 1200, \"status\": \"stopped\"}]}");
  write(kMetricsFile, "{\"step\": 1, \"loss\": 3.5}\n{\"step\": 1200, \"loss\": 2.5}\n");
  const std::string page = report();
  for (const std::string_view part :
       {"This run is not finished: it was stopped at step 1,200 of 2,000.", "naru train &#39;a b.toml&#39; &lt;x&gt;",
        "\"went_on\":[500]", "from step 500", "stopped at step 1,200",
        "2026-11-25 10:20:05 UTC, killed, saved at step 500", "1,200 of 2,000"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
  write(kRunFile, "{\"name\": \"one\", \"status\": \"failed\", \"reason\": \"too <hot>\", \"step\": 3, \"starts\": 4}");
  EXPECT_NE(report().find("it failed at step 3: too &lt;hot&gt;."), std::string::npos);
}

TEST_F(ReportTest, OneThatSaysTheSameStaysAsItIs) {
  write(kRunFile, "{\"name\": \"one\"}");
  report();
  fs::last_write_time(root_ / kReportFile, fs::file_time_type::min() + std::chrono::hours(1000000));
  const auto before = fs::last_write_time(root_ / kReportFile);
  report();
  EXPECT_EQ(fs::last_write_time(root_ / kReportFile), before);
  write(kRunFile, "{\"name\": \"two\"}");
  report();
  EXPECT_NE(fs::last_write_time(root_ / kReportFile), before);
}

// Of an adapter's run: frozen weights have no gradients of their own.
TEST_F(ReportTest, TheCostIsOfWhatIsTrained) {
  write(kRunFile,
        "{\"active_parameters\": 1000000, \"trained_parameters\": 1000, \"parameters\": 1000000, "
        "\"operations_per_token\": 4002000, \"tokens\": 1000000, \"seconds\": 2, \"peak_operations_per_s\": 4e12}");
  const std::string page = report();
  for (const std::string_view part : {"4 teraoperations: 4 × parameters that a token meets and 2 × trained ones",
                                      "2 teraoperations a second", "50 % of the 4 teraoperations"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
}

TEST_F(ReportTest, ValuesBeyondF32StayNumbers) {
  write(kRunFile, "{}");
  write(kMetricsFile, "{\"step\":1,\"loss\":1e300,\"lr\":1e-300}\n{\"step\":2,\"loss\":-1e39,\"lr\":0}\n");
  const std::string page = report();
  EXPECT_NE(page.find("\"values\":[1e+300,-1e+39]"), std::string::npos);
  EXPECT_NE(page.find("\"values\":[1e-300,0.0]"), std::string::npos);
}

TEST_F(ReportTest, BoundsHold) {
  write(kRunFile, "{}");
  std::string metrics;
  for (int step = 0; step < 3; ++step) {
    metrics += fmt::format("{{\"step\":{}", step);
    for (int64_t i = 0; i <= kReportCurvesMax; ++i) metrics += fmt::format(",\"m{}\":1", i);
    metrics += "}\n";
  }
  write(kMetricsFile, metrics);
  std::string samples;
  for (int64_t i = 0; i <= kReportPromptsMax; ++i)
    samples += fmt::format("{{\"step\":1,\"prompt\":\"p{}\",\"answer\":\"a\"}}\n", i);
  samples += fmt::format("{{\"step\":2,\"prompt\":\"p0\",\"answer\":\"{}\"}}\n", std::string(20000, 'x'));
  write(kSamplesFile, samples);
  const auto data = read_report_data(root_);
  ASSERT_TRUE(data.ok());
  EXPECT_EQ(data->curves.size(), static_cast<size_t>(kReportCurvesMax));
  EXPECT_EQ(data->samples.size(), static_cast<size_t>(kReportPromptsMax));
  EXPECT_EQ(data->notes.size(), 2u);
  EXPECT_EQ(data->samples[0].answers[1].second.size(), static_cast<size_t>(kReportAnswerBytesMax) + 4);
}

TEST_F(ReportTest, ShowsTheSameProblemsAndGroupsWithTheirRewards) {
  write(kRunFile,
        "{\"name\": \"one\", \"status\": \"done\", \"accuracy\": 0.9, \"problems\": 100, \"tokens_compared\": 61234, "
        "\"alarms\": [{\"step\": 7, \"what\": \"all <b>cut</b>\", \"try\": \"x=1\"}, 8]}");
  write(kMetricsFile, "{\"step\":0,\"accuracy\":0.4}\n{\"step\":9,\"accuracy\":0.9}\n");
  const std::string h = nlohmann::json(kHostile).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string problems = "no line\n";
  for (int step = 0; step < 9; step += 2) {
    problems += fmt::format(
        "{{\"step\":{},\"problem\":3,\"prompt\":\"3 5 =\",\"wanted\":\"8\",\"answer\":\"<think>{}</think> a{}\","
        "\"is_right\":{}}}\n",
        step, "hm, three and five", step, step > 4);
  }
  write(kProblemsFile, problems + fmt::format("{{\"step\":1,\"problem\":4,\"prompt\":{},\"answer\":{}}}\n", h, h));
  write(
      kGroupsFile,
      fmt::format("{{\"step\":1,\"problem\":640,\"prompt\":\"2 2 =\",\"wanted\":\"4\",\"parts\":[\"answer\",{}],"
                  "\"answers\":[{{\"text\":\"fish\",\"tokens\":40,\"is_cut\":true,\"reward\":-0.5,\"advantage\":-1,"
                  "\"parts\":[0,-0.5]}},{{\"text\":{},\"is_right\":true,\"reward\":1,\"advantage\":1,\"parts\":[1,0]}},"
                  "5]}}\n{{\"step\":2,\"answers\":[]}}\n{{\"step\":3}}\n",
                  h, h));
  const std::string page = report();
  for (const std::string_view part :
       {"yes, 61,234", "of 100 held-out problems right, 40.0 % before", "90.0 %", "Alarm at step 7",
        "all &lt;b&gt;cut&lt;/b&gt;.", "Try x=1.", "before, step 0 <b class=\"wrong\">", "on the way, step 4",
        "after, step 8 <b class=\"right\">", "reasoning, 18 characters</summary><pre>hm, three and five</pre>",
        "<pre>a8</pre>", "all between ✗✗✓", "step 1: 1 of 2 right, mean reward 0.25", "40 tokens, cut off",
        "<pre>fish</pre>", "1 line of problems.jsonl could not be read"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
  EXPECT_LT(page.find("&lt;img", page.find("mean reward 0.25")), page.find("<pre>fish")) << "the best one first";
  EXPECT_EQ(count(page, "<script"), 2u);
  EXPECT_EQ(count(page, "<img"), 0u);
  EXPECT_EQ(count(page, " style=\""), 0u);
}

TEST(AnswerHtml, FoldsReasoningAndWhatIsLong) {
  EXPECT_EQ(answer_html("4"), "<pre>4</pre>");
  EXPECT_EQ(answer_html(" 4\n"), "<pre> 4\n</pre>");
  // The prompt may have opened it already.
  EXPECT_EQ(answer_html("<think>\nhm</think>\n4"), answer_html("hm\n</think>4"));
  EXPECT_EQ(answer_html("hm</think>4"),
            "<details class=\"fold\"><summary>reasoning, 2 characters</summary><pre>hm</pre></details><pre>4</pre>");
  EXPECT_EQ(answer_html(" <think>hm"),
            "<details class=\"fold\"><summary>reasoning, 2 characters</summary><pre>hm</pre></details><pre></pre>");
  const std::string text = "<" + std::string(999, '\xc3') + std::string(1, '\n');
  const std::string folded = answer_html(text);
  EXPECT_TRUE(folded.starts_with("<details class=\"fold\"><summary>&lt;")) << folded.substr(0, 80);
  EXPECT_TRUE(formats::is_valid_utf8(folded));
}

TEST_F(ReportTest, AnEmptyOrForeignFolderIsAMessage) {
  EXPECT_FALSE(write_report(root_).ok());
  write(kRunFile, "[1]");
  EXPECT_FALSE(write_report(root_).ok());
  write(kRunFile, "{\"step\": -5, \"steps\": \"x\", \"seconds\": -1, \"tokens\": -4, \"active_parameters\": 1e308}");
  report();
}

}  // namespace
}  // namespace naru::runs
