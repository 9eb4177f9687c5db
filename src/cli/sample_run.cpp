// A run of kind rejection as a person sees it: its plan, its progress, and what came of it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/progress.h"
#include "cli/sample.h"
#include "cli/sample_view.h"

namespace naru::cli {

Status run_samples(const recipes::Recipe& recipe, const std::filesystem::path& folder, contract::Chip& chip,
                   const samples::SampleStart& start, const SampleShow& show) {
  ProgressBars bars;
  samples::SampleEvents events;
  events.should_stop = [] { return is_interrupted(); };
  events.note = [&](std::string_view text) {
    bars.clear();
    if (!show.part.was_done) print_note(text);
  };
  events.bytes = [&bars](std::string_view what, int64_t done, int64_t total) {
    bars.update(what, Progress::Unit::kBytes, done, total);
  };
  events.prompts = [&bars](int64_t done, int64_t total) {
    bars.update("prompts", Progress::Unit::kSteps, done, total);
  };
  events.progress = [&bars](const samples::SampleProgress& p) {
    bars.update("problems", Progress::Unit::kSteps, p.problems_done, p.problems);
  };
  if (show.plan_only) {
    end_at_first_interrupt();  // nothing is written
    NARU_ASSIGN(const samples::SamplePlan plan, samples::Sampler::plan_run(recipe, folder, chip, events));
    bars.clear();
    return write_out(show.json ? json_text(sample_plan_json(plan)) : sample_plan_text(recipe, plan, Stream::kOut));
  }
  NARU_ASSIGN(const auto sampler, samples::Sampler::open(recipe, folder, chip, events, start));
  bars.clear();
  if (!show.json && !show.part.was_done) write_err(sample_plan_text(recipe, sampler->plan(), Stream::kErr));
  say_at_interrupt("\nstopping behind this step; what was answered is kept\n");
  auto result = sampler->run();
  bars.clear();
  if (!result.ok()) return result.error();
  if (show.explain) write_err(kernel_table(chip));
  const Status ended = result->is_done ? Status() : Status(Error{Code::kCancelled, ""});
  if (show.json) {
    Json json = sample_json(sampler->folder(), sampler->plan(), *result);
    if (show.part.result != nullptr) {
      *show.part.result = std::move(json);
    } else {
      NARU_TRY(write_out(json_text(json)));
    }
  } else if (!show.part.was_done) {
    NARU_TRY(write_out(sample_table(sampler->folder(), sampler->plan(), *result)));
  }
  return ended;
}

}  // namespace naru::cli
