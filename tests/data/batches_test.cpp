// Rows and batches: every document once an epoch, steps as functions of their number, shares, masks, notes, bad files.
#include "data/batches.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "base/philox.h"
#include "data/limits.h"
#include "data/packing.h"
#include "tests/data/rig.h"

namespace naru::data {
namespace {

// Lines of texts of many lengths, no two alike.
std::string many_texts(int n) {
  std::string lines;
  for (int i = 0; i < n; ++i) {
    std::string text = fmt::format("number {}", i);
    for (int j = 0; j < i * 7 % 11; ++j) text += " and more";
    lines += fmt::format("{{\"text\": \"{}\"}}\n", text);
  }
  return lines;
}

std::vector<std::vector<int32_t>> documents_of(const StepBatch& step) {
  std::vector<std::vector<int32_t>> documents;
  for (const MicroBatch& batch : step.micro_batches) {
    for (const DocumentRows& d : batch.documents) {
      documents.emplace_back(batch.ids.begin() + d.row_begin, batch.ids.begin() + d.row_begin + d.n_rows);
    }
  }
  return documents;
}

TEST(Packing, EveryRowHoldsWhatFitsAndEveryDocumentIsThereOnce) {
  std::vector<int32_t> lengths;
  for (int i = 0; i < 1000; ++i) lengths.push_back(static_cast<int32_t>(1 + draw(3, DrawPurpose::kTest, 0, i)[0] % 40));
  std::sort(lengths.rbegin(), lengths.rend());
  const RowPlan plan = plan_rows(lengths, 64);
  std::vector<int> times(1000, 0);
  int64_t total = 0;
  for (int64_t row = 0; row < plan.n_rows(); ++row) {
    int64_t tokens = 0;
    for (int64_t i = plan.offsets[row]; i < plan.offsets[row + 1]; ++i) {
      ++times[static_cast<size_t>(plan.ranks[i])];
      tokens += lengths[static_cast<size_t>(plan.ranks[i])];
    }
    EXPECT_LE(tokens, 64);
    EXPECT_GE(tokens, 1);
    total += tokens;
  }
  EXPECT_EQ(times, std::vector<int>(1000, 1));
  EXPECT_LT(plan.n_rows(), total / 64 * 1.02 + 2);  // the room that is left over
}

TEST(Packing, TheBestFitIsTaken) {
  const RowPlan plan = plan_rows(std::vector<int32_t>{7, 6, 4, 3}, 10);
  EXPECT_EQ(plan.n_rows(), 2);  // 7 + 3 and 6 + 4; the first fit would put 3 rows nowhere else
  EXPECT_EQ(plan.ranks, (std::vector<int32_t>{0, 3, 1, 2}));
  EXPECT_EQ(plan_rows({}, 10).n_rows(), 0);
}

TEST(Packing, AShuffleIsAPermutationOfItsOwn) {
  std::set<std::vector<int32_t>> seen;
  for (const auto& [seed, stream, epoch] : {std::tuple{1u, 0u, 0}, {1u, 0u, 1}, {1u, 1u, 0}, {2u, 0u, 0}}) {
    std::vector<int32_t> order = shuffled(seed, stream, epoch, 100);
    EXPECT_EQ(order, shuffled(seed, stream, epoch, 100));
    seen.insert(order);
    std::sort(order.begin(), order.end());
    for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  }
  EXPECT_EQ(seen.size(), 4u);
  EXPECT_TRUE(shuffled(1, 0, 0, 0).empty());
}

TEST(Packing, AShuffleHasNoFavourites) {
  std::vector<int> first(10, 0);
  for (int epoch = 0; epoch < 10000; ++epoch) ++first[static_cast<size_t>(shuffled(1, 0, epoch, 10)[0])];
  for (const int n : first) EXPECT_NEAR(n, 1000, 150);
}

TEST(Packing, SharesHoldForEveryNumberOfRows) {
  for (const std::vector<double>& weights : {std::vector<double>{1}, {1, 2}, {3, 1, 1}, {0.1, 5, 0.7, 2}}) {
    double sum = 0;
    for (const double w : weights) sum += w;
    const Mixture mixture(mixture_parts(weights));
    std::vector<int64_t> counts(weights.size(), 0);
    for (int64_t row = 0; row < 3000; ++row) {
      const auto place = mixture.place(row);
      ASSERT_EQ(place.row, counts[static_cast<size_t>(place.source)]++);  // a source's rows come in order, none twice
      for (size_t i = 0; i < weights.size(); ++i) {
        const int64_t n = mixture.count(static_cast<int64_t>(i), row + 1);
        ASSERT_EQ(n, counts[i]);
        ASSERT_LT(std::abs(static_cast<double>(n) - weights[i] / sum * static_cast<double>(row + 1)),
                  static_cast<double>(weights.size()));
      }
    }
    for (size_t i = 0; i < weights.size(); ++i) {
      const int64_t until = mixture.rows_until(static_cast<int64_t>(i), 17);
      EXPECT_EQ(mixture.count(static_cast<int64_t>(i), until), 17);
      EXPECT_EQ(mixture.count(static_cast<int64_t>(i), until - 1), 16);
    }
  }
}

TEST(Batches, EveryDocumentOnceAnEpoch) {
  Folder folder;
  folder.write("a.jsonl", many_texts(200));
  const recipes::Recipe recipe = make_recipe({path_source("a.jsonl")}, 48, 1, 1);
  const BatchStream stream = open_stream(recipe, folder).value();
  std::multiset<std::vector<int32_t>> wanted;
  for (int64_t i = 0; i < stream.n_documents(); ++i) wanted.insert(stream.document(i).ids);
  ASSERT_EQ(stream.n_documents(), 200);
  const int64_t steps = stream.steps_per_epoch();
  EXPECT_EQ(steps, stream.statistics()[0].n_rows);
  std::vector<std::vector<int32_t>> orders[2];
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::multiset<std::vector<int32_t>> found;
    for (int64_t i = 0; i < steps; ++i) {
      const StepBatch step = stream.step(epoch * steps + i).value();
      EXPECT_LE(step.n_tokens, 48);
      for (auto& document : documents_of(step)) {
        orders[epoch].push_back(document);
        found.insert(document);
      }
    }
    EXPECT_EQ(found, wanted);
  }
  EXPECT_NE(orders[0], orders[1]);
}

TEST(Batches, AStepIsAFunctionOfItsNumber) {
  Folder folder;
  folder.write("a.jsonl", many_texts(60));
  folder.write("b.jsonl", many_texts(23));
  const recipes::Recipe recipe =
      make_recipe({path_source("a.jsonl", 2), path_source("b.jsonl"), generator_source("digits", 40)});
  const BatchStream stream = open_stream(recipe, folder).value();
  std::vector<StepBatch> steps;
  for (int64_t i = 0; i < 40; ++i) steps.push_back(stream.step(i).value());
  for (int64_t i = 40; i-- > 0;) EXPECT_TRUE(steps[static_cast<size_t>(i)] == *stream.step(i)) << i;
  const BatchStream resumed = open_stream(recipe, folder).value();
  EXPECT_TRUE(steps[31] == *resumed.step(31));
  EXPECT_EQ(stream.sha256(), resumed.sha256());
  recipes::Recipe other = recipe;
  other.seed = 2;
  EXPECT_FALSE(steps[0] == *open_stream(other, folder)->step(0));
  folder.write("b.jsonl", many_texts(24));
  EXPECT_NE(open_stream(recipe, folder)->sha256(), stream.sha256());
}

TEST(Batches, RowsOfAStepInMicroBatchesWithMasksAndPositions) {
  Folder folder;
  folder.write("a.jsonl", many_texts(50));
  const recipes::Recipe recipe = make_recipe({path_source("a.jsonl")}, 48, 5, 2);
  const BatchStream stream = open_stream(recipe, folder).value();
  for (int64_t n = 0; n < 10; ++n) {
    const StepBatch step = stream.step(n).value();
    ASSERT_EQ(step.micro_batches.size(), 3u);
    int64_t n_tokens = 0, n_targets = 0;
    for (const MicroBatch& batch : step.micro_batches) {
      ASSERT_EQ(batch.ids.size(), batch.positions.size());
      ASSERT_EQ(batch.ids.size(), batch.targets.size());
      ASSERT_EQ(batch.ids.size(), batch.weights.size());
      EXPECT_LE(std::ssize(batch.ids), 2 * 48);
      int64_t at = 0;
      for (const DocumentRows& d : batch.documents) {
        ASSERT_EQ(d.row_begin, at);
        for (int64_t i = 0; i < d.n_rows; ++i) {
          EXPECT_EQ(batch.positions[at + i], i);
          EXPECT_EQ(batch.targets[at + i], i + 1 < d.n_rows ? batch.ids[at + i + 1] : 0);
          EXPECT_EQ(batch.weights[at + i], i + 1 < d.n_rows ? 1.0f : 0.0f);
        }
        EXPECT_EQ(batch.ids[at + d.n_rows - 1], kEnd);
        at += d.n_rows;
      }
      EXPECT_EQ(at, std::ssize(batch.ids));
      n_tokens += at;
      n_targets += std::count(batch.weights.begin(), batch.weights.end(), 1.0f);
    }
    EXPECT_EQ(step.n_tokens, n_tokens);
    EXPECT_EQ(step.divisor, static_cast<double>(n_targets));
  }
}

TEST(Batches, TheMaskShiftsByOne) {
  Folder folder;
  folder.write("a.jsonl", R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "a"},
)"
                          "");
  folder.write(
      "a.jsonl",
      R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})");
  recipes::Recipe recipe = make_recipe({path_source("a.jsonl")}, 64, 1, 1);
  recipe.kind = recipes::RunKind::kSft;
  const BatchStream stream = open_stream(recipe, folder).value();
  const Document& document = stream.document(0);
  const MicroBatch batch = stream.step(0)->micro_batches.at(0);
  ASSERT_EQ(batch.ids, document.ids);
  const size_t n = document.ids.size();
  // "b" and the end of the turn, each predicted by the token before it.
  std::vector<float> weights(n, 0.0f);
  weights[n - 3] = weights[n - 2] = 1;
  EXPECT_EQ(batch.weights, weights);
  EXPECT_EQ(batch.targets[n - 2], kEnd);
  EXPECT_EQ(stream.step(0)->divisor, 2);
}

TEST(Batches, AllRowsAreEveryRowOnceAndAnyBeginningIsFair) {
  Folder folder;
  folder.write("a.jsonl", many_texts(90));
  folder.write("b.jsonl", many_texts(30));
  const recipes::Recipe recipe = make_recipe({path_source("a.jsonl"), path_source("b.jsonl", 100)}, 48);
  const BatchStream stream = open_stream(recipe, folder).value();
  const StepBatch all = stream.all_rows(1000000).value();
  EXPECT_EQ(all.n_tokens, stream.n_tokens());
  EXPECT_EQ(std::ssize(documents_of(all)), 120);
  const StepBatch some = stream.all_rows(8).value();
  EXPECT_EQ(some.micro_batches.size(), 4u);
  EXPECT_TRUE(some.micro_batches[0] == all.micro_batches[0]);
  EXPECT_FALSE(stream.all_rows(0).ok());
}

TEST(Batches, StepsOfAnEpochAreThoseOfTheSourceSeenFirst) {
  Folder folder;
  folder.write("a.jsonl", many_texts(90));
  folder.write("b.jsonl", many_texts(30));
  const recipes::Recipe recipe = make_recipe({path_source("a.jsonl"), path_source("b.jsonl", 3)}, 48, 4);
  const BatchStream stream = open_stream(recipe, folder).value();
  const int64_t b_rows = stream.statistics()[1].n_rows;
  EXPECT_EQ(stream.statistics()[1].share, 0.75);
  EXPECT_NEAR(static_cast<double>(stream.steps_per_epoch()), static_cast<double>(b_rows) / 3, 1.5);
}

TEST(Batches, LongTextsAreCutIntoPiecesOrDropped) {
  Folder folder;
  std::string text = "{\"text\": \"";
  for (int i = 0; i < 100; ++i) text += " word";
  folder.write("a.jsonl", text + "\"}\n{\"text\": \"short\"}\n");
  recipes::Recipe recipe = make_recipe({path_source("a.jsonl")}, 32);
  const text::Tokenizer tokenizer = make_test_tokenizer();
  std::string whole;
  {
    const BatchStream stream = open_stream(recipe, folder).value();
    const int64_t n = stream.statistics()[0].n_pieces;
    EXPECT_EQ(stream.n_documents(), n + 1);
    EXPECT_GT(n, 3);
    int64_t n_tokens = 0;
    for (int64_t i = 0; i <= n; ++i) {
      EXPECT_LE(std::ssize(stream.document(i).ids), 32);
      EXPECT_EQ(stream.document(i).loss[0], 0);
      n_tokens += std::ssize(stream.document(i).ids);
    }
    EXPECT_EQ(n_tokens, stream.n_tokens());
    ASSERT_EQ(stream.n_notes(), 1);
    EXPECT_EQ(stream.notes()[0].place, "a.jsonl:1");
    EXPECT_NE(stream.notes()[0].reason.find("cut into pieces"), std::string::npos);
  }
  recipe.batch.overlong = "drop";
  const BatchStream stream = open_stream(recipe, folder).value();
  EXPECT_EQ(stream.n_documents(), 1);
  ASSERT_EQ(stream.notes().size(), 1u);
  EXPECT_EQ(stream.notes()[0].place, "a.jsonl:1");
  EXPECT_NE(stream.notes()[0].reason.find("the context holds 32"), std::string::npos);
  EXPECT_EQ(stream.statistics()[0].n_dropped, 1);
}

TEST(Batches, ALastPieceOfOneTokenIsNoted) {
  Folder folder;
  folder.write("a.jsonl", "{\"text\": \"0123456789\"}\n");
  const text::Tokenizer tokenizer = make_test_tokenizer();
  const auto n = std::ssize(tokenizer.encode("0123456789")) + 1;
  const recipes::Recipe recipe = make_recipe({path_source("a.jsonl")}, n - 1);
  const BatchStream stream = open_stream(recipe, folder).value();
  EXPECT_EQ(stream.n_documents(), 1);
  EXPECT_EQ(stream.n_tokens(), n - 1);
  ASSERT_EQ(stream.notes().size(), 2u);
  EXPECT_NE(stream.notes()[1].reason.find("last token left out"), std::string::npos);
}

TEST(Batches, LongConversationsAreCutAndNoted) {
  Folder folder;
  std::string lines =
      R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "a"}, )"
      R"({"role": "assistant", "content": "b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b"}]})"
      "\n";
  lines +=
      R"({"messages": [{"role": "system", "content": "S S S S S S S S S S S S S S S S S S S S S S S S S S S S S S"}, )"
      R"({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})"
      "\n";
  lines += R"({"messages": [{"role": "user", "content": "nothing to learn"}]})";
  folder.write("a.jsonl", lines);
  recipes::Recipe recipe = make_recipe({path_source("a.jsonl")}, 40);
  recipe.kind = recipes::RunKind::kSft;
  const BatchStream stream = open_stream(recipe, folder).value();
  ASSERT_EQ(stream.n_documents(), 1);
  EXPECT_EQ(std::ssize(stream.document(0).ids), 40);
  EXPECT_EQ(stream.statistics()[0].n_cut, 1);
  EXPECT_EQ(stream.statistics()[0].n_dropped, 2);
  ASSERT_EQ(stream.notes().size(), 3u);
  EXPECT_EQ(stream.notes()[0].place, "a.jsonl:1");
  EXPECT_NE(stream.notes()[0].reason.find("cut at the end"), std::string::npos);
  EXPECT_EQ(stream.notes()[1].place, "a.jsonl:2");
  EXPECT_NE(stream.notes()[1].reason.find("nothing of what is to be learnt"), std::string::npos);
  EXPECT_EQ(stream.notes()[2].place, "a.jsonl:3");
  recipe.batch.overlong = "drop";
  EXPECT_FALSE(open_stream(recipe, folder).ok());  // nothing is left
}

TEST(Batches, FoldersAreReadByName) {
  Folder folder;
  folder.write("d/b.txt", "second text\n");
  folder.write("d/a.jsonl", "{\"text\": \"first\"}\r\n\r\n{\"text\": \"another\", \"id\": 7}");
  folder.write("d/c.csv", "1,2\n");
  folder.write("d/sub/x.txt", "not read");
  const recipes::Recipe recipe = make_recipe({path_source("d")});
  const BatchStream stream = open_stream(recipe, folder).value();
  EXPECT_EQ(stream.n_documents(), 3);
  ASSERT_EQ(stream.notes().size(), 3u);
  EXPECT_EQ(stream.notes()[0].place, "d/a.jsonl:2");
  EXPECT_EQ(stream.notes()[1].place, "d/c.csv");
  EXPECT_EQ(stream.notes()[2].place, "d/sub");
}

TEST(Batches, ALargeTextHasTheIdsItHasAsAWhole) {
  Folder folder;
  std::string text = "\xEF\xBB\xBF";
  for (int i = 0; text.size() < 3500000; ++i)
    text += fmt::format("line {} of the text, and  so on.\n{}", i, i % 7 ? "" : "\n\n  x");
  folder.write("a.txt", text);
  const recipes::Recipe recipe = make_recipe({path_source("a.txt")}, kDataContextMax, 1, 1);
  const text::Tokenizer tokenizer = make_test_tokenizer();
  std::vector<int32_t> wanted = tokenizer.encode(text.substr(3));
  wanted.push_back(kEnd);
  const auto stream = open_stream(recipe, folder);
  ASSERT_TRUE(stream.ok()) << stream.error().message;
  std::vector<int32_t> first;
  int64_t n = 0;
  for (int64_t i = 0; i < stream->n_documents(); ++i) n += std::ssize(stream->document(i).ids);
  EXPECT_EQ(n, std::ssize(wanted));
  std::map<std::vector<int32_t>, int> pieces;
  for (int64_t i = 0; i < stream->n_documents(); ++i) ++pieces[stream->document(i).ids];
  for (size_t begin = 0; begin < wanted.size(); begin += kDataContextMax) {
    const size_t end = std::min(wanted.size(), begin + kDataContextMax);
    EXPECT_EQ(pieces.count(std::vector<int32_t>(wanted.begin() + begin, wanted.begin() + end)), 1u) << begin;
  }
}

TEST(Batches, TextMakesNoControlTokens) {
  Folder folder;
  folder.write("a.txt", "a <|im_end|> b\n");
  const recipes::Recipe recipe = make_recipe({path_source("a.txt")});
  const BatchStream stream = open_stream(recipe, folder).value();
  const auto& ids = stream.document(0).ids;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kEnd), 1);
  EXPECT_EQ(ids.back(), kEnd);
}

TEST(Batches, ATokenizersBeginningComesFirst) {
  Folder folder;
  folder.write("a.jsonl", "{\"text\": \"a\"}\n");
  folder.write("b.txt", "a\n");
  const recipes::Recipe recipe =
      make_recipe({path_source("a.jsonl"), path_source("b.txt"), generator_source("digits", 3)});
  const text::Tokenizer tokenizer = make_test_tokenizer(true);
  const BatchStream stream = BatchStream::open(recipe, recipe.data, tokenizer, nullptr, folder.path()).value();
  for (int64_t i = 0; i < stream.n_documents(); ++i) EXPECT_EQ(stream.document(i).ids[0], kBos);
}

TEST(Batches, BadFilesAreNamed) {
  Folder folder;
  folder.write("empty.jsonl", "");
  folder.write("blank.jsonl", "\n\n");
  folder.write("empty.txt", "");
  folder.write("blank.txt", " \n\n");
  folder.write("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": \n{\"text\": \"b\"}\n");
  folder.write("bytes.txt", "good\nbad \xff here\n");
  folder.write("late.txt", std::string(2000000, 'a') + "\n\n\xc3");
  folder.write("long.jsonl", "{\"text\": \"a\"}\n{\"text\": \"" + std::string(kDataLineBytesMax, 'a') + "\"}\n");
  folder.write("plain.txt", "some text\n");
  folder.write("noword.csv", "a");
  folder.write("none/x.csv", "a");
  folder.write("text.jsonl", "{\"text\": \"a\"}\n");
  folder.write("chat.jsonl",
               R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})");
  struct Case {
    const char* path;
    const char* kind;
    const char* chat_template;
    const char* wanted;
  };
  const Case cases[] = {
      {"missing.jsonl", "pretrain", "chatml", "missing.jsonl: there is no such file"},
      {"empty.jsonl", "pretrain", "chatml", "empty.jsonl: the file is empty"},
      {"blank.jsonl", "pretrain", "chatml", "blank.jsonl: the file is empty"},
      {"empty.txt", "pretrain", "chatml", "empty.txt: the file is empty"},
      {"blank.txt", "pretrain", "chatml", "blank.txt: the file is empty"},
      {"bad.jsonl", "pretrain", "chatml", "bad.jsonl:2"},
      {"bytes.txt", "pretrain", "chatml", "bytes.txt:2: byte \\xFF"},
      {"late.txt", "pretrain", "chatml", "late.txt:3: byte \\xC3"},
      {"long.jsonl", "pretrain", "chatml", "long.jsonl:2: the line has more than 8388608 bytes"},
      {"noword.csv", "pretrain", "chatml", "a table of values between commas"},
      {"none", "pretrain", "chatml", "no .txt and no .jsonl"},
      {"text.jsonl", "sft", "chatml", "text.jsonl:1: it has \"text\""},
      {"plain.txt", "sft", "chatml", "plain.txt: it is plain text"},
      {"chat.jsonl", "sft", nullptr, "chat.jsonl:1: it is a conversation"},
      {"/dev/null", "pretrain", "chatml", "/dev/null"},
  };
  for (const Case& c : cases) {
    recipes::Recipe recipe = make_recipe({path_source(c.path)});
    recipe.kind = recipes::run_kind_from_name(c.kind).value();
    const auto stream = open_stream(recipe, folder, c.chat_template);
    ASSERT_FALSE(stream.ok()) << c.path;
    EXPECT_NE(stream.error().message.find(c.wanted), std::string::npos) << stream.error().message;
    EXPECT_NE(stream.error().message.find("; "), std::string::npos) << stream.error().message;
  }
  // At the limit a line is read.
  folder.write("fits.jsonl", "{\"text\": \"" + std::string(kDataLineBytesMax - 12, 'a') + "\"}");
  EXPECT_TRUE(open_stream(make_recipe({path_source("fits.jsonl")}, 4096), folder).ok());
}

TEST(Batches, BoundsOfFoldersAndNotes) {
  Folder folder;
  folder.write("d/a.txt", "text");
  for (int64_t i = 1; i < kDataFilesMax; ++i) folder.write(fmt::format("d/{}.csv", i), "");
  folder.write("a.jsonl", "{\"text\": \"a\"}" + std::string(kDataNotesMax + 2, '\n'));
  {
    const BatchStream stream = open_stream(make_recipe({path_source("d"), path_source("a.jsonl")}), folder).value();
    EXPECT_EQ(stream.n_notes(), kDataFilesMax - 1 + kDataNotesMax + 1);
    EXPECT_EQ(std::ssize(stream.notes()), kDataNotesMax);
  }
  folder.write("d/more.csv", "");
  const auto stream = open_stream(make_recipe({path_source("d")}), folder);
  ASSERT_FALSE(stream.ok());
  EXPECT_NE(stream.error().message.find("more than 10000 files"), std::string::npos) << stream.error().message;
}

TEST(Batches, BoundsOfConversations) {
  Folder folder;
  const auto chat = [](int64_t n_messages, size_t n_bytes) {
    std::string line = "{\"messages\": [";
    for (int64_t i = 0; i < n_messages; ++i) {
      line += fmt::format("{}{{\"role\": \"{}\", \"content\": \"{}\"}}", i > 0 ? ", " : "",
                          i % 2 == 0 ? "user" : "assistant", std::string(n_bytes, 'a'));
    }
    return line + "]}\n";
  };
  recipes::Recipe recipe = make_recipe({path_source("a.jsonl")}, 1 << 16);
  recipe.kind = recipes::RunKind::kSft;
  folder.write("a.jsonl", chat(kDataMessagesMax, 1));
  EXPECT_TRUE(open_stream(recipe, folder).ok());
  const auto refused = [&](const std::string& line, std::string_view wanted) {
    folder.write("a.jsonl", line);
    const auto stream = open_stream(recipe, folder);
    ASSERT_FALSE(stream.ok()) << wanted;
    EXPECT_EQ(stream.error().code, Code::kResourceExhausted);
    EXPECT_NE(stream.error().message.find(wanted), std::string::npos) << stream.error().message;
  };
  refused(chat(kDataMessagesMax + 1, 1), "257 messages, at most 256");
  refused(chat(100, 50000), "come to more than 67108864 bytes");
}

TEST(Batches, BadRecipesAreRefused) {
  Folder folder;
  folder.write("a.jsonl", "{\"text\": \"a\"}\n");
  const recipes::Recipe good = make_recipe({path_source("a.jsonl")});
  EXPECT_TRUE(open_stream(good, folder).ok());
  const auto refused = [&](auto change, const char* wanted) {
    recipes::Recipe recipe = good;
    change(recipe);
    const auto stream = open_stream(recipe, folder);
    ASSERT_FALSE(stream.ok()) << wanted;
    EXPECT_NE(stream.error().message.find(wanted), std::string::npos) << stream.error().message;
  };
  refused([](recipes::Recipe& r) { r.data.clear(); }, "sources");
  refused([](recipes::Recipe& r) { r.data.assign(65, r.data[0]); }, "sources");
  refused([](recipes::Recipe& r) { r.data[0].weight = 0; }, "weight");
  refused([](recipes::Recipe& r) { r.data[0].weight = std::numeric_limits<double>::quiet_NaN(); }, "weight");
  refused([](recipes::Recipe& r) { r.data[0].path = ""; }, "neither");
  refused([](recipes::Recipe& r) { r.data[0].generator = "digits"; }, "both");
  refused([](recipes::Recipe& r) { r.data[0].trace = "long"; }, "are of generators");
  refused([](recipes::Recipe& r) { r.batch.context = 1; }, "context");
  refused([](recipes::Recipe& r) { r.batch.context = kDataContextMax + 1; }, "context");
  refused([](recipes::Recipe& r) { r.batch.rows = 0; }, "rows");
  refused([](recipes::Recipe& r) { r.batch.rows = kDataStepTokensMax; }, "rows");
  refused([](recipes::Recipe& r) { r.batch.micro_rows = 5; }, "micro_rows");
  refused([](recipes::Recipe& r) { r.batch.overlong = "crop"; }, "overlong");
  refused([](recipes::Recipe& r) { r.data[0] = generator_source("digit", 5); }, "'digit'");
  refused([](recipes::Recipe& r) { (r.data[0] = generator_source("digits", 5)).trace = "all"; }, "'all'");
  refused([](recipes::Recipe& r) { (r.data[0] = generator_source("digits", 5)).language = "en"; }, "no language");
  refused([](recipes::Recipe& r) { (r.data[0] = generator_source("word_problems", 5)).language = "de"; }, "'de'");
  refused([](recipes::Recipe& r) { r.data[0] = generator_source("digits", -1); }, "documents");
  refused([](recipes::Recipe& r) { r.data[0] = generator_source("digits", kGeneratorDocumentsMax + 1); }, "documents");
  const BatchStream stream = open_stream(good, folder).value();
  EXPECT_FALSE(stream.step(-1).ok());
  EXPECT_FALSE(stream.step(INT64_MAX).ok());
  EXPECT_FALSE(stream.step(int64_t{1} << 40).ok());
  EXPECT_TRUE(stream.step(1 << 20).ok());
}

}  // namespace
}  // namespace naru::data
