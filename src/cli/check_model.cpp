#include "cli/check_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/folder.h"
#include "base/memory.h"
#include "base/partial.h"
#include "base/shown_text.h"
#include "check/lock_step_chip.h"
#include "check/replay_chip.h"
#include "check/run_recorder.h"
#include "check/watch.h"
#include "check/watched_chip.h"
#include "cli/interrupts.h"
#include "cli/machine_report.h"
#include "cli/open_model.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/token_ids.h"
#include "cli/version.h"
#include "contract/op_table.h"
#include "engine/model_tokenizer.h"
#include "formats/model_digest.h"
#include "train/one_step.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;
using SharedChip = std::shared_ptr<contract::Chip>;

// Digits, letters, several scripts and a repetition, long enough for two pages of a cache with every tokenizer.
constexpr std::string_view kPrompt =
    "Two chips compute the same model, op by op, and must agree on every bit: 1 + 2 = 3, 12 * 12 = 144, 7 - 9 = -2. "
    "Zwei Chips rechnen dasselbe; deux puces, les memes bits. The quick brown fox jumps over the lazy dog, and then "
    "the "
    "quick brown fox jumps over the lazy dog again.";
constexpr int64_t kOneByOne = 4;  // tokens at the end of a forward run that are passes of their own

// What a run works on and leaves: all of it belongs to the thread that runs.
struct Job {
  CheckOptions o;
  std::vector<int32_t> ids;
  SharedChip checked, against;                    // against: null beside a recording, or where one is made
  CheckedChips faults;                            // the checked chip as it has a fault in front of it
  std::optional<check::OpenRecording> recording;  // that the chip is held against
  std::optional<AtomicFolder> folder;             // of one that is made
  std::optional<AtomicFile> values;
  check::DifferenceLog log;
  check::RecordedRun recorded;
  Status status;
};

models::LoadOptions load_options_of(const CheckOptions& o) {
  return {.compute = o.compute, .cache_dtype = std::nullopt, .is_latent_form = o.is_latent};
}
train::OneStep step_of(const CheckOptions& o) {
  const bool is_bf16 = o.compute == contract::ComputeMode::kBF16;
  return {.compute = is_bf16 ? contract::ComputeMode::kBF16 : contract::ComputeMode::kF32, .is_latent = o.is_latent};
}

Status run_forward(const CheckOptions& o, std::span<const int32_t> ids, contract::Chip& chip) {
  NARU_ASSIGN(models::ModelFiles files, models::open_model_files(o.model));
  engine::EngineOptions options;
  options.load = load_options_of(o);
  options.memory.context_tokens = std::ssize(ids);
  options.share_prefixes = false;
  NARU_ASSIGN(const auto engine, engine::Engine::open(std::move(files), options, chip));
  const auto session = engine->new_session();
  for (const int64_t n : forward_pieces(std::ssize(ids))) {
    NARU_TRY(engine->feed(*session, ids.subspan(static_cast<size_t>(session->length()), static_cast<size_t>(n))));
  }
  return {};
}

Status run_model(const CheckOptions& o, std::span<const int32_t> ids, contract::Chip& chip) {
  if (!o.is_train) return run_forward(o, ids, chip);
  NARU_ASSIGN(const models::ModelFiles files, models::open_model_files(o.model));
  return train::run_one_step(files, ids, step_of(o), chip);
}

// On the thread of the watch.
Status run_job(Job& job) {
  if (job.folder) {
    check::RunRecorder recorder(*job.checked, job.log, *job.values);
    NARU_TRY(run_model(job.o, job.ids, recorder));
    job.recorded = std::move(recorder).take();
    return {};
  }
  if (job.recording) {
    check::ReplayChip replay(*job.checked, *job.recording, job.log);
    NARU_TRY(run_model(job.o, job.ids, replay));
    return replay.finish();
  }
  const auto both = check::make_lock_step_chip(*job.checked, *job.against, job.log);
  return run_model(job.o, job.ids, *both);
}

Result<std::vector<int32_t>> ids_of_prompt(const CheckOptions& o, const models::ModelFiles& files) {
  const auto without_tokenizer = [&](const Error& why) -> Error {
    return {why.code, fmt::format("checking {}: no prompt without a tokenizer: {}; give token ids (--ids FILE)",
                                  short_name(o.model), why.message)};
  };
  auto data = engine::read_tokenizer(files);
  if (!data.ok()) return without_tokenizer(data.error());
  NARU_TRY(formats::leave_out_foreign_tokens(*data, files.config.vocab));
  const auto tokenizer = text::Tokenizer::create(std::move(data).value());
  if (!tokenizer.ok()) return without_tokenizer(tokenizer.error());
  return tokenizer->encode(o.prompt.empty() ? kPrompt : std::string_view(o.prompt), {.add_special = true});
}

Result<std::vector<int32_t>> ids_of(const Job& job, const models::ModelFiles& files) {
  const CheckOptions& o = job.o;
  std::vector<int32_t> ids;
  std::string name = "the prompt";
  if (job.recording && o.ids_path.empty() && o.prompt.empty()) {
    name = one_line(o.against);
    ids = job.recording->run().identity.ids;
  } else if (o.ids_path.empty()) {
    NARU_ASSIGN(ids, ids_of_prompt(o, files));
  } else {
    NARU_ASSIGN(const MappedFile file, MappedFile::open(o.ids_path));
    name = short_name(o.ids_path);
    NARU_ASSIGN(ids, parse_ids_array(file.bytes(), name));
  }
  const int64_t n = std::ssize(ids), limit = files.config.max_positions;
  if (n < (o.is_train ? 2 : 1)) {
    return Error{Code::kInvalidArgument, fmt::format("reading {}: it has {} tokens, {} at least were wanted; give more",
                                                     name, n, o.is_train ? 2 : 1)};
  }
  if (n > kCheckedTokensMax || (limit > 0 && n > limit)) {
    // The text that is there without asking must fit every model.
    if (o.prompt.empty() && o.ids_path.empty() && !job.recording && limit > 1) {
      ids.resize(static_cast<size_t>(limit));
      return ids;
    }
    return Error{Code::kOutOfRange,
                 fmt::format("reading {}: it has {} tokens, at most {} can be checked on; give fewer", name, n,
                             limit > 0 ? std::min(limit, kCheckedTokensMax) : kCheckedTokensMax)};
  }
  NARU_TRY(check_ids(ids, files.config.vocab, name));
  return ids;
}

Result<std::string> model_digest(formats::TensorFiles& tensors) {
  Progress progress("hashing", Progress::Unit::kBytes);
  NARU_ASSIGN(const auto digests, tensors.digests([&progress](int64_t done, int64_t total) {
    progress.update(done, total);
    return !is_interrupted();
  }));
  return formats::digest_of(digests);
}

Result<check::RunIdentity> identity_of(const Job& job, models::ModelFiles& files) {
  check::RunIdentity identity;
  identity.arithmetic_sha256 = kBuildInfo.arithmetic_sha256;
  if (job.recording || !job.o.record.empty()) {
    NARU_ASSIGN(identity.model_sha256, model_digest(files.tensors));
  }
  identity.kind = job.o.is_train ? "train" : "forward";
  if (job.o.is_train) {
    identity.numerics = train::numerics_id(files, step_of(job.o));
  } else {
    NARU_ASSIGN(const models::ModelPlan plan, models::plan_model(files, *job.checked, load_options_of(job.o)));
    identity.numerics = plan.numerics_id;
  }
  identity.compute = contract::compute_mode_name(job.o.compute);
  identity.is_latent = job.o.is_latent;
  identity.ids = job.ids;
  identity.chip = job.o.chip_name();
  identity.detail = job.checked->info().detail;
  if (job.o.fault) identity.fault = check::fault_text(*job.o.fault);
  identity.model = short_name(job.o.model);
  identity.program = version_line();
  identity.system = system_line();
  return identity;
}

// What is run is what was recorded, unless the command line says otherwise: that is held against the recording before
// anything runs (check_comparable).
Status run_as_recorded(Job& job) {
  const check::RunIdentity& recorded = job.recording->run().identity;
  CheckOptions& o = job.o;
  o.is_train = o.is_train || recorded.kind == "train";
  if (!o.is_compute_given) o.compute = *contract::compute_mode_from_name(recorded.compute);
  if (!o.is_latent_given) o.is_latent = recorded.is_latent;
  return {};
}

// Two names may be of one chip; with a fault in front of one they are two.
void note_same_chip(const Job& job) {
  if (!job.against || job.o.fault) return;
  const contract::ChipInfo a = job.checked->info(), b = job.against->info();
  if (a.name != b.name || a.level != b.level || a.detail != b.detail) return;
  print_note(fmt::format(
      "the chip runs beside itself ({} and {}): that shows whether it repeats its bits, and not "
      "whether they are right; {}",
      one_line(job.o.chip_name()), one_line(job.o.against),
      a.name == "reference" ? "name another one with --chip" : "leave --against out for the reference chip"));
}

// The chip or the recording that is meant. A chip's name wins.
Status open_against(Job& job) {
  const std::string& name = job.o.against;
  const std::string plain = name.substr(0, name.find(':'));
  const auto chips = chips::all_chips();
  const bool is_chip = std::any_of(chips.begin(), chips.end(), [&](const auto& chip) { return chip.name == plain; });
  std::error_code ignored;
  if (!is_chip && fs::exists(name, ignored)) {
    const fs::path folder = check::recording_folder(name);
    if (!check::is_recording(folder)) {
      return Error{Code::kNotFound, fmt::format("opening --against {}: it has no {}; give the folder of a recording "
                                                "(naru check MODEL --record FOLDER), or a chip ({})",
                                                one_line(name), check::kRecordingJson, chips::chip_names())};
    }
    NARU_ASSIGN(job.recording, check::OpenRecording::open(folder));
    return run_as_recorded(job);
  }
  if (!is_chip) {
    return Error{Code::kNotFound, fmt::format("opening --against {}: it is no chip ({}) and no folder of a recording; "
                                              "check the name",
                                              one_line(name), chips::chip_names())};
  }
  NARU_ASSIGN(job.against, chips::make_chip(name, {.n_threads = static_cast<int>(job.o.threads)}));
  note_same_chip(job);
  return {};
}

// What the run will be, learnt on the chip's planner: ops, and bytes of their outputs.
struct RunSize {
  int64_t n_ops = 0, values_bytes = 0;
};
Result<RunSize> measure(const Job& job) {
  const auto planner = job.checked->planner();
  check::OpCounter counter(*planner);
  NARU_TRY(run_model(job.o, job.ids, counter));
  return RunSize{counter.n_ops(), counter.values_bytes()};
}

Status begin_recording(Job& job, const RunSize& size) {
  print_note(fmt::format("recording {} ops: {} of values", grouped(size.n_ops), format_bytes(size.values_bytes)));
  NARU_ASSIGN(AtomicFolder folder, AtomicFolder::create(job.o.record, job.o.existing));
  job.folder.emplace(std::move(folder));
  NARU_ASSIGN(AtomicFile values, AtomicFile::create(job.folder->path() / check::kRecordingValues));
  job.values.emplace(std::move(values));
  return {};
}

Status finish_recording(Job& job, const check::RunIdentity& identity) {
  job.recorded.identity = identity;
  NARU_ASSIGN(const std::string text, check::recording_text(job.recorded));
  NARU_TRY(job.values->commit());
  NARU_ASSIGN(AtomicFile json, AtomicFile::create(job.folder->path() / check::kRecordingJson));
  NARU_TRY(json.write(as_bytes(text)));
  NARU_TRY(json.commit());
  return job.folder->commit();
}

// Of the run, which has ended.
std::optional<int64_t> n_struck(const Job& job) {
  return job.o.fault ? std::optional(job.faults.n_struck()) : std::nullopt;
}

std::string op_command(const CheckOptions& o, const check::OpDifference& difference) {
  std::string command = fmt::format("naru check --chip {}", o.chip);
  if (!o.level.empty()) command += fmt::format(" --level {}", o.level);
  if (o.fault) command += fmt::format(" --inject {}", check::fault_text(*o.fault));
  return command + fmt::format(" --op {}", contract::op_name(difference.place.op));
}

// How the run ended, with what was found on the way.
Status ending(const Job& job, check::Watch::End end, const LockStepReport& report) {
  const std::string doing = fmt::format("checking chip {} on {}", job.o.chip_name(), short_name(job.o.model));
  const auto& found = report.found;
  const bool is_stopped = end == check::Watch::End::kLeftBehind
                              ? is_interrupted()
                              : !job.status.ok() && job.status.error().code == Code::kCancelled;
  if (is_stopped) {
    return Error{Code::kCancelled, job.folder ? fmt::format("{}: stopped by you; nothing was recorded", doing)
                                              : fmt::format("{}: stopped by you after {} of {} ops", doing, found.n_ops,
                                                            report.n_planned)};
  }
  if (end == check::Watch::End::kLeftBehind) {
    const std::string where = found.last ? place_text(*found.last) : "making the model";
    const std::string next =
        found.is_other_at_work
            ? fmt::format("{} is at work there; give a faster one (--against), fewer tokens, or more --patience",
                          report.against)
            : "the chip hangs there, what stands behind it did not run";
    return Error{Code::kDeadline,
                 fmt::format("{}: {}: no answer in {} seconds; {}", doing, where, job.o.patience_s, next)};
  }
  if (end == check::Watch::End::kOutOfMemory) {
    return Error{Code::kResourceExhausted,
                 fmt::format("{}: the system gave no more memory; give a shorter prompt, or free some", doing)};
  }
  if (!job.status.ok()) return Error{job.status.error().code, fmt::format("{}: {}", doing, job.status.error().message)};
  if (found.differences.empty()) return {};
  const check::OpDifference& first = found.differences.front();
  return Error{Code::kInternal,
               fmt::format("{}: {} of {} ops differ from {}, first {}; run the command that is given", doing,
                           found.differences.size(), found.n_ops, report.against, place_text(first.place))};
}

check::Watch::End run_watched(const std::shared_ptr<Job>& job, int64_t n_ops) {
  Progress progress(job->folder ? "recording" : "checking", Progress::Unit::kSteps);
  check::Watch watch;
  const auto patience = [&] {
    if (is_interrupted()) job->log.stop();
    progress.update(job->log.n_ops(), n_ops);
    return is_interrupted() ? check::kStopSeconds : static_cast<double>(job->o.patience_s);
  };
  return watch.run([job] { job->status = run_job(*job); }, patience, job->log.pulse());
}

Status say(const Job& job, const LockStepReport& report, const Status& ended) {
  Json json = job.o.json ? lock_step_json(report) : Json();
  if (!job.o.json) NARU_TRY(write_out(lock_step_text(report)));
  if (ended.ok()) return job.o.json ? write_out(json_text(json)) : Status();
  return told(ended.error(), job.o.json ? &json : nullptr);
}

Status say_recorded(const Job& job, const check::RunIdentity& identity) {
  const int64_t n_ops = std::ssize(job.recorded.ops), bytes = job.recorded.values_bytes();
  if (job.o.json) {
    Json json = {{"recording", job.o.record},     {"chip", identity.chip},
                 {"model", identity.model},       {"model_sha256", identity.model_sha256},
                 {"kind", identity.kind},         {"numerics", identity.numerics},
                 {"tokens", identity.ids.size()}, {"ops", n_ops},
                 {"values_bytes", bytes}};
    if (!identity.fault.empty()) {
      json["fault"] = identity.fault;
      json["fault_struck"] = identity.n_struck;
    }
    return write_out(json_text(json));
  }
  std::string text = fmt::format("{} ops of {} on {} in {}: {} of values\n", grouped(n_ops), one_line(identity.model),
                                 identity.chip, one_line(job.o.record), format_bytes(bytes));
  if (!identity.fault.empty()) {
    text += fmt::format("with the fault {}: {}\n", identity.fault, struck_text(identity.n_struck));
  }
  return write_out(text);
}

// Whatever is wrong with what was asked for comes before the first op.
Result<RunSize> prepare(Job& job, models::ModelFiles& files, check::RunIdentity& identity) {
  const bool is_recorded = !job.o.record.empty();
  if (!is_recorded) NARU_TRY(open_against(job));
  if (job.o.is_latent && !files.config.is_mla()) {
    print_note("--latent changes nothing: the model has no latent attention");
  }
  if (job.recording) {  // its tokens are of this model, or nothing can be said of them
    const check::RunIdentity& recorded = job.recording->run().identity;
    job.ids = recorded.ids;
    NARU_ASSIGN(identity, identity_of(job, files));
    NARU_TRY(check_comparable(identity, "this run", recorded, job.o.against));
  }
  NARU_ASSIGN(job.ids, ids_of(job, files));
  NARU_ASSIGN(const RunSize size, measure(job));
  if (is_recorded) NARU_TRY(check::check_recordable(size.n_ops, size.values_bytes));
  if (!job.recording) {
    NARU_ASSIGN(identity, identity_of(job, files));
    if (is_recorded)
      NARU_TRY(begin_recording(job, size));  // it says so: who stops it then is told that nothing was recorded
    return size;
  }
  identity.ids = job.ids;
  NARU_TRY(check_comparable(identity, "this run", job.recording->run().identity, job.o.against));
  return size;
}

LockStepReport report_of(const Job& job, const check::RunIdentity& identity, const RunSize& size) {
  // Two names for two chips, also where they have one.
  std::string other = job.recording ? job.recording->run().identity.chip : job.o.against;
  if (other == identity.chip) other = job.recording ? "the recording" : "the other one";
  return {.identity = identity,
          .against = job.recording ? job.o.against : "chip " + job.o.against,
          .against_chip = other,
          .command = {},
          .n_planned = size.n_ops,
          .is_whole = true,
          .n_struck = {},
          .found = {}};
}

}  // namespace

std::vector<int64_t> forward_pieces(int64_t n_tokens) {
  const int64_t n_single = std::min(kOneByOne, n_tokens - 1), rest = n_tokens - n_single;
  std::vector<int64_t> pieces = {(rest + 1) / 2};
  if (rest > 1) pieces.push_back(rest / 2);
  pieces.insert(pieces.end(), static_cast<size_t>(n_single), 1);
  return pieces;
}

Status check_model(const CheckOptions& o) {
  std::optional<MadeParents> parents;  // goes after what the job holds in them
  const auto job = std::make_shared<Job>();
  job->o = o;
  const bool is_recorded = !o.record.empty();
  if (is_recorded) {
    NARU_TRY(check_folder_place(o.record, o.existing, check::is_recording_file, Parents::kMade));
  }
  NARU_ASSIGN(models::ModelFiles files, models::open_model_files(o.model));
  for (const std::string& note : files.notes) print_note(note);
  NARU_ASSIGN(job->checked, make_checked_chip(o, static_cast<int>(o.threads), &job->faults));
  if (is_recorded) {
    NARU_ASSIGN(MadeParents made, MadeParents::create(o.record));
    parents.emplace(std::move(made));
  }
  check::RunIdentity identity;
  NARU_ASSIGN(const RunSize size, prepare(*job, files, identity));
  LockStepReport report = report_of(*job, identity, size);
  const check::Watch::End end = run_watched(job, size.n_ops);
  report.found = job->log.found();
  report.is_whole = end == check::Watch::End::kDone && job->status.ok();
  if (end != check::Watch::End::kLeftBehind) report.n_struck = n_struck(*job);
  if (!report.found.differences.empty()) report.command = op_command(o, report.found.differences.front());
  Status ended = ending(*job, end, report);
  if (end == check::Watch::End::kLeftBehind) remove_all_partials();  // its thread has what is not finished
  if (!is_recorded) return say(*job, report, ended);
  identity.n_struck = report.n_struck.value_or(0);
  if (ended.ok()) ended = finish_recording(*job, identity);
  return ended.ok() ? say_recorded(*job, identity) : ended;
}

}  // namespace naru::cli
