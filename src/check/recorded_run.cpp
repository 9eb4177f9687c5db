#include "check/recorded_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "contract/kinds.h"
#include "contract/op_table.h"
#include "formats/json.h"
#include "formats/json_digest.h"
#include "formats/utf8.h"

namespace naru::check {
namespace {

using formats::JsonObject;
using nlohmann::json;

constexpr std::string_view kFormat = "naru-recording";
constexpr int64_t kVersion = 2;
constexpr std::string_view kNext = "the recording is damaged; make it anew, or copy it again";
constexpr size_t kNameBytesMax = 200;  // of a place, an output, the shapes of an op's operands; 10 times that of others

json op_json(const RecordedOp& op) {
  json outputs = json::array();
  for (const RecordedOutput& output : op.outputs) {
    outputs.push_back({{"name", output.name},
                       {"dtype", dtype_info(output.dtype).name},
                       {"shape", {output.rows, output.cols}},
                       {"sha256", output.sha256}});
  }
  return {{"pass", op.place.pass},      {"where", op.place.where},      {"op", contract::op_name(op.place.op)},
          {"count", op.place.count},    {"operands", op.operands},      {"unseen", op.unseen},
          {"inputs_sha256", op.inputs}, {"outputs", std::move(outputs)}};
}

Result<std::string> text_of(const JsonObject& object, std::string_view key, size_t bytes_max = kNameBytesMax) {
  NARU_ASSIGN(std::string text, object.get_string(key));
  const bool is_plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c != 0x7f; });
  if (text.size() <= bytes_max && (is_plain || bytes_max > kNameBytesMax)) return text;
  return object.wrong(Code::kCorrupt, key, fmt::format("a text of {} bytes", text.size()),
                      fmt::format("a plain one of at most {}", bytes_max), kNext);
}

Result<std::string> digest_at(const JsonObject& object, std::string_view key) {
  NARU_ASSIGN(std::string digest, object.get_string(key));
  if (formats::is_sha256(digest)) return digest;
  return object.wrong(Code::kCorrupt, key, "another text", "64 lower-case hex digits", kNext);
}

// `begin` is where its values begin; moves behind them.
Result<RecordedOutput> parse_output(const JsonObject& object, int64_t& begin) {
  RecordedOutput output;
  NARU_ASSIGN(output.name, text_of(object, "name"));
  NARU_ASSIGN(const std::string dtype, object.get_string("dtype"));
  const std::string_view f32 = dtype_info(DType::kF32).name, i32 = dtype_info(DType::kI32).name;
  if (dtype != f32 && dtype != i32) {
    return object.wrong(Code::kCorrupt, "dtype", fmt::format("\"{}\"", formats::printable(dtype)),
                        fmt::format("{} or {}", f32, i32), kNext);
  }
  output.dtype = dtype == f32 ? DType::kF32 : DType::kI32;
  NARU_ASSIGN(const auto shape, object.find_array("shape"));
  const auto is_size = [](const json* size) {
    if (!size->is_number_integer()) return false;
    const auto n = size->get<int64_t>();
    return n > 0 && n <= std::numeric_limits<int32_t>::max();
  };
  const bool is_pair = shape.size() == 2 && std::all_of(shape.begin(), shape.end(), is_size);
  output.rows = is_pair ? shape[0]->get<int64_t>() : 0;
  output.cols = is_pair ? shape[1]->get<int64_t>() : 0;
  if (!is_pair || output.rows * output.cols > (kRecordedValuesBytesMax - begin) / 4) {
    const std::string found = is_pair ? fmt::format("{} by {} behind {} bytes", output.rows, output.cols, begin)
                                      : fmt::format("a list of {}", shape.size());
    return object.wrong(Code::kCorrupt, "shape", found,
                        fmt::format("two sizes from 1, and at most {} bytes of values in all", kRecordedValuesBytesMax),
                        kNext);
  }
  output.begin = begin;
  begin += output.bytes();
  NARU_ASSIGN(output.sha256, digest_at(object, "sha256"));
  return output;
}

Result<int> op_at(const JsonObject& object) {
  NARU_ASSIGN(const std::string name, object.get_string("op"));
  for (int op = 0; op < contract::kOpCount; ++op) {
    if (contract::op_name(op) == name) return op;
  }
  return object.wrong(Code::kUnsupported, "op", fmt::format("\"{}\"", formats::printable(name)),
                      "an op of this version", "compare recordings that one version of naru wrote");
}

Result<RecordedOp> parse_op(const JsonObject& object, int64_t number, int64_t& begin) {
  RecordedOp op;
  op.place.number = number;
  NARU_ASSIGN(op.place.pass, object.get_int("pass", 0, kRecordedOpsMax));
  NARU_ASSIGN(op.place.where, text_of(object, "where"));
  NARU_ASSIGN(op.place.op, op_at(object));
  NARU_ASSIGN(op.place.count, object.get_int("count", 0, kRecordedOpsMax));
  NARU_ASSIGN(op.operands, text_of(object, "operands", 10 * kNameBytesMax));
  NARU_ASSIGN(op.unseen, text_of(object, "unseen"));
  NARU_ASSIGN(op.inputs, digest_at(object, "inputs_sha256"));
  NARU_ASSIGN(const auto outputs, object.find_array("outputs"));
  for (size_t i = 0; i < outputs.size(); ++i) {
    NARU_ASSIGN(const JsonObject output,
                JsonObject::of(*outputs[i], object.document(), fmt::format("ops[{}].outputs[{}]", number, i)));
    NARU_ASSIGN(RecordedOutput parsed, parse_output(output, begin));
    op.outputs.push_back(std::move(parsed));
  }
  return op;
}

Result<RunIdentity> parse_identity(const JsonObject& root) {
  RunIdentity identity;
  constexpr size_t kLong = 10 * kNameBytesMax;
  NARU_ASSIGN(identity.arithmetic_sha256, digest_at(root, "arithmetic_sha256"));
  NARU_ASSIGN(identity.model_sha256, digest_at(root, "model_sha256"));
  NARU_ASSIGN(identity.kind, text_of(root, "kind"));
  NARU_ASSIGN(identity.numerics, text_of(root, "numerics", kLong));
  NARU_ASSIGN(identity.ids, root.find_ids("ids", 0, std::numeric_limits<int32_t>::max()));
  NARU_ASSIGN(identity.chip, text_of(root, "chip"));
  NARU_ASSIGN(identity.detail, text_of(root, "detail", kLong));
  NARU_ASSIGN(identity.fault, text_of(root, "fault"));
  NARU_ASSIGN(identity.n_struck, root.get_int("fault_struck", 0, kRecordedOpsMax));
  NARU_ASSIGN(identity.compute, text_of(root, "compute"));
  if (!contract::compute_mode_from_name(identity.compute)) {
    return root.wrong(Code::kCorrupt, "compute", fmt::format("\"{}\"", identity.compute), "a mode", kNext);
  }
  NARU_ASSIGN(identity.is_latent, root.find_bool("latent"));
  NARU_ASSIGN(identity.model, text_of(root, "model", kLong));
  NARU_ASSIGN(identity.program, text_of(root, "program", kLong));
  NARU_ASSIGN(identity.system, text_of(root, "system", kLong));
  return identity;
}

// The digest first: a byte that flipped in `format` or `version` is damage, and not another program's file.
Status check_head(const json& document, const JsonObject& root) {
  NARU_ASSIGN(const std::string digest, root.get_string_or("sha256", ""));
  if (!digest.empty() && digest != formats::own_digest(document)) {
    return root.wrong(Code::kCorrupt, "sha256", "of other content", "the SHA-256 of the document itself", kNext);
  }
  NARU_ASSIGN(const std::string format, root.get_string_or("format", ""));
  if (format != kFormat) {
    return root.wrong(Code::kUnsupported, "format", fmt::format("\"{}\"", formats::printable(format)),
                      fmt::format("\"{}\"", kFormat),
                      "give the folder of a recording (naru check MODEL --record FOLDER)");
  }
  NARU_ASSIGN(const int64_t version, root.get_int("version", 0, std::numeric_limits<int64_t>::max()));
  if (version != kVersion) {
    return root.wrong(Code::kUnsupported, "version", std::to_string(version), std::to_string(kVersion),
                      "compare recordings that one version of naru wrote");
  }
  if (!digest.empty()) return {};
  return root.wrong(Code::kCorrupt, "sha256", "missing", "the SHA-256 of the document itself", kNext);
}

}  // namespace

int64_t RecordedRun::values_bytes() const {
  int64_t bytes = 0;
  for (const RecordedOp& op : ops) {
    for (const RecordedOutput& output : op.outputs) bytes += output.bytes();
  }
  return bytes;
}

Result<std::string> recording_text(const RecordedRun& run) {
  const RunIdentity& identity = run.identity;
  json document = {{"format", kFormat},
                   {"version", kVersion},
                   {"arithmetic_sha256", identity.arithmetic_sha256},
                   {"model_sha256", identity.model_sha256},
                   {"kind", identity.kind},
                   {"numerics", identity.numerics},
                   {"ids", identity.ids},
                   {"chip", identity.chip},
                   {"detail", identity.detail},
                   {"fault", identity.fault},
                   {"fault_struck", identity.n_struck},
                   {"compute", identity.compute},
                   {"model", identity.model},
                   {"program", identity.program},
                   {"system", identity.system}};
  if (identity.is_latent) document["latent"] = *identity.is_latent;
  json ops = json::array();
  for (const RecordedOp& op : run.ops) ops.push_back(op_json(op));
  document["ops"] = std::move(ops);
  document["sha256"] = formats::own_digest(document);
  std::string text = formats::compact(document) + "\n";
  if (std::ssize(text) <= kRecordingJsonBytesMax) return text;
  return Error{Code::kResourceExhausted,
               fmt::format("recording {} ops: their list is {} bytes long, at most {} are read back; give a shorter "
                           "prompt",
                           run.ops.size(), text.size(), kRecordingJsonBytesMax)};
}

Result<RecordedRun> parse_recording(Bytes text, std::string_view name) {
  NARU_ASSIGN(const json document, formats::parse_json(text, name, {.bytes_max = kRecordingJsonBytesMax}));
  NARU_ASSIGN(const JsonObject root, JsonObject::of(document, name));
  NARU_TRY(check_head(document, root));
  RecordedRun run;
  NARU_ASSIGN(run.identity, parse_identity(root));
  NARU_ASSIGN(const auto ops, root.find_array("ops"));
  if (ops.empty() || std::ssize(ops) > kRecordedOpsMax) {
    return root.wrong(Code::kCorrupt, "ops", fmt::format("a list of {}", ops.size()),
                      fmt::format("1 to {} ops", kRecordedOpsMax), kNext);
  }
  int64_t begin = 0;
  for (size_t i = 0; i < ops.size(); ++i) {
    NARU_ASSIGN(const JsonObject object, JsonObject::of(*ops[i], root.document(), fmt::format("ops[{}]", i)));
    NARU_ASSIGN(RecordedOp op, parse_op(object, static_cast<int64_t>(i), begin));
    run.ops.push_back(std::move(op));
  }
  return run;
}

std::string values_digest(std::span<const uint32_t> values) {
  return sha256_hex(std::as_bytes(values));
}

Result<OpenRecording> OpenRecording::open(const std::filesystem::path& folder) {
  const std::filesystem::path json_path = folder / kRecordingJson, values_path = folder / kRecordingValues;
  NARU_ASSIGN(const std::string text, read_file(json_path, kRecordingJsonBytesMax));
  NARU_ASSIGN(RecordedRun run, parse_recording(as_bytes(text), json_path.string()));
  NARU_ASSIGN(MappedFile values, MappedFile::open(values_path));
  if (values.size() != run.values_bytes()) {
    return Error{Code::kCorrupt, fmt::format("reading {}: it has {} bytes, {} were wanted; {}", values_path.string(),
                                             values.size(), run.values_bytes(), kNext)};
  }
  return OpenRecording(folder, std::move(run), std::move(values));
}

Result<std::vector<uint32_t>> OpenRecording::values(size_t op, size_t output) const {
  const RecordedOutput& recorded = run_.ops[op].outputs[output];
  std::vector<uint32_t> values(static_cast<size_t>(recorded.rows * recorded.cols));
  std::memcpy(values.data(), values_.bytes().data() + recorded.begin, static_cast<size_t>(recorded.bytes()));
  NARU_TRY(values_.check_unchanged());
  NARU_TRY(check_digest(op, output, std::as_bytes(std::span(values))));
  return values;
}

Status OpenRecording::check_values(size_t op) const {
  const auto& outputs = run_.ops[op].outputs;
  for (size_t o = 0; o < outputs.size(); ++o) {
    const auto begin = static_cast<size_t>(outputs[o].begin), bytes = static_cast<size_t>(outputs[o].bytes());
    NARU_TRY(check_digest(op, o, values_.bytes().subspan(begin, bytes)));
  }
  return values_.check_unchanged();
}

Status OpenRecording::check_digest(size_t op, size_t output, Bytes bytes) const {
  if (sha256_hex(bytes) == run_.ops[op].outputs[output].sha256) return {};
  return Error{Code::kCorrupt, fmt::format("reading {}: the values of op {} ({}) are not those that were recorded; {}",
                                           values_.path().string(), op, place_text(run_.ops[op].place), kNext)};
}

std::filesystem::path recording_folder(const std::filesystem::path& path) {
  if (path.filename() != kRecordingJson) return path;
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

bool is_recording(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored) && std::filesystem::exists(path / kRecordingJson, ignored);
}

bool is_recording_file(const std::filesystem::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  return name == kRecordingJson || name == kRecordingValues;
}

Status check_comparable(const RunIdentity& a, std::string_view a_name, const RunIdentity& b, std::string_view b_name) {
  const auto refuse = [&](std::string_view what, std::string_view next) -> Status {
    return Error{Code::kInvalidArgument, fmt::format("comparing runs: {} and {}: {}; {}", a_name, b_name, what, next)};
  };
  if (a.arithmetic_sha256 != b.arithmetic_sha256) {
    return refuse("they are by different texts of the arithmetic", "make both with one version of naru");
  }
  if (a.model_sha256 != b.model_sha256) {
    return refuse(fmt::format("their models have other bytes ({} and {})", formats::printable(a.model),
                              formats::printable(b.model)),
                  "take one model; naru show --sha256 says which files differ");
  }
  if (a.kind != b.kind)
    return refuse("one is of a step of training and the other is none", "give --train to both or to none");
  if (a.numerics != b.numerics) {
    return refuse(fmt::format("they computed by other rules ({} and {})", formats::printable(a.numerics),
                              formats::printable(b.numerics)),
                  "give --compute and --latent alike, or, beside a recording, neither");
  }
  if (a.ids != b.ids)
    return refuse("they ran other tokens",
                  "give one prompt to both, or, beside a recording, neither --ids nor --prompt");
  return {};
}

}  // namespace naru::check
