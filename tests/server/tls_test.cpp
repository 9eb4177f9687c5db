// TLS as a filter of bytes, against a client of OpenSSL's on memory; and its files with all that can be wrong in them.
#include "server/tls.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <filesystem>
#include <fstream>

namespace naru::server {
namespace {

namespace fs = std::filesystem;

struct PemPair {
  std::string cert, key;
};

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(n));
  BIO_free(bio);
  return text;
}

// Signed by itself; its days count from now.
PemPair make_pair(long first_day, long last_day, const char* password = nullptr) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), first_day * 86400);
  X509_gmtime_adj(X509_getm_notAfter(cert), last_day * 86400);
  X509_set_pubkey(cert, key);
  X509_NAME* name = X509_get_subject_name(cert);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(cert, name);
  X509_sign(cert, key, EVP_sha256());
  BIO* cert_bio = BIO_new(BIO_s_mem());
  BIO* key_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(cert_bio, cert);
  PEM_write_bio_PrivateKey(key_bio, key, password ? EVP_aes_128_cbc() : nullptr,
                           reinterpret_cast<const unsigned char*>(password), password ? 8 : 0, nullptr, nullptr);
  X509_free(cert);
  EVP_PKEY_free(key);
  return {text_of(cert_bio), text_of(key_bio)};
}

class TlsTest : public testing::Test {
 protected:
  TlsTest() : folder_(fs::temp_directory_path() / ("naru-tls-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~TlsTest() override { fs::remove_all(folder_); }
  std::string put(const std::string& name, const std::string& text) const {
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  std::shared_ptr<const TlsContext> context() const {
    const PemPair pair = make_pair(-1, 10);
    auto made = TlsContext::open(put("cert.pem", pair.cert), put("key.pem", pair.key));
    EXPECT_TRUE(made.ok()) << made.error().message;
    return *made;
  }
  static Error refused(const std::string& cert, const std::string& key) {
    const auto made = TlsContext::open(cert, key);
    EXPECT_FALSE(made.ok());
    return made.ok() ? Error{} : made.error();
  }
  fs::path folder_;
};

// The other side.
class TlsClient {
 public:
  explicit TlsClient(int version = TLS1_3_VERSION)
      : context_(SSL_CTX_new(TLS_client_method())), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())) {
    SSL_CTX_set_min_proto_version(context_, version);
    SSL_CTX_set_max_proto_version(context_, version);
    SSL_CTX_set_security_level(context_, 0);
    ssl_ = SSL_new(context_);
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_connect_state(ssl_);
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  SSL* ssl() { return ssl_; }
  void hear(const std::string& bytes) { BIO_write(in_, bytes.data(), static_cast<int>(bytes.size())); }
  std::string said() {
    std::string bytes(BIO_ctrl_pending(out_), '\0');
    if (!bytes.empty()) BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  std::string read() {
    std::string all;
    char buffer[4096];
    for (int n = 0; (n = SSL_read(ssl_, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<size_t>(n));
    return all;
  }
  void write(const std::string& text) { SSL_write(ssl_, text.data(), static_cast<int>(text.size())); }

 private:
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  BIO *in_, *out_;
};

// Until neither has anything to say; bytes go over in parts of `part`.
bool shake_hands(TlsFilter& filter, TlsClient& client, size_t part) {
  for (int i = 0; i < 10; ++i) {
    SSL_do_handshake(client.ssl());
    const std::string said = client.said();
    std::string plain, out;
    for (size_t at = 0; at < said.size(); at += part) {
      if (!filter.take(std::string_view(said).substr(at, part), plain, out)) return false;
    }
    client.hear(out);
    if (filter.is_ready() && said.empty()) return true;
  }
  return false;
}

TEST_F(TlsTest, WhatIsSaidComesOver) {
  const auto context_of_all = context();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const size_t part : {size_t{1}, size_t{100000}}) {
      TlsFilter filter(context_of_all);
      TlsClient client(version);
      const unsigned char offered[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
      SSL_set_alpn_protos(client.ssl(), offered, sizeof offered);
      EXPECT_FALSE(filter.is_ready());
      EXPECT_EQ(filter.seal("too early"), "");
      ASSERT_TRUE(shake_hands(filter, client, part));
      const unsigned char* chosen = nullptr;
      unsigned n_chosen = 0;
      SSL_get0_alpn_selected(client.ssl(), &chosen, &n_chosen);
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), n_chosen), "http/1.1");

      const std::string question(40000, 'q'), answer(100000, 'a');
      std::string plain, out;
      for (size_t at = 0; at < question.size(); at += 10000) client.write(question.substr(at, 10000));
      const std::string sealed = client.said();
      for (size_t at = 0; at < sealed.size(); at += part) {
        ASSERT_TRUE(filter.take(std::string_view(sealed).substr(at, part), plain, out));
      }
      EXPECT_EQ(plain, question);
      client.hear(out + filter.seal(answer));
      EXPECT_EQ(client.read(), answer);

      client.hear(filter.end());
      EXPECT_EQ(client.read(), "");
      EXPECT_EQ(SSL_get_shutdown(client.ssl()) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
      EXPECT_EQ(filter.end(), "");  // once
    }
  }
}

TEST_F(TlsTest, TheOtherSideEnds) {
  TlsFilter filter(context());
  TlsClient client;
  ASSERT_TRUE(shake_hands(filter, client, 1000));
  SSL_shutdown(client.ssl());
  std::string plain, out;
  EXPECT_FALSE(filter.has_ended());
  EXPECT_TRUE(filter.take(client.said(), plain, out));
  EXPECT_TRUE(filter.has_ended());
}

TEST_F(TlsTest, WhatIsNoTlsIsTheEnd) {
  const auto all = context();
  {
    TlsFilter filter(all);
    std::string plain, out;
    EXPECT_FALSE(filter.take("\x16garbage that is no hello at all", plain, out));
    EXPECT_FALSE(filter.take("more", plain, out));
    EXPECT_TRUE(plain.empty() && !filter.is_ready());
  }
  {
    TlsFilter filter(all);
    TlsClient client(TLS1_1_VERSION);  // too old
    EXPECT_FALSE(shake_hands(filter, client, 1000));
    EXPECT_FALSE(filter.is_ready());
  }
  TlsFilter filter(all);
  TlsClient client;
  ASSERT_TRUE(shake_hands(filter, client, 1000));
  client.write("hello");
  std::string sealed = client.said();
  sealed.back() = static_cast<char>(sealed.back() ^ 1);  // on the way
  std::string plain, out;
  EXPECT_FALSE(filter.take(sealed, plain, out));
  EXPECT_EQ(plain, "");
  EXPECT_EQ(filter.seal("answer"), "");
}

TEST_F(TlsTest, FilesWithAllThatCanBeWrong) {
  const PemPair good = make_pair(-1, 10), other = make_pair(-1, 10);
  const std::string cert = put("cert.pem", good.cert), key = put("key.pem", good.key);
  EXPECT_EQ(refused((folder_ / "none.pem").string(), key).code, Code::kNotFound);
  EXPECT_EQ(refused(cert, (folder_ / "none.pem").string()).code, Code::kNotFound);
  const Error mismatch = refused(cert, put("other.pem", other.key));
  EXPECT_EQ(mismatch.code, Code::kInvalidArgument);
  EXPECT_NE(mismatch.message.find("its key is not that of the certificate in"), std::string::npos) << mismatch.message;
  EXPECT_NE(refused(key, key).message.find("no certificate"), std::string::npos);
  EXPECT_NE(refused(cert, cert).message.find("no private key"), std::string::npos);
  EXPECT_NE(refused(put("empty.pem", ""), key).message.find("no certificate"), std::string::npos);
  EXPECT_NE(refused(cert, put("locked.pem", make_pair(-1, 10, "password").key)).message.find("locked by a password"),
            std::string::npos);
  const std::string broken = good.cert + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  EXPECT_NE(refused(put("broken.pem", broken), key).message.find("damaged"), std::string::npos);
  const auto chain = TlsContext::open(put("chain.pem", good.cert + other.cert), key);
  EXPECT_TRUE(chain.ok()) << chain.error().message;
  EXPECT_EQ((*chain)->note(), "");
}

TEST_F(TlsTest, DaysAreANote) {
  for (const auto& [pair, word] : {std::pair{make_pair(-10, -1), "ended on"}, {make_pair(5, 10), "begins on"}}) {
    const auto made = TlsContext::open(put("cert.pem", pair.cert), put("key.pem", pair.key));
    ASSERT_TRUE(made.ok()) << made.error().message;
    EXPECT_NE((*made)->note().find(word), std::string::npos) << (*made)->note();
  }
}

}  // namespace
}  // namespace naru::server
