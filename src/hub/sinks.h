// Where bodies go: into memory, or into a file that is checked as it comes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/digest.h"
#include "base/owned_fd.h"
#include "hub/http.h"
#include "hub/manifest.h"

namespace naru::hub {

// A small answer as a whole: begun anew with each try. `what` is for messages, as that of HttpRequest.
class TextSink final : public Sink {
 public:
  TextSink(std::string what, int64_t bytes_max) : what_(std::move(what)), bytes_max_(bytes_max) {}
  int64_t held() const override { return 0; }
  Status begin(const AnswerHead& head) override;
  Status write(Bytes bytes) override;
  Result<bool> finish() override { return length_ < 0 || length_ == static_cast<int64_t>(text_.size()); }
  const std::string& text() const { return text_; }

 private:
  std::string what_;
  int64_t bytes_max_;
  int64_t length_ = -1;
  std::string text_;
};

// A file of known size and hash. What an earlier pull left of it is hashed when it is opened and gone on from; bytes
// are appended, and never more than the file has. A whole one whose hash is wrong is emptied, and fetched once more
// where not all of it came in one answer. Nothing is ever written through a link or to a file with another name.
class FileSink final : public Sink {
 public:
  // `go_on` is asked while bytes that are there are hashed; false is kCancelled.
  static Result<FileSink> open(const std::filesystem::path& path, const PulledFile& file, std::string what,
                               const std::function<bool(int64_t held)>& go_on);

  // It is there and has the wanted hash.
  bool is_whole() const { return is_whole_; }
  int64_t held() const override { return held_; }
  Status begin(const AnswerHead& head) override;
  Status write(Bytes bytes) override;
  Result<bool> finish() override;

 private:
  FileSink(std::filesystem::path path, const PulledFile& file, std::string what)
      : path_(std::move(path)),
        wanted_(file.source),
        what_(std::move(what)),
        digest_(start_digest(wanted_.hash.kind, wanted_.bytes)) {}
  Status open_file();
  Status open_again();
  Status replace_file();
  void keep_first(Bytes bytes);
  Status read_held(const std::function<bool(int64_t held)>& go_on);
  Result<bool> check_whole();
  Error wrong_size(int64_t found) const;
  Error failed(std::string_view doing, int error_number) const;

  std::filesystem::path path_;
  HubFile wanted_;
  std::string what_;
  OwnedFd fd_;  // open while an answer comes: there may be more files than descriptors
  Digest digest_;
  int64_t held_ = 0;
  int64_t skip_ = 0;           // of an answer that begins at byte 0 although it was asked for the rest
  int64_t n_answers_ = 0;      // that the bytes come from, beside
  bool is_from_disk_ = false;  // what an earlier pull left
  int64_t odd_length_ = -1;    // of an answer that is too short to be the file: it is read to say what it is
  std::string first_bytes_;
  bool was_wrong_ = false;     // a whole one had the wrong hash
  bool is_whole_ = false;
};

}  // namespace naru::hub
