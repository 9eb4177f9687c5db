#include "chips/gpu/texts.h"

#include <algorithm>

#include "base/check.h"

namespace naru::gpu {
namespace {

// Texts that use what another one defines: which matrix a slot takes and where a dot goes, the layout of the cache,
// scores.
struct Stands {
  std::string_view program, on;
};
constexpr Stands kStandsOn[] = {
    {"products", "dots"}, {"integers", "dots"}, {"attention_grad", "attention"}, {"balance", "route"}};

std::string_view text_of(std::string_view name) {
  const auto texts = kernel_texts();
  const auto found =
      std::find_if(texts.begin(), texts.end(), [&](const KernelText& text) { return text.name == name; });
  NARU_CHECK(found != texts.end(), "a program without a text:", name);
  return found->text;
}

}  // namespace

std::string program_text(std::string_view program) {
  std::string text;
  for (const std::string_view part : {"dialect", "scalar", "sums"}) text += text_of(part);
  for (const Stands& row : kStandsOn) {
    if (row.program == program) text += text_of(row.on);
  }
  text += text_of(program);
  return text;
}

}  // namespace naru::gpu
