#include "cli/offered_prompts.h"

#include <algorithm>
#include <filesystem>

#include "base/shown_text.h"
#include "builtin/builtin.h"
#include "recipes/recipe.h"
#include "runs/run_files.h"

namespace naru::cli {
namespace {

constexpr size_t kOffersMax = 5;
constexpr size_t kOfferBytesMax = 160;

}  // namespace

std::vector<std::string> offers_among(std::span<const std::string> prompts) {
  std::vector<std::string> offers;
  for (const std::string& prompt : prompts) {
    const bool is_good = !prompt.empty() && prompt.size() <= kOfferBytesMax && prompt[0] != '/' &&
                         without_controls_on_one_line(prompt) == prompt;
    const bool is_new = std::find(offers.begin(), offers.end(), prompt) == offers.end();
    if (is_good && is_new && offers.size() < kOffersMax) offers.push_back(prompt);
  }
  return offers;
}

std::vector<std::string> offered_prompts(const std::string& model_path) {
  if (builtin::is_builtin_model(model_path)) {
    const auto questions = builtin::builtin_questions();
    return {questions.begin(), questions.end()};
  }
  std::filesystem::path path = model_path;
  if (path.filename().empty() || path.has_extension()) path = path.parent_path();  // "RUN/model/", or a file in it
  if (path.filename() != runs::kModelFolder) return {};
  const auto recipe = recipes::read_recipe(path.parent_path() / runs::kRecipeFile, {});
  return recipe.ok() ? offers_among(recipe->sample.prompts) : std::vector<std::string>();
}

}  // namespace naru::cli
