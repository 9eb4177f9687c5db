// The cache and attention over it, with the tables of the sequences of a batch.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "chips/gpu/ops.h"
#include "contract/op_table.h"
#include "contract/selected.h"

namespace naru::gpu {

using contract::SequenceRows;

MemoryPlace place_of(const Device& device, const contract::CacheStream& stream) {
  return device.place(stream.address, 0);
}

Result<std::unique_ptr<contract::Sequences>> GpuSequences::make(const SharedDevice& device,
                                                                std::span<const SequenceRows> rows) {
  auto sequences = std::unique_ptr<GpuSequences>(new GpuSequences(device, rows));
  int64_t n_rows = 0;
  for (const SequenceRows& each : rows) n_rows = std::max(n_rows, each.row_begin + each.n_rows);
  std::vector<int32_t> words(static_cast<size_t>(2 * n_rows), -1), pages, entries;
  for (const SequenceRows& each : rows) {
    for (int64_t i = 0; i < each.n_rows; ++i) {
      const auto row = each.row_begin + i;
      const auto position = static_cast<int32_t>(each.position_begin + i), table = static_cast<int32_t>(pages.size());
      words[static_cast<size_t>(2 * row)] = position;
      words[static_cast<size_t>(2 * row + 1)] = table;
      entries.insert(entries.end(), {static_cast<int32_t>(row), position, table});
    }
    pages.insert(pages.end(), each.pages, each.pages + each.n_pages());
  }
  sequences->n_rows_ = n_rows;
  sequences->pages_offset_ = static_cast<int64_t>(words.size()) * 4;
  words.insert(words.end(), pages.begin(), pages.end());
  sequences->n_entries_ = std::ssize(entries) / 3;
  sequences->entries_offset_ = static_cast<int64_t>(words.size()) * 4;
  words.insert(words.end(), entries.begin(), entries.end());
  const auto bytes = static_cast<int64_t>(words.size()) * 4;
  NARU_ASSIGN(sequences->memory_, device->take(std::max<int64_t>(bytes, 4)));
  if (bytes > 0) NARU_TRY(device->driver().write({sequences->memory_.get(), 0}, words.data(), bytes));
  return std::unique_ptr<contract::Sequences>(std::move(sequences));
}

GpuSequences::~GpuSequences() {
  if (memory_ != nullptr) device_->give_back(memory_->bytes());
}

namespace {

// All rows with a value that is not finite, and the column of the first of them in the order of the sequences.
Describe non_finite_write(const contract::SequencesRef& sequences, int64_t rows_per_token, int64_t cols) {
  std::vector<SequenceRows> order(sequences.begin(), sequences.end());
  return [order = std::move(order), rows_per_token, cols](Marks marks) {
    std::vector<int64_t> bad;
    for (const SequenceRows& rows : order) {
      for (int64_t row = rows.row_begin * rows_per_token; row < (rows.row_begin + rows.n_rows) * rows_per_token;
           ++row) {
        if (marks[static_cast<size_t>(2 * row)] != 0) bad.push_back(row);
      }
    }
    if (bad.empty()) return fault_of_device("cache_write");
    const int64_t first = bad.front();
    const int32_t* mark = marks.data() + 2 * first;
    if (mark[0] < 1 || mark[0] > cols) return fault_of_device("cache_write");
    std::sort(bad.begin(), bad.end());
    bad.erase(std::unique(bad.begin(), bad.end()), bad.end());
    return contract::row_error(
        "cache_write", static_cast<int64_t>(marks.size() / 2), std::move(bad),
        fmt::format("cache_write: row {}, column {}: the value is {}, a finite number was wanted; "
                    "the weights or an earlier layer overflowed",
                    first, int64_t{mark[0]} - 1, std::bit_cast<float>(mark[1])));
  };
}

}  // namespace

Status run(Device& device, const contract::CacheWrite& op) {
  if (op.x.rows == 0) return {};
  const GpuSequences& sequences = of_device(op.sequences);
  const bool is_shared = op.x.rows == sequences.n_rows();
  const contract::CacheShape& shape = op.stream.shape;
  const int64_t rows_per_token = is_shared ? 1 : shape.heads;
  NARU_ASSIGN(const MemoryPlace marks,
              device.watch(op.x.rows, non_finite_write(op.sequences, rows_per_token, op.x.cols)));
  const int64_t n_writes = sequences.n_entries() * rows_per_token;
  return device.launch_rows("cache_write", n_writes, op.x, place_of(device, op.stream), sequences.entries(),
                            sequences.pages(), marks, n_writes, op.x.cols, shape.heads, is_shared, op.stream.page_bytes,
                            shape.width, op.column, shape.dtype == DType::kBF16);
}

namespace {

// The error of the first list, in the order of the sequences, that is none. It holds the own position of each row.
Describe broken_list(std::string_view op, const contract::SequencesRef& sequences, const View& selected) {
  std::vector<int64_t> order, own(static_cast<size_t>(selected.rows), -1);
  for (const SequenceRows& rows : sequences) {
    for (int64_t i = 0; i < rows.n_rows; ++i) {
      order.push_back(rows.row_begin + i);
      own[static_cast<size_t>(rows.row_begin + i)] = rows.position_begin + i;
    }
  }
  return
      [op, order = std::move(order), own = std::move(own), n_rows = selected.rows, cols = selected.cols](Marks marks) {
        for (const int64_t row : order) {
          const int32_t* mark = marks.data() + 4 * row;
          if (mark[0] == 0) continue;
          if (mark[0] < 1 || mark[0] > cols) break;
          return contract::selected_error(op, n_rows, row, int64_t{mark[0]} - 1, mark[1], mark[2],
                                          own[static_cast<size_t>(row)]);
        }
        return fault_of_device(op);
      };
}

}  // namespace

Status check_selected_lists(Device& device, std::string_view op, const View& selected,
                            const contract::SequencesRef& sequences) {
  if (selected.empty()) return {};
  const int64_t rows = of_device(sequences).n_rows();
  // Two pairs of words a row.
  NARU_ASSIGN(const MemoryPlace marks, device.watch(2 * rows, broken_list(op, sequences, selected)));
  return device.launch_rows("check_selected", rows, selected, of_device(sequences).tokens(), marks, rows,
                            selected.cols);
}

Status run(Device& device, const contract::Attention& op) {
  if (op.q.rows == 0 || op.sequences.empty()) return {};
  const GpuSequences& sequences = of_device(op.sequences);
  const int64_t longest = op.selected.empty() ? 0 : op.selected.cols;
  NARU_TRY(check_selected_lists(device, op.kName, op.selected, op.sequences));
  const contract::CacheShape &key = op.key.shape, &value = op.value.shape;
  const int64_t rows = sequences.n_rows() * op.heads;
  return device.launch("attention", {rows, 1, 1}, op.q, place_of(device, op.key), place_of(device, op.value),
                       sequences.tokens(), sequences.pages(), op.selected, op.out, op.stats, rows, op.heads,
                       op.heads / key.heads, key.width, op.key.page_bytes, value.width, op.value.page_bytes,
                       op.out.cols, longest, !op.stats.empty(), key.dtype == DType::kBF16, op.scale);
}

}  // namespace naru::gpu
