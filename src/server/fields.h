// Fields: an object of a request, read field by field. What is wrong is kept as one refusal, of the first field that
// is, and reading goes on; what nobody asked about is ignored and said. A null counts as absent.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/refusal.h"
#include "text/value.h"

namespace naru::server {

// What is said about a whole request.
class FieldNotes {
 public:
  // The first refusal stands.
  void refuse(std::string param, std::string message, int status = 400, std::string code = "");
  void ignore(std::string name) { ignored_.insert(std::move(name)); }

  bool ok() const { return !refusal_.has_value(); }
  const Refusal& refusal() const { return *refusal_; }
  std::vector<std::string> ignored() const { return {ignored_.begin(), ignored_.end()}; }

 private:
  std::optional<Refusal> refusal_;
  std::set<std::string> ignored_;
};

class Fields {
 public:
  // `path` is how messages call the object: "", "messages[2]". It must be an object (is_object).
  Fields(const text::Value& object, std::string path, FieldNotes& notes);

  // The value, and the field counts as known; nullptr where absent.
  const text::Value* find(std::string_view name);
  bool has(std::string_view name) { return find(name) != nullptr; }
  // Whether somebody has asked about it.
  bool is_known(std::string_view name) const { return known_.contains(name); }

  // Nothing where absent or refused.
  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high);
  std::optional<double> number(std::string_view name, double low, double high);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string> string(std::string_view name, size_t bytes_max);

  // Known, and without effect here: said like a field that nobody knows.
  void ignore(std::string_view name);
  // Known, and not done here: refused where it is given.
  void refuse_unsupported(std::string_view name, std::string_view what_to_do);
  void refuse_wrong(std::string_view name, const text::Value& found, std::string_view wanted);
  // All others are ignored.
  void ignore_rest();

  std::string path_of(std::string_view name) const;
  const std::string& path() const { return path_; }
  FieldNotes& notes() { return *notes_; }

 private:
  const text::Value::Object* object_;
  std::string path_;
  FieldNotes* notes_;
  std::set<std::string, std::less<>> known_;
};

// "a string", "12", "an array": of a value as messages show it.
std::string shown_value(const text::Value& value);

}  // namespace naru::server
