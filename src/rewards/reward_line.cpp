#include "rewards/reward_line.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/generators.h"
#include "formats/json.h"
#include "formats/utf8.h"

namespace naru::rewards {
namespace {

using Json = nlohmann::json;

constexpr int64_t kShownBytes = 60;

Error bad_reply(std::string_view found, std::string_view wanted) {
  return {Code::kCorrupt, fmt::format("it wrote {}, {} was wanted", found, wanted)};
}

Json problem_json(const data::Problem& problem) {
  if (problem.generator) {
    return {{"prompt", problem.prompt},
            {"answer", problem.answer},
            {"generator", data::generator_name(*problem.generator)},
            {"numbers", problem.numbers}};
  }
  auto line = formats::parse_json(as_bytes(problem.line), problem.key);
  NARU_CHECK(line.ok(), problem.key);  // it was read before
  // What is ours has these names.
  for (const std::string key : {"id", "response"}) {
    if (!line->contains(key)) continue;
    Json own = std::move((*line)[key]);
    line->erase(key);
    (*line)["problem_" + key] = std::move(own);
  }
  return *std::move(line);
}

}  // namespace

std::string reward_question(const data::Problem& problem, std::string_view response) {
  Json json = problem_json(problem);
  json["response"] = std::string(response);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string reward_line(std::string_view question, int64_t id) {
  return fmt::format("{{\"id\":{},{}\n", id, question.substr(1));
}

Result<RewardReply> parse_reward_reply(std::string_view line, int64_t id) {
  constexpr std::string_view kWanted = "{\"id\": N, \"reward\": NUMBER} and nothing else";
  const auto parsed = formats::parse_json(as_bytes(line), "", {.bytes_max = kRewardReplyBytesMax, .depth_max = 16});
  if (!parsed.ok()) return bad_reply(fmt::format("'{}'", formats::printable(line, kShownBytes)), kWanted);
  const auto said = parsed->find("id");
  if (said == parsed->end() || !said->is_number_integer() || *said != id) {
    const std::string found = said == parsed->end() ? "a line without an id" : "id " + formats::json_brief(*said);
    return bad_reply(found, fmt::format("id {}, that of the answer it was asked about", id));
  }
  const auto reward = parsed->find("reward");
  if (reward == parsed->end() || !reward->is_number()) {
    return bad_reply(reward == parsed->end() ? "a line without a reward" : "reward " + formats::json_brief(*reward),
                     "a number");
  }
  RewardReply reply{.reward = reward->get<double>() + 0.0};  // -0 becomes 0
  if (!std::isfinite(reply.reward) || std::abs(reply.reward) > kRewardMax) {
    return bad_reply(fmt::format("reward {}", reply.reward),
                     fmt::format("one from {0:g} to {1:g}", -kRewardMax, kRewardMax));
  }
  reply.is_right = reply.reward >= 1;
  if (const auto right = parsed->find("right"); right != parsed->end() && !right->is_null()) {
    if (!right->is_boolean()) return bad_reply("right " + formats::json_brief(*right), "true or false");
    reply.is_right = right->get<bool>();
  }
  return reply;
}

}  // namespace naru::rewards
