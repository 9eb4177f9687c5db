// Runs programs on chips, and compares what two chips made of one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "check/program.h"
#include "contract/chip.h"

namespace naru::check {

// A program in the memory of a chip: for whoever runs its ops more than once. The chip must outlive it.
class LoadedProgram {
 public:
  // Takes memory, packs the matrices and copies the image in. The chip's errors; kInternal where a packed matrix is not
  // of the size that the chip says.
  static Result<LoadedProgram> load(const Program& program, contract::Chip& chip);
  LoadedProgram(LoadedProgram&&) noexcept;
  LoadedProgram& operator=(LoadedProgram&&) noexcept;
  ~LoadedProgram();

  // The program's ops on the chip.
  const std::vector<contract::Op>& ops() const;
  // Runs all of them, and waits.
  Status run() const;

 private:
  struct State;
  explicit LoadedProgram(std::unique_ptr<State> state);
  friend Result<struct Outcome> run_program(const Program& program, contract::Chip& chip);
  std::unique_ptr<State> state_;
};

struct Outcome {
  Status status;                  // of the ops: the first error
  std::vector<std::byte> memory;  // the image behind the last op
  int64_t address = 0;            // of the image on the chip, as a number
  std::string stray;              // what was written that is no output, in words; empty: nothing
};

// Runs a program once, as a caller who leaves the chip nothing but what the contract gives it (contract/chip.h): the
// lists of an op, page tables and the source of the copy are overwritten as soon as the calls that name them returned,
// matrices and sequences are given back. An error is one of loading; that of an op is in the outcome.
Result<Outcome> run_program(const Program& program, contract::Chip& chip);

// kResourceExhausted: of whoever runs a case of the op where the system gives no more memory.
Error out_of_memory(std::string_view op);

// The values of an output, row after row; those of i32 as the floats that have their bits.
std::vector<float> output_values(const Program& program, const Outcome& outcome, size_t output);

// In what `got` differs from what is wanted beside the values of outputs: another error, or memory written that is no
// output. Empty where in nothing.
std::string difference_beside_values(const Outcome& got, const Outcome& want);

// In what `got` differs from what is wanted: another error, memory written that is no output, or the first value with
// other bits (one NaN is as good as another), by op, output, row, column and both values, the second one behind
// `second`. Empty where in nothing.
std::string difference(const Program& program, const Outcome& got, const Outcome& want,
                       std::string_view second = "wanted");

}  // namespace naru::check
