#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/ascii.h"
#include "recipes/recipe_checks.h"
#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

constexpr size_t kRewardNameBytesMax = 40;

// Which kinds read a key; every kind reads those that are not here.
struct Readers {
  std::string_view key;
  std::string_view first, second = {};
};
constexpr Readers kReaders[] = {{"find", "answer"},           {"compare", "answer"},  {"strict", "answer"},
                                {"tag", "answer", "format"},  {"tokens", "length"},   {"command", "program"},
                                {"processes", "program"},     {"seconds", "program"}, {"memory_mib", "program"},
                                {"failure_reward", "program"}};

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= kRewardNameBytesMax &&
         std::ranges::all_of(name, [](char c) { return is_ascii_alphanumeric(c) || c == '_' || c == '-'; });
}

// Nothing that somebody wrote is passed over.
Status check_readers(const Recipe& r, size_t index, const std::string& name, const PlaceOfKey& where) {
  Recipe given = r, plain = one_of_each();
  for (const Readers& readers : kReaders) {
    if (r.reward[index].kind == readers.first || r.reward[index].kind == readers.second) continue;
    const KeyRow& row = *find_key("reward", readers.key);
    if (value_text(row.field(given, index)) == value_text(row.field(plain, 0))) continue;
    return clash(where(row.path()), fmt::format("{} has kind \"{}\" and {}", name, r.reward[index].kind, readers.key),
                 fmt::format("{} with kind \"{}\" only", readers.key, readers.first), "remove the line");
  }
  return {};
}

Status check_answer(const Recipe& r, const RewardRecipe& w, const std::string& name, const PlaceOfKey& where) {
  const auto is_file = [](const SourceRecipe& source) { return source.generator.empty(); };
  const bool is_data = std::ranges::any_of(r.data, is_file);
  if (w.find == "verifier" && (is_data || std::ranges::any_of(r.validation, is_file))) {
    return clash(where("reward.find"),
                 fmt::format("{} has find \"verifier\" and [[{}]] is a file", name, is_data ? "data" : "validation"),
                 "a generator, which has one", "say where the answer stands: find = \"boxed\", for one");
  }
  const bool by_verifier = w.find.empty() || w.find == "verifier";
  const auto generator = std::ranges::find_if_not(r.data, is_file);
  if (by_verifier && generator != r.data.end() && !w.compare.empty()) {
    return clash(where("reward.compare"),
                 fmt::format("{} has compare and the verifier of {}", name, generator->generator), "one of them",
                 "remove compare, or say where the answer stands (find)");
  }
  if (!by_verifier && std::ranges::find(r.data, "countdown", &SourceRecipe::generator) != r.data.end()) {
    return clash(where("reward.find"), fmt::format("{} has find \"{}\" and the generator is countdown", name, w.find),
                 "its verifier, as many expressions are right", "remove find");
  }
  if (w.find == "number" && w.compare == "text") {
    return clash(where("reward.compare"), fmt::format("{} finds a number and compares it as text", name),
                 "compare = \"number\"", "remove compare");
  }
  return {};
}

}  // namespace

Status check_rewards(const Recipe& r, const PlaceOfKey& where) {
  if (r.reward.empty()) return {};
  const bool is_rejection = r.kind == RunKind::kRejection;
  if (!has_rollouts(r.kind) && !is_rejection) {
    return clash(where("reward.kind"), fmt::format("there is [[reward]] and kind is {}", run_kind_name(r.kind)),
                 "[[reward]] with kind grpo, distill or rejection only", "set kind = \"grpo\", or remove the section");
  }
  const int64_t max_tokens = is_rejection ? r.rejection.max_tokens : rollout_of(r).max_tokens;
  std::set<std::string> names;
  // grpo.soft_tokens is a part of that name, and failures are counted under the other.
  std::vector<std::string> taken = {"failures"};
  if (r.grpo.soft_tokens > 0) taken.emplace_back("length");
  for (size_t i = 0; i < r.reward.size(); ++i) {
    const RewardRecipe& w = r.reward[i];
    const std::string name = fmt::format("reward.{}", i);
    if (!is_plain_name(reward_name(w))) {
      return clash(where("reward.name"), fmt::format("{} has a name of other characters, or a long one", name),
                   fmt::format("at most {} letters, digits, _ and -", kRewardNameBytesMax), "choose another name");
    }
    if (!names.insert(reward_name(w)).second || std::ranges::find(taken, reward_name(w)) != taken.end()) {
      return clash(where("reward.name"), fmt::format("{} has the name \"{}\", which is taken", name, reward_name(w)),
                   "a name for each", "give it another name");
    }
    NARU_TRY(check_readers(r, i, name, where));
    if (w.kind == "answer") NARU_TRY(check_answer(r, w, name, where));
    if (!is_plain_name(w.tag)) {
      return clash(where("reward.tag"), fmt::format("{} has a tag of other characters", name),
                   "letters, digits, _ and -", "write think for <think> and </think>");
    }
    if (w.kind == "length" && w.tokens >= max_tokens) {
      return clash(
          where("reward.tokens"),
          fmt::format("{} has tokens {} and {}.max_tokens is {}", name, w.tokens, run_kind_name(r.kind), max_tokens),
          "fewer than max_tokens", "lower tokens");
    }
    const bool is_empty_command = w.command.empty() || w.command[0].empty();
    if (w.kind == "program" && is_empty_command) {
      return clash(where("reward.command"), fmt::format("{} is a program without a command", name),
                   "the program and its arguments", "write command = [\"python3\", \"reward.py\"]");
    }
  }
  return {};
}

}  // namespace naru::recipes
