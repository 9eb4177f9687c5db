// Judge: what a chip makes of one case, against the reference chip and against itself: the same op again, with other
// threads, with fewer rows beside its own. The verdict says which promise of the contract was kept or broken.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "check/case.h"
#include "check/run_program.h"
#include "check/speed.h"
#include "check/watch.h"

namespace naru::check {

// From the best to the worst.
enum class Verdict : uint8_t {
  kExact,     // the bits of the reference chip
  kBounded,   // others, within the bound that follows from the length of the sum
  kAbsent,    // the chip says that it does not have the op, or the kind
  kWrong,     // others, beyond the bound, or where there is none; or memory that is no output was written
  kUnsteady,  // the bits of the same rows change: from run to run, with the threads, with the rows beside them
  kFailed,    // an error that the reference chip does not have
  kHangs,     // no answer
};
std::string_view verdict_name(Verdict verdict);
inline bool is_fault(Verdict verdict) {
  return verdict >= Verdict::kWrong;
}

struct Finding {
  Verdict verdict = Verdict::kExact;
  std::string what = {};  // what was found against what was wanted; empty where exact
  // Of bounded ones, at the value that is nearest to its bound: the error and the bound as parts of the sum of the
  // magnitudes of its terms.
  double error = 0, bound = 0;
  std::string outputs = {};  // SHA-256 of what the chip made of the case at first; empty where it made nothing
};

// A chip, and others that must give its bits.
struct ChipUnderTest {
  struct Twin {
    std::string what;  // "with 1 thread"
    std::shared_ptr<contract::Chip> chip;
  };
  std::shared_ptr<contract::Chip> chip;
  std::vector<Twin> twins = {};
};

// SHA-256 of the values of all outputs, one NaN as good as another, or of the error in their place.
std::string outputs_sha256(const Program& program, const Outcome& outcome);

// The case that says what is wanted of this one: a document in chunks is what the reference chip makes of it in one
// piece.
Case wanted_by(const Case& c);
// The first rows of a case: the same with fewer of them, at least two; empty where the rows of its op are not each
// other's neighbours alone, or where there are too few.
std::optional<Case> first_rows_of(const Case& c);

class Judge {
 public:
  // A run that takes longer than `patience_s` hangs. The reference is used by the thread that calls.
  Judge(ChipUnderTest chip, std::shared_ptr<contract::Chip> reference, double patience_s);

  // kExact and kBounded were looked at from all sides. After kHangs the chip is lost, and nothing more can be judged.
  // An error is one of the reference chip, or of a system that gives no more memory.
  Result<Finding> judge(const Case& c);
  // Where it is known what the reference chip makes of wanted_by(c).
  Result<Finding> judge(const Case& c, const Outcome& want);
  // Of the chip; nothing where it hangs.
  std::optional<Result<Speed>> measure(const Case& c, double seconds);
  bool is_lost() const { return watch_.is_left_behind(); }

 private:
  struct Run;  // of a program on a chip
  Result<Run> run(const std::shared_ptr<contract::Chip>& chip, const Case& c);
  Result<Finding> against_reference(const Case& c, const Run& first, const Outcome& want);
  Result<Finding> against_itself(const Case& c, const Run& first);
  Result<Finding> against_fewer_rows(const Case& c, const Run& first);

  ChipUnderTest chip_;
  std::shared_ptr<contract::Chip> reference_;
  double patience_s_;
  Watch watch_;
};

}  // namespace naru::check
