// One member of a ZIP archive (PKWARE's APPNOTE.TXT 6.3), stored or deflated (RFC 1951, by zlib): what the packages of
// the Python registry are. The archive may lie about everything. Not read: encryption, archives of several disks,
// ZIP64.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::hub {

inline constexpr int64_t kZipCommentBytesMax = 65535;  // behind the directory of an archive

struct ZipMember {
  Bytes packed;       // of the archive
  int64_t bytes = 0;  // unpacked
  bool is_deflated = false;
};

// `document` is how messages call the archive. kNotFound where it has no such member.
Result<ZipMember> find_zip_member(Bytes archive, std::string_view member, std::string_view document);

// Gives the unpacked bytes to `take`, piece by piece: exactly member.bytes, or an error.
Status unpack_zip_member(const ZipMember& member, std::string_view document, const std::function<Status(Bytes)>& take);

}  // namespace naru::hub
