// OpenAI's answers, byte for byte: whole, and as a stream of events.
#include "server/openai_answer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace naru::server {
namespace {

using Kind = AnswerEvent::Kind;
using Json = nlohmann::ordered_json;

AnswerEvent event(Kind kind, int64_t choice = 0) {
  AnswerEvent e;
  e.kind = kind;
  e.choice = choice;
  return e;
}

AnswerEvent text(std::string reasoning, std::string content, std::vector<AnswerToken> tokens = {}, int64_t choice = 0) {
  AnswerEvent e = event(Kind::kText, choice);
  e.reasoning = std::move(reasoning);
  e.content = std::move(content);
  e.tokens = std::move(tokens);
  return e;
}

AnswerEvent end(EndReason reason, int64_t choice = 0) {
  AnswerEvent e = event(Kind::kEnd, choice);
  e.reason = reason;
  return e;
}

AnswerEvent done() {
  AnswerEvent e = event(Kind::kDone);
  e.usage = {10, 4, 7, 3};
  return e;
}

AnswerIdentity identity() {
  return {"id-1", 1700000000, "m", "fp_1"};
}

std::string write(const AnswerRequest& request, const std::vector<AnswerEvent>& events) {
  const auto writer = make_openai_writer(identity(), request);
  std::string bytes;
  for (const AnswerEvent& e : events) bytes += writer->take(e);
  return bytes;
}

AnswerRequest chat(bool is_streamed) {
  AnswerRequest request;
  request.is_chat = true;
  request.is_streamed = is_streamed;
  return request;
}

const std::string kUsage =
    R"("usage":{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4},)"
    R"("completion_tokens_details":{"reasoning_tokens":3},"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6})";

TEST(OpenAiAnswer, AWholeChat) {
  EXPECT_EQ(
      write(chat(false),
            {event(Kind::kBegin), text("hm", ""), text("", "Hel"), text("", "lo \"\n"), end(EndReason::kStop), done()}),
      R"({"id":"id-1","object":"chat.completion","created":1700000000,"model":"m","system_fingerprint":"fp_1",)" +
          kUsage +
          R"(,"choices":[{"index":0,"message":{"role":"assistant","content":"Hello \"\n","reasoning_content":"hm",)"
          R"("refusal":null},"finish_reason":"stop","logprobs":null}]})");
}

TEST(OpenAiAnswer, AStreamedChat) {
  AnswerRequest request = chat(true);
  request.wants_usage = true;
  const std::string head =
      R"(data: {"id":"id-1","object":"chat.completion.chunk","created":1700000000,"model":"m","system_fingerprint":"fp_1",)";
  const std::string before = head + R"("usage":null,"choices":[{"index":0,"delta":)";
  const std::string after = R"(,"finish_reason":null,"logprobs":null}]})"
                            "\n\n";
  EXPECT_EQ(write(request, {event(Kind::kBegin), event(Kind::kPrefill), text("hm", "A"), text("", "B"),
                            end(EndReason::kLength), done()}),
            before + R"({"role":"assistant","content":""})" + after +         //
                before + R"({"reasoning_content":"hm"})" + after +            //
                before + R"({"content":"A"})" + after +                       //
                before + R"({"content":"B"})" + after +                       //
                before + R"({},"finish_reason":"length","logprobs":null}]})"  //
                + "\n\n" + head + R"("choices":[],)" + kUsage + "}\n\ndata: [DONE]\n\n");
}

// Where reasoning has ended and nothing follows it yet, an empty content says so: an answer that is cut there goes on
// behind it.
TEST(OpenAiAnswer, TheEndOfReasoningIsSaid) {
  AnswerEvent tag = text("", "");
  tag.ends_reasoning = true;
  const std::string bytes =
      write(chat(true), {event(Kind::kBegin), text("hm", ""), tag, end(EndReason::kLength), done()});
  const size_t sign = bytes.find(R"("delta":{"content":""})");
  EXPECT_NE(sign, std::string::npos) << bytes;
  EXPECT_GT(sign, bytes.find("hm"));
  AnswerRequest completion = chat(true);
  completion.is_chat = false;
  completion.prompts = {"Hi"};
  EXPECT_EQ(write(completion, {event(Kind::kBegin), tag}), "");
  tag.content = "A";
  EXPECT_EQ(write(chat(true), {tag}).find(R"("content":"")"), std::string::npos);
}

TEST(OpenAiAnswer, NoUsageWhereNobodyAskedAndNoDoneAfterAnError) {
  const std::string bytes = write(chat(true), {event(Kind::kBegin), text("", "A"), end(EndReason::kStop), done()});
  EXPECT_EQ(bytes.find("usage"), std::string::npos);
  EXPECT_TRUE(bytes.ends_with("data: [DONE]\n\n"));
  AnswerEvent error = event(Kind::kError);
  error.error = {500, "it broke", "", "internal_error", 0};
  EXPECT_EQ(write(chat(true), {error}),
            "data: {\"error\":{\"message\":\"it broke\",\"type\":\"server_error\",\"param\":null,"
            "\"code\":\"internal_error\"}}\n\n");
}

// A token in the middle of a character: its bytes are exact, its text is what can be shown.
TEST(OpenAiAnswer, ProbabilitiesOfAChat) {
  AnswerRequest request = chat(false);
  request.top_logprobs = 1;
  const std::vector<AnswerToken> tokens = {{"hm", -0.1f, {}, true},
                                           {"\xc3", -0.5f, {{"a", -0.25f}, {"\xc3", -0.5f}}, false}};
  const Json json = Json::parse(write(request, {text("hm", "", tokens), end(EndReason::kStop), done()}));
  EXPECT_EQ(json["choices"][0]["logprobs"].dump(),
            "{\"content\":[{\"token\":\"\xef\xbf\xbd\",\"logprob\":-0.5,\"bytes\":[195],\"top_logprobs\":["
            "{\"token\":\"a\",\"logprob\":-0.25,\"bytes\":[97]},"
            "{\"token\":\"\xef\xbf\xbd\",\"logprob\":-0.5,\"bytes\":[195]}]}],\"refusal\":null,\"reasoning_content\":["
            "{\"token\":\"hm\",\"logprob\":-0.1,\"bytes\":[104,109],\"top_logprobs\":[]}]}");
  request.is_streamed = true;
  const std::string stream = write(request, {text("hm", "", tokens)});
  EXPECT_NE(stream.find(R"("delta":{"reasoning_content":"hm"})"), std::string::npos);
  EXPECT_NE(stream.find(R"("delta":{"content":""})"), std::string::npos) << "a token without text yet";
}

TEST(OpenAiAnswer, Completions) {
  AnswerRequest request;
  request.prompts = {"a", "b"};
  request.top_logprobs = 1;
  const std::string bytes = write(
      request, {text("", "A\xc3\xa9",
                     {{"A", -1.0f, {{"A", -1.0f}}, false}, {"\xc3", -2.0f, {}, false}, {"\xa9", -3.0f, {}, false}}),
                text("", "B", {}, 1), end(EndReason::kLength, 1), end(EndReason::kStop), done()});
  EXPECT_EQ(bytes,
            R"({"id":"id-1","object":"text_completion","created":1700000000,"model":"m","system_fingerprint":"fp_1",)" +
                kUsage +
                ",\"choices\":[{\"index\":0,\"text\":\"A\xc3\xa9\",\"finish_reason\":\"stop\",\"logprobs\":"
                R"({"tokens":["A","bytes:\\xc3","bytes:\\xa9"],"token_logprobs":[-1.0,-2.0,-3.0],)"
                R"("top_logprobs":[{"A":-1.0},{},{}],"text_offset":[0,1,2]}},)"
                R"({"index":1,"text":"B","finish_reason":"length","logprobs":)"
                R"({"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]}}]})");
  request.is_streamed = true;
  EXPECT_NE(write(request, {text("", "x", {{"x", -1.0f, {}, false}}, 1)})
                .find(R"("choices":[{"index":1,"text":"x","finish_reason":null,"logprobs":{"tokens":["x"])"),
            std::string::npos);
}

// A stream's pieces, joined, are the whole answer.
TEST(OpenAiAnswer, StreamedIsWhole) {
  const std::vector<AnswerEvent> events = {
      event(Kind::kBegin),   text("r1", ""),        text("r2", "c1"),           text("", "\xe2\x82\xac"),
      text("", "c2", {}, 1), end(EndReason::kStop), end(EndReason::kLength, 1), done()};
  AnswerRequest request = chat(false);
  request.n = 2;
  const Json whole = Json::parse(write(request, events));
  request.is_streamed = true;
  std::string stream = write(request, events);
  std::vector<std::string> content(2), reasoning(2), reason(2);
  size_t at = 0;
  while (stream.compare(at, 12, "data: [DONE]") != 0) {
    ASSERT_EQ(stream.compare(at, 6, "data: "), 0);
    const size_t stop = stream.find("\n\n", at);
    const Json json = Json::parse(stream.substr(at + 6, stop - at - 6));
    at = stop + 2;
    for (const Json& choice : json["choices"]) {
      const auto i = choice["index"].get<size_t>();
      content[i] += choice["delta"].value("content", "");
      reasoning[i] += choice["delta"].value("reasoning_content", "");
      if (!choice["finish_reason"].is_null()) reason[i] = choice["finish_reason"];
    }
  }
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(content[i], whole["choices"][i]["message"]["content"]);
    EXPECT_EQ(reasoning[i], whole["choices"][i]["message"].value("reasoning_content", ""));
    EXPECT_EQ(reason[i], whole["choices"][i]["finish_reason"]);
  }
}

}  // namespace
}  // namespace naru::server
