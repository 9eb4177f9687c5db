// Result<T>: the answer of everything that can fail because bytes, users, files, networks or chips are wrong.
//
// A failure carries a code from a short fixed list and one message of four parts: what was being done, where (file,
// offset, field, tensor), what was found against what was wanted, and what to do next. Mistakes of our own are not
// results: they stop the program through NARU_CHECK (base/check.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"

namespace naru {

enum class Code {
  kInvalidArgument,    // the caller asked for something that cannot be asked
  kNotFound,           // a file, tensor, key or name is not there
  kOutOfRange,         // a position, context or index past its limit
  kCorrupt,            // bytes that break the rules of their format
  kUnsupported,        // legal, and not done here
  kResourceExhausted,  // memory, disk, budget
  kUnavailable,        // a chip, file or service that does not answer
  kCancelled,          // the user stopped it
  kDeadline,           // time ran out
  kInternal,           // a chip or library broke its promise
};

// Lower-case name of a code, as printed by --json and in documents.
std::string_view code_name(Code code);

// The exit status of a command that failed with this code (docs/exit-codes.md has the same table).
int exit_status(Code code);

// Of an error of an op of a chip (contract/chip.h): which op, and which of its rows are to blame.
struct FailedRows {
  std::string_view op;        // its name; empty: the error is of no op
  int64_t n_rows = 0;         // rows of the operand that is at fault
  std::vector<int64_t> rows;  // all of those that failed, ascending; empty: no row is to blame
};

struct [[nodiscard]] Error {
  Code code = Code::kInternal;
  std::string message;
  FailedRows failed = {};
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    NARU_CHECK(ok(), error_text());
    return std::get<0>(state_);
  }
  const T& value() const& {
    NARU_CHECK(ok(), error_text());
    return std::get<0>(state_);
  }
  T&& value() && {
    NARU_CHECK(ok(), error_text());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    NARU_CHECK(!ok());
    return std::get<1>(state_);
  }
  Error&& error() && {
    NARU_CHECK(!ok());
    return std::get<1>(std::move(state_));
  }

 private:
  std::string error_text() const { return ok() ? std::string() : std::get<1>(state_).message; }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const { NARU_CHECK(ok(), error_->message); }
  const Error& error() const& {
    NARU_CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    NARU_CHECK(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace naru

// Returns the error of `expr` from the enclosing function, or goes on.
#define NARU_TRY(expr)                                        \
  do {                                                        \
    auto naru_try_ = (expr);                                  \
    if (!naru_try_.ok()) return std::move(naru_try_).error(); \
  } while (false)

// NARU_ASSIGN(auto x, expr): returns the error of `expr` from the enclosing function, or assigns its value.
#define NARU_ASSIGN(target, expr) NARU_ASSIGN_2_(target, expr, __COUNTER__)
#define NARU_ASSIGN_2_(target, expr, n) NARU_ASSIGN_3_(target, expr, n)
#define NARU_ASSIGN_3_(target, expr, n)                                 \
  auto naru_assign_##n = (expr);                                        \
  if (!naru_assign_##n.ok()) return std::move(naru_assign_##n).error(); \
  target = std::move(naru_assign_##n).value()
