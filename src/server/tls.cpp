#include "server/tls.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <climits>
#include <ctime>

#include "base/file.h"
#include "formats/utf8.h"

namespace naru::server {
namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free_all)>;
using CertPtr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

constexpr unsigned char kHttp11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
constexpr size_t kReadBytes = 16 << 10;  // a record of TLS holds no more

Error tls_error(Code code, std::string_view where, std::string_view found, std::string_view next) {
  return {code, fmt::format("reading TLS's files: {}: {}; {}", formats::printable(where, 300), found, next)};
}

// The reason that OpenSSL gives, in its words.
std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "no reason was given" : reason;
}

BioPtr bio_of(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free_all};
}

// Whoever starts a server is asked nothing.
int no_password(char*, int, int, void* was_asked) {
  *static_cast<bool*>(was_asked) = true;
  return 0;
}

// The first certificate of the file is the server's; the others follow it to an authority.
Result<CertPtr> read_certificates(const std::string& file, const std::string& text, SSL_CTX* context) {
  const BioPtr bio = bio_of(text);
  CertPtr first(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr), &X509_free);
  constexpr std::string_view kNext = "give the server's certificate with those that lead to its authority behind it";
  if (!first) {
    return tls_error(Code::kInvalidArgument, file,
                     fmt::format("it holds no certificate in PEM form ({}), one was wanted", openssl_reason()), kNext);
  }
  if (SSL_CTX_use_certificate(context, first.get()) != 1) {
    return tls_error(Code::kInvalidArgument, file, fmt::format("its certificate is not taken ({})", openssl_reason()),
                     "give one with a key of at least 2048 bits RSA, or of an elliptic curve");
  }
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) == 1) continue;
    X509_free(next);
    return tls_error(Code::kInvalidArgument, file,
                     fmt::format("a certificate behind the first is not taken ({})", openssl_reason()), kNext);
  }
  const unsigned long code = ERR_peek_last_error();
  const bool is_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (!is_end) {
    return tls_error(Code::kInvalidArgument, file,
                     fmt::format("a certificate behind the first is damaged ({})", openssl_reason()), kNext);
  }
  ERR_clear_error();
  return first;
}

Status read_key(const std::string& file, const std::string& text, const std::string& cert_file, SSL_CTX* context) {
  const BioPtr bio = bio_of(text);
  bool was_asked = false;
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, &was_asked), &EVP_PKEY_free);
  if (was_asked) {
    ERR_clear_error();
    return tls_error(Code::kInvalidArgument, file, "its key is locked by a password, one without was wanted",
                     "write it without: openssl pkey -in FILE -out NEW");
  }
  if (!key) {
    return tls_error(Code::kInvalidArgument, file,
                     fmt::format("it holds no private key in PEM form ({}), one was wanted", openssl_reason()),
                     "give the key that the certificate was made for");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) == 1 && SSL_CTX_check_private_key(context) == 1) return {};
  return tls_error(Code::kInvalidArgument, file,
                   fmt::format("its key is not that of the certificate in {} ({})", formats::printable(cert_file, 300),
                               openssl_reason()),
                   "give the key that the certificate was made for");
}

std::string text_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unknown day";
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

std::string note_on(const X509& certificate, const std::string& file) {
  const std::string shown = formats::printable(file, 300);
  const ASN1_TIME* begin = X509_get0_notBefore(&certificate);
  const ASN1_TIME* end = X509_get0_notAfter(&certificate);
  if (X509_cmp_current_time(end) < 0) {
    return fmt::format("the certificate in {} ended on {}: clients will refuse it; get a new one", shown, text_of(end));
  }
  if (X509_cmp_current_time(begin) > 0) {
    return fmt::format("the certificate in {} begins on {}: clients will refuse it until then", shown, text_of(begin));
  }
  return {};
}

// HTTP/1.1 where it is offered; who offers nothing of ours is served all the same.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* n_chosen, const unsigned char* offered,
                    unsigned n_offered, void*) {
  for (unsigned i = 0; i < n_offered; i += offered[i] + 1u) {
    const unsigned n = offered[i] + 1u;
    if (n > n_offered - i || n != sizeof kHttp11 || !std::equal(kHttp11, kHttp11 + n, offered + i)) continue;
    *chosen = offered + i + 1;
    *n_chosen = offered[i];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::open(const std::string& cert_file, const std::string& key_file) {
  NARU_ASSIGN(const std::string cert_text, read_file(cert_file, kTlsFileBytesMax));
  NARU_ASSIGN(const std::string key_text, read_file(key_file, kTlsFileBytesMax));
  ERR_clear_error();
  const std::shared_ptr<TlsContext> made(new TlsContext);
  made->context_ = SSL_CTX_new(TLS_server_method());
  if (made->context_ == nullptr || SSL_CTX_set_min_proto_version(made->context_, TLS1_2_VERSION) != 1) {
    return Error{Code::kInternal,
                 fmt::format("starting TLS: OpenSSL cannot be started ({}); check its installation", openssl_reason())};
  }
  SSL_CTX_set_options(made->context_,
                      SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(made->context_, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_select_cb(made->context_, choose_protocol, nullptr);
  NARU_ASSIGN(const CertPtr certificate, read_certificates(cert_file, cert_text, made->context_));
  NARU_TRY(read_key(key_file, key_text, cert_file, made->context_));
  made->note_ = note_on(*certificate, cert_file);
  return std::shared_ptr<const TlsContext>(made);
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

TlsFilter::TlsFilter(std::shared_ptr<const TlsContext> context)
    : context_(std::move(context)), ssl_(SSL_new(context_->context_)) {
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  if (ssl_ == nullptr || in == nullptr || out == nullptr) {  // no memory: every use fails
    BIO_free(in);
    BIO_free(out);
    is_over_ = true;
    return;
  }
  BIO_set_mem_eof_return(in, -1);
  BIO_set_mem_eof_return(out, -1);
  SSL_set_bio(ssl_, in, out);  // owns both
  SSL_set_accept_state(ssl_);
}

TlsFilter::~TlsFilter() {
  SSL_free(ssl_);
}

void TlsFilter::drain(std::string& out) {
  BIO* bio = SSL_get_wbio(ssl_);
  const size_t n = BIO_ctrl_pending(bio);
  const size_t held = out.size();
  out.resize(held + n);
  const int n_read = n == 0 ? 0 : BIO_read(bio, out.data() + held, static_cast<int>(n));
  out.resize(held + static_cast<size_t>(std::max(n_read, 0)));
}

bool TlsFilter::take(std::string_view bytes, std::string& plain, std::string& out) {
  if (is_over_) return false;
  ERR_clear_error();
  if (!bytes.empty()) {
    NARU_CHECK(bytes.size() <= INT_MAX);
    if (BIO_write(SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(bytes.size())) != static_cast<int>(bytes.size())) {
      is_over_ = true;  // no memory
      return false;
    }
  }
  int result = 1;
  while (true) {
    char buffer[kReadBytes];
    result = SSL_read(ssl_, buffer, sizeof buffer);  // makes the handshake too
    if (result <= 0) break;
    plain.append(buffer, static_cast<size_t>(result));
  }
  is_ready_ = is_ready_ || SSL_is_init_finished(ssl_) == 1;
  const int error = SSL_get_error(ssl_, result);
  drain(out);
  ERR_clear_error();
  if (error == SSL_ERROR_ZERO_RETURN) has_ended_ = true;
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_ZERO_RETURN) return true;
  is_over_ = true;
  return false;
}

std::string TlsFilter::seal(std::string_view plain) {
  std::string out;
  if (is_over_ || !is_ready_) return out;
  ERR_clear_error();
  while (!plain.empty()) {
    const int n = SSL_write(ssl_, plain.data(), static_cast<int>(std::min<size_t>(plain.size(), kReadBytes)));
    if (n <= 0) {
      is_over_ = true;
      break;
    }
    plain.remove_prefix(static_cast<size_t>(n));
  }
  drain(out);
  ERR_clear_error();
  return out;
}

std::string TlsFilter::end() {
  std::string out;
  if (is_over_ || !is_ready_) return out;
  is_over_ = true;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  drain(out);
  ERR_clear_error();
  return out;
}

}  // namespace naru::server
