#include "hub/zip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "formats/utf8.h"

namespace naru::hub {
namespace {

constexpr int64_t kEndBytes = 22;  // of the record at the end, without its comment
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEntrySignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint16_t kIsEncrypted = 1;
constexpr uint16_t kStored = 0, kDeflated = 8;
constexpr uint32_t kIsZip64 = 0xffffffff;
constexpr size_t kPieceBytes = 1 << 20;

Error zip_error(std::string_view document, Code code, std::string_view found) {
  return {code, fmt::format("unpacking {}: {}; get it again, or from another registry", document, found)};
}

// Where the directory begins, and how many entries it has.
struct Directory {
  int64_t begin = 0;
  int64_t n_entries = 0;
};

std::optional<Directory> find_directory(Bytes archive) {
  const auto size = static_cast<int64_t>(archive.size());
  const int64_t first = std::max<int64_t>(0, size - kEndBytes - kZipCommentBytesMax);
  for (int64_t at = size - kEndBytes; at >= first; --at) {
    ByteCursor cursor(archive.subspan(static_cast<size_t>(at)));
    if (cursor.read<uint32_t>() != kEndSignature) continue;
    cursor.take(6);  // numbers of disks, entries on this one
    const auto n_entries = cursor.read<uint16_t>();
    cursor.take(4);
    const auto begin = cursor.read<uint32_t>();
    const auto comment = cursor.read<uint16_t>();
    if (!comment || *comment != cursor.remaining() || *begin > at) continue;
    return Directory{static_cast<int64_t>(*begin), static_cast<int64_t>(*n_entries)};
  }
  return std::nullopt;
}

struct Entry {
  uint16_t flags = 0, method = 0;
  uint32_t packed_bytes = 0, bytes = 0, local_begin = 0;
  std::string_view name;
};

std::optional<Entry> read_entry(ByteCursor& cursor) {
  if (cursor.read<uint32_t>() != kEntrySignature || !cursor.take(4)) return std::nullopt;  // versions
  const auto flags = cursor.read<uint16_t>(), method = cursor.read<uint16_t>();
  if (!cursor.take(8)) return std::nullopt;  // time, date, checksum
  const auto packed = cursor.read<uint32_t>(), bytes = cursor.read<uint32_t>();
  const auto n_name = cursor.read<uint16_t>(), n_extra = cursor.read<uint16_t>(), n_comment = cursor.read<uint16_t>();
  if (!cursor.take(8)) return std::nullopt;  // disk, attributes
  const auto begin = cursor.read<uint32_t>();
  if (!begin) return std::nullopt;
  const auto name = cursor.take_text(*n_name);
  if (!name || !cursor.take(uint64_t{*n_extra} + *n_comment)) return std::nullopt;
  return Entry{*flags, *method, *packed, *bytes, *begin, *name};
}

// The bytes behind the local header, which has a name and extra bytes of its own.
std::optional<Bytes> packed_bytes(Bytes archive, const Entry& entry) {
  ByteCursor cursor(archive);
  if (!cursor.take(entry.local_begin) || cursor.read<uint32_t>() != kLocalSignature || !cursor.take(22)) {
    return std::nullopt;
  }
  const auto n_name = cursor.read<uint16_t>(), n_extra = cursor.read<uint16_t>();
  if (!n_extra || !cursor.take(uint64_t{*n_name} + *n_extra)) return std::nullopt;
  return cursor.take(entry.packed_bytes);
}

}  // namespace

Result<ZipMember> find_zip_member(Bytes archive, std::string_view member, std::string_view document) {
  const auto directory = find_directory(archive);
  if (!directory) return zip_error(document, Code::kCorrupt, "it has no directory of a ZIP archive at its end");
  ByteCursor cursor(archive.subspan(static_cast<size_t>(directory->begin)));
  for (int64_t i = 0; i < directory->n_entries; ++i) {
    const auto entry = read_entry(cursor);
    if (!entry) return zip_error(document, Code::kCorrupt, fmt::format("entry {} of its directory is cut", i));
    if (entry->name != member) continue;
    const bool is_read = entry->method == kStored || entry->method == kDeflated;
    if ((entry->flags & kIsEncrypted) != 0 || !is_read || entry->bytes == kIsZip64 || entry->packed_bytes == kIsZip64) {
      return zip_error(document, Code::kUnsupported,
                       fmt::format("{} is packed by method {}, stored or deflated was wanted", member, entry->method));
    }
    const auto packed = packed_bytes(archive, *entry);
    const bool is_stored = entry->method == kStored;
    if (!packed || (is_stored && packed->size() != entry->bytes)) {
      return zip_error(document, Code::kCorrupt, fmt::format("{} lies outside of it", member));
    }
    return ZipMember{*packed, static_cast<int64_t>(entry->bytes), !is_stored};
  }
  return zip_error(document, Code::kNotFound, fmt::format("it has no {}", member));
}

Status unpack_zip_member(const ZipMember& member, std::string_view document, const std::function<Status(Bytes)>& take) {
  if (!member.is_deflated) return take(member.packed);
  z_stream stream{};
  if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
    return zip_error(document, Code::kResourceExhausted, "the system gave no more memory");
  }
  struct End {
    z_stream* stream;
    ~End() { ::inflateEnd(stream); }
  } const end{&stream};
  std::vector<std::byte> piece(kPieceBytes);
  Bytes left = member.packed;
  int64_t done = 0;
  for (int status = Z_OK; status != Z_STREAM_END;) {
    if (stream.avail_in == 0) {
      const Bytes next = left.first(std::min(left.size(), kPieceBytes));
      left = left.subspan(next.size());
      // The library reads through a pointer that is not to const.
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(next.data()));
      stream.avail_in = static_cast<uInt>(next.size());
    }
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    status = ::inflate(&stream, Z_NO_FLUSH);
    const size_t n = piece.size() - stream.avail_out;
    done += static_cast<int64_t>(n);
    const bool is_stuck = n == 0 && stream.avail_in == 0 && left.empty();
    if ((status != Z_OK && status != Z_STREAM_END) || done > member.bytes || (is_stuck && status == Z_OK)) {
      return zip_error(document, Code::kCorrupt, fmt::format("its compressed bytes are wrong behind byte {}", done));
    }
    NARU_TRY(take({piece.data(), n}));
  }
  if (done == member.bytes) return {};
  return zip_error(document, Code::kCorrupt, fmt::format("{} bytes came out, {} were wanted", done, member.bytes));
}

}  // namespace naru::hub
