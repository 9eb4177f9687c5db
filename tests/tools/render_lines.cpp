// Renders chat templates line by line, for tools that compare with another renderer
// (tools/chat_template_differential.py).
//
// One JSON object a line on stdin: {"template": "...", "special": {"bos_token": "..."}, "messages": [...],
// "tools": [...], "documents": [...], "add_generation_prompt": true, "settings": {...}}. One JSON object a line on
// stdout: {"segments": [["text", is_content], ...]} or {"code": "...", "error": "..."}. The time is always
// 2024-07-26 12:34:56.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "text/chat_template.h"

namespace naru {
namespace {

std::tm fixed_time() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 26;
  time.tm_hour = 12;
  time.tm_min = 34;
  time.tm_sec = 56;
  time.tm_wday = 5;
  time.tm_yday = 207;
  return time;
}

Result<std::vector<text::Segment>> render(const text::Value& line) {
  std::vector<std::pair<std::string, std::string>> special;
  if (const text::Value* tokens = line.find("special")) {
    for (const auto& [name, value] : *tokens->as_object()) special.emplace_back(name, *value.as_string());
  }
  NARU_ASSIGN(const auto chat, text::ChatTemplate::create(*line.find("template")->as_string(), std::move(special)));
  text::ChatInput input;
  input.now = fixed_time();
  if (const text::Value* messages = line.find("messages")) input.messages = *messages->as_list();
  if (const text::Value* tools = line.find("tools")) input.tools = *tools;
  if (const text::Value* documents = line.find("documents")) input.documents = *documents;
  if (const text::Value* prompt = line.find("add_generation_prompt")) input.add_generation_prompt = *prompt->as_bool();
  if (const text::Value* settings = line.find("settings")) input.settings = *settings->as_object();
  return chat.render(input);
}

std::string answer(const std::string& line) {
  nlohmann::json out;
  auto value = text::parse_value(line, "line");
  auto segments = value.ok() ? render(*value) : Result<std::vector<text::Segment>>(value.error());
  if (!segments) {
    out = {{"code", code_name(segments.error().code)}, {"error", segments.error().message}};
  } else {
    out["segments"] = nlohmann::json::array();
    for (const text::Segment& segment : *segments) out["segments"].push_back({segment.text, segment.is_content});
  }
  return out.dump();
}

}  // namespace
}  // namespace naru

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) std::printf("%s\n", naru::answer(line).c_str());
  return 0;
}
