#include "builtin/builtin.h"

#include <array>

#include "base/builtin_file.h"
#include "builtin/builtin_content.h"

namespace naru::builtin {

const BuiltinModel* builtin_model() {
  const BuiltinContent* content = builtin_content();
  return content == nullptr ? nullptr : &content->model;
}

bool is_builtin_model(std::string_view path) {
  const BuiltinModel* model = builtin_model();
  return model != nullptr && model->path == path;
}

void offer_builtin_model() {
  const BuiltinContent* content = builtin_content();
  if (content == nullptr) return;
  add_builtin_file({content->model.path, content->file, content->model.sha256});
}

// As its recipe's generators ask: src/data/generators.
std::span<const std::string_view> builtin_questions() {
  static constexpr std::array<std::string_view, 3> kQuestions = {
      "Make 36 from the numbers 4 7 12 with + - * / and parentheses. Use each number once.",
      "민수는 사과를 12개 가지고 있습니다. 지영이 민수에게 7개를 더 주었습니다. 민수는 이제 사과를 몇 개 가지고 "
      "있습니까?",
      "小明有5个盒子，每个盒子里有8本书，送给小红6本。还剩多少本书？"};
  return kQuestions;
}

}  // namespace naru::builtin
