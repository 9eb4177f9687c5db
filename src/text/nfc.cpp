// Text is cut before every "safe" character (stable, a starter, second of no composition); what lies between two cuts
// is normalised on its own by the standard's algorithm: decompose, order the marks, compose.
#include "text/nfc.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

using generated::kComposition;
using generated::kCompositions;
using generated::kDecomposed;
using generated::kDecompositionOffset;
using generated::kDecompositionPool;
using generated::kDecompositions;

// Hangul syllables compose by arithmetic (the Unicode standard, section 3.12).
constexpr uint32_t kSyllables = 0xAC00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11A7;
constexpr uint32_t kLeadCount = 19, kVowelCount = 21, kTailCount = 28;
constexpr uint32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

struct MarkedChar {
  uint32_t value;
  uint8_t combining_class;
};

void decompose(uint32_t c, std::vector<MarkedChar>& out) {
  if (c - kSyllables < kSyllableCount) {
    const uint32_t index = c - kSyllables;
    out.push_back({kLeads + index / (kVowelCount * kTailCount), 0});
    out.push_back({kVowels + index / kTailCount % kVowelCount, 0});
    if (index % kTailCount != 0) out.push_back({kTails + index % kTailCount, 0});
    return;
  }
  const uint32_t* const end = kDecomposed + kDecompositions;
  const uint32_t* const found = c < kDecomposed[0] ? end : std::lower_bound(kDecomposed, end, c);
  if (found == end || *found != c) {
    out.push_back({c, unicode_record(c).combining_class});
    return;
  }
  const size_t index = static_cast<size_t>(found - kDecomposed);
  for (uint32_t i = kDecompositionOffset[index]; i < kDecompositionOffset[index + 1]; ++i) {
    out.push_back({kDecompositionPool[i], unicode_record(kDecompositionPool[i]).combining_class});
  }
}

// The composite of the pair, or 0.
uint32_t compose(uint32_t first, uint32_t second) {
  if (first - kLeads < kLeadCount && second - kVowels < kVowelCount) {
    return kSyllables + ((first - kLeads) * kVowelCount + (second - kVowels)) * kTailCount;
  }
  if (first - kSyllables < kSyllableCount && (first - kSyllables) % kTailCount == 0 && second > kTails &&
      second < kTails + kTailCount) {
    return first + (second - kTails);
  }
  const auto* const end = kComposition + kCompositions;
  const auto* const found = std::lower_bound(kComposition, end, std::pair(first, second), [](const auto& c, auto key) {
    return std::pair(c.first, c.second) < key;
  });
  return found != end && found->first == first && found->second == second ? found->composed : 0;
}

void order_marks(std::vector<MarkedChar>& chars) {
  for (size_t i = 0; i < chars.size();) {
    if (chars[i].combining_class == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < chars.size() && chars[end].combining_class != 0) ++end;
    std::stable_sort(chars.begin() + static_cast<ptrdiff_t>(i), chars.begin() + static_cast<ptrdiff_t>(end),
                     [](const MarkedChar& a, const MarkedChar& b) { return a.combining_class < b.combining_class; });
    i = end;
  }
}

// Composes in place; a character is blocked from the last starter by one between them of no smaller class.
void compose_all(std::vector<MarkedChar>& chars) {
  size_t out = 0;
  size_t starter = SIZE_MAX;
  for (size_t i = 0; i < chars.size(); ++i) {
    const MarkedChar c = chars[i];
    const bool adjacent = starter != SIZE_MAX && starter + 1 == out;
    const bool open = starter != SIZE_MAX && (adjacent || chars[out - 1].combining_class < c.combining_class);
    if (open) {
      const uint32_t composed = compose(chars[starter].value, c.value);
      if (composed != 0) {
        chars[starter].value = composed;
        continue;
      }
    }
    if (c.combining_class == 0) starter = out;
    chars[out++] = c;
  }
  chars.resize(out);
}

}  // namespace

bool is_plainly_nfc(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    if (static_cast<unsigned char>(*p) < 0x80) {
      ++p;
      continue;
    }
    const CodePoint c = code_point_at(p);
    if (!(char_flags(c.value) & kNfcSafe)) return false;
    p += c.bytes;
  }
  return true;
}

bool begins_apart_for_nfc(std::string_view text) {
  return text.empty() || (char_flags(code_point_at(text.data()).value) & kNfcSafe) != 0;
}

size_t last_apart_for_nfc(std::string_view text) {
  const char* p = text.data() + text.size();
  while (p > text.data()) {
    const CodePoint c = code_point_before(text.data(), p);
    p -= c.bytes;
    if (char_flags(c.value) & kNfcSafe) return static_cast<size_t>(p - text.data());
  }
  return 0;
}

void append_nfc(std::string_view text, std::string& out) {
  std::vector<MarkedChar> chars;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    // One piece: a character of any kind, then unsafe ones up to the next safe one.
    const char* const begin = p;
    p += code_point_at(p).bytes;
    const char* const first_end = p;
    while (p < end) {
      const CodePoint c = code_point_at(p);
      if (char_flags(c.value) & kNfcSafe) break;
      p += c.bytes;
    }
    const CodePoint first = code_point_at(begin);
    if (p == first_end && (char_flags(first.value) & kNfcSafe)) {
      out.append(begin, p);
      continue;
    }
    chars.clear();
    for (const char* q = begin; q < p;) {
      const CodePoint c = code_point_at(q);
      decompose(c.value, chars);
      q += c.bytes;
    }
    order_marks(chars);
    compose_all(chars);
    for (const MarkedChar& c : chars) append_utf8(c.value, out);
  }
}

}  // namespace naru::text
