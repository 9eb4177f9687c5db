// Faults in the calls that change a disk, and in those that read one. The test program is linked with --wrap for write,
// fsync, mkdir, rename, renameat2, unlink, open, read and mmap (tests/CMakeLists.txt), so that the n-th of them can
// fail, or end the process as kill -9 would.
#pragma once

#include <string>

namespace naru::test {

struct Faults {
  int n_calls = 0;          // so far
  int at = -1;              // the call that goes wrong; -1: none
  int error_number = 0;     // what it fails with; 0: the process ends there and then
  bool is_lasting = false;  // all later calls fail too, as on a full disk
};
extern Faults faults;

// Sets one fault for as long as it lives.
class FaultAt {
 public:
  FaultAt(int at, int error_number, bool is_lasting = false) {
    faults = {.n_calls = 0, .at = at, .error_number = error_number, .is_lasting = is_lasting};
  }
  ~FaultAt() { faults = {}; }
};

// Of reading: open, read and mmap of files whose path has `part` in it.
struct ReadFaults {
  std::string part;  // "": none
  int n_calls = 0;
  int at = -1;
  int error_number = 0;
};
extern ReadFaults read_faults;

class ReadFaultAt {
 public:
  ReadFaultAt(std::string part, int at, int error_number) {
    read_faults = {.part = std::move(part), .n_calls = 0, .at = at, .error_number = error_number};
  }
  ~ReadFaultAt() { read_faults = {}; }
};

}  // namespace naru::test
