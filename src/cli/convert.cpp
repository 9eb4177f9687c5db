// naru convert: a model again, as GGUF or as a Hugging Face folder.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "chips/cpu/machine.h"
#include "chips/reference/reference_chip.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "export/export.h"
#include "models/model.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;
using exports::GgufKind;
using Target = ConvertOptions::Target;

// f32 where rounding would lose something, else bf16: by the tensors that are used.
Result<GgufKind> default_kind(const models::ModelFiles& files) {
  const auto chip = reference::make_reference_chip();  // any: it is asked for the kinds of tensors
  NARU_ASSIGN(const models::ModelPlan plan, models::plan_model(files, *chip, {}));
  return plan.stores_only_f32() ? GgufKind::kF32 : GgufKind::kBF16;
}

// Bytes of a file, or of all files of a folder.
int64_t size_of(const fs::path& path) {
  std::error_code code;
  if (!fs::is_directory(path, code)) return static_cast<int64_t>(fs::file_size(path, code));
  int64_t total = 0;
  for (fs::directory_iterator place(path, code), end; !code && place != end; place.increment(code)) {
    std::error_code ignored;
    if (place->is_regular_file(ignored)) total += static_cast<int64_t>(place->file_size(ignored));
  }
  return total;
}

// What was written, as it is told.
struct Converted {
  Target target = Target::kGguf;
  GgufKind kind = GgufKind::kF32;
  int64_t bytes = 0;
  std::string sha256;  // of the file, or of a folder's model.safetensors
  std::vector<exports::GgufSummary::Kind> kinds;
  double seconds = 0;
};

Result<Converted> convert(const ConvertOptions& options, Target target, GgufKind kind) {
  Converted done{.target = target, .kind = kind, .bytes = 0, .sha256 = {}, .kinds = {}};
  Progress progress(fmt::format("converting {}", short_name(options.path)), Progress::Unit::kBytes);
  const auto show = [&](int64_t n, int64_t total) {
    progress.update(n, total);
    return !is_interrupted();
  };
  if (target == Target::kHuggingFace) {
    const auto dtype = kind == GgufKind::kF32 ? exports::ExportDType::kF32 : exports::ExportDType::kBF16;
    NARU_ASSIGN(done.sha256,
                exports::convert_to_hugging_face(options.path, options.out_path, dtype, show, options.existing));
    done.bytes = size_of(options.out_path);
    return done;
  }
  const int n_threads = options.threads > 0 ? static_cast<int>(options.threads) : cpu::describe_machine().cores;
  NARU_ASSIGN(exports::GgufSummary summary,
              exports::convert_to_gguf(options.path, options.out_path,
                                       {.kind = kind,
                                        .progress = show,
                                        .existing = options.existing,
                                        .n_threads = n_threads,
                                        .note = [](std::string_view note) { print_note(one_line(note)); }}));
  done.sha256 = std::move(summary.sha256);
  done.bytes = summary.bytes;
  done.kinds = std::move(summary.kinds);
  return done;
}

std::string converted_text(const ConvertOptions& options, const Converted& done) {
  std::string text = fmt::format("{}: {}, {} in {}\n", one_line(options.out_path), exports::gguf_kind_name(done.kind),
                                 format_bytes(done.bytes), format_seconds(done.seconds));
  for (const auto& kind : done.kinds) {
    text += fmt::format("  {:5} {:6} tensor{} {:>9}\n", dtype_name(kind.dtype), kind.n_tensors,
                        kind.n_tensors == 1 ? " " : "s", format_bytes(kind.bytes));
  }
  return text +
         fmt::format("sha256 {}{}\n", done.sha256, done.target == Target::kHuggingFace ? "  model.safetensors" : "");
}

Json converted_json(const ConvertOptions& options, const Converted& done) {
  Json json = {{"out", options.out_path},
               {"form", done.target == Target::kGguf ? "gguf" : "hf"},
               {"dtype", exports::gguf_kind_name(done.kind)},
               {"bytes", done.bytes},
               {"sha256", done.sha256}};
  if (done.target == Target::kGguf) {
    json["kinds"] = Json::array();
    for (const auto& kind : done.kinds) {
      json["kinds"].push_back({{"kind", dtype_name(kind.dtype)}, {"tensors", kind.n_tensors}, {"bytes", kind.bytes}});
    }
  }
  json["seconds"] = json_seconds(done.seconds);
  return json;
}

}  // namespace

Status convert_command(const ConvertOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  const Target target =
      options.target.value_or(fs::path(options.out_path).extension() == ".gguf" ? Target::kGguf : Target::kHuggingFace);
  if (target == Target::kHuggingFace && options.kind && *options.kind != GgufKind::kF32 &&
      *options.kind != GgufKind::kBF16) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading the command line: --dtype {} goes with --to gguf alone, and {} is to be a Hugging "
                    "Face folder; give f32 or bf16, or a name that ends in .gguf",
                    exports::gguf_kind_name(*options.kind), one_line(options.out_path))};
  }
  GgufKind kind = GgufKind::kF32;
  {
    NARU_ASSIGN(const models::ModelFiles files, models::open_model_files(options.path));
    for (const std::string& note : files.notes) print_note(note);
    if (options.kind) {
      kind = *options.kind;
    } else {
      NARU_ASSIGN(kind, default_kind(files));
    }
  }
  NARU_ASSIGN(Converted done, convert(options, target, kind));
  done.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return write_out(options.json ? json_text(converted_json(options, done)) : converted_text(options, done));
}

}  // namespace naru::cli
