#include "text/json_prefix.h"

#include <algorithm>
#include <string_view>

namespace naru::text {
namespace {

constexpr std::string_view kWords[] = {"true", "false", "null"};

bool is_json_blank(char byte) {
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

bool is_json_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

// Of a hexadecimal digit; 16 where it is none.
uint16_t hex_value(char byte) {
  if (is_json_digit(byte)) return static_cast<uint16_t>(byte - '0');
  const char low = static_cast<char>(byte | 0x20);
  return low >= 'a' && low <= 'f' ? static_cast<uint16_t>(low - 'a' + 10) : 16;
}

}  // namespace

bool JsonPrefix::push(char byte) {
  switch (state_) {
    case State::kString:
    case State::kEscape:
    case State::kPairSlash:
    case State::kPairLetter:
    case State::kCharacter: return push_string(static_cast<unsigned char>(byte));
    case State::kHex: return push_hex(byte);
    case State::kWord:
      if (byte != kWords[word_][kWords[word_].size() - n_left_]) return false;
      if (--n_left_ == 0) state_ = State::kAfter;
      return true;
    case State::kMinus:
    case State::kZero:
    case State::kDigits:
    case State::kPoint:
    case State::kFraction:
    case State::kExponent:
    case State::kExponentSign:
    case State::kExponentDigits: return push_number(byte);
    case State::kWhole: return false;
    default: return push_structure(byte);
  }
}

bool JsonPrefix::push_structure(char byte) {
  if (is_json_blank(byte)) {
    if (blanks_max_ == 0) return true;
    const int cost = byte == '\n' ? std::max(1, blanks_max_ * 3 / 8) : 1;
    if (blanks_ + cost > blanks_max_) return false;
    blanks_ = static_cast<uint16_t>(blanks_ + cost);
    return true;
  }
  bool is_taken = false;
  switch (state_) {
    case State::kStart: is_taken = byte == '{' && open(false); break;
    case State::kFirstKey:
    case State::kKey:
      if (byte == '}') {
        is_taken = state_ == State::kFirstKey && close(false);
      } else if (byte == '"') {
        begin_string(true);
        is_taken = true;
      }
      break;
    case State::kColon:
      is_taken = byte == ':';
      if (is_taken) state_ = State::kValue;
      break;
    case State::kFirstValue: is_taken = byte == ']' ? close(true) : begin_value(byte); break;
    case State::kValue: is_taken = begin_value(byte); break;
    case State::kAfter:
      if (byte == ',') {
        state_ = is_in_array() ? State::kValue : State::kKey;
        is_taken = true;
      } else if (byte == '}' || byte == ']') {
        is_taken = close(byte == ']');
      }
      break;
    default: break;
  }
  if (is_taken) blanks_ = 0;
  return is_taken;
}

bool JsonPrefix::begin_value(char byte) {
  switch (byte) {
    case '{': return open(false);
    case '[': return open(true);
    case '"': begin_string(false); return true;
    case '-': state_ = State::kMinus; return true;
    case '0': state_ = State::kZero; return true;
    default: break;
  }
  if (is_json_digit(byte)) {
    state_ = State::kDigits;
    return true;
  }
  for (uint8_t i = 0; i < 3; ++i) {
    if (byte != kWords[i][0]) continue;
    word_ = i;
    n_left_ = static_cast<uint8_t>(kWords[i].size() - 1);
    state_ = State::kWord;
    return true;
  }
  return false;
}

bool JsonPrefix::open(bool is_array) {
  if (depth_ == kJsonDepthMax) return false;
  if (is_array) arrays_ |= uint64_t{1} << depth_;
  ++depth_;
  state_ = is_array ? State::kFirstValue : State::kFirstKey;
  return true;
}

bool JsonPrefix::close(bool is_array) {
  if (is_in_array() != is_array) return false;
  --depth_;
  arrays_ &= ~(uint64_t{1} << depth_);
  state_ = depth_ == 0 ? State::kWhole : State::kAfter;
  return true;
}

void JsonPrefix::begin_string(bool is_key) {
  is_key_ = is_key;
  state_ = State::kString;
}

bool JsonPrefix::push_string(unsigned char byte) {
  switch (state_) {
    case State::kCharacter:
      if (byte < low_ || byte > high_) return false;
      low_ = 0x80;
      high_ = 0xBF;
      if (--n_left_ == 0) state_ = State::kString;
      return true;
    case State::kEscape:
      if (byte == 'u') {
        hex_ = 0;
        n_left_ = 4;
        is_second_ = false;
        state_ = State::kHex;
        return true;
      }
      if (std::string_view("\"\\/bfnrt").find(static_cast<char>(byte)) == std::string_view::npos) return false;
      state_ = State::kString;
      return true;
    case State::kPairSlash:
      if (byte != '\\') return false;
      state_ = State::kPairLetter;
      return true;
    case State::kPairLetter:
      if (byte != 'u') return false;
      hex_ = 0;
      n_left_ = 4;
      is_second_ = true;
      state_ = State::kHex;
      return true;
    default: break;
  }
  if (byte == '"') {
    state_ = is_key_ ? State::kColon : State::kAfter;
    return true;
  }
  if (byte == '\\') {
    state_ = State::kEscape;
    return true;
  }
  if (byte < 0x20) return false;
  return byte < 0x80 || begin_character(byte);
}

// Which bytes may follow: the table of well-formed UTF-8 in the Unicode standard's chapter 3.
bool JsonPrefix::begin_character(unsigned char lead) {
  if (lead < 0xC2 || lead > 0xF4) return false;
  n_left_ = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  low_ = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  high_ = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  state_ = State::kCharacter;
  return true;
}

bool JsonPrefix::push_hex(char byte) {
  const uint16_t digit = hex_value(byte);
  if (digit > 15) return false;
  const auto hex = static_cast<uint16_t>(hex_ << 4 | digit);
  // The second half of a pair is DC00 to DFFF, and stands nowhere else.
  if (n_left_ == 4 && is_second_ && digit != 0xD) return false;
  if (n_left_ == 3 && is_second_ != (hex >= 0xDC && hex <= 0xDF)) return false;
  hex_ = hex;
  if (--n_left_ > 0) return true;
  const bool is_first = hex >= 0xD800 && hex <= 0xDBFF;
  state_ = is_first ? State::kPairSlash : State::kString;
  hex_ = 0;
  is_second_ = false;
  return true;
}

bool JsonPrefix::push_number(char byte) {
  const bool is_number_whole = state_ == State::kZero || state_ == State::kDigits || state_ == State::kFraction ||
                               state_ == State::kExponentDigits;
  if (is_json_digit(byte)) {
    switch (state_) {
      case State::kMinus: state_ = byte == '0' ? State::kZero : State::kDigits; return true;
      case State::kZero: return false;
      case State::kPoint: state_ = State::kFraction; return true;
      case State::kExponent:
      case State::kExponentSign: state_ = State::kExponentDigits; return true;
      default: return true;
    }
  }
  if (byte == '.' && (state_ == State::kZero || state_ == State::kDigits)) {
    state_ = State::kPoint;
    return true;
  }
  if ((byte == 'e' || byte == 'E') && is_number_whole && state_ != State::kExponentDigits) {
    state_ = State::kExponent;
    return true;
  }
  if ((byte == '+' || byte == '-') && state_ == State::kExponent) {
    state_ = State::kExponentSign;
    return true;
  }
  if (!is_number_whole) return false;
  const State before = state_;
  state_ = State::kAfter;
  if (push_structure(byte)) return true;
  state_ = before;
  return false;
}

std::array<uint64_t, 2> JsonPrefix::key() const {
  uint64_t rest = static_cast<uint64_t>(state_);
  const auto put = [&](uint64_t value, int bits) { rest = rest << bits | value; };
  put(depth_, 7);
  put(blanks_, 16);
  if (state_ == State::kHex) {
    put(hex_ | static_cast<uint64_t>(is_second_) << 16, 17);
  } else if (state_ == State::kCharacter) {
    put(uint64_t{low_} << 8 | high_, 17);
  } else {
    put(state_ == State::kWord ? word_ : 0, 17);
  }
  const bool is_in_string = state_ >= State::kString && state_ <= State::kCharacter;
  put(is_in_string && is_key_ ? 1 : 0, 1);
  const bool counts = state_ == State::kHex || state_ == State::kCharacter || state_ == State::kWord;
  put(counts ? n_left_ : 0, 4);
  return {arrays_, rest};
}

}  // namespace naru::text
