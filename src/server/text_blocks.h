// What dialects of blocks and items share in reading: texts in blocks, tools.
#pragma once

#include <functional>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "server/fields.h"

namespace naru::server {

inline constexpr size_t kBlockWordBytesMax = 256;  // of a name, an id, a type

// Calls `take` for each element of a list of objects, until one is refused; what is no such list, or has more than
// `n_max` elements, is refused at `place`.
void read_objects(const text::Value& value, const std::string& place, int64_t n_max, FieldNotes& notes,
                  const std::function<void(Fields& element)>& take);

// The value's "type", or "" where it has none; refused where it is no short string.
std::string block_type(Fields& block);
// The block's type is none of those `wanted`, and models take text alone.
void refuse_block(Fields& block, std::string_view type, std::string_view wanted);
// False, and refused, where the value is none: "an object with \"role\"" was `wanted`.
bool check_object(const text::Value& value, const std::string& place, std::string_view wanted, FieldNotes& notes);
// A string that must be there.
std::string required_string(Fields& fields, std::string_view name, size_t bytes_max);

// A string, or blocks of the types named, each with "text"; joined by line breaks.
std::string read_text_blocks(const text::Value& value, const std::string& place, FieldNotes& notes,
                             std::initializer_list<std::string_view> types);

// Marks for a cache that needs none here: known, and named once, wherever they stand.
void ignore_cache_control(Fields& fields);

// Letters, digits, "_" and "-", at most kToolNameBytesMax of them.
bool is_tool_name(std::string_view name);

// AnswerRequest::tools, one after the other.
class ToolList {
 public:
  // Reads "name", "description" and "strict" of a tool and takes its schema, `parameters`, where there is one. A name
  // of other than letters, digits, "_" and "-", or one that another tool has, is refused.
  void add(Fields& tool, const text::Value* parameters);
  size_t size() const { return tools_.size(); }
  // The names of those whose schema is more than advice.
  const std::vector<std::string>& strict() const { return strict_; }
  // Null where there are none.
  text::Value take() { return tools_.empty() ? text::Value() : text::Value(std::move(tools_)); }

 private:
  text::Value::List tools_;
  std::set<std::string> names_;
  std::vector<std::string> strict_;
};

}  // namespace naru::server
