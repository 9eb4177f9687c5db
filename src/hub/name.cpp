#include "hub/name.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/ascii.h"
#include "formats/utf8.h"
#include "hub/packaged.h"

namespace naru::hub {
namespace {

constexpr std::string_view kSeparator = "--";

bool is_word_character(char c) {
  return is_ascii_alphanumeric(c) || c == '-' || c == '_' || c == '.';
}

// The hub's rule for owners and repositories.
bool is_name_part(std::string_view part) {
  const auto is_end = [](char c) { return c != '-' && c != '.'; };
  return !part.empty() && part.size() <= kNamePartBytesMax &&
         std::all_of(part.begin(), part.end(), is_word_character) && is_end(part.front()) && is_end(part.back()) &&
         part.find("--") == std::string_view::npos && part.find("..") == std::string_view::npos;
}

bool is_revision(std::string_view revision) {
  const bool is_plain = std::all_of(revision.begin(), revision.end(),
                                    [](char c) { return is_word_character(c) || c == '/' || c == '+'; });
  return is_plain && revision.size() <= kRevisionBytesMax && is_safe_path(revision);
}

// A path as one name.
std::string flat(std::string_view path) {
  std::string name;
  for (const char c : path) {
    if (c == '/') {
      name += kSeparator;
    } else {
      name += c;
    }
  }
  return name;
}

Error bad_name(std::string_view text, std::string_view wanted, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("reading the name of a model: '{}': {} was wanted; {}",
                                              formats::printable(text, 300), wanted, next)};
}

// "owner/name" of an address of a hub's page; nothing where it is none.
std::string address_part(std::string_view text) {
  const size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) return "";
  std::string_view rest = text.substr(scheme + 3);
  rest = rest.substr(std::min(rest.size(), rest.find('/') + 1));
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return "";
  const std::string_view second = rest.substr(slash + 1, rest.find('/', slash + 1) - slash - 1);
  if (!is_name_part(rest.substr(0, slash)) || !is_name_part(second)) return "";
  return fmt::format("{}/{}", rest.substr(0, slash), second);
}

}  // namespace

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kRepositoryPathBytesMax || !formats::is_valid_utf8(path)) return false;
  if (formats::has_control_characters(path) || path.find('\\') != std::string_view::npos) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

std::string ModelName::text() const {
  if (is_packaged()) return repository;
  return repository_id() + (file ? ":" + *file : "") + (revision ? "@" + *revision : "");
}

std::filesystem::path ModelName::folder() const {
  std::string name = repository;
  if (revision) name += "@" + flat(*revision);
  if (file) name.append(kSeparator).append(flat(*file));
  return std::filesystem::path(owner) / name;
}

Result<ModelName> parse_name(std::string_view text) {
  if (find_packaged(text) != nullptr) {
    ModelName name;
    name.repository = text;
    return name;
  }
  constexpr std::string_view kForm = "owner/name, owner/name:file.gguf or either with @revision";
  if (const std::string meant = address_part(text); !meant.empty()) {
    return bad_name(text, kForm, fmt::format("did you mean {}?", meant));
  }
  ModelName name;
  std::string_view rest = text;
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    name.revision = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!is_revision(*name.revision)) return bad_name(text, "a branch, a tag or a commit behind @", "correct it");
  }
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    name.file = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_safe_path(*name.file)) return bad_name(text, "the path of a file in the repository behind :", "correct it");
  }
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) {
    return bad_name(text, kForm,
                    fmt::format("give it as the hub's page shows it; without an owner there is: {}", packaged_names()));
  }
  name.owner = rest.substr(0, slash);
  name.repository = rest.substr(slash + 1);
  if (!is_name_part(name.owner) || !is_name_part(name.repository)) {
    return bad_name(text, kForm, "give it as the hub's page shows it");
  }
  // OWNER--NAME is one name while it is pulled.
  if (name.owner.size() + kSeparator.size() + name.folder().filename().native().size() > kFolderNameBytesMax) {
    return bad_name(text, fmt::format("a name of at most {} bytes", kFolderNameBytesMax), "no disk keeps it");
  }
  return name;
}

}  // namespace naru::hub
