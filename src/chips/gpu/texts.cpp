#include "chips/gpu/texts.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace naru::gpu {
namespace {

// Texts that use what others define: which matrix a slot takes and where a dot goes, dots of integers, the layout of
// the cache, scores. Those of a program come in the order of its rows.
struct Stands {
  std::string_view program, on;
};
constexpr Stands kStandsOn[] = {{"products", "dots"},
                                {"products", "tiles"},
                                {"quantise", "integers"},
                                {"probe_int8", "int8"},
                                {"w8a8", "dots"},
                                {"w8a8", "int8"},
                                {"w8a8", "integers"},
                                {"w8a8_matrix", "dots"},
                                {"w8a8_matrix", "int8"},
                                {"w8a8_matrix", "integers"},
                                {"blocks", "dots"},
                                {"blocks", "int8"},
                                {"blocks", "integers"},
                                {"attention_grad", "attention"},
                                {"balance", "route"}};

constexpr std::string_view kBlocks = "blocks_";

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
  if (program.starts_with(kBlocks)) {  // one text, a program for each kind
    text = fmt::format("#define BLOCKS_{}\n", program.substr(kBlocks.size()));
    program = "blocks";
  }
  for (const std::string_view part : {"dialect", "scalar", "sums"}) text += text_of(part);
  for (const Stands& row : kStandsOn) {
    if (row.program == program) text += text_of(row.on);
  }
  text += text_of(program);
  return text;
}

}  // namespace naru::gpu
