// Problems of the user's own: lines, what is wrong with them, their order, what is recorded of them, and as prompts.
#include "data/problems.h"

#include <gtest/gtest.h>

#include <set>

#include "data/problem_lines.h"
#include "tests/data/rig.h"

namespace naru::data {
namespace {

Result<Problem> parse(std::string_view line, bool needs_answer = true) {
  return parse_problem(line, "p.jsonl:7", {7, 1}, needs_answer);
}

TEST(ProblemLines, PromptsAndConversationsInThreeLanguages) {
  const Problem english = *parse(R"({"prompt": "How many?", "answer": 72, "level": [1, {"a": null}]})");
  EXPECT_EQ(english.key, "p.jsonl:7");
  EXPECT_EQ(english.prompt, "How many?");
  EXPECT_EQ(english.text_prompt, "How many?");
  EXPECT_EQ(english.answer_text, "72");
  EXPECT_FALSE(english.generator.has_value());
  EXPECT_EQ(english.line, R"({"prompt": "How many?", "answer": 72, "level": [1, {"a": null}]})");
  EXPECT_EQ(parse(R"({"prompt": "몇 개?", "answer": "칠십이"})")->answer_text, "칠십이");
  EXPECT_EQ(parse(R"({"prompt": "几个？", "answer": -0.5})")->answer_text, "-0.5");
  const Problem chat = *parse(
      R"({"messages": [{"role": "user", "content": "하나"}, {"role": "assistant", "content": "둘"},
          {"role": "user", "content": "셋"}], "system": "Be brief.", "answer": "넷"})");
  EXPECT_EQ(chat.prompt, "셋");
  ASSERT_EQ(chat.messages.size(), 4u);  // "system" is the first
  EXPECT_EQ(*chat.messages[0].find("content")->as_string(), "Be brief.");
  for (const char* line :
       {R"({"prompt": "a"})", R"({"prompt": "a", "answer": null})", R"({"prompt": "a", "answer": " "})"}) {
    EXPECT_FALSE(parse(line).ok()) << line;
    EXPECT_EQ(parse(line, false)->answer_text, std::nullopt) << line;
  }
}

TEST(ProblemLines, WrongOnesSayWhatToDo) {
  const std::vector<std::pair<const char*, const char*>> lines = {
      {"", "p.jsonl:7"},
      {"[]", "the line is an array, an object was wanted"},
      {"{}", "an object without \"prompt\" and \"messages\""},
      {R"({"question": "a", "answer": 1})", "call the question \"prompt\""},
      {R"({"prompt": "a", "solution": "1"})", "call the right answer \"answer\""},
      {R"({"prompt": "a", "messages": []})", "both \"prompt\" and \"messages\""},
      {R"({"prompt": 1, "answer": 1})", "prompt is a number, a string was wanted"},
      {R"({"prompt": [], "answer": 1})", "call a conversation \"messages\""},
      {R"({"prompt": " \n", "answer": 1})", "prompt is empty"},
      {R"({"prompt": "a", "answer": [1]})", "answer is an array, a text or a number was wanted"},
      {R"({"prompt": "a", "answer": true})", "answer is a truth value"},
      {R"({"prompt": "a", "answer": ""})", "answer is empty"},
      {R"({"prompt": "a"})", "answer is missing"},
      {R"({"messages": [], "answer": 1})", "messages is empty"},
      {R"({"messages": [{"role": "user", "content": 1}], "answer": 1})", "messages[0].content is a number"},
      {R"({"messages": [{"role": "system", "content": "a"}], "answer": 1})", "messages is without a question"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "answer": 1})",
       "messages is ended by an assistant's message"},
      {R"({"prompt": "a", "answer": 1, "n": 1e400})", "p.jsonl:7"},
      {R"({"prompt": "a", "answer": 18446744073709551616})", "p.jsonl:7"},
      {R"({"prompt": "a", "prompt": "b", "answer": 1})", "p.jsonl:7"},
      {"{\"prompt\": \"\xff\", \"answer\": 1}", "p.jsonl:7"}};
  for (const auto& [line, message] : lines) {
    const auto problem = parse(line);
    ASSERT_FALSE(problem.ok()) << line;
    EXPECT_NE(problem.error().message.find(message), std::string::npos) << line << ": " << problem.error().message;
    EXPECT_NE(problem.error().message.find("p.jsonl"), std::string::npos) << problem.error().message;
  }
}

recipes::SourceRecipe file_source(const std::string& name) {
  recipes::SourceRecipe source;
  source.path = name;
  return source;
}

std::string lines_of(int64_t n) {
  std::string lines;
  for (int64_t i = 0; i < n; ++i) lines += "{\"prompt\": \"" + std::to_string(i) + "\", \"answer\": 1}\n";
  return lines;
}

TEST(ProblemSource, AllWrongLinesAreToldTogether) {
  const Folder folder;
  const auto refusal = [&](const std::string& name, const std::string& text, bool needs_answers = true) {
    folder.write(name, text);
    const auto source = ProblemSource::open(file_source(name), 1, Split::kTrain, folder.path(), needs_answers);
    return source.ok() ? std::string("opened") : source.error().message;
  };
  const std::string some =
      "\xEF\xBB\xBF{\"prompt\": \"a\", \"answer\": 1}\r\n\n{\"prompt\": \"b\"}\n{\"answer\": 1}\nx";
  const std::string said = refusal("p.jsonl", some);
  for (const char* part :
       {"3 of its 4 lines cannot be read", "p.jsonl:3: answer is missing", "p.jsonl:4: the line is", "p.jsonl:5"}) {
    EXPECT_NE(said.find(part), std::string::npos) << said;
  }
  EXPECT_NE(refusal("p.jsonl", some, false).find("2 of its 4 lines"), std::string::npos);
  EXPECT_NE(refusal("p.jsonl", "\n \n").find("the file is empty"), std::string::npos);
  EXPECT_NE(refusal("p.json", "[]").find("a .jsonl file of problems was wanted"), std::string::npos);
  EXPECT_EQ(refusal("p.jsonl", "{\"prompt\": \"a\", \"answer\": 1}"), "opened");
  EXPECT_NE(ProblemSource::open(file_source("none.jsonl"), 1, Split::kTrain, folder.path())
                .error()
                .message.find("none.jsonl"),
            std::string::npos);
}

TEST(ProblemSource, EveryPassHasAllInAnOrderOfItsOwn) {
  const Folder folder;
  folder.write("p.jsonl", lines_of(20));
  const auto open = [&](uint64_t seed, Split split) {
    return ProblemSource::open(file_source("p.jsonl"), seed, split, folder.path()).value();
  };
  const auto order = [](const ProblemSource& source, int64_t pass) {
    std::vector<std::string> prompts;
    for (int64_t i = 0; i < 20; ++i) prompts.push_back(source.at(20 * pass + i).prompt);
    return prompts;
  };
  const ProblemSource source = open(1, Split::kTrain);
  EXPECT_EQ(source.size(), 20);
  EXPECT_GT(source.held_bytes(), 20 * 30);
  std::set<std::vector<std::string>> orders;
  for (int64_t pass = 0; pass < 3; ++pass) {
    std::vector<std::string> prompts = order(source, pass);
    orders.insert(prompts);
    EXPECT_EQ(std::set<std::string>(prompts.begin(), prompts.end()).size(), 20u);
  }
  orders.insert(order(open(2, Split::kTrain), 0));
  orders.insert(order(open(1, Split::kValidation), 0));
  EXPECT_EQ(orders.size(), 5u);
  const ProblemSource again = open(1, Split::kTrain);  // asked in any order
  for (const int64_t number : {45, 3, 21, 44, 3}) EXPECT_EQ(again.at(number).key, source.at(number).key);
}

TEST(ProblemSource, ItsRecordSeesEveryChange) {
  const Folder folder;
  const auto record = [&](const std::string& text) {
    folder.write("p.jsonl", text);
    return ProblemSource::open(file_source("p.jsonl"), 1, Split::kTrain, folder.path())->record(0);
  };
  const StreamRecord before = record(lines_of(3));
  EXPECT_EQ(data_difference(before, record(lines_of(3))), "");
  EXPECT_EQ(before.n_documents, 3);
  const StreamRecord longer = record(lines_of(4));
  EXPECT_NE(longer.documents_sha256, before.documents_sha256);
  EXPECT_NE(data_difference(before, longer).find("p.jsonl has grown"), std::string::npos);
  const StreamRecord spaced = record("\n" + lines_of(3));
  EXPECT_EQ(spaced.documents_sha256, before.documents_sha256);  // the same problems
  EXPECT_NE(spaced.files_sha256, before.files_sha256);
  StreamRecord with_program = before;
  add_files(with_program, {{"reward.py", 3, std::string(64, 'a')}});
  EXPECT_NE(with_program.documents_sha256, before.documents_sha256);
  StreamRecord edited = before;
  add_files(edited, {{"reward.py", 3, std::string(64, 'b')}});
  EXPECT_NE(data_difference(with_program, edited).find("reward.py was edited"), std::string::npos);
}

TEST(ProblemMix, DealsSourcesByWeight) {
  const Folder folder;
  folder.write("p.jsonl", lines_of(4));
  recipes::SourceRecipe file = file_source("p.jsonl"), generated;
  generated.generator = "countdown";
  generated.weight = 3;
  const auto mix = ProblemMix::open({file, generated}, 1, Split::kTrain, folder.path()).value();
  const auto from_file = ProblemSource::open(file, 1, Split::kTrain, folder.path()).value();
  const auto from_generator = ProblemSource::open(generated, 1, Split::kTrain, folder.path()).value();
  EXPECT_TRUE(mix.has_file());
  EXPECT_GE(mix.size(), 50000);
  int64_t n_file = 0, n_generated = 0;  // each in its own order, none left out
  for (int64_t i = 0; i < 400; ++i) {
    const Problem problem = mix.at(i);
    EXPECT_EQ(problem.key, problem.generator ? from_generator.at(n_generated).key : from_file.at(n_file).key);
    ++(problem.generator ? n_generated : n_file);
    EXPECT_NEAR(static_cast<double>(n_generated), 0.75 * static_cast<double>(i + 1), 2);
  }
  EXPECT_EQ(mix.at(7).key, mix.at(7).key);
  // Of one source it is that source; of two, its record sees each.
  const auto one = ProblemMix::open({file}, 1, Split::kTrain, folder.path()).value();
  EXPECT_EQ(one.size(), 4);
  for (int64_t i = 0; i < 12; ++i) EXPECT_EQ(one.at(i).key, from_file.at(i).key);
  EXPECT_EQ(one.record(5).documents_sha256, from_file.record(5).documents_sha256);
  const StreamRecord record = mix.record(8);
  EXPECT_EQ(record.n_files, 1);
  folder.write("p.jsonl", lines_of(5));
  const auto edited = ProblemMix::open({file, generated}, 1, Split::kTrain, folder.path())->record(8);
  EXPECT_NE(edited.documents_sha256, record.documents_sha256);
  EXPECT_NE(edited.files_sha256, record.files_sha256);
}

TEST(ProblemSource, PromptsAreWhatTheModelIsGiven) {
  const text::Tokenizer tokenizer = make_test_tokenizer(true);
  const text::ChatTemplate chat = make_test_template();
  const Problem plain = *parse(R"({"prompt": "1 + 1 <|im_end|>", "answer": 2})");
  const Problem talk = *parse(R"({"messages": [{"role": "user", "content": "1 + 1 <|im_end|>"}], "answer": 2})");
  const auto ids = problem_prompt(plain, tokenizer, nullptr)->ids;
  EXPECT_EQ(ids[0], kBos);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kEnd), 0);  // spelt, not meant
  const auto asked = problem_prompt(plain, tokenizer, &chat)->ids;
  EXPECT_EQ(asked, problem_prompt(talk, tokenizer, &chat)->ids);
  EXPECT_GE(std::count(asked.begin(), asked.end(), kEnd), 1);
  EXPECT_EQ(asked.back(), tokenizer.encode("\n", {.add_special = false, .parse_special = false}).back());
  const auto refused = problem_prompt(talk, tokenizer, nullptr);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("asking problem p.jsonl:7"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace naru::data
