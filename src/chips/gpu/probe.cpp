#include "chips/gpu/probe.h"

#include <fmt/format.h>

#include <bit>
#include <vector>

#include "base/checked.h"
#include "chips/gpu/kernel_table.h"
#include "contract/scalar.h"

namespace naru::gpu {
namespace {

constexpr size_t kDrawn = 8192;

// A counter hashed (the finaliser of MurmurHash3): any bits will do.
uint32_t bits_of(uint32_t counter) {
  uint32_t x = counter * 0x9e3779b9u + 1;
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

// A value whose exponent field is `exponent`, of drawn sign and mantissa.
float with_exponent(uint32_t bits, uint32_t exponent) {
  return std::bit_cast<float>((bits & 0x807fffffu) | (exponent & 255u) << 23);
}

std::vector<float> operands() {
  std::vector<float> all;
  const auto put = [&](float a, float b, float c) { all.insert(all.end(), {a, b, c}); };
  // 2^-126 - 1.5 * 2^-151 gives 0, 2^-126 - 2^-151 gives 2^-126: as sums of a product, and as products.
  const float half = 0x1p-63f;
  put(-0x1.8p-75f, 0x1p-76f, 0x1p-126f);
  put(-0x1p-75f, 0x1p-76f, 0x1p-126f);
  put(half, 0x1.fffffep-64f, 0.0f);
  put(0x1.fffffep-64f, 0x1.000002p-63f, 0.0f);
  put(0x1.000002p-63f, 0x1.fffffcp-64f, 0.0f);
  for (uint32_t i = 0; i < kDrawn; ++i) {
    const uint32_t x = bits_of(3 * i), y = bits_of(3 * i + 1), z = bits_of(3 * i + 2);
    switch (i % 4) {
      case 0: put(std::bit_cast<float>(x), std::bit_cast<float>(y), std::bit_cast<float>(z)); break;
      case 1: {  // products around 2^-126
        const uint32_t e = 20 + x % 90;
        put(with_exponent(x, e), with_exponent(y, 127 - e + z % 4), with_exponent(z, z % 4));
        break;
      }
      case 2: put(with_exponent(x, x % 3), with_exponent(y, 100 + y % 50), with_exponent(z, x % 4)); break;
      default:
        put(with_exponent(x, 110 + x % 30), with_exponent(y, 110 + y % 30), with_exponent(z, 110 + z % 30));
        break;
    }
  }
  return all;
}

// In the order of text/probe.cl; the last ones divide.
constexpr size_t kResults = 9, kDivides = 7;
constexpr const char* kNames[kResults] = {"a + b",   "a * b",  "fma(a, b, c)", "a * b + c", "a * b - c",
                                          "rint(a)", "exp(a)", "a / b",        "sqrt(|a|)"};
float wanted(size_t which, float a, float b, float c) {
  switch (which) {
    case 0: return contract::add(a, b);
    case 1: return contract::mul(a, b);
    case 2: return contract::fma(a, b, c);
    case 3: return contract::add(contract::mul(a, b), c);
    case 4: return contract::sub(contract::mul(a, b), c);
    case 5: return contract::rint(a);
    case 6: return contract::exp(a);
    case 7: return contract::div(a, b);
    default: return contract::sqrt(std::fabs(a));
  }
}

}  // namespace

Result<ProbeFindings> probe(Driver& driver) {
  const std::vector<float> in = operands();
  const size_t n = in.size() / 3;
  std::vector<float> out(n * kResults);
  const auto in_bytes = static_cast<int64_t>(in.size() * 4), out_bytes = static_cast<int64_t>(out.size() * 4);
  NARU_ASSIGN(const Memory status, driver.allocate(64));
  NARU_ASSIGN(const Memory from, driver.allocate(in_bytes));
  NARU_ASSIGN(const Memory to, driver.allocate(out_bytes));
  NARU_TRY(driver.write({from.get(), 0}, in.data(), in_bytes));
  const Argument arguments[] = {MemoryPlace{status.get(), 0}, int64_t{1}, MemoryPlace{from.get(), 0},
                                MemoryPlace{to.get(), 0}, static_cast<int64_t>(n)};
  const KernelInfo& kernel = kernel_of("probe");
  NARU_TRY(driver.launch(kernel, ceil_div(static_cast<int64_t>(n), kernel.items_x), 1, 1, arguments));
  NARU_TRY(driver.read(out.data(), {to.get(), 0}, out_bytes));
  ProbeFindings findings{true, true, ""};
  for (size_t i = 0; i < n; ++i) {
    const float a = in[3 * i], b = in[3 * i + 1], c = in[3 * i + 2];
    for (size_t which = 0; which < kResults; ++which) {
      const float want = wanted(which, a, b, c), found = out[kResults * i + which];
      if (contract::canonical_bits(want) == contract::canonical_bits(found)) continue;
      (which < kDivides ? findings.adds_and_multiplies : findings.divides) = false;
      if (findings.first_difference.empty()) {
        findings.first_difference =
            fmt::format("{} of {:a}, {:a}, {:a} is {:a}, {:a} was wanted", kNames[which], a, b, c, found, want);
      }
    }
  }
  return findings;
}

namespace {

// Runs a kernel of text/probe_int8.cl by one or some groups: what it left, the first word of it whether the device has
// the instruction.
Result<std::vector<int32_t>> run_int8(Driver& driver, std::string_view name, int64_t groups,
                                      std::span<const int32_t> operands, int64_t n, size_t n_results) {
  std::vector<int32_t> results(n_results + 1);
  const auto in_bytes = static_cast<int64_t>(operands.size_bytes()),
             out_bytes = static_cast<int64_t>(results.size() * 4);
  NARU_ASSIGN(const Memory status, driver.allocate(64));
  NARU_ASSIGN(const Memory from, driver.allocate(in_bytes));
  NARU_ASSIGN(const Memory to, driver.allocate(out_bytes));
  NARU_TRY(driver.write({from.get(), 0}, operands.data(), in_bytes));
  const Argument arguments[] = {MemoryPlace{status.get(), 0}, int64_t{1}, MemoryPlace{from.get(), 0},
                                MemoryPlace{to.get(), 0}, n};
  NARU_TRY(driver.launch(kernel_of(name), groups, 1, 1, arguments));
  NARU_TRY(driver.read(results.data(), {to.get(), 0}, out_bytes));
  return results;
}

int32_t dot_of(int32_t a, int32_t b) {
  int32_t sum = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    sum += static_cast<int8_t>(a >> shift) * static_cast<int8_t>(b >> shift);
  }
  return sum;
}

std::string other_integer(std::string_view what, size_t at, int32_t found, int32_t want) {
  return fmt::format("{} of it are other integers: {} in place {}, {} was wanted; not used", what, found, at, want);
}

constexpr size_t kDots = 4096, kSpan = 64;
constexpr int64_t kSteps = 3;

// -128 and 127 with all others: every fourth word has the ends of the range alone.
int32_t drawn_word(uint32_t i) {
  const uint32_t bits = bits_of(i);
  if (bits % 4 != 0) return static_cast<int32_t>(bits);
  return static_cast<int32_t>(0x80808080u ^ ((bits >> 8 & 0x01010101u) * 255));
}

Status probe_dots(Driver& driver, Int8Findings& findings) {
  std::vector<int32_t> operands(kDots * 3);
  for (size_t i = 0; i < operands.size(); ++i) operands[i] = drawn_word(static_cast<uint32_t>(i));
  for (size_t i = 0; i < kDots; ++i) operands[3 * i + 2] /= 2;  // what a sum may have, without leaving 32 bits
  NARU_ASSIGN(const auto found, run_int8(driver, "probe_dots", kDots / 32, operands, kDots, kDots));
  findings.has_dots = found[0] != 0;
  for (size_t i = 0; i < kDots; ++i) {
    const int32_t want = operands[3 * i + 2] + dot_of(operands[3 * i], operands[3 * i + 1]);
    if (found[1 + i] == want) continue;
    findings.wrong_dots = other_integer("dots", i, found[1 + i], want);
    break;
  }
  return {};
}

Status probe_matrices(Driver& driver, Int8Findings& findings) {
  constexpr size_t kWords = 8 * kSteps;
  std::vector<int32_t> operands(2 * kSpan * kWords);
  for (size_t i = 0; i < operands.size(); ++i) operands[i] = drawn_word(static_cast<uint32_t>(i));
  NARU_ASSIGN(const auto found, run_int8(driver, "probe_matrix", 1, operands, kSteps, kSpan * kSpan));
  findings.has_matrices = found[0] != 0;
  if (!findings.has_matrices) return {};
  for (size_t at = 0; at < kSpan * kSpan; ++at) {
    const int32_t *row = &operands[at / kSpan * kWords], *output = &operands[(kSpan + at % kSpan) * kWords];
    int32_t want = 0;
    for (size_t w = 0; w < kWords; ++w) want += dot_of(row[w], output[w]);
    if (found[1 + at] == want) continue;
    findings.wrong_matrices = other_integer("matrix products", at, found[1 + at], want);
    break;
  }
  return {};
}

}  // namespace

Result<Int8Findings> probe_int8(Driver& driver) {
  Int8Findings findings;
  NARU_TRY(probe_dots(driver, findings));
  NARU_TRY(probe_matrices(driver, findings));
  return findings;
}

Software asked_software(bool is_software) {
  return {.flush = is_software, .divide = is_software, .dots = is_software, .matrices = is_software};
}

namespace {

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

Error not_exact(const Driver& driver, std::string_view found) {
  return {Code::kUnsupported,
          fmt::format("opening chip {} ({}): {}, so it cannot be exact; use another device or chip cpu",
                      driver.info().chip, driver.info().device, found)};
}

Status choose_floats(Driver& driver, Software& software) {
  driver.choose(software);
  NARU_ASSIGN(ProbeFindings findings, probe(driver));
  if (findings.adds_and_multiplies && findings.divides) return {};
  software.flush = software.flush || !findings.adds_and_multiplies;
  driver.choose(software);
  NARU_ASSIGN(findings, probe(driver));
  if (findings.adds_and_multiplies && !findings.divides) {
    software.divide = true;
    driver.choose(software);
    NARU_ASSIGN(findings, probe(driver));
  }
  if (findings.adds_and_multiplies && findings.divides) return {};
  return not_exact(driver, findings.first_difference);
}

// Of the dots that the text has in C, which are there for every device.
Status check_c_dots(Driver& driver) {
  Int8Findings found;
  NARU_TRY(probe_dots(driver, found));
  if (!found.wrong_dots.empty()) return not_exact(driver, found.wrong_dots);
  return {};
}

// Instructions that are there and right are left to the device. True where the dots that it goes on with are those that
// were probed.
Result<bool> choose_int8(Driver& driver, Software& software) {
  const Result<Int8Findings> probed = probe_int8(driver);
  if (!probed.ok()) {
    software.dots = true;
    software.matrices = true;
    software.why = fmt::format("its instructions are not used: {}", first_line(probed.error().message));
    driver.choose(software);
    return false;
  }
  const Int8Findings& found = *probed;
  if (!found.has_dots && !found.wrong_dots.empty()) return not_exact(driver, found.wrong_dots);
  if (found.has_dots && !software.dots) software.why = found.wrong_dots;
  if (found.has_matrices && !software.matrices && software.why.empty()) software.why = found.wrong_matrices;
  software.dots = software.dots || !found.has_dots || !found.wrong_dots.empty();
  software.matrices = software.matrices || !found.has_matrices || !found.wrong_matrices.empty();
  if (software.dots || software.matrices) driver.choose(software);
  return !found.has_dots || found.wrong_dots.empty();
}

}  // namespace

Status choose_exact(Driver& driver, Software asked) {
  Software software = std::move(asked);
  NARU_TRY(choose_floats(driver, software));
  bool is_probed = false;
  if (!software.dots || !software.matrices) {
    NARU_ASSIGN(is_probed, choose_int8(driver, software));
  }
  return is_probed ? Status() : check_c_dots(driver);
}

}  // namespace naru::gpu
