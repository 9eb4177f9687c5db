// A case of the contract: an op on operands of one kind, shape and kind of values, as data. It prints as one line and
// is read back from it, so that a case that fails somewhere can be run, and made smaller, anywhere:
//
//   rope half_split/apart/drawn tokens=5 rows_per_token=3 pairs=17 values=low seed=7 gap=3 grade=exact
//
// The suite of its op (suite.h) says which kinds and dimensions there are, and builds the program (program.h).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "check/program.h"

namespace naru::check {

// What a chip promises of the values. Exact: the bits of the reference chip.
enum class Grade : uint8_t { kExact };

struct Dimension {
  std::string name;
  std::vector<int64_t> sizes;  // one, but for dimensions that are lists
};

struct Case {
  std::string op;    // as the contract names it
  std::string kind;  // a word of each choice that the op's suite has, joined by '/': dtype and rule, variants of the op
  std::vector<Dimension> dimensions;  // all of the suite's, in its order
  Values values = Values::kPlain;
  uint64_t seed = 1;
  int64_t gap = 3;  // columns between the rows of every operand
  Grade grade = Grade::kExact;
  bool is_large = false;  // takes long on chips that are not made to be fast

  int64_t at(std::string_view dimension) const;
  const std::vector<int64_t>& list(std::string_view dimension) const;
  bool is(std::string_view word) const;        // one of its kind's words
  std::string_view word(size_t choice) const;  // the word of this choice
  bool is_golden() const { return values == Values::kGolden; }
  Program::Drawing drawing() const { return {values, seed, gap}; }
};

constexpr size_t kCaseLineMax = 4096;         // bytes of a line
constexpr size_t kListMax = 1024;             // entries of a dimension that is a list
constexpr int64_t kGapMax = 64;               // columns
constexpr double kCaseElementsMax = 1 << 28;  // of all operands of a case together

// The line of a case, and the case of a line: kInvalidArgument, where the line is none, names a kind or dimension that
// its op does not have, or asks for more than kCaseElementsMax.
std::string case_line(const Case& c);
Result<Case> parse_case(std::string_view line);

// A case with the dimensions that are given, and what the suite says of all others. A mistake in it stops the program:
// it is for cases that are written down here, not for those of users.
Case make_case(std::string_view op, std::string_view kind, std::initializer_list<Dimension> dimensions,
               Values values = Values::kPlain, uint64_t seed = 1);

// The program of a case that parse_case or make_case gave.
Program build(const Case& c);

}  // namespace naru::check
