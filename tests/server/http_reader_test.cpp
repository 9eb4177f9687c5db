// Requests out of bytes: the same whichever way the bytes are cut, and nothing that two programs could read in two
// ways.
#include "server/http_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/limits.h"

namespace naru::server {
namespace {

// A request as one line, to compare.
std::string line_of(const HttpRequest& request) {
  std::string line = request.method + " " + request.target + (request.is_http_1_0 ? " 1.0" : "") +
                     (request.keeps_alive ? "" : " close") + (request.expects_continue ? " expects" : "");
  for (const HttpField& field : request.fields) line += "|" + field.name + "=" + field.value;
  return line + "|" + request.body;
}

// All requests of a stream of bytes that comes in pieces of `n` bytes; "refused N" ends it.
std::vector<std::string> read_all(const std::string& bytes, size_t n) {
  HttpReader reader(1000);
  std::vector<std::string> requests;
  for (size_t at = 0; at < bytes.size(); at += n) {
    reader.push(bytes.substr(at, n));
    while (reader.state() == HttpReader::State::kHead || reader.state() == HttpReader::State::kWhole) {
      if (reader.state() == HttpReader::State::kHead) {
        reader.go_on();
      } else {
        requests.push_back(line_of(reader.take()));
      }
    }
    if (reader.state() == HttpReader::State::kRefused) {
      EXPECT_FALSE(reader.refusal().message.empty());
      requests.push_back("refused " + std::to_string(reader.refusal().status));
      return requests;
    }
  }
  return requests;
}

const std::string kHost = "Host: x\r\n";

TEST(HttpReader, RequestsDoNotDependOnHowTheirBytesAreCut) {
  const std::string stream =
      "GET /health HTTP/1.1\r\n" + kHost + "\r\n" + "POST /a?b=1 HTTP/1.1\r\n" + kHost +
      "Content-Length: 5\r\nX-Y:  z \r\n\r\nhello" + "\r\nPOST /c HTTP/1.1\r\n" + kHost +
      "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nT: 1\r\n\r\n" +
      "POST /e HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +  // no chunk but the last
      "GET / HTTP/1.0\r\n\r\n" + "GET /d HTTP/1.1\r\n" + kHost + "Connection: close\r\n\r\n";
  const std::vector<std::string> wanted = {"GET /health|host=x|",
                                           "POST /a?b=1|host=x|content-length=5|x-y=z|hello",
                                           "POST /c|host=x|transfer-encoding=chunked|abc0123456789abcdef",
                                           "POST /e|host=x|transfer-encoding=chunked|",
                                           "GET / 1.0 close|",
                                           "GET /d close|host=x|connection=close|"};
  for (size_t n = 1; n <= stream.size(); ++n) EXPECT_EQ(read_all(stream, n), wanted) << n;
}

TEST(HttpReader, WhatIsNoWellFormedRequestIsRefused) {
  const std::string get = "GET / HTTP/1.1\r\n" + kHost;
  const std::string post = "POST / HTTP/1.1\r\n" + kHost;
  const std::vector<std::pair<std::string, int>> cases = {
      {"\x16\x03\x01\x02", 400},  // TLS
      {"GET /\r\n\r\n", 400},     // HTTP/0.9
      {"GET / HTTP/2.0\r\n" + kHost + "\r\n", 505},
      {"GET / HTTP/1.1\r\n\r\n", 400},       // no host
      {get + kHost + "\r\n", 400},           // two
      {"GET / HTTP/1.1\nHost: x\n\n", 400},  // line feeds alone
      {get + "A: b\rc\r\n\r\n", 400},
      {get + "A: b\r\n c\r\n\r\n", 400},  // folded
      {get + std::string("A: b\0c\r\n\r\n", 10), 400},
      {get + "A b\r\n\r\n", 400},
      {"GET http://other/ HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
      {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
      {post + "Transfer-Encoding: identity\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.0\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n", 400},
      {post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
      {post + "Content-Length: 5, 6\r\n\r\n", 400},
      {post + "Content-Length: -1\r\n\r\n", 400},
      {post + "Content-Length: 0x5\r\n\r\n", 400},
      {post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {post + "Content-Length: 1001\r\n\r\n", 413},
  };
  for (const auto& [bytes, status] : cases) {
    for (const size_t n : {size_t{1}, bytes.size()}) {
      const std::vector<std::string> read = read_all(bytes, n);
      ASSERT_EQ(read.size(), 1u) << bytes;
      EXPECT_EQ(read.back(), "refused " + std::to_string(status)) << bytes;
    }
  }
}

TEST(HttpReader, ChunksThatLieAreRefused) {
  const std::string post = "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n";
  for (const char* body : {"-2\r\nab\r\n", "+1\r\na\r\n", "0x1\r\n\r\n", "0 1\r\n\r\n", "g\r\n",
                           "ffffffffffffffff1\r\na", "2\r\nabc\r\n0\r\n\r\n", "\r\n"}) {
    const std::vector<std::string> read = read_all(post + body, 1);
    ASSERT_EQ(read.size(), 1u) << body;
    EXPECT_EQ(read.back(), "refused 400") << body;
  }
  EXPECT_EQ(read_all(post + "1;" + std::string(5000, 'x') + "\r\na\r\n0\r\n\r\n", 64).back(), "refused 400");
  EXPECT_TRUE(read_all(post + "1\na\n0\n\n", 1).empty());  // no line has ended yet
  // The sum of the chunks counts, and a chunk may say more than may come.
  EXPECT_EQ(read_all(post + "ffffffff\r\n" + std::string(1001, 'a'), 64).back(), "refused 413");
  EXPECT_EQ(read_all(post + "3e8\r\n" + std::string(1000, 'a') + "\r\n1\r\na\r\n", 64).back(), "refused 413");
  EXPECT_TRUE(read_all(post + "3e8\r\n" + std::string(1000, 'a') + "\r\n0\r\n\r\n", 64).back().starts_with("POST"));
}

TEST(HttpReader, LimitsAtAndOneOver) {
  const std::string get = "GET / HTTP/1.1\r\n" + kHost;
  const auto with_bytes = [&](int64_t n) {
    return get + "A: " + std::string(static_cast<size_t>(n) - get.size() - 7, 'a') + "\r\n\r\n";
  };
  EXPECT_EQ(with_bytes(kHeaderBytesMax).size(), static_cast<size_t>(kHeaderBytesMax));
  EXPECT_TRUE(read_all(with_bytes(kHeaderBytesMax), 4096).back().starts_with("GET"));
  EXPECT_EQ(read_all(with_bytes(kHeaderBytesMax + 1), 4096).back(), "refused 431");
  EXPECT_EQ(read_all(std::string(kHeaderBytesMax + 1, 'a'), 4096).back(), "refused 431");  // no line end at all
  const auto with_fields = [&](int64_t n) {
    std::string bytes = get;
    for (int64_t i = 1; i < n; ++i) bytes += "A: b\r\n";
    return bytes + "\r\n";
  };
  EXPECT_TRUE(read_all(with_fields(kHeaderFieldsMax), 4096).back().starts_with("GET"));
  EXPECT_EQ(read_all(with_fields(kHeaderFieldsMax + 1), 4096).back(), "refused 431");
  const std::string post = "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1000\r\n\r\n";
  EXPECT_TRUE(read_all(post + std::string(1000, 'a'), 64).back().ends_with("aaa"));
}

TEST(HttpReader, AHeaderIsSeenBeforeItsBodyComes) {
  HttpReader reader(1000);
  reader.push("POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  ASSERT_EQ(reader.state(), HttpReader::State::kHead);
  EXPECT_TRUE(reader.head().expects_continue);
  EXPECT_EQ(reader.head().body_bytes, 2);
  EXPECT_EQ(reader.go_on(), HttpReader::State::kBody);
  EXPECT_EQ(reader.push("ab"), HttpReader::State::kWhole);
  EXPECT_EQ(reader.take().body, "ab");
  EXPECT_TRUE(reader.is_between_requests());
}

TEST(HttpMessage, HeadsAndChunks) {
  HttpResponse response;
  response.body = "{}";
  response.fields = {{"X-A", "b"}};
  EXPECT_EQ(head_of(response, Framing::kLength, true),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX-A: b\r\n"
            "Connection: keep-alive\r\n\r\n");
  EXPECT_EQ(head_of(response, Framing::kChunks, false),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n"
            "Connection: close\r\n\r\n");
  response.status = 204;
  EXPECT_EQ(head_of(response, Framing::kLength, true),
            "HTTP/1.1 204 No Content\r\nX-A: b\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(chunk_of(std::string(17, 'a')), "11\r\n" + std::string(17, 'a') + "\r\n");
  std::string text;
  EXPECT_TRUE(percent_decode("a%2Fb%20", text));
  EXPECT_EQ(text, "a/b ");
  for (const char* wrong : {"%", "%2", "%2g", "%-1", "a%"}) EXPECT_FALSE(percent_decode(wrong, text)) << wrong;
}

}  // namespace
}  // namespace naru::server
