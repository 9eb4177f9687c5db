#include "chips/cpu/cpu_level.h"

#include <fmt/format.h>

#include <cstdlib>

#include "chips/cpu/machine.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#include <xmmintrin.h>
#endif

namespace naru::cpu {

namespace baseline {
const KernelTable& table();
}
#if defined(__x86_64__)
namespace avx2 {
const KernelTable& table();
}
namespace avx512 {
const KernelTable& table();
}
namespace avx512vnni {
const KernelTable& table();
}
namespace amx {
const KernelTable& table();
void configure_tiles();
void release_tiles();
bool tiles_give_defined_bits();  // needs configured tiles
}  // namespace amx
#endif

namespace {

struct Level {
  std::string_view name;
  const KernelTable& (*table)();
  std::string (*missing)();  // what this machine lacks, empty where it has all
};

std::string missing_nothing() {
  return {};
}

#if defined(__x86_64__)

struct Need {
  bool has;
  std::string_view name;
};

std::string list_missing(std::initializer_list<Need> needs) {
  std::string missing;
  for (const Need& need : needs) {
    if (!need.has) missing += fmt::format("{}{}", missing.empty() ? "the machine lacks " : ", ", need.name);
  }
  return missing;
}

std::string missing_avx2() {
  const Features& f = features();
  return list_missing({{f.avx2, "avx2"}, {f.fma, "fma"}, {f.f16c, "f16c"}, {f.bmi2, "bmi2"}});
}

std::string missing_avx512() {
  const Features& f = features();
  const std::string missing = missing_avx2();
  if (!missing.empty()) return missing;
  return list_missing({{f.avx512f, "avx512f"},
                       {f.avx512bw, "avx512bw"},
                       {f.avx512dq, "avx512dq"},
                       {f.avx512vl, "avx512vl"},
                       {f.avx512cd, "avx512cd"}});
}

std::string missing_avx512vnni() {
  const Features& f = features();
  const std::string missing = missing_avx512();
  if (!missing.empty()) return missing;
  return list_missing({{f.avx512vnni, "avx512vnni"}, {f.avx512bf16, "avx512bf16"}});
}

// Asks the system once for the right to use tiles.
bool request_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

std::string missing_amx() {
  const Features& f = features();
  std::string missing = missing_avx512vnni();
  if (!missing.empty()) return missing;
  missing = list_missing({{f.amx_tile, "amx_tile"}, {f.amx_bf16, "amx_bf16"}, {f.amx_int8, "amx_int8"}});
  if (!missing.empty()) return missing;
  if (!request_tiles()) return "the system does not permit tiles";
  amx::configure_tiles();
  const bool is_exact = amx::tiles_give_defined_bits();
  amx::release_tiles();
  return is_exact ? "" : "its tiles do not give the defined bits";
}

#endif

constexpr Level kLevels[] = {
    {"baseline", baseline::table, missing_nothing},
#if defined(__x86_64__)
    {"avx2", avx2::table, missing_avx2},
    {"avx512", avx512::table, missing_avx512},
    {"avx512vnni", avx512vnni::table, missing_avx512vnni},
    {"amx", amx::table, missing_amx},
#endif
};

std::string present_levels() {
  std::string names;
  for (const LevelInfo& level : cpu_levels()) {
    if (level.present) names += fmt::format("{}{}", names.empty() ? "" : ", ", level.name);
  }
  return names;
}

}  // namespace

const std::vector<LevelInfo>& cpu_levels() {
  static const std::vector<LevelInfo> kInfos = [] {
    std::vector<LevelInfo> infos;
    for (const Level& level : kLevels) {
      std::string missing = level.missing();
      const bool present = missing.empty();
      infos.push_back({level.name, present, std::move(missing)});
    }
    return infos;
  }();
  return kInfos;
}

Result<const KernelTable*> choose_level(const std::optional<std::string>& name) {
  const char* variable = name ? nullptr : std::getenv("NARU_CPU");
  const std::string wanted = name ? *name : variable != nullptr ? variable : "";
  const std::string_view source = name ? "choosing a level of the CPU chip" : "choosing the CPU level from NARU_CPU";
  const std::vector<LevelInfo>& infos = cpu_levels();
  if (wanted.empty()) {
    size_t best = 0;
    for (size_t i = 0; i < infos.size(); ++i) best = infos[i].present ? i : best;
    return &kLevels[best].table();
  }
  for (size_t i = 0; i < infos.size(); ++i) {
    if (infos[i].name != wanted) continue;
    if (infos[i].present) return &kLevels[i].table();
    return Error{Code::kUnsupported, fmt::format("{}: '{}' is not possible here, {}; this machine has {}", source,
                                                 wanted, infos[i].why_not, present_levels())};
  }
  return Error{Code::kUnsupported,
               fmt::format("{}: there is no level '{}'; this machine has {}", source, wanted, present_levels())};
}

namespace {

// What the calling thread is prepared for. Tiles stay configured while a level without them runs in between.
thread_local const KernelTable* prepared_for = nullptr;
thread_local bool tiles_are_there = false;

#if defined(__x86_64__)

// All exceptions masked, round to nearest, flush to zero, denormals are zero.
constexpr uint32_t kControl = 0x1f80u | 0x8000u | 0x0040u;

uint32_t control() {
  return _mm_getcsr();
}
void set_control(uint32_t bits) {
  _mm_setcsr(bits);
}
void keep_tiles(bool wanted) {
  if (wanted) amx::configure_tiles();
  if (!wanted && tiles_are_there) amx::release_tiles();
  tiles_are_there = wanted;
}

#else

// The portable kernels flush by themselves.
constexpr uint32_t kControl = 0;
uint32_t control() {
  return 0;
}
void set_control(uint32_t) {}
void keep_tiles(bool) {}

#endif

bool needs_tiles(const KernelTable& table) {
  return table.level == "amx";
}

}  // namespace

void prepare_thread(const KernelTable& table) {
  set_control(kControl);
  if (needs_tiles(table)) keep_tiles(true);
  prepared_for = &table;
}

bool is_prepared(const KernelTable& table) {
  constexpr uint32_t kStickyFlags = 0x3f;  // of exceptions that happened
  return prepared_for == &table && (control() & ~kStickyFlags) == kControl && (!needs_tiles(table) || tiles_are_there);
}

FloatMode::FloatMode(const KernelTable& table)
    : saved_control_(control()), saved_prepared_for_(prepared_for), had_tiles_(tiles_are_there) {
  prepare_thread(table);
}

FloatMode::~FloatMode() {
  if (tiles_are_there != had_tiles_) keep_tiles(had_tiles_);
  prepared_for = saved_prepared_for_;
  set_control(saved_control_);
}

}  // namespace naru::cpu
