// The time of masks of forms, token by token: for bench/compare_llguidance.py, which writes a table beside llguidance.
//
//   bench_forms TOKENIZER_FOLDER < cases
//
// A case a line: {"name": "...", "schema": SCHEMA, "text": "..."}. One JSON object a line on stdout, in microseconds:
// what compiling takes; what the mask of each token of the text takes the first time (all states and masks are new),
// and where another answer of the same form has been there before.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "engine/form_constraint.h"
#include "formats/tokenizer_files.h"
#include "text/forms/form.h"
#include "text/tokenizer.h"
#include "text/value.h"

namespace naru {
namespace {

// Of this thread alone, so that what else runs on the machine is left out.
double thread_microseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())))];
}

// The time of each mask along the ids; nothing where one of them may not come.
std::vector<double> mask_times(const std::shared_ptr<engine::SharedForm>& form, const std::vector<int32_t>& ids) {
  std::vector<double> times;
  const auto state = engine::FormConstraint(form, false, false).begin();
  for (const int32_t id : ids) {
    const auto begin = thread_microseconds();
    const auto mask = state->allowed();
    times.push_back(thread_microseconds() - begin);
    if ((mask[static_cast<size_t>(id) / 64] >> (id % 64) & 1) == 0) return {};
    state->accept(id);
  }
  return times;
}

Status run(const std::string& folder) {
  NARU_ASSIGN(formats::TokenizerData data, formats::read_tokenizer_folder(folder));
  NARU_ASSIGN(const text::Tokenizer tokenizer, text::Tokenizer::create(std::move(data)));
  auto begin = thread_microseconds();
  const auto vocabulary =
      std::make_shared<const engine::FormVocabulary>(tokenizer, tokenizer.n_ids(), tokenizer.end_ids());
  fmt::print(stderr, "vocabulary of {} tokens: {:.1f} ms\n", tokenizer.n_ids(), (thread_microseconds() - begin) / 1000);
  constexpr auto kNoCalls = text::ToolCallForm::kNone;
  for (std::string line; std::getline(std::cin, line);) {
    NARU_ASSIGN(const text::Value asked, text::parse_value(line, "a case"));
    const text::Form form = text::SchemaForm{*asked.find("schema")};
    const std::vector<int32_t> ids = tokenizer.encode(*asked.find("text")->as_string(), {.parse_special = false});
    std::vector<double> compiling, first, again;
    for (int i = 0; i < 5; ++i) {
      begin = thread_microseconds();
      NARU_ASSIGN(text::CompiledForm compiled, text::compile(form, vocabulary->signs(kNoCalls)));
      const auto shared = std::make_shared<engine::SharedForm>(vocabulary, std::move(compiled), kNoCalls);
      compiling.push_back(thread_microseconds() - begin);
      for (std::vector<double>* times : {&first, &again}) {
        const std::vector<double> one = mask_times(shared, ids);
        times->insert(times->end(), one.begin(), one.end());
      }
    }
    fmt::print(R"({{"name":"{}","tokens":{},"taken":{},"compile":{:.1f},"first":[{:.2f},{:.2f},{:.2f}],)"
               R"("again":[{:.2f},{:.2f},{:.2f}]}})"
               "\n",
               *asked.find("name")->as_string(), ids.size(), !first.empty(), quantile(compiling, 0.5),
               quantile(first, 0.5), quantile(first, 0.9), quantile(first, 1), quantile(again, 0.5),
               quantile(again, 0.9), quantile(again, 1));
  }
  return {};
}

}  // namespace
}  // namespace naru

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "bench_forms TOKENIZER_FOLDER < cases (one JSON object a line)\n");
    return 2;
  }
  const naru::Status status = naru::run(argv[1]);
  if (!status.ok()) fmt::print(stderr, "{}\n", status.error().message);
  return status.ok() ? 0 : 1;
}
