// The formats of strings that schemas may ask for. Each regular expression takes texts of the format only; where the
// format's own rules are wider, the ones a writer would choose.
#include <array>
#include <string>

#include "text/forms/schema_shape.h"

namespace naru::text {
namespace {

#define NARU_YEAR "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
#define NARU_LEAP_YEAR "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define NARU_DATE                                                                           \
  "(?:" NARU_YEAR                                                                           \
  "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)" \
  "|02-(?:0[1-9]|1[0-9]|2[0-8]))|" NARU_LEAP_YEAR "-02-29)"
#define NARU_TIME \
  "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define NARU_LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,28}[A-Za-z0-9])?"
#define NARU_HOST NARU_LABEL "(?:\\." NARU_LABEL "){0,7}"
#define NARU_ATOM "[A-Za-z0-9!#$%&'*+/=?^_{|}~-]{1,32}"
#define NARU_BYTE "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define NARU_IPV4 NARU_BYTE "(?:\\." NARU_BYTE "){3}"
#define NARU_H "[0-9A-Fa-f]{1,4}"
#define NARU_IPV6                                                                                        \
  "(?:(?:" NARU_H ":){7}" NARU_H "|(?:" NARU_H ":){1,7}:|(?:" NARU_H ":){1,6}:" NARU_H "|(?:" NARU_H     \
  ":){1,5}(?::" NARU_H "){1,2}|(?:" NARU_H ":){1,4}(?::" NARU_H "){1,3}|(?:" NARU_H ":){1,3}(?::" NARU_H \
  "){1,4}|(?:" NARU_H ":){1,2}(?::" NARU_H "){1,5}|" NARU_H ":(?::" NARU_H "){1,6}|:(?::" NARU_H "){1,7}|::)"
#define NARU_PATH_CHARACTER "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define NARU_URI                                                                                                    \
  "[A-Za-z][A-Za-z0-9+.-]*:(?://" NARU_HOST "(?::[0-9]{1,5})?(?:/" NARU_PATH_CHARACTER "*)*|/?" NARU_PATH_CHARACTER \
  "+(?:/" NARU_PATH_CHARACTER "*)*)(?:\\?(?:" NARU_PATH_CHARACTER "|[/?])*)?(?:#(?:" NARU_PATH_CHARACTER "|[/?])*)?"
#define NARU_N "[0-9]{1,9}"
#define NARU_DURATION                                                                                     \
  "P(?:" NARU_N "W|(?:" NARU_N "Y(?:" NARU_N "M(?:" NARU_N "D)?)?|" NARU_N "M(?:" NARU_N "D)?|" NARU_N    \
  "D)(?:T"                                                                                                \
  "(?:" NARU_N "H(?:" NARU_N "M(?:" NARU_N "S)?)?|" NARU_N "M(?:" NARU_N "S)?|" NARU_N "S))?|T(?:" NARU_N \
  "H(?:" NARU_N "M(?:" NARU_N "S)?)?|" NARU_N "M(?:" NARU_N "S)?|" NARU_N "S))"

struct Format {
  std::string_view name, regex;
};
constexpr std::array<Format, 10> kFormats = {{
    {"date", NARU_DATE},
    {"time", NARU_TIME},
    {"date-time", NARU_DATE "T" NARU_TIME},
    {"duration", NARU_DURATION},
    {"email", NARU_ATOM "(?:\\." NARU_ATOM ")?@" NARU_LABEL "(?:\\." NARU_LABEL "){1,5}"},
    {"hostname", NARU_HOST},
    {"ipv4", NARU_IPV4},
    {"ipv6", NARU_IPV6},
    {"uri", NARU_URI},
    {"uuid", "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"},
}};

}  // namespace

std::string_view format_regex(std::string_view format) {
  for (const Format& known : kFormats) {
    if (known.name == format) return known.regex;
  }
  return {};
}

std::string format_names() {
  std::string names;
  for (const Format& known : kFormats) names += (names.empty() ? "" : ", ") + std::string(known.name);
  return names;
}

}  // namespace naru::text
