// What is wrong in a file, all of it: lines that cannot be read, and forms that stand side by side. One message names
// the first of each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/line_form.h"

namespace naru::data {

inline constexpr int64_t kBadLinesShownMax = 20;  // lines of a file that a message names; the rest is counted

class BadLines {
 public:
  explicit BadLines(std::string file) : file_(std::move(file)) {}

  // Of a line that was read: false where it has another form than the first one.
  bool add_form(LineForm form, std::string_view place);
  void add(Error error);
  void count_line() { ++n_lines_; }

  bool is_empty() const { return n_bad_ == 0 && forms_.size() < 2; }
  // Where there is something: the line's own message where one line alone is bad, else a list.
  Error error() const;

 private:
  struct First {
    LineForm form;
    std::string place;
  };
  std::string file_;
  int64_t n_lines_ = 0;
  int64_t n_bad_ = 0;
  std::vector<Error> shown_;  // the first kBadLinesShownMax
  std::vector<First> forms_;  // in the order in which they came
};

// Whether an error is one line's own, and others are worth looking at.
bool is_of_one_line(const Error& error);

}  // namespace naru::data
