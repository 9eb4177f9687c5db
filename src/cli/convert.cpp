// naru convert: a model again, as GGUF or as a Hugging Face folder.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/memory.h"
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
using Kind = ConvertOptions::Kind;
using Target = ConvertOptions::Target;

std::string_view kind_name(Kind kind) {
  constexpr std::string_view kNames[] = {"f32", "f16", "bf16", "q8_0"};
  return kNames[static_cast<size_t>(kind)];
}

exports::GgufKind gguf_kind(Kind kind) {
  switch (kind) {
    case Kind::kF32: return exports::GgufKind::kF32;
    case Kind::kF16: return exports::GgufKind::kF16;
    case Kind::kBF16: return exports::GgufKind::kBF16;
    case Kind::kQ8_0: return exports::GgufKind::kQ8_0;
  }
  return exports::GgufKind::kF32;
}

// f32 where rounding would lose something, else bf16: by the tensors that are used.
Result<Kind> default_kind(const models::ModelFiles& files) {
  const auto chip = reference::make_reference_chip();  // any: it is asked for the kinds of tensors
  NARU_ASSIGN(const models::ModelPlan plan, models::plan_model(files, *chip, {}));
  return plan.stores_only_f32() ? Kind::kF32 : Kind::kBF16;
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

}  // namespace

Status convert_command(const ConvertOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  const Target target =
      options.target.value_or(fs::path(options.out_path).extension() == ".gguf" ? Target::kGguf : Target::kHuggingFace);
  const bool is_gguf = target == Target::kGguf;
  if (!is_gguf && options.kind && *options.kind != Kind::kF32 && *options.kind != Kind::kBF16) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading the command line: --dtype {} goes with --to gguf alone; give f32 or bf16 for a "
                             "Hugging Face folder",
                             kind_name(*options.kind))};
  }
  Kind kind = Kind::kF32;
  {
    NARU_ASSIGN(const models::ModelFiles files, models::open_model_files(options.path));
    for (const std::string& note : files.notes) print_note(note);
    if (options.kind) {
      kind = *options.kind;
    } else {
      NARU_ASSIGN(kind, default_kind(files));
    }
  }
  {
    Progress progress(fmt::format("converting {}", short_name(options.path)), Progress::Unit::kBytes);
    const auto show = [&](int64_t done, int64_t total) {
      progress.update(done, total);
      return !is_interrupted();
    };
    NARU_TRY(is_gguf ? exports::convert_to_gguf(options.path, options.out_path, gguf_kind(kind), show, options.existing)
                     : exports::convert_to_hugging_face(
                           options.path, options.out_path,
                           kind == Kind::kF32 ? exports::ExportDType::kF32 : exports::ExportDType::kBF16, show,
                           options.existing));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const int64_t bytes = size_of(options.out_path);
  if (options.json) {
    const Json json = {{"out", options.out_path},
                       {"form", is_gguf ? "gguf" : "hf"},
                       {"dtype", kind_name(kind)},
                       {"bytes", bytes},
                       {"seconds", seconds}};
    return write_out(json_text(json));
  }
  if (stderr_is_terminal()) {
    write_err(fmt::format("{}: {}, {} in {}\n", one_line(options.out_path), kind_name(kind), format_bytes(bytes),
                          format_seconds(seconds)));
  }
  return {};
}

}  // namespace naru::cli
