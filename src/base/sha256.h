// SHA-256 of bytes in memory, as lower-case hex (OpenSSL does the work).
#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"

namespace naru {

class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void update(Bytes bytes);
  std::string finish_hex();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(Bytes bytes);

}  // namespace naru
