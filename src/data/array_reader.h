// ArrayReader: the elements of a file that is one JSON array, one at a time, in memory bounded by the longest of them.
// What an element is worth, whoever parses it says; here only brackets and quotation marks are looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/line_reader.h"
#include "formats/json_place.h"

namespace naru::data {

class ArrayReader {
 public:
  // `reader` stands before the array, white space and a byte order mark apart, and lives as long. `name` is how
  // messages call the file.
  ArrayReader(LineReader& reader, std::string name) : reader_(reader), name_(std::move(name)) {}

  // The text of the next element; nothing behind the last. Valid until the next call. An element above
  // kDataLineBytesMax, a file that ends inside of the array, and anything behind it are errors.
  Result<std::optional<std::string_view>> next();

  int64_t index() const { return index_; }  // of the element given last; from 0
  const formats::JsonPlace& begin() const { return begin_; }
  // True where the array went over several lines.
  bool has_lines() const { return at_.line > 1; }

 private:
  Result<std::optional<char>> look();  // at the next byte; nothing at the end of the file
  void take();                         // the byte that look() gave
  Status skip_blanks();
  Status read_element();  // into element_, up to the comma or bracket behind it
  Status check_end();     // nothing but white space is left
  Error wrong(std::string_view what, std::string_view next) const;

  LineReader& reader_;
  std::string name_;
  std::string_view block_;    // of the file, not yet taken
  formats::JsonPlace at_;     // of the next byte
  formats::JsonPlace begin_;  // of the element given last
  std::string element_;
  int64_t index_ = -1;
  bool is_open_ = false;
};

}  // namespace naru::data
