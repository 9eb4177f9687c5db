// How large micro-batches become is told by the lengths of documents, and a plan makes only some of a generator's.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/checked.h"
#include "data/batches.h"
#include "tests/data/rig.h"

namespace naru::data {
namespace {

constexpr int64_t kPage = 16;

BatchStream stream_of(const recipes::Recipe& recipe, const Folder& folder, const StreamOptions& options = {}) {
  static const text::Tokenizer tokenizer = make_test_tokenizer();
  return BatchStream::open(recipe, recipe.data, tokenizer, nullptr, folder.path(), options).value();
}

void widen_by(MicroSize& most, const StepBatch& batch) {
  for (const MicroBatch& micro : batch.micro_batches) {
    MicroSize size;
    size.tokens = std::ssize(micro.ids);
    size.documents = std::ssize(micro.documents);
    for (const DocumentRows& document : micro.documents) size.pages += ceil_div(document.n_rows, kPage);
    most = {std::max(most.tokens, size.tokens), std::max(most.pages, size.pages),
            std::max(most.documents, size.documents)};
  }
}

void expect_equal(const Result<MicroSize>& found, const MicroSize& wanted, const std::string& what) {
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->tokens, wanted.tokens) << what;
  EXPECT_EQ(found->pages, wanted.pages) << what;
  EXPECT_EQ(found->documents, wanted.documents) << what;
}

TEST(StreamSizes, AreThoseOfTheBatches) {
  Folder folder;
  for (const int64_t rows : {1, 5, 16}) {
    for (const int64_t micro_rows : {int64_t{1}, std::min<int64_t>(rows, 3), rows}) {
      const recipes::Recipe recipe = make_recipe(
          {generator_source("word_problems", 60), generator_source("digits", 40, 0.3)}, 160, rows, micro_rows);
      const BatchStream stream = stream_of(recipe, folder);
      const std::string what = fmt::format("{} rows by {}", rows, micro_rows);
      MicroSize most;
      for (int64_t step = 0; step < 40; ++step) {  // several epochs
        widen_by(most, stream.step(step).value());
        if (step == 0 || step == 39) expect_equal(stream.largest(step + 1, kPage, {}), most, what);
      }
      for (const int64_t rows_max : {1, 7, 10000}) {
        MicroSize of_all;
        widen_by(of_all, stream.all_rows(rows_max).value());
        expect_equal(stream.largest_of_all(rows_max, kPage, {}), of_all, what);
      }
    }
  }
}

// What takes long as batches takes a moment by lengths: 2^26 tokens a step, and 10^9 steps.
TEST(StreamSizes, OfHugeStepsAreToldAndCanBeStopped) {
  Folder folder;
  const int64_t rows = (int64_t{1} << 26) / 64;
  const recipes::Recipe recipe = make_recipe({generator_source("digits", 50)}, 64, rows, rows);
  const BatchStream stream = stream_of(recipe, folder);
  const auto most = stream.largest(1000000000, kPage, {});
  ASSERT_TRUE(most.ok()) << most.error().message;
  EXPECT_GT(most->tokens, rows);
  EXPECT_LE(most->tokens, int64_t{1} << 26);
  int64_t n_asked = 0;
  const auto stopped = stream.largest(1000000000, kPage, [&n_asked] { return ++n_asked == 3; });
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, Code::kCancelled);
}

TEST(StreamSizes, APlanMakesTheFirstDocumentsOfGenerators) {
  Folder folder;
  folder.write("a.txt", "some text\n");
  const recipes::Recipe recipe =
      make_recipe({generator_source("word_problems", 3000), generator_source("digits", 20), path_source("a.txt")}, 512);
  int64_t n_told = 0, total_told = -1;
  StreamOptions options;
  options.generated_max = 100;
  options.progress = [&](int64_t done, int64_t total) { n_told = std::max(n_told, done), total_told = total; };
  const BatchStream some = stream_of(recipe, folder, options), all = stream_of(recipe, folder);
  EXPECT_EQ(some.statistics()[0].n_documents, 100);
  EXPECT_EQ(some.statistics()[1].n_documents, 20);
  EXPECT_EQ(some.n_documents(), 121);
  EXPECT_GE(n_told, 119);
  EXPECT_EQ(total_told, 0) << "a file does not say how many it has";
  const auto about = static_cast<double>(some.n_tokens() + some.n_tokens_left_out());
  EXPECT_NEAR(about, static_cast<double>(all.n_tokens()), 0.1 * static_cast<double>(all.n_tokens()));
  EXPECT_EQ(all.n_tokens_left_out(), 0);
  const recipes::Recipe generated = make_recipe({generator_source("word_problems", 3000)}, 512);
  stream_of(generated, folder, options);
  EXPECT_EQ(total_told, 100);
}

}  // namespace
}  // namespace naru::data
