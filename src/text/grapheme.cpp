#include "text/grapheme.h"

#include <algorithm>

#include "base/check.h"
#include "text/generated/grapheme_tables.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

// Values as tools/unicode/make_grapheme_tables.py writes them.
enum class Cluster : uint8_t {
  kOther,
  kCr,
  kLf,
  kControl,
  kExtend,
  kJoiner,
  kFlag,  // a regional indicator
  kPrepend,
  kSpacing,
  kL,
  kV,
  kT,
  kLV,
  kLVT,
  kPicture,
};
enum class Conjunct : uint8_t { kNone, kLinker, kConsonant, kExtend };

struct ClusterKind {
  Cluster cluster = Cluster::kOther;
  Conjunct conjunct = Conjunct::kNone;
};

constexpr uint32_t kHangulFirst = 0xAC00, kHangulLast = 0xD7A3, kFinals = 28;

ClusterKind kind_of(uint32_t c) {
  if (c >= 0x20 && c < 0x7f) return {};
  if (c >= kHangulFirst && c <= kHangulLast) {
    return {(c - kHangulFirst) % kFinals == 0 ? Cluster::kLV : Cluster::kLVT, Conjunct::kNone};
  }
  const auto* const begin = generated::kGraphemeRange;
  const auto* const end = begin + generated::kGraphemeRanges;
  const auto* const range =
      std::lower_bound(begin, end, c, [](const generated::GraphemeRange& r, uint32_t value) { return r.last < value; });
  if (range == end || c < range->first) return {};
  return {static_cast<Cluster>(range->record & 15), static_cast<Conjunct>(range->record >> 4)};
}

bool is_alone(Cluster c) {
  return c == Cluster::kCr || c == Cluster::kLf || c == Cluster::kControl;
}

// What was seen of a cluster so far.
class Walk {
 public:
  explicit Walk(ClusterKind first) { take(first); }

  // Whether `next` goes on with the cluster (the rules GB3 to GB999), which then has it.
  bool push(ClusterKind next) {
    if (!is_joined(next)) return false;
    take(next);
    return true;
  }

 private:
  bool is_joined(ClusterKind next) const {
    const Cluster before = last_, now = next.cluster;
    if (before == Cluster::kCr && now == Cluster::kLf) return true;
    if (is_alone(before) || is_alone(now)) return false;
    if (now == Cluster::kExtend || now == Cluster::kJoiner || now == Cluster::kSpacing) return true;
    if (before == Cluster::kPrepend) return true;
    if (conjunct_ == 2 && next.conjunct == Conjunct::kConsonant) return true;
    const bool is_vowel_next = now == Cluster::kV;
    const bool is_final_next = now == Cluster::kT;
    switch (before) {
      case Cluster::kL: return now == Cluster::kL || is_vowel_next || now == Cluster::kLV || now == Cluster::kLVT;
      case Cluster::kLV:
      case Cluster::kV: return is_vowel_next || is_final_next;
      case Cluster::kLVT:
      case Cluster::kT: return is_final_next;
      case Cluster::kJoiner: return picture_ == 2 && now == Cluster::kPicture;
      case Cluster::kFlag: return now == Cluster::kFlag && n_flags_ % 2 == 1;
      default: return false;
    }
  }

  void take(ClusterKind kind) {
    const Cluster now = kind.cluster;
    n_flags_ = now == Cluster::kFlag ? n_flags_ + 1 : 0;
    if (now == Cluster::kPicture) {
      picture_ = 1;
    } else if (now != Cluster::kExtend || picture_ != 1) {
      picture_ = picture_ == 1 && now == Cluster::kJoiner ? 2 : 0;
    }
    switch (kind.conjunct) {
      case Conjunct::kConsonant: conjunct_ = 1; break;
      case Conjunct::kLinker: conjunct_ = conjunct_ > 0 ? 2 : 0; break;
      case Conjunct::kExtend: break;
      case Conjunct::kNone: conjunct_ = 0; break;
    }
    last_ = now;
  }

  Cluster last_ = Cluster::kOther;
  int n_flags_ = 0;
  int picture_ = 0;   // 1: behind a picture and what extends it, 2: behind a joiner after that
  int conjunct_ = 0;  // 1: behind a consonant, 2: with a linker since
};

// Whether a cluster surely begins at `now`, whatever stands before `before`.
bool is_surely_between(ClusterKind before, ClusterKind now) {
  if (is_alone(before.cluster)) return before.cluster != Cluster::kCr || now.cluster != Cluster::kLf;
  return now.cluster == Cluster::kOther && now.conjunct == Conjunct::kNone && before.cluster != Cluster::kPrepend;
}

}  // namespace

size_t grapheme_end(std::string_view text, size_t at) {
  NARU_CHECK(at < text.size(), at, text.size());
  CodePoint c = code_point_at(text.data() + at);
  Walk walk(kind_of(c.value));
  for (at += c.bytes; at < text.size(); at += c.bytes) {
    c = code_point_at(text.data() + at);
    if (!walk.push(kind_of(c.value))) break;
  }
  return at;
}

size_t grapheme_begin(std::string_view text, size_t at) {
  NARU_CHECK(at > 0 && at <= text.size(), at, text.size());
  CodePoint c = code_point_before(text.data(), text.data() + at);
  size_t begin = at - c.bytes;
  ClusterKind now = kind_of(c.value);
  while (begin > 0) {
    c = code_point_before(text.data(), text.data() + begin);
    const ClusterKind before = kind_of(c.value);
    if (is_surely_between(before, now)) break;
    begin -= c.bytes;
    now = before;
  }
  while (true) {
    const size_t end = grapheme_end(text, begin);
    if (end >= at) return begin;
    begin = end;
  }
}

}  // namespace naru::text
