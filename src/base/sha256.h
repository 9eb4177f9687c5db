// SHA-256 of bytes in memory, as lower-case hex.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/digest.h"

namespace naru {

class Sha256 : public Digest {
 public:
  Sha256() : Digest(Kind::kSha256) {}
};

std::string sha256_hex(Bytes bytes);

}  // namespace naru
