#include "cli/sample_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "base/shown_text.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "runs/run_files.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;
using samples::SampleCounts;

std::string share_text(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string drawn_words(const recipes::RejectionRecipe& r) {
  std::string words = fmt::format("temperature {}", r.temperature);
  if (r.top_k > 0) words += fmt::format(", top-k {}", r.top_k);
  if (r.top_p < 1) words += fmt::format(", top-p {}", r.top_p);
  if (r.min_p > 0) words += fmt::format(", min-p {}", r.min_p);
  return words;
}

std::string kept_words(const recipes::RejectionRecipe& r) {
  const recipes::RejectionRecipe plain;
  std::string words = r.right ? "right answers" : "right and wrong answers";
  if (r.reward_low > plain.reward_low) words += fmt::format(", worth at least {}", r.reward_low);
  if (r.language_low > 0)
    words += fmt::format(", {} of their words in the question's language", share_text(r.language_low));
  words += fmt::format(", {} to {} tokens", r.tokens_low, r.tokens_high > 0 ? r.tokens_high : r.max_tokens);
  if (r.repetition_high < 1) words += fmt::format(", at most {} of them repeated", share_text(r.repetition_high));
  if (r.deduplicate) words += ", each once";
  if (r.pass_rate_low > 0 || r.pass_rate_high < 1) {
    words += fmt::format("; of problems with a pass rate of {} to {}", share_text(r.pass_rate_low),
                         share_text(r.pass_rate_high));
  }
  if (r.keep > 0) words += fmt::format("; at most {} of a problem", r.keep);
  return words;
}

std::string language_table(const samples::SampleSummary& summary) {
  Table table({{"language"},
               {"problems", true},
               {"answers", true},
               {"right", true},
               {"mean tokens", true},
               {"kept", true},
               {"of problems", true},
               {"mean tokens kept", true}});
  const auto row = [&table](const std::string& name, const SampleCounts& c) {
    table.row({name, grouped(c.n_problems), grouped(c.n_answers), share_text(c.pass_rate()),
               fmt::format("{:.1f}", c.mean_tokens()), Table::Cell(grouped(c.n_kept), Style::kBold),
               grouped(c.n_solved), c.n_kept > 0 ? fmt::format("{:.1f}", c.mean_kept_tokens()) : "-"});
  };
  row("all", summary.all());
  if (summary.by_language().size() > 1) {
    for (const auto& [name, counts] : summary.by_language()) row(name, counts);
  }
  return table.text(Stream::kOut);
}

// What the words of reasons mean, and what lets more pass, by Reason.
struct ReasonWords {
  std::string_view meaning, next;
};
constexpr ReasonWords kReasonWords[] = {
    {"no room in the context", "ask shorter problems, or a model of a longer context"},
    {"cut off at its longest", "allow longer answers (max-tokens)"},
    {"control tokens, or no UTF-8", "ask as the model was trained: by its chat template, or in plain text"},
    {"white space alone", "ask as the model was trained: by its chat template, or in plain text"},
    {"not the right answer", "draw more answers to each problem, ask easier ones, or train the model further"},
    {"worth too little", "lower reward_low, or look at the rewards"},
    {"not in the question's language", "ask for a smaller share of the language (min-language, language_low)"},
    {"too short", "allow shorter answers (min-tokens, tokens_low)"},
    {"too long", "allow longer answers (longest, tokens_high)"},
    {"repeats itself", "allow more repetition (max-repetition, repetition_high)"},
    {"its problem is too hard", "lower the least pass rate (min-pass-rate, pass_rate_low), or ask easier problems"},
    {"its problem is too easy", "raise the largest pass rate (max-pass-rate, pass_rate_high), or ask harder problems"},
    {"said before", "draw at a higher temperature"},
    {"enough were kept of its problem", "keep more answers of a problem (keep)"}};
static_assert(std::size(kReasonWords) == samples::kReasonNames.size());

std::string dropped_table(const SampleCounts& all) {
  Table table({{"dropped"}, {"answers", true}, {"because"}});
  bool has_any = false;
  for (size_t i = 0; i < all.dropped.size(); ++i) {
    if (all.dropped[i] == 0) continue;
    has_any = true;
    table.row({std::string(samples::kReasonNames[i]), grouped(all.dropped[i]),
               Table::Cell(std::string(kReasonWords[i].meaning), Style::kDim)});
  }
  return has_any ? "\n" + table.text(Stream::kOut) : "";
}

// Where nothing was kept: why most were not, and what to try. The table above has the numbers of all reasons.
std::string nothing_kept(const SampleCounts& all) {
  const auto most = std::max_element(all.dropped.begin(), all.dropped.end());
  const auto& words = kReasonWords[static_cast<size_t>(most - all.dropped.begin())];
  return fmt::format(
      "Nothing was kept, and {} has no line to train on: {} of {} were dropped as \"{}\". What may help: {}. {} has "
      "every answer with its reason.",
      runs::kSamplesFile, grouped(*most), grouped(all.n_dropped()), words.meaning, words.next, runs::kDroppedFile);
}

Json counts_json(const SampleCounts& c) {
  Json dropped = Json::object();
  for (size_t i = 0; i < c.dropped.size(); ++i) {
    if (c.dropped[i] > 0) dropped[std::string(samples::kReasonNames[i])] = c.dropped[i];
  }
  return {{"problems", c.n_problems},
          {"answers", c.n_answers},
          {"right", c.n_right},
          {"pass_rate", c.pass_rate()},
          {"mean_tokens", c.mean_tokens()},
          {"kept", c.n_kept},
          {"kept_problems", c.n_solved},
          {"mean_kept_tokens", c.mean_kept_tokens()},
          {"dropped", std::move(dropped)}};
}

Json mark_json(const fs::path& path, const samples::FileMark& mark) {
  return {{"path", path.string()}, {"bytes", mark.bytes}, {"sha256", mark.sha256}};
}

}  // namespace

std::string sample_plan_text(const recipes::Recipe& recipe, const samples::SamplePlan& plan, Stream stream) {
  Sheet sheet(stream);
  sheet.title(recipe.name,
              fmt::format(" · rejection, {} problem{}", grouped(plan.n_problems), plan.n_problems == 1 ? "" : "s"));
  sheet.row("model", one_line(recipe.model.path));
  if (plan.n_parameters > 0) sheet.row("parameters", grouped(plan.n_parameters));
  sheet.row("asked", plan.is_chat ? "by the model's chat template" : "as plain text");
  sheet.row("answers", fmt::format("{} to each, of at most {} tokens, {}", grouped(plan.answers),
                                   grouped(recipe.rejection.max_tokens), drawn_words(recipe.rejection)));
  sheet.row("kept", kept_words(recipe.rejection));
  sheet.row("as", plan.is_messages ? "messages, for kind sft" : "text, for kind pretrain");
  if (plan.n_no_room > 0) {
    sheet.row("caution",
              fmt::format("the prompts of {} problems leave no room in the context of {} tokens: they are not "
                          "asked",
                          grouped(plan.n_no_room), grouped(plan.context_tokens)));
  }
  if (plan.memory_bytes > 0) {
    sheet.row("memory",
              fmt::format("{} planned, {} answers at once of {} tokens with their prompts",
                          format_bytes(plan.memory_bytes), grouped(plan.at_once), grouped(plan.context_tokens)));
  }
  if (plan.n_done > 0) sheet.row("goes on", fmt::format("behind {} problems that are done", grouped(plan.n_done)));
  return sheet.str() + "\n";
}

Json sample_plan_json(const samples::SamplePlan& plan) {
  return {{"problems", plan.n_problems},
          {"done", plan.n_done},
          {"answers", plan.answers},
          {"no_room", plan.n_no_room},
          {"asked", plan.is_chat ? "chat" : "text"},
          {"form", plan.is_messages ? "messages" : "text"},
          {"context_tokens", plan.context_tokens},
          {"at_once", plan.at_once},
          {"parameters", plan.n_parameters},
          {"memory_bytes", plan.memory_bytes},
          {"numerics_id", plan.numerics_id}};
}

std::string sample_table(const fs::path& folder, const samples::SamplePlan& plan, const samples::SampleResult& result) {
  const SampleCounts& all = result.summary.all();
  std::string text =
      fmt::format("{} {} of {} problems: {} of {} answers kept\n\n", result.is_done ? "done:" : "stopped after",
                  grouped(result.problems_done), grouped(plan.n_problems), grouped(all.n_kept), grouped(all.n_answers));
  text += language_table(result.summary) + dropped_table(all);
  Sheet rest(Stream::kOut);
  if (all.n_kept == 0 && all.n_dropped() > 0) rest.paragraph(nothing_kept(all));
  if (result.reward_failures > 0) {
    rest.paragraph(fmt::format("Caution: {} answers had no reward of a program; these files may not come again.",
                               grouped(result.reward_failures)));
  }
  rest.heading("SHA-256");
  rest.line(fmt::format("{}  {}", result.samples.sha256, one_line((folder / runs::kSamplesFile).string())));
  rest.line(fmt::format("{}  {}", result.dropped.sha256, one_line((folder / runs::kDroppedFile).string())));
  rest.line(fmt::format("{}  model", result.model_sha256));
  if (!result.was_done) {
    const double seconds = std::max(result.seconds, 1e-9);
    rest.paragraph(fmt::format("{} · {} · {} tokens/s", plan.numerics_id, format_seconds(result.seconds),
                               grouped(static_cast<int64_t>(static_cast<double>(result.tokens) / seconds))));
  }
  return text + rest.str();
}

Json sample_json(const fs::path& folder, const samples::SamplePlan& plan, const samples::SampleResult& result) {
  Json json = {{"done", result.is_done},
               {"folder", folder.string()},
               {"plan", sample_plan_json(plan)},
               {"problems_done", result.problems_done},
               {"summary", counts_json(result.summary.all())}};
  json["languages"] = Json::object();
  for (const auto& [name, counts] : result.summary.by_language()) json["languages"][name] = counts_json(counts);
  if (result.reward_failures > 0) json["reward_failures"] = result.reward_failures;
  json["samples"] = mark_json(folder / runs::kSamplesFile, result.samples);
  json["dropped"] = mark_json(folder / runs::kDroppedFile, result.dropped);
  json["model_sha256"] = result.model_sha256;
  json["numerics_id"] = plan.numerics_id;
  json["seconds"] = json_seconds(result.seconds);
  return json;
}

}  // namespace naru::cli
