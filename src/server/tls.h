// TLS as a filter of bytes between a socket and HTTP: it knows neither. What comes in goes through take(), what is to
// go out through seal(); what the protocol itself has to say comes out of both. OpenSSL does the work, on memory alone,
// so that limits, deadlines and the order of bytes stay those of the connection.
//
// TLS 1.2 and 1.3, with OpenSSL's own choice of ciphers; no compression, no renegotiation; HTTP/1.1 by ALPN.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct ssl_ctx_st;
struct ssl_st;

namespace naru::server {

inline constexpr int64_t kTlsFileBytesMax = 1 << 20;  // of a file with a certificate or a key

// A certificate with its key, for all connections.
class TlsContext {
 public:
  // PEM files: the server's certificate, then those that lead to an authority; and its private key, without a password.
  // kNotFound, kUnavailable: a file that is not there or cannot be read. kInvalidArgument: one that holds something
  // else, or a key of another certificate.
  static Result<std::shared_ptr<const TlsContext>> open(const std::string& cert_file, const std::string& key_file);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // What clients will have against the certificate now (it is over, or not valid yet); empty: nothing that is seen
  // here.
  const std::string& note() const { return note_; }

 private:
  friend class TlsFilter;
  TlsContext() = default;
  ssl_ctx_st* context_ = nullptr;
  std::string note_;
};

// One connection's.
class TlsFilter {
 public:
  explicit TlsFilter(std::shared_ptr<const TlsContext> context);
  ~TlsFilter();
  TlsFilter(const TlsFilter&) = delete;
  TlsFilter& operator=(const TlsFilter&) = delete;

  // Bytes of the socket: what they say is appended to `plain`, and what must be answered to `out`, maybe with an error
  // of the protocol. False: nothing more can be understood (`out` is still to be sent). Not after end().
  bool take(std::string_view bytes, std::string& plain, std::string& out);
  // For the socket. Only after the handshake, and not after end().
  std::string seal(std::string_view plain);
  // Says to the other side that nothing more comes; at most once.
  std::string end();

  bool is_ready() const { return is_ready_; }    // the handshake is done
  bool has_ended() const { return has_ended_; }  // the other side has said that nothing more comes

 private:
  void drain(std::string& out);

  std::shared_ptr<const TlsContext> context_;
  ssl_st* ssl_ = nullptr;
  bool is_ready_ = false;
  bool has_ended_ = false;
  bool is_over_ = false;  // by an error or by end()
};

// Whether the first byte of a connection can begin TLS.
inline bool is_tls_begin(std::string_view bytes) {
  return bytes.starts_with('\x16');
}

}  // namespace naru::server
