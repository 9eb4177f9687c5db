// Validation and repair share one question: how many bytes at this place form a whole character, or a good beginning of
// one, or nothing (the Unicode standard, table 3-7).
#include "text/utf8.h"

#include <cstring>

#include "text/unicode.h"

namespace naru::text {
namespace {

struct Scan {
  size_t bytes;  // of the whole character, or of the longest good beginning (at least 1)
  enum { kWhole, kCut, kBad } state;
};

// Looks at one character at p < end. kCut: the bytes up to `end` are a good beginning.
Scan scan_character(const unsigned char* p, const unsigned char* end) {
  const unsigned char lead = *p;
  if (lead < 0x80) return {1, Scan::kWhole};
  if (lead < 0xC2 || lead > 0xF4) return {1, Scan::kBad};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned char low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (size_t i = 1; i < length; ++i) {
    if (p + i == end) return {i, Scan::kCut};
    if (p[i] < low || p[i] > high) return {i, Scan::kBad};
    low = 0x80;
    high = 0xBF;
  }
  return {length, Scan::kWhole};
}

// The first byte at or after p that is not ASCII.
const unsigned char* skip_ascii(const unsigned char* p, const unsigned char* end) {
  while (end - p >= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    if (word & 0x8080808080808080u) break;
    p += 8;
  }
  while (p < end && *p < 0x80) ++p;
  return p;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

void append_utf8(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0 | c >> 6));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | c >> 12));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | c >> 18));
    out.push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

bool is_valid_utf8(std::string_view text) {
  const unsigned char* p = bytes_of(text);
  const unsigned char* const end = p + text.size();
  while ((p = skip_ascii(p, end)) < end) {
    const Scan scan = scan_character(p, end);
    if (scan.state != Scan::kWhole) return false;
    p += scan.bytes;
  }
  return true;
}

int64_t count_code_points(std::string_view text) {
  int64_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

void Utf8Repairer::push(std::string_view bytes, std::string& out) {
  // While a character waits, feed it byte by byte; at most three bytes of `bytes` go this way.
  while (n_waiting_ > 0 && !bytes.empty()) {
    waiting_[n_waiting_++] = bytes.front();
    const Scan scan = scan_character(bytes_of({waiting_, 4}), bytes_of({waiting_, 4}) + n_waiting_);
    if (scan.state == Scan::kBad) {  // the new byte does not continue it: it is read again, on its own
      append_utf8(kReplacement, out);
      n_waiting_ = 0;
      break;
    }
    bytes.remove_prefix(1);
    if (scan.state == Scan::kCut) continue;
    out.append(waiting_, n_waiting_);
    n_waiting_ = 0;
  }
  const unsigned char* p = bytes_of(bytes);
  const unsigned char* const end = p + bytes.size();
  while (p < end) {
    const unsigned char* const ascii_end = skip_ascii(p, end);
    out.append(reinterpret_cast<const char*>(p), static_cast<size_t>(ascii_end - p));
    p = ascii_end;
    if (p == end) break;
    const Scan scan = scan_character(p, end);
    if (scan.state == Scan::kWhole) {
      out.append(reinterpret_cast<const char*>(p), scan.bytes);
    } else if (scan.state == Scan::kBad) {
      append_utf8(kReplacement, out);
    } else {
      std::memcpy(waiting_, p, scan.bytes);
      n_waiting_ = scan.bytes;
    }
    p += scan.bytes;
  }
}

void Utf8Repairer::finish(std::string& out) {
  if (n_waiting_ > 0) append_utf8(kReplacement, out);
  n_waiting_ = 0;
}

std::string repair_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  Utf8Repairer repairer;
  repairer.push(bytes, out);
  repairer.finish(out);
  return out;
}

}  // namespace naru::text
