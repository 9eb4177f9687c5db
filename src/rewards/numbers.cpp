#include "rewards/numbers.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"

namespace naru::rewards {
namespace {

constexpr int64_t kExponentMax = 10000;

// Spellings of one thing as one: what is written before, what it becomes. Digits of full width are apart.
constexpr std::array<std::pair<std::string_view, std::string_view>, 16> kSpellings = {{{"\xE2\x88\x92", "-"},
                                                                                       {"\xEF\xBC\x8D", "-"},
                                                                                       {"\xEF\xBC\x8B", "+"},
                                                                                       {"\xEF\xBC\x8E", "."},
                                                                                       {"\xEF\xBC\x8C", ","},
                                                                                       {"\xEF\xBC\x8F", "/"},
                                                                                       {"\xC3\x97", "*"},
                                                                                       {"\\times", "*"},
                                                                                       {"\\cdot", "*"},
                                                                                       {"{,}", ","},
                                                                                       {"\\,", ""},
                                                                                       {"\\!", ""},
                                                                                       {"\\dfrac", "\\frac"},
                                                                                       {"\\tfrac", "\\frac"},
                                                                                       {"\\left", ""},
                                                                                       {"\\right", ""}}};

std::string in_one_spelling(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (rest.size() >= 3 && rest.starts_with("\xEF\xBC") && rest[2] >= '\x90' && rest[2] <= '\x99') {
      out += static_cast<char>('0' + (rest[2] - '\x90'));
      at += 3;
      continue;
    }
    const auto* spelling =
        std::ranges::find_if(kSpellings, [&](const auto& one) { return rest.starts_with(one.first); });
    if (spelling != kSpellings.end()) {
      out += spelling->second;
      at += spelling->first.size();
      continue;
    }
    out += text[at++];
  }
  return out;
}

// What scales the number before it, by a power of ten.
constexpr std::array<std::pair<std::string_view, int64_t>, 12> kScales = {{{"만", 4},
                                                                           {"万", 4},
                                                                           {"萬", 4},
                                                                           {"억", 8},
                                                                           {"亿", 8},
                                                                           {"億", 8},
                                                                           {"천", 3},
                                                                           {"千", 3},
                                                                           {"thousand", 3},
                                                                           {"million", 6},
                                                                           {"billion", 9},
                                                                           {"trillion", 12}}};
// Units that begin with 千: kilogram, kilometre, kilowatt, kilocalorie, kilobyte.
constexpr std::array<std::string_view, 5> kKiloUnits = {"千克", "千米", "千瓦", "千卡", "千字"};

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::vector<Number> all() {
    std::vector<Number> found;
    while (at_ < text_.size()) {
      const size_t begin = at_;
      if (const auto number = next()) found.push_back(*number);
      if (at_ == begin) ++at_;
    }
    return found;
  }

 private:
  char char_at(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  size_t behind_spaces(size_t i) const {
    while (char_at(i) == ' ') ++i;
    return i;
  }

  // A number that begins at at_, which moves behind it; else at_ stays, or moves behind digits that are none.
  std::optional<Number> next() {
    if (is_ascii_digit(char_at(at_)) && is_of_name()) {
      while (is_ascii_digit(char_at(at_))) ++at_;
      return std::nullopt;
    }
    const size_t begin = at_;
    auto number = fraction_macro();
    if (!number && at_ == begin) number = plain();
    if (!number) return std::nullopt;
    number->is_negative = has_minus(begin);
    power_of_ten(*number);
    scale(*number);
    return normal(*std::move(number));
  }

  // x2, H2O, v_2, m^2, m^{2}
  bool is_of_name() const {
    if (at_ == 0) return false;
    size_t before = at_ - 1;
    if (text_[before] == '{' && before > 0 && text_[before - 1] == '^') --before;
    if (text_[before] == '^') return before > 0 && is_ascii_letter(text_[before - 1]);
    return is_ascii_letter(text_[before]) || text_[before] == '_';
  }

  // A sign belongs to the number where nothing that it could take away from stands before it.
  bool has_minus(size_t begin) const {
    if (begin == 0 || text_[begin - 1] != '-') return false;
    if (begin == 1) return true;
    const char before = text_[begin - 2];
    return !is_ascii_digit(before) && !is_ascii_letter(before) && before != ')' && before != '}';
  }

  std::optional<Number> plain() {
    if (!is_ascii_digit(char_at(at_)) && !(char_at(at_) == '.' && is_ascii_digit(char_at(at_ + 1))))
      return std::nullopt;
    auto number = decimal();
    if (!number) return std::nullopt;
    divide(*number);
    return number;
  }

  // Digits, groups, point and exponent.
  std::optional<Number> decimal() {
    Number number;
    const size_t begin = at_;
    while (is_ascii_digit(char_at(at_))) number.digits += text_[at_++];
    if (at_ - begin >= 1 && at_ - begin <= 3) groups(number);
    if (char_at(at_) == '.' && is_ascii_digit(char_at(at_ + 1))) {
      ++at_;
      for (; is_ascii_digit(char_at(at_)); ++at_) {
        number.digits += text_[at_];
        --number.exponent;
      }
    }
    if (char_at(at_) == 'e' || char_at(at_) == 'E') {
      size_t end = at_ + 1;
      if (const auto exponent = whole(end); exponent && !is_ascii_letter(char_at(end))) {
        number.exponent += *exponent;
        at_ = end;
      }
    }
    return number;
  }

  // ",ddd" as often as it stands there, and no digit behind the last.
  void groups(Number& number) {
    size_t end = at_;
    std::string digits;
    while (char_at(end) == ',' && is_ascii_digit(char_at(end + 1)) && is_ascii_digit(char_at(end + 2)) &&
           is_ascii_digit(char_at(end + 3))) {
      digits += text_.substr(end + 1, 3);
      end += 4;
    }
    if (end == at_ || is_ascii_digit(char_at(end))) return;
    number.digits += digits;
    at_ = end;
  }

  // A whole number with an optional sign at `at`, which moves behind it.
  std::optional<int64_t> whole(size_t& at) const {
    size_t i = at;
    const bool is_negative = char_at(i) == '-';
    if (is_negative || char_at(i) == '+') ++i;
    if (!is_ascii_digit(char_at(i))) return std::nullopt;
    int64_t value = 0;
    for (; is_ascii_digit(char_at(i)); ++i) value = std::min(value * 10 + (text_[i] - '0'), kExponentMax + 1);
    at = i;
    return is_negative ? -value : value;
  }

  // "/ 4", and no other slash behind it: 3/4/2020 is no fraction.
  void divide(Number& number) {
    const size_t begin = at_;
    const size_t slash = behind_spaces(at_);
    const size_t digits = behind_spaces(slash + 1);
    if (char_at(slash) != '/' || !is_ascii_digit(char_at(digits))) return;
    at_ = digits;
    const auto below = decimal();
    if (below && char_at(at_) != '/' && set_divisor(number, *below)) return;
    at_ = begin;
  }

  // \frac{3}{4}, \frac34 not.
  std::optional<Number> fraction_macro() {
    constexpr std::string_view kMacro = "\\frac{";
    if (!text_.substr(at_).starts_with(kMacro)) return std::nullopt;
    const size_t begin = at_;
    at_ += kMacro.size();
    auto number = is_ascii_digit(char_at(at_)) ? decimal() : std::nullopt;
    if (number && char_at(at_) == '}' && char_at(at_ + 1) == '{' && is_ascii_digit(char_at(at_ + 2))) {
      at_ += 2;
      const auto below = decimal();
      if (below && char_at(at_) == '}' && set_divisor(*number, *below)) {
        ++at_;
        return number;
      }
    }
    at_ = begin + 1;
    return std::nullopt;
  }

  static bool set_divisor(Number& number, const Number& below) {
    const size_t first = below.digits.find_first_not_of('0');
    if (first == std::string::npos) return false;
    number.divisor = below.digits.substr(first);
    number.exponent -= below.exponent;
    return true;
  }

  // "* 10^{3}", "* 10^3"
  void power_of_ten(Number& number) {
    size_t i = behind_spaces(at_);
    if (char_at(i) != '*') return;
    i = behind_spaces(i + 1);
    if (!text_.substr(i).starts_with("10^")) return;
    i += 3;
    const bool has_brace = char_at(i) == '{';
    if (has_brace) ++i;
    const auto exponent = whole(i);
    if (!exponent || (has_brace && char_at(i) != '}')) return;
    number.exponent += *exponent;
    at_ = i + (has_brace ? 1 : 0);
  }

  void scale(Number& number) {
    const std::string_view rest = text_.substr(std::min(behind_spaces(at_), text_.size()));
    for (const std::string_view unit : kKiloUnits) {
      if (rest.starts_with(unit)) return;
    }
    for (const auto& [word, exponent] : kScales) {
      if (!rest.starts_with(word)) continue;
      if (is_ascii_letter(word[0]) && rest.size() > word.size() && is_ascii_letter(rest[word.size()])) continue;
      number.exponent += exponent;
      at_ = text_.size() - rest.size() + word.size();
      return;
    }
  }

  static std::optional<Number> normal(Number number) {
    const auto without_ends = [&](std::string& digits, int64_t sign) {
      const size_t first = std::min(digits.find_first_not_of('0'), digits.size());
      digits.erase(0, first);
      while (!digits.empty() && digits.back() == '0') {
        digits.pop_back();
        number.exponent += sign;
      }
    };
    without_ends(number.digits, 1);
    without_ends(number.divisor, -1);
    if (number.digits.empty()) return Number{};
    const int64_t longest = std::max(std::ssize(number.digits), std::ssize(number.divisor));
    if (std::abs(number.exponent) > kExponentMax || longest > kNumberDigitsMax) return std::nullopt;
    return number;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// Of two numbers in decimal digits, without zeros at its ends; `zeros` counts those that were left out behind.
std::string product(const std::string& a, const std::string& b, int64_t& zeros) {
  std::string out(a.size() + b.size(), '\0');
  for (size_t i = a.size(); i-- > 0;) {
    int carry = 0;
    for (size_t j = b.size(); j-- > 0;) {
      const int sum = (a[i] - '0') * (b[j] - '0') + out[i + j + 1] + carry;
      out[i + j + 1] = static_cast<char>(sum % 10);
      carry = sum / 10;
    }
    out[i] = static_cast<char>(out[i] + carry);
  }
  for (char& c : out) c = static_cast<char>(c + '0');
  out.erase(0, std::min(out.find_first_not_of('0'), out.size()));
  while (!out.empty() && out.back() == '0') {
    out.pop_back();
    ++zeros;
  }
  return out;
}

}  // namespace

bool equal(const Number& a, const Number& b) {
  if (a.digits.empty() || b.digits.empty()) return a.digits.empty() && b.digits.empty();
  int64_t left = a.exponent, right = b.exponent;
  const std::string x = product(a.digits, b.divisor, left), y = product(b.digits, a.divisor, right);
  return a.is_negative == b.is_negative && left == right && x == y;
}

std::vector<Number> numbers_in(std::string_view text) {
  const std::string spelt = in_one_spelling(text);
  return Scanner(spelt).all();
}

std::optional<Number> only_number(std::string_view text) {
  std::vector<Number> found = numbers_in(text);
  if (found.size() != 1) return std::nullopt;
  return std::move(found[0]);
}

bool is_number(std::string_view text) {
  const auto is_no_letter = [](char c) { return !is_ascii_letter(c) && static_cast<unsigned char>(c) < 0x80; };
  std::string spelt = in_one_spelling(text);
  for (const std::string_view macro : {"\\frac", "e", "E"}) {
    for (size_t at = spelt.find(macro); at != std::string::npos; at = spelt.find(macro, at)) {
      // An exponent's letter stands behind a digit.
      if (macro.size() == 1 && (at == 0 || !is_ascii_digit(spelt[at - 1]))) return false;
      spelt.replace(at, macro.size(), " ");
    }
  }
  return only_number(text).has_value() && std::ranges::all_of(spelt, is_no_letter);
}

}  // namespace naru::rewards
