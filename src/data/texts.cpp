#include "data/texts.h"

#include <fmt/format.h>

#include "data/source_walk.h"

namespace naru::data {
namespace {

class TextVisitor final : public SourceEvents {
 public:
  using Note = std::function<void(std::string_view)>;
  TextVisitor(bool is_sft, const std::function<Status(std::string_view)>& visit, Note note = {})
      : is_sft_(is_sft), visit_(visit), note_(std::move(note)) {}

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
  // Of a recipe's data BatchStream tells them.
  void on_note(std::string_view place, std::string reason) override {
    if (note_) note_(fmt::format("{}: {}", place, reason));
  }

 private:
  bool is_sft_;
  const std::function<Status(std::string_view)>& visit_;
  Note note_;
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

Status visit_file_texts(const std::filesystem::path& path, const std::function<Status(std::string_view)>& visit,
                        const std::function<void(std::string_view)>& note) {
  recipes::SourceRecipe source;
  source.path = path.string();
  TextVisitor visitor(false, visit, note);
  return walk_source(source, {}, 0, Split::kTrain, visitor);
}

}  // namespace naru::data
