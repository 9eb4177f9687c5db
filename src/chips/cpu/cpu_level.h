// The levels of the CPU chip: sets of instructions for which all kernels are compiled. All levels give the same bits.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chips/cpu/kernels/kernels.h"

namespace naru::cpu {

struct LevelInfo {
  std::string_view name;
  bool present = false;
  std::string why_not;  // what is missing; empty where present
};

// All levels that this build has, slowest first. The first call probes the machine: a level of AMX whose tiles do not
// give the defined bits is not present.
const std::vector<LevelInfo>& cpu_levels();

// The kernels of the level called `name`; where there is no name, of the environment's NARU_CPU; where that is not set
// either, of the best level present. An unknown or absent level is an error that lists what there is.
Result<const KernelTable*> choose_level(const std::optional<std::string>& name);

// Must run on every thread before it runs kernels of the level: round to nearest, subnormals read and written as zero,
// and the tile configuration where the level has tiles.
void prepare_thread(const KernelTable& table);
// Whether the calling thread may run kernels of the level: prepared, and nothing has undone it since.
bool is_prepared(const KernelTable& table);

// prepare_thread for the life of the object; then what the thread had before, tiles too. One may stand inside another.
class FloatMode {
 public:
  explicit FloatMode(const KernelTable& table);
  ~FloatMode();
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  uint32_t saved_control_;
  const KernelTable* saved_prepared_for_;
  bool had_tiles_;
};

}  // namespace naru::cpu
