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

// What a device makes of its instructions for int8, whose products the host makes too.
struct Int8Findings {
  bool has_dots = false, has_matrices = false;  // the device's language has the instruction
  std::string wrong_dots, wrong_matrices;       // what of them came out otherwise, in words; empty: nothing
};
// Runs the kernels `probe_dots` and `probe_matrix`.
Result<Int8Findings> probe_int8(Driver& driver);

// "device+software": nothing is left to the hardware.
Software asked_software(bool is_software);

// Leaves to the device what it does as the contract says, but for what is asked of the text anyway. An instruction for
// int8 that is not there, is not built or gives other integers is not used, and in the latter two cases the words of
// the chip say so. kUnsupported for a device whose floats stay different, or whose dots in C are other integers.
Status choose_exact(Driver& driver, Software asked);

}  // namespace naru::gpu
