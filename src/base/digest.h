// Digests of bytes that come piece by piece, as lower-case hex (OpenSSL does the work).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"

namespace naru {

class Digest {
 public:
  enum class Kind : uint8_t {
    kSha1,  // the ids of git, which are no proof against somebody who wants two files with one id
    kSha256,
  };

  explicit Digest(Kind kind);
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;
  ~Digest();
  void update(Bytes bytes);
  std::string finish_hex();        // once
  std::string hex_so_far() const;  // of what came until now; more may come

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace naru
