// InputHash: of everything that an op reads, one hash. Two runs of a program whose ops have the same hash gave them the
// same inputs: where the outputs differ, that op is at fault; where the inputs differ too, it may only follow.
//
// Cache rows and packed matrices are in forms of the chip's own; in their place stands the hash of what was written to
// them. What a matrix was packed from on the host is the model's, and of no hash here.
#pragma once

#include <map>
#include <string>

#include "contract/chip.h"

namespace naru::check {

class InputHash {
 public:
  // Before the op runs: SHA-256 of the values that it reads on the chip, its scalars and shapes.
  Result<std::string> of(contract::Chip& chip, const contract::Op& op) const;
  // It ran: what it wrote that cannot be read has this hash now.
  void ran(const contract::Op& op, const std::string& inputs);
  // The matrix is new.
  void packed(const contract::PackedMatrix* matrix) { matrices_.erase(matrix); }

 private:
  friend class InputVisitor;
  std::map<ChipAddress, std::string> caches_;  // by where the stream begins
  std::map<const contract::PackedMatrix*, std::string> matrices_;
};

}  // namespace naru::check
