// The matchers of the known patterns. Each takes the next piece from the front of [p, end); none looks at a character
// more than a bounded number of times, whatever the text. What a regular expression would do by backtracking is
// written out as the one or two outcomes that backtracking can have.
#include "text/splitter.h"

#include <algorithm>

#include "base/ascii.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

struct Char {
  uint32_t value;
  uint32_t bytes;
  uint16_t flags;
};

// The character at p, with all members 0 at the end of the text.
inline Char char_at(const char* p, const char* end) {
  if (p == end) return {0, 0, 0};
  const CodePoint c = code_point_at(p);
  return {c.value, c.bytes, char_flags(c.value)};
}

inline bool is_line_end(uint32_t c) {
  return c == '\r' || c == '\n';
}

// The end of the run of characters with one of `flags`.
inline const char* skip_run(const char* p, const char* end, uint16_t flags) {
  while (p < end) {
    const CodePoint c = code_point_at(p);
    if (!(char_flags(c.value) & flags)) break;
    p += c.bytes;
  }
  return p;
}

// The end of the run of characters with none of `flags`.
inline const char* skip_run_without(const char* p, const char* end, uint16_t flags) {
  while (p < end) {
    const CodePoint c = code_point_at(p);
    if (char_flags(c.value) & flags) break;
    p += c.bytes;
  }
  return p;
}

inline const char* skip_line_ends(const char* p, const char* end) {
  while (p < end && is_line_end(static_cast<unsigned char>(*p))) ++p;
  return p;
}

// \s+(?!\S)|\s+ at white space: the whole run at the end of the text, else all of it but its last character, which is
// left for the word that follows; a run of one is taken as it is.
inline const char* take_space(const char* p, const char* end) {
  const char* const run_end = skip_run(p, end, kSpace);
  if (run_end == end) return run_end;
  const char* const last = run_end - code_point_before(p, run_end).bytes;
  return last > p ? last : run_end;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ at white space: up to the last line end of the run, else as above. What lies after the last
// line end is read again, once, because no line end is left in it.
inline const char* take_lines_or_space(const char* p, const char* end) {
  const char* const run_end = skip_run(p, end, kSpace);
  const char* last_line_end = run_end;
  while (last_line_end > p && !is_line_end(static_cast<unsigned char>(last_line_end[-1]))) --last_line_end;
  if (last_line_end > p) return last_line_end;
  return take_space(p, end);
}

// The length of 's 't 're 've 'm 'll 'd at p, or 0. In any case, U+017F (long s) counts as an s.
inline size_t contraction(const char* p, const char* end, bool any_case) {
  if (end - p < 2 || *p != '\'') return 0;
  const auto letter = [&](int i) {
    const char c = i < end - p ? p[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char first = letter(1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = letter(2);
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  if (any_case && end - p >= 3 && p[1] == '\xC5' && p[2] == '\xBF') return 3;
  return 0;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
const char* next_gpt2(const char* p, const char* end) {
  if (const size_t n = contraction(p, end, false)) return p + n;
  Char c = char_at(p, end);
  const char* q = p;
  if (c.value == ' ') {
    const Char after = char_at(p + 1, end);
    if (after.bytes != 0 && !(after.flags & kSpace)) {
      q = p + 1;
      c = after;
    }
  }
  if (c.flags & kLetter) return skip_run(q + c.bytes, end, kLetter);
  if (c.flags & kNumber) return skip_run(q + c.bytes, end, kNumber);
  if (!(c.flags & kSpace)) return skip_run_without(q + c.bytes, end, kSpace | kLetter | kNumber);
  return take_space(p, end);
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,kDigits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
// \s+(?!\S)|\s+
template <int kDigits>
const char* next_llama3(const char* p, const char* end) {
  if (const size_t n = contraction(p, end, true)) return p + n;
  const Char c = char_at(p, end);
  if (c.flags & kLetter) return skip_run(p + c.bytes, end, kLetter);
  if (c.flags & kNumber) {
    const char* q = p + c.bytes;
    for (int i = 1; i < kDigits; ++i) {
      const Char next = char_at(q, end);
      if (!(next.flags & kNumber)) break;
      q += next.bytes;
    }
    return q;
  }
  const Char after = char_at(p + c.bytes, end);
  if ((after.flags & kLetter) && !is_line_end(c.value)) return skip_run(p + c.bytes + after.bytes, end, kLetter);
  const char* q = p;
  if (c.value == ' ' && after.bytes != 0 && !(after.flags & (kSpace | kLetter | kNumber))) {
    q = p + 1;
  } else if (c.flags & kSpace) {
    return take_lines_or_space(p, end);
  }
  q = skip_run_without(q, end, kSpace | kLetter | kNumber);
  return skip_line_ends(q, end);
}

inline bool is_ascii_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

// [ASCII punctuation][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
// Returns p where nothing matches: numbers, control and unassigned characters.
const char* next_deepseek_v3(const char* p, const char* end) {
  if (is_ascii_punctuation(*p) && end - p >= 2 && is_ascii_letter(p[1])) {
    const char* q = p + 2;
    while (q < end && is_ascii_letter(*q)) ++q;
    return q;
  }
  const Char c = char_at(p, end);
  if (c.flags & (kLetter | kMark)) return skip_run(p + c.bytes, end, kLetter | kMark);
  const Char after = char_at(p + c.bytes, end);
  if (!(c.flags & (kPunctuation | kSymbol)) && !is_line_end(c.value) && (after.flags & (kLetter | kMark))) {
    return skip_run(p + c.bytes + after.bytes, end, kLetter | kMark);
  }
  const bool spaced = c.value == ' ' && (after.flags & (kPunctuation | kSymbol));
  if (spaced || (c.flags & (kPunctuation | kSymbol))) {
    return skip_line_ends(skip_run(p + c.bytes, end, kPunctuation | kSymbol), end);
  }
  if (c.flags & kSpace) return take_lines_or_space(p, end);
  return p;
}

// \s?[class]{1,max}: an optional white space is given up where no character of the class follows it.
const char* next_run(const SplitStep& step, const char* p, const char* end) {
  const char* q = p;
  uint32_t n = 0;
  if (step.optional_space) {
    const Char c = char_at(p, end);
    if (c.flags & kSpace) {
      const Char after = char_at(p + c.bytes, end);
      if (after.bytes != 0 && step.run_class.contains(after.value)) {
        q = p + c.bytes + after.bytes;
        n = 1;
      }
    }
  }
  while (q < end && n < step.run_max) {
    const CodePoint c = code_point_at(q);
    if (!step.run_class.contains(c.value)) break;
    q += c.bytes;
    ++n;
  }
  return n > 0 ? q : p;
}

// Cuts [begin, end) by `next`, which gives the end of the match at a place or that place itself; what lies between
// matches is one piece.
template <typename Next>
void cut_matches(const char* base, const char* begin, const char* end, std::vector<size_t>& ends, const Next& next) {
  const auto push = [&](const char* p) { ends.push_back(static_cast<size_t>(p - base)); };
  const char* gap = begin;
  for (const char* p = begin; p < end;) {
    const char* const match_end = next(p, end);
    if (match_end == p) {
      p += code_point_at(p).bytes;
      continue;
    }
    if (p > gap) push(p);
    push(match_end);
    p = gap = match_end;
  }
  if (gap < end) push(end);
}

// The same for matchers that match at every place.
template <typename Next>
void cut_all(const char* base, const char* begin, const char* end, std::vector<size_t>& ends, const Next& next) {
  for (const char* p = begin; p < end;) {
    p = next(p, end);
    ends.push_back(static_cast<size_t>(p - base));
  }
}

void cut_trailing_space(const char* base, const char* begin, const char* end, std::vector<size_t>& ends) {
  const char* p = end;
  while (p > begin) {
    const CodePoint c = code_point_before(begin, p);
    if (!(char_flags(c.value) & kSpace)) break;
    p -= c.bytes;
  }
  if (p > begin) ends.push_back(static_cast<size_t>(p - base));
  if (p < end) ends.push_back(static_cast<size_t>(end - base));
}

void cut(const SplitStep& step, const char* base, const char* begin, const char* end, std::vector<size_t>& ends) {
  switch (step.kind) {
    case SplitStep::kGpt2: return cut_all(base, begin, end, ends, next_gpt2);
    case SplitStep::kLlama3: return cut_all(base, begin, end, ends, next_llama3<3>);
    case SplitStep::kQwen2: return cut_all(base, begin, end, ends, next_llama3<1>);
    case SplitStep::kDeepseekV3: return cut_matches(base, begin, end, ends, next_deepseek_v3);
    case SplitStep::kTrailingSpace: return cut_trailing_space(base, begin, end, ends);
    case SplitStep::kRun:
      return cut_matches(base, begin, end, ends,
                         [&step](const char* p, const char* e) { return next_run(step, p, e); });
  }
}

}  // namespace

void Splitter::split(std::string_view text, std::vector<size_t>& ends, std::vector<size_t>& spare) const {
  ends.clear();
  if (text.empty()) return;
  ends.push_back(text.size());
  for (const SplitStep& step : steps_) {
    spare.clear();
    size_t begin = 0;
    for (const size_t end : ends) {
      cut(step, text.data(), text.data() + begin, text.data() + end, spare);
      begin = end;
    }
    std::swap(ends, spare);
  }
}

}  // namespace naru::text
