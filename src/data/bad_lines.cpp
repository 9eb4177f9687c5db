#include "data/bad_lines.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/shown_text.h"

namespace naru::data {
namespace {

constexpr std::string_view kReading = "reading ";

// A line of the list: only its own line breaks are breaks.
std::string shown(std::string_view text) {
  if (text.starts_with(kReading)) text.remove_prefix(kReading.size());
  return "\n  " + without_controls_on_one_line(text);
}

}  // namespace

bool is_of_one_line(const Error& error) {
  return error.code == Code::kInvalidArgument || error.code == Code::kCorrupt || error.code == Code::kUnsupported;
}

bool BadLines::add_form(LineForm form, std::string_view place) {
  const auto known = std::find_if(forms_.begin(), forms_.end(), [&](const First& first) { return first.form == form; });
  if (known == forms_.end()) forms_.push_back({form, std::string(place)});
  return forms_.front().form == form;
}

void BadLines::add(Error error) {
  ++n_bad_;
  if (static_cast<int64_t>(shown_.size()) < kBadLinesShownMax) shown_.push_back(std::move(error));
}

Error BadLines::error() const {
  NARU_CHECK(!is_empty());
  if (forms_.size() < 2 && n_bad_ == 1) return shown_.front();
  std::string text = fmt::format("{}{}: ", kReading, without_controls_on_one_line(file_));
  if (forms_.size() > 1) {
    std::string forms;
    for (const First& first : forms_) {
      forms += fmt::format("{}{} (first at {})", forms.empty() ? "" : ", ", form_name(first.form),
                           without_controls_on_one_line(first.place));
    }
    text += fmt::format("its lines are of {} forms, {}, one was wanted; write them in one form, or as a file for each",
                        forms_.size(), forms);
    if (n_bad_ > 0) text += fmt::format("; and {} of its {} lines cannot be read:", n_bad_, n_lines_);
  } else {
    text += fmt::format("{} of its {} lines cannot be read; correct them, or take them out:", n_bad_, n_lines_);
  }
  for (const Error& one : shown_) text += shown(one.message);
  const int64_t n_left = n_bad_ - static_cast<int64_t>(shown_.size());
  if (n_left > 0) text += fmt::format("\n  and {} more", n_left);
  return {shown_.empty() ? Code::kInvalidArgument : shown_.front().code, std::move(text)};
}

}  // namespace naru::data
