#include "text/forms/schema_shape.h"

#include <fmt/format.h>

#include <cmath>

#include "formats/utf8.h"
#include "text/forms/schema_values.h"

namespace naru::text {
std::string brief_value(const Value& value) {
  const auto text = json_text(value, 80);
  return text.ok() ? formats::printable(*text, 60) : "a long value";
}

std::string pointer_part(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return formats::printable(out, 60);
}

uint8_t kinds_of(const Value& value) {
  if (value.is_null()) return kNullKind;
  if (value.as_bool()) return kBoolKind;
  if (value.as_int()) return kNumberKinds;
  if (const double* number = value.as_double())
    return std::floor(*number) == *number ? kNumberKinds : uint8_t{kRealKind};
  if (value.as_wide()) return exact_number(value)->is_integer() ? kNumberKinds : uint8_t{kRealKind};
  if (value.as_string()) return kStringKind;
  return value.as_list() ? kArrayKind : kObjectKind;
}

bool have_common(const NumberedValues& a, const NumberedValues& b) {
  for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
    if (x->first == y->first) return true;
    x->first < y->first ? ++x : ++y;
  }
  return false;
}

void RequiredNames::add(std::string_view name, const std::shared_ptr<const std::string>& place) {
  if (!known.insert(name).second) return;
  names.push_back(name);
  places.push_back(place);
}

SchemaRefs SchemaShape::item(size_t index) const {
  SchemaRefs refs;
  for (const ArrayPart& part : arrays) {
    if (part.prefix != nullptr && index < part.prefix->size()) {
      refs.push_back({&(*part.prefix)[index], fmt::format("{}/prefixItems/{}", part.place, index)});
    } else if (part.items != nullptr) {
      refs.push_back({part.items, part.place + "/items"});
    }
  }
  return refs;
}

}  // namespace naru::text
