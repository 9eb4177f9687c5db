// The sections of a recipe, in the order in which they are written and documented. Their keys are recipe_keys.cpp.
#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

template <auto Member>
size_t size_of(const Recipe& recipe) {
  return (recipe.*Member).size();
}
template <auto Member>
void resize(Recipe& recipe, size_t n) {
  (recipe.*Member).resize(n);
}
template <auto Member>
constexpr SectionList list_of(std::string_view element) {
  return {size_of<Member>, resize<Member>, element};
}
constexpr SectionList kDataList = list_of<&Recipe::data>("source");
constexpr SectionList kValidationList = list_of<&Recipe::validation>("source");
constexpr SectionList kRewardList = list_of<&Recipe::reward>("reward");
constexpr SectionList kTeacherList = list_of<&Recipe::teacher>("teacher");

constexpr SectionRow kSections[] = {
    {"model", nullptr, "What is trained. Exactly one of `path` and `config` is given."},
    {"data", &kDataList,
     "A source of documents; `[[data]]` may be there several times, at least once. Exactly one of `path` and "
     "`generator` is given."},
    {"validation", &kValidationList,
     "A source whose loss is measured and never trained on; `[[validation]]` may be there several times, or not at "
     "all. The keys are those of `[[data]]`."},
    {"batch", nullptr, "The shape of a step."},
    {"optimizer", nullptr, "How weights follow gradients."},
    {"schedule", nullptr, "The learning rate over the steps: `optimizer.lr` times a factor from 0 to 1."},
    {"loss", nullptr, "What experts and prediction layers add to the cross entropy."},
    {"lora", nullptr, "Low-rank adapters instead of all weights."},
    {"grpo", nullptr,
     "Of `kind = \"grpo\"`: answers of the model itself to problems of `[[data]]`, judged ([[reward]]) and learnt "
     "from in groups ([training.md](training.md#reinforcement-learning))."},
    {"rejection", nullptr,
     "Of `kind = \"rejection\"`: answers of the model to the problems of `[[data]]`, judged (`[[reward]]`); those that "
     "pass all filters become training data ([sampling.md](sampling.md))."},
    {"distill", nullptr,
     "Of `kind = \"distill\"`: answers of the model itself to problems of `[[data]]`, at every token of which it comes "
     "nearer to what its teachers say there ([training.md](training.md#on-policy-distillation))."},
    {"teacher", &kTeacherList,
     "Of `kind = \"distill\"`: a model to learn from, with the student's tokenizer; `[[teacher]]` may be there several "
     "times, at least once."},
    {"reward", &kRewardList,
     "Of `kind = \"grpo\"` and `\"rejection\"`: a part of what an answer is worth; parts are summed with their "
     "weights. Without any `[[reward]]` an answer is worth 1 where it is right ([rewards.md](rewards.md)). Of "
     "`distill` "
     "it says the same, and is only watched."},
    {"guard", nullptr,
     "What happens when the gradient norm leaps, counted in standard deviations of its running mean."},
    {"checkpoint", nullptr, "What a run that is stopped or killed goes on from."},
    {"validate", nullptr, "When the loss of the `[[validation]]` sources is measured."},
    {"sample", nullptr, "Answers to fixed prompts, to see what the model does."},
};

}  // namespace

std::span<const SectionRow> recipe_sections() {
  return kSections;
}

}  // namespace naru::recipes
