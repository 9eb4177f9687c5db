#include "chips/gpu/driver.h"

namespace naru::gpu {

std::string Software::words() const {
  std::string text = std::string(flush ? "software" : "hardware") + " flush, " + (divide ? "software" : "hardware") +
                     " division, int8 by ";
  if (!matrices) text += "matrix units and ";
  text += dots ? "scalars" : "dots";
  if (!why.empty()) text += " (" + why + ")";
  return text;
}

std::vector<std::string> Software::names() const {
  std::vector<std::string> names;
  if (flush) names.emplace_back("NARU_SOFTWARE_FLUSH");
  if (divide) names.emplace_back("NARU_SOFTWARE_DIVIDE");
  if (dots) names.emplace_back("NARU_SOFTWARE_DOTS");
  if (matrices) names.emplace_back("NARU_SOFTWARE_MATRIX");
  return names;
}

}  // namespace naru::gpu
