// What a device makes of the scalar operations of docs/arithmetic.md section 1, on the two edge vectors, on values
// around 2^-126 and on values of every size, and of a sum of a product, rint and exp: measured when a chip is made, for
// no driver's word says enough.
#pragma once

#include "chips/gpu/driver.h"

namespace naru::gpu {

struct ProbeFindings {
  bool adds_and_multiplies = false;  // all but div and sqrt has the contract's bits
  bool divides = false;              // div and sqrt have
  std::string first_difference;      // in words; empty where there is none
};

// Runs the kernel `probe`, as the driver builds it with the options that it has.
Result<ProbeFindings> probe(Driver& driver);

// Leaves to the device what it does as the contract says, but for what is asked of the text anyway. kUnsupported for a
// device that stays different.
Status choose_exact(Driver& driver, Software asked);

}  // namespace naru::gpu
