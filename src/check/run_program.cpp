#include "check/run_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "contract/op_members.h"
#include "contract/op_table.h"
#include "contract/scalar.h"

namespace naru::check {
namespace {

constexpr int kOverwritten = 0xa5;

int64_t byte_count(const std::vector<std::byte>& bytes) {
  return static_cast<int64_t>(bytes.size());
}

}  // namespace

struct LoadedProgram::State {
  contract::Chip* chip;
  std::unique_ptr<contract::Buffer> memory;
  std::vector<std::unique_ptr<contract::Buffer>> streams;
  std::vector<int64_t> page_bytes;  // of each stream
  std::vector<std::unique_ptr<contract::PackedMatrix>> matrices;
  std::vector<std::unique_ptr<contract::Sequences>> sequences;
  std::vector<std::shared_ptr<void>> lists;
  std::vector<contract::Op> ops;
};

namespace {

// Points the members of an op to the memory and objects of a chip; its lists become copies.
template <typename State>
struct Relocation {
  void operator()(View& view) {
    if (!view.empty()) view.address = state.memory->address() + Program::place_of(view);
  }
  void operator()(contract::CacheStream& stream) {
    const size_t i = Program::index_of(stream);
    stream.address = state.streams[i]->address();
    stream.page_bytes = state.page_bytes[i];
  }
  void operator()(const contract::PackedMatrix*& matrix) {
    if (matrix != nullptr) matrix = state.matrices[Program::index_of(matrix)].get();
  }
  void operator()(contract::PackedMatrix*& matrix) {
    if (matrix != nullptr) matrix = state.matrices[Program::index_of(matrix)].get();
  }
  void operator()(contract::SequencesRef& sequences) {
    if (sequences.get() != nullptr) sequences = *state.sequences[Program::index_of(sequences)];
  }
  template <typename T>
  void operator()(std::span<const T>& list) {
    auto owned = std::make_shared<std::vector<T>>(list.begin(), list.end());
    for (T& element : *owned) contract::visit_members(element, *this);
    list = *owned;
    state.lists.push_back(owned);
    bytes_of_lists.emplace_back(owned->data(), owned->size() * sizeof(T));
  }
  void overwrite_lists() {
    for (const auto& [data, size] : bytes_of_lists) std::memset(data, kOverwritten, size);
  }

  State& state;
  std::vector<std::pair<void*, size_t>> bytes_of_lists = {};
};

// Sequences on the chip, made of copies that are gone when the call returned.
Result<std::unique_ptr<contract::Sequences>> make_sequences(contract::Chip& chip, const contract::Sequences& from) {
  std::vector<std::vector<int32_t>> pages;
  std::vector<contract::SequenceRows> rows(from.rows().begin(), from.rows().end());
  for (contract::SequenceRows& each : rows) {
    pages.emplace_back(each.pages, each.pages + each.n_pages());
    each.pages = pages.back().data();
  }
  auto made = chip.make_sequences(rows);
  for (auto& list : pages) std::fill(list.begin(), list.end(), -1);
  std::fill(rows.begin(), rows.end(), contract::SequenceRows{-1, -1, -1, nullptr});
  return made;
}

Result<std::unique_ptr<contract::PackedMatrix>> pack(contract::Chip& chip, const Program::Matrix& matrix) {
  NARU_ASSIGN(auto packed, chip.pack(matrix.source(), matrix.rule));
  const int64_t said = chip.packed_bytes(matrix.stored, matrix.rule, matrix.groups, matrix.outputs, matrix.inputs);
  if (packed->bytes == said) return packed;
  return Error{
      Code::kInternal,
      fmt::format("packing a matrix of {} by rule {} on chip {}: it takes {} bytes, the chip said {}; correct "
                  "packed_bytes() of the chip",
                  dtype_name(matrix.stored), contract::rule_name(matrix.rule), chip.info().name, packed->bytes, said)};
}

// Pages in which everything reads as NaN.
Result<std::unique_ptr<contract::Buffer>> make_pages(contract::Chip& chip, int64_t bytes) {
  NARU_ASSIGN(auto pages, chip.allocate(bytes));
  std::vector<std::byte> nan(static_cast<size_t>(bytes), std::byte{0xff});
  NARU_TRY(chip.copy_in(pages->address(), nan.data(), bytes));
  std::fill(nan.begin(), nan.end(), std::byte{0});
  return pages;
}

// The image that an outcome would have if outputs alone were written.
std::vector<std::byte> with_outputs_of(const Program& program, const std::vector<std::byte>& memory) {
  std::vector<std::byte> image = program.image();
  for (const Program::Output& output : program.outputs()) {
    const View& view = output.view;
    for (int64_t r = 0; r < view.rows; ++r) {
      const int64_t at = Program::place_of(view) + r * view.row_stride * 4;
      std::memcpy(image.data() + at, memory.data() + at, static_cast<size_t>(view.cols * 4));
    }
  }
  return image;
}

std::string stray_write(const Program& program, const std::vector<std::byte>& memory) {
  const std::vector<std::byte> wanted = with_outputs_of(program, memory);
  if (memory == wanted) return {};
  const auto at = std::mismatch(memory.begin(), memory.end(), wanted.begin()).first - memory.begin();
  std::string text = fmt::format("byte {} of the memory was written, which is no output", at);
  const Program::Output* before = nullptr;
  for (const Program::Output& output : program.outputs()) {
    const bool is_nearer = before == nullptr || Program::place_of(output.view) > Program::place_of(before->view);
    if (Program::place_of(output.view) <= at && is_nearer) before = &output;
  }
  if (before == nullptr) return text;
  return text +
         fmt::format(": {} bytes behind the first of output '{}'", at - Program::place_of(before->view), before->name);
}

std::string names_of(const Program& program) {
  std::string names;
  for (const contract::Op& op : program.ops()) {
    const std::string name(contract::op_name(op));
    if (!names.ends_with(name)) names += (names.empty() ? "" : ", ") + name;
  }
  return names;
}

std::string value_difference(const Program::Output& output, const std::vector<std::byte>& got,
                             const std::vector<std::byte>& want, std::string_view second) {
  const View& view = output.view;
  std::string first;
  int64_t n_unlike = 0;
  for (int64_t r = 0; r < view.rows; ++r) {
    const int64_t at = Program::place_of(view) + r * view.row_stride * 4;
    if (std::memcmp(got.data() + at, want.data() + at, static_cast<size_t>(view.cols * 4)) == 0) continue;
    for (int64_t c = 0; c < view.cols; ++c) {
      float values[2];
      std::memcpy(&values[0], got.data() + at + 4 * c, 4);
      std::memcpy(&values[1], want.data() + at + 4 * c, 4);
      uint32_t bits[2];
      for (int i = 0; i < 2; ++i) {
        bits[i] = view.dtype == DType::kI32 ? std::bit_cast<uint32_t>(values[i]) : contract::canonical_bits(values[i]);
      }
      if (bits[0] == bits[1] || n_unlike++ > 0) continue;
      first = fmt::format("output '{}', row {} of {}, column {} of {}: {}, {} {}", output.name, r, view.rows, c,
                          view.cols, value_text(view.dtype, bits[0]), second, value_text(view.dtype, bits[1]));
    }
  }
  return first.empty() ? first : fmt::format("{}; {} of {} values differ", first, n_unlike, view.rows * view.cols);
}

}  // namespace

LoadedProgram::LoadedProgram(std::unique_ptr<State> state) : state_(std::move(state)) {}
LoadedProgram::LoadedProgram(LoadedProgram&&) noexcept = default;
LoadedProgram& LoadedProgram::operator=(LoadedProgram&&) noexcept = default;
LoadedProgram::~LoadedProgram() = default;

Result<LoadedProgram> LoadedProgram::load(const Program& program, contract::Chip& chip) {
  auto state = std::make_unique<State>();
  state->chip = &chip;
  const int64_t bytes = byte_count(program.image());
  NARU_ASSIGN(state->memory, chip.allocate(bytes));
  {
    std::vector<std::byte> image = program.image();
    NARU_TRY(chip.copy_in(state->memory->address(), image.data(), bytes));
    std::memset(image.data(), kOverwritten, image.size());
  }
  for (const auto& matrix : program.matrices()) {
    NARU_ASSIGN(auto packed, pack(chip, *matrix));
    state->matrices.push_back(std::move(packed));
  }
  for (const Program::Stream& stream : program.streams()) {
    state->page_bytes.push_back(chip.cache_page_bytes(stream.shape));
    NARU_ASSIGN(auto pages, make_pages(chip, state->page_bytes.back() * stream.n_pages));
    state->streams.push_back(std::move(pages));
  }
  for (const auto& sequences : program.all_sequences()) {
    NARU_ASSIGN(auto made, make_sequences(chip, *sequences));
    state->sequences.push_back(std::move(made));
  }
  for (const contract::Op& op : program.ops()) {
    state->ops.push_back(op);
    Relocation<State> relocation{*state};
    std::visit([&](auto& o) { contract::visit_members(o, relocation); }, state->ops.back());
  }
  return LoadedProgram(std::move(state));
}

const std::vector<contract::Op>& LoadedProgram::ops() const {
  return state_->ops;
}

Status LoadedProgram::run() const {
  for (const contract::Op& op : state_->ops) NARU_TRY(state_->chip->run(op));
  return state_->chip->wait();
}

Result<Outcome> run_program(const Program& program, contract::Chip& chip) {
  NARU_ASSIGN(LoadedProgram loaded, LoadedProgram::load(program, chip));
  LoadedProgram::State& state = *loaded.state_;
  Outcome outcome;
  for (const contract::Op& op : program.ops()) {
    contract::Op lent = op;
    Relocation<LoadedProgram::State> relocation{state};
    std::visit([&](auto& o) { contract::visit_members(o, relocation); }, lent);
    outcome.status = chip.run(lent);
    relocation.overwrite_lists();
    if (!outcome.status.ok()) break;
  }
  state.matrices.clear();
  state.sequences.clear();
  if (outcome.status.ok()) outcome.status = chip.wait();
  outcome.address = state.memory->address() - ChipAddress();
  outcome.memory.resize(program.image().size());
  NARU_TRY(chip.copy_out(outcome.memory.data(), state.memory->address(), byte_count(outcome.memory)));
  outcome.stray = stray_write(program, outcome.memory);
  return outcome;
}

Error out_of_memory(std::string_view op) {
  return {
      Code::kResourceExhausted,
      fmt::format("running a case of {}: the system gave no more memory; free memory, or ask for a smaller case", op)};
}

std::vector<float> output_values(const Program& program, const Outcome& outcome, size_t output) {
  NARU_CHECK(output < program.outputs().size(), output, program.outputs().size());
  const View& view = program.outputs()[output].view;
  std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
  for (int64_t r = 0; r < view.rows; ++r) {
    std::memcpy(values.data() + r * view.cols,
                outcome.memory.data() + Program::place_of(view) + r * view.row_stride * 4,
                static_cast<size_t>(view.cols * 4));
  }
  return values;
}

std::string difference_beside_values(const Outcome& got, const Outcome& want) {
  const auto told = [](const Status& status) {
    if (status.ok()) return std::string("no error");
    std::string rows;
    for (const int64_t row : status.error().failed.rows) rows += fmt::format(" {}", row);
    return fmt::format("the error {} '{}' of rows{}", code_name(status.error().code), status.error().message, rows);
  };
  if (told(got.status) != told(want.status)) {
    return fmt::format("{}, wanted {}", told(got.status), told(want.status));
  }
  return got.stray;
}

std::string difference(const Program& program, const Outcome& got, const Outcome& want, std::string_view second) {
  std::string found = difference_beside_values(got, want);
  // What an op that refused its numbers leaves in its outputs is for its own tests.
  for (const Program::Output& output : program.outputs()) {
    if (!found.empty() || !want.status.ok()) break;
    found = value_difference(output, got.memory, want.memory, second);
  }
  return found.empty() ? found : fmt::format("{}: {}", names_of(program), found);
}

}  // namespace naru::check
