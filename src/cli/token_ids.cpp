#include "cli/token_ids.h"

#include <fmt/format.h>

#include <charconv>

#include "formats/json.h"
#include "formats/utf8.h"

namespace naru::cli {
namespace {

constexpr std::string_view kSeparators = " \t\r\n,";

// Gathers an array of ids: the whole document, or the value of "ids" in an object. Other keys are passed over.
class IdsReader : public formats::JsonEvents {
 public:
  explicit IdsReader(bool may_be_object) : may_be_object_(may_be_object) {}

  std::vector<int32_t> ids;
  bool has_array = false;

  bool on_null() override { return other("null"); }
  bool on_bool(bool) override { return other("a truth value"); }
  bool on_double(double value) override { return other(fmt::format("the number {}", value)); }
  bool on_string(std::string&&) override { return other("a string"); }
  bool on_integer(int64_t value) override {
    if (depth_ != array_depth_) return other("a number");
    if (value < 0 || value > INT32_MAX) {
      return fail(Code::kOutOfRange, fmt::format("element {} is {}, an id from 0 to {} was wanted; give ids as the "
                                                 "model's tokenizer makes them",
                                                 ids.size(), value, INT32_MAX));
    }
    ids.push_back(static_cast<int32_t>(value));
    return true;
  }
  bool on_key(std::string&& key) override {
    is_ids_key_ = depth_ == 1 && key == "ids";
    return true;
  }
  bool on_start_object() override {
    if (depth_ == 0 && !may_be_object_) return other("an object");
    if (depth_ == array_depth_) return other("an object");
    ++depth_;
    return true;
  }
  bool on_end_object() override {
    --depth_;
    return true;
  }
  bool on_start_array() override {
    if (depth_ == array_depth_) return other("an array");
    ++depth_;
    if (depth_ == 1 || is_ids_key_) {
      array_depth_ = depth_;
      has_array = true;
      is_ids_key_ = false;
    }
    return true;
  }
  bool on_end_array() override {
    if (depth_ == array_depth_) array_depth_ = -1;
    --depth_;
    return true;
  }

 private:
  // A value that is no id: wrong inside the array and at the root, of no interest elsewhere.
  bool other(std::string_view found) {
    if (depth_ == array_depth_) {
      return fail(Code::kInvalidArgument, fmt::format("element {} is {}, an integer was wanted; give an array of token "
                                                      "ids like [1, 2, 3]",
                                                      ids.size(), found));
    }
    if (depth_ == 0 || is_ids_key_) {
      return fail(Code::kInvalidArgument, fmt::format("it holds {}, an array was wanted; give an array of token ids "
                                                      "like [1, 2, 3]",
                                                      found));
    }
    return true;
  }

  bool may_be_object_;
  bool is_ids_key_ = false;
  int depth_ = 0;
  int array_depth_ = -1;
};

Result<std::vector<int32_t>> read_json_ids(Bytes json, std::string_view name, bool may_be_object) {
  IdsReader reader(may_be_object);
  const formats::JsonLimits limits{.bytes_max = kIdsBytesMax, .values_max = kIdsMax + 1, .object_root = false};
  NARU_TRY(formats::walk_json(json, name, limits, &reader));
  if (!reader.has_array) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it has no array \"ids\", one was wanted; give an array of token ids", name)};
  }
  return std::move(reader.ids);
}

}  // namespace

Result<std::vector<int32_t>> parse_ids_array(Bytes json, std::string_view name) {
  return read_json_ids(as_bytes(formats::without_byte_order_mark(as_text(json))), name, false);
}

Result<std::vector<int32_t>> parse_ids(std::string_view text, std::string_view name) {
  text = formats::without_byte_order_mark(text);
  const size_t first = text.find_first_not_of(kSeparators);
  if (first == std::string_view::npos) return std::vector<int32_t>();
  if (text[first] == '[' || text[first] == '{') return read_json_ids(as_bytes(text), name, true);
  std::vector<int32_t> ids;
  const char* const end = text.data() + text.size();
  for (const char* at = text.data() + first; at != end;) {
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(at, end, id);
    const bool is_whole = error == std::errc() && (stop == end || kSeparators.find(*stop) != std::string_view::npos);
    if (!is_whole || id < 0) {
      return Error{
          Code::kInvalidArgument,
          fmt::format("reading {}: at byte {} is no token id, a number from 0 to {} was wanted; give a JSON array "
                      "or numbers separated by spaces",
                      name, at - text.data(), INT32_MAX)};
    }
    ids.push_back(id);
    at = stop;
    while (at != end && kSeparators.find(*at) != std::string_view::npos) ++at;
  }
  return ids;
}

Status check_ids(const std::vector<int32_t>& ids, int64_t limit, std::string_view name) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < limit) continue;
    return Error{Code::kOutOfRange,
                 fmt::format("reading {}: element {} is {}, but the vocabulary has ids 0 to {}; give ids "
                             "made with this model's tokenizer",
                             name, i, ids[i], limit - 1)};
  }
  return {};
}

}  // namespace naru::cli
