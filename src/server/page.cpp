#include "server/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/sha256.h"
#include "server/openai_answer.h"
#include "server/page_files.h"

namespace naru::server {
namespace {

constexpr std::string_view kIndexFile = "index.html";
constexpr std::string_view kPageFolder = "/page/";

// Scripts, styles and fonts are files of this server; nothing inline, no frames, no forms, nobody else is asked. Where
// a browser knows trusted types, text becomes elements through DOMPurify alone.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify";

std::string tag_of(std::string_view bytes) {
  return fmt::format("\"{}\"", sha256_hex(as_bytes(bytes)).substr(0, 32));
}

// Made when the first file is asked for.
const std::string& tag_of(const PageFile& file) {
  static const std::map<std::string_view, std::string> tags = [] {
    std::map<std::string_view, std::string> made;
    for (const PageFile& each : page_files()) made[each.name] = tag_of(each.bytes);
    return made;
  }();
  return tags.at(file.name);
}

// What stands at / where the packages were not there when this was built.
const PageFile& words_in_its_place() {
  static const std::string text = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>naru</title>\n"
      "<h1>naru</h1>\n<p>The server answers, but it was built without its page: when it was built, these packages were "
      "missing: <b>{}</b>.</p>\n<p>Install them (<code>./scripts/setup</code> does) and build again. The server's "
      "paths "
      "stand in docs/server.md.</p>\n</html>\n",
      page_packages_missing());
  static const PageFile file = {kIndexFile, "text/html; charset=utf-8", text};
  return file;
}

const PageFile* find_page_file(std::string_view path) {
  const std::string_view name = path == "/" ? kIndexFile : path.substr(std::min(path.size(), kPageFolder.size()));
  const auto files = page_files();
  if (files.empty() && path == "/") return &words_in_its_place();
  const auto at = std::find_if(files.begin(), files.end(), [&](const PageFile& file) { return file.name == name; });
  return at != files.end() ? &*at : nullptr;
}

// One of the tags of If-None-Match.
bool is_held(const HttpRequest& request, const std::string& tag) {
  const std::string* held = request.find("if-none-match");
  return held != nullptr && (*held == "*" || held->find(tag) != std::string::npos);
}

}  // namespace

HttpResponse page_response(const HttpRequest& request) {
  HttpResponse response;
  response.is_head_only = request.method == "HEAD";
  const PageFile* file = find_page_file(request.path());
  if (file == nullptr) {
    response.status = 404;
    response.body =
        openai_error({404, "reading the request: the page has no such file; GET / is the page", "", "not_found", 0}) +
        "\n";
    return response;
  }
  const std::string tag = page_files().empty() ? tag_of(file->bytes) : tag_of(*file);
  response.content_type = file->type;
  response.fields = {{"ETag", tag},
                     {"Cache-Control", "no-cache"},  // kept, and asked for again: another build has other files
                     {"Content-Security-Policy", std::string(kPolicy)},
                     {"X-Content-Type-Options", "nosniff"},
                     {"Referrer-Policy", "no-referrer"},
                     {"Cross-Origin-Opener-Policy", "same-origin"},
                     {"Cross-Origin-Resource-Policy", "same-origin"}};
  if (is_held(request, tag)) {
    response.status = 304;
  } else {
    response.body = file->bytes;
  }
  return response;
}

}  // namespace naru::server
