// JsonPrefix: whether bytes can still become one JSON object (RFC 8259), byte by byte: small, copied at will, so that
// every token of a vocabulary may be tried from one place.
//
// It accepts what text/value.h can read, but for keys that stand twice: objects and arrays as deep as formats/json.h
// allows, UTF-8 in strings, \u escapes of characters only (no half of a pair). Whatever it has accepted can be brought
// to an end: a prefix is never a trap.
#pragma once

#include <array>
#include <cstdint>

namespace naru::text {

inline constexpr int kJsonDepthMax = 64;  // objects and arrays inside each other

class JsonPrefix {
 public:
  // `blanks_max`: white space in a row, between values, of which a line break counts for three eighths (so that there
  // may be two); 0: any amount. Where a model writes, a bound keeps it from writing blanks for ever.
  explicit JsonPrefix(uint16_t blanks_max = 0) : blanks_max_(blanks_max) {}

  // False where no object begins with the bytes so far and this one: then it is as it was.
  bool push(char byte);

  // The object is closed. Nothing may follow.
  bool is_whole() const { return state_ == State::kWhole; }
  // Nothing but white space so far.
  bool is_blank() const { return state_ == State::kStart; }

  // Two prefixes with one key (and one bound of blanks) go on alike.
  std::array<uint64_t, 2> key() const;

 private:
  enum class State : uint8_t {
    kStart,       // the object's brace is wanted
    kFirstKey,    // a key or the end of the object
    kKey,         // a key
    kColon,       // what stands between key and value
    kFirstValue,  // a value or the end of the array
    kValue,       // a value
    kAfter,       // a comma or the end of what is open
    kString,
    kEscape,      // behind a backslash
    kHex,         // n_left_ digits of \uXXXX
    kPairSlash,   // the backslash of the second half of a pair
    kPairLetter,  // its u
    kCharacter,   // n_left_ more bytes of a character in a string
    kMinus,
    kZero,
    kDigits,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
    kWord,  // of true, false, null: n_left_ more letters
    kWhole,
  };

  bool is_in_array() const { return depth_ > 0 && (arrays_ >> (depth_ - 1) & 1) != 0; }
  bool push_structure(char byte);
  bool push_string(unsigned char byte);
  bool push_hex(char byte);
  bool push_number(char byte);
  bool begin_value(char byte);
  bool open(bool is_array);
  bool close(bool is_array);
  bool begin_character(unsigned char lead);
  void begin_string(bool is_key);

  uint64_t arrays_ = 0;  // bit i: what is open at depth i is an array
  uint16_t blanks_max_;
  uint16_t blanks_ = 0;  // in a row, where they are counted
  uint16_t hex_ = 0;     // of the digits so far
  State state_ = State::kStart;
  uint8_t depth_ = 0;
  uint8_t n_left_ = 0;
  uint8_t word_ = 0;            // which
  uint8_t low_ = 0, high_ = 0;  // the next byte of a character
  bool is_key_ = false;         // the string is one
  bool is_second_ = false;      // the digits are the second half of a pair
};

}  // namespace naru::text
