#include "data/texts.h"

#include "data/source_walk.h"

namespace naru::data {
namespace {

class TextVisitor final : public SourceEvents {
 public:
  TextVisitor(bool is_sft, const std::function<Status(std::string_view)>& visit) : is_sft_(is_sft), visit_(visit) {}

  Status on_file(const std::string&) override { return {}; }
  Status on_sample(const Sample& sample, std::string_view, int64_t) override {
    if (!sample.is_chat) return visit_(sample.text);
    for (const text::Value& message : sample.messages) {
      for (const std::string_view key : {"reasoning_content", "content"}) {
        const text::Value* said = message.find(key);
        if (said && said->as_string()) NARU_TRY(visit_(*said->as_string()));
      }
    }
    return {};
  }
  Status on_text(std::string_view block) override { return visit_(block); }
  Status on_text_end(std::string_view) override { return {}; }
  Status on_problem(const Problem& problem, std::string_view, int64_t) override {
    if (!is_sft_) return visit_(problem.text_prompt + " " + problem.solution);
    NARU_TRY(visit_(problem.prompt));
    return visit_(problem.solution);
  }
  void on_note(std::string_view, std::string) override {}  // BatchStream tells them

 private:
  bool is_sft_;
  const std::function<Status(std::string_view)>& visit_;
};

}  // namespace

Status visit_texts(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder,
                   const std::function<Status(std::string_view)>& visit) {
  TextVisitor visitor(recipe.kind == recipes::RunKind::kSft, visit);
  for (const recipes::SourceRecipe& source : recipe.data) {
    NARU_TRY(walk_source(source, recipe_folder, recipe.seed, Split::kTrain, visitor));
  }
  return {};
}

}  // namespace naru::data
