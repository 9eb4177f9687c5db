// Lines of the log, for people and for programs.
#include "server/request_log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace naru::server {
namespace {

RequestLog whole_log() {
  RequestLog log;
  log.id = "chatcmpl-1";
  log.request = "POST /v1/chat/completions";
  log.model = "tiny";
  log.status = 200;
  log.key_name = "anna";
  log.usage = {10, 4, 7, 3};
  log.first_seconds = 0.0125;
  log.seconds = 1.5;
  return log;
}

TEST(RequestLog, TextIsOneLine) {
  EXPECT_EQ(log_text(whole_log()),
            "POST /v1/chat/completions 200 anna 10+7 tokens (4 cached), first after 0.013 s, 1.500 s");
  RequestLog log;
  log.request = "GET /\n\x1b[2J";
  log.refused = "a\nb";
  EXPECT_EQ(log_text(log).find_first_of("\n\x1b"), std::string::npos);
}

TEST(RequestLog, JsonIsOneObjectOnOneLine) {
  const auto time = std::chrono::system_clock::time_point(std::chrono::milliseconds(1735689599987));
  const std::string line = log_json(whole_log(), time);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["time"], "2024-12-31T23:59:59.987Z");
  EXPECT_EQ(json["status"], 200);
  EXPECT_EQ(json["model"], "tiny");
  EXPECT_EQ(json["tokens"], nlohmann::json({{"in", 10}, {"out", 7}, {"cached", 4}, {"reasoning", 3}}));
  EXPECT_EQ(json["first_seconds"], 0.0125);
  EXPECT_FALSE(json.contains("refused") || json.contains("body") || json.contains("left"));
}

TEST(RequestLog, WhateverWasSentIsJson) {
  RequestLog log;
  log.request = "POST /\xff";
  log.body = "{\"a\": \"\xff\n\x01\"";
  log.body_bytes = 100;
  const auto json = nlohmann::json::parse(log_json(log, {}));
  EXPECT_EQ(json["time"], "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(json["left"], true);
  EXPECT_EQ(json["body"], "{\"a\": \"\xef\xbf\xbd\n\x01\"");
  EXPECT_EQ(json["body_bytes"], 100);
}

}  // namespace
}  // namespace naru::server
