#include "base/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/check.h"

namespace naru {

struct Digest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Digest::Digest(Kind kind) : state_(std::make_unique<State>()) {
  NARU_CHECK(state_->context != nullptr);
  const EVP_MD* method = kind == Kind::kSha1 ? EVP_sha1() : EVP_sha256();
  NARU_CHECK(EVP_DigestInit_ex(state_->context, method, nullptr) == 1);
}
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;
Digest::~Digest() = default;

void Digest::update(Bytes bytes) {
  NARU_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Digest::hex_so_far() const {
  Digest copy(Kind::kSha256);
  NARU_CHECK(EVP_MD_CTX_copy_ex(copy.state_->context, state_->context) == 1);
  return copy.finish_hex();
}

std::string Digest::finish_hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  NARU_CHECK(EVP_DigestFinal_ex(state_->context, digest, &size) == 1);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace naru
