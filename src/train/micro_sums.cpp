#include "train/micro_sums.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"

namespace naru::train {
namespace {

using Sums = std::vector<std::optional<MicroSums>>;

template <typename T>
void put_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <typename T>
void put_numbers(std::string& out, const std::vector<T>& values) {
  put_number(out, static_cast<int64_t>(values.size()));
  for (const T value : values) put_number(out, value);
}

template <typename Statistics, typename Visit>
void for_each_number(Statistics& policy, const Visit& visit) {
  visit(policy.n_tokens), visit(policy.n_compared), visit(policy.n_changed), visit(policy.n_clipped);
  visit(policy.n_masked), visit(policy.ratio_least), visit(policy.ratio_most), visit(policy.kl);
  visit(policy.entropy);
}

std::string message_of(const Sums& mine, const Status& own) {
  std::string out;
  put_number(out, static_cast<int64_t>(own.ok() ? 0 : 1));
  if (!own.ok()) {
    put_number(out, static_cast<int64_t>(own.error().code));
    return out + own.error().message;
  }
  for (size_t i = 0; i < mine.size(); ++i) {
    if (!mine[i]) continue;
    put_number(out, static_cast<int64_t>(i));
    put_number(out, mine[i]->loss);
    put_number(out, mine[i]->balance);
    for_each_number(mine[i]->policy, [&](auto& value) { put_number(out, value); });
    put_numbers(out, mine[i]->prediction_losses);
    put_number(out, static_cast<int64_t>(mine[i]->loads.size()));
    for (const std::vector<int64_t>& load : mine[i]->loads) put_numbers(out, load);
  }
  return out;
}

// Reads what message_of() made of sums; false where that is not what the bytes are.
class SumsReader {
 public:
  explicit SumsReader(std::string_view text) : cursor_(as_bytes(text)) {}

  bool is_done() const { return cursor_.remaining() == 0; }
  template <typename T>
  bool read(T& value) {
    const auto found = cursor_.read<T>();
    if (found) value = *found;
    return found.has_value();
  }
  template <typename T>
  bool read_list(std::vector<T>& values) {
    int64_t n = 0;
    if (!read(n) || n < 0 || n > cursor_.remaining() / static_cast<int64_t>(sizeof(T))) return false;
    values.resize(static_cast<size_t>(n));
    for (T& value : values) {
      if (!read(value)) return false;
    }
    return true;
  }
  bool read_sums(MicroSums& sums) {
    int64_t n_layers = 0;
    if (!read(sums.loss) || !read(sums.balance)) return false;
    bool is_there = true;
    for_each_number(sums.policy, [&](auto& value) { is_there = is_there && read(value); });
    if (!is_there) return false;
    if (!read_list(sums.prediction_losses) || !read(n_layers)) return false;
    for (int64_t i = 0; i < n_layers; ++i) {
      if (!read_list(sums.loads.emplace_back())) return false;
    }
    return true;
  }
  std::string rest() { return std::string(*cursor_.take_text(static_cast<uint64_t>(cursor_.remaining()))); }

 private:
  ByteCursor cursor_;
};

Status read_message(const std::string& text, Sums& all) {
  const Error garbled{Code::kCorrupt, "its results are no results of this program; run the same naru everywhere"};
  SumsReader reader(text);
  int64_t failed = 0;
  if (!reader.read(failed)) return garbled;
  if (failed != 0) {
    int64_t code = 0;
    const auto last = static_cast<int64_t>(Code::kInternal);
    if (!reader.read(code) || code < 0 || code > last) return garbled;
    return Error{static_cast<Code>(code), reader.rest()};
  }
  while (!reader.is_done()) {
    int64_t index = 0;
    if (!reader.read(index) || index < 0 || index >= std::ssize(all)) return garbled;
    if (!reader.read_sums(all[static_cast<size_t>(index)].emplace())) return garbled;
  }
  return {};
}

// Whether both are of one model: as many depths, layers and experts.
bool is_alike(const MicroSums& a, const MicroSums& b) {
  return a.prediction_losses.size() == b.prediction_losses.size() &&
         std::equal(a.loads.begin(), a.loads.end(), b.loads.begin(), b.loads.end(),
                    [](const auto& x, const auto& y) { return x.size() == y.size(); });
}

}  // namespace

Result<std::vector<MicroSums>> gather_sums(Peers& peers, Sums mine, const Status& own) {
  if (peers.count() == 1) {
    NARU_TRY(own);
  } else {
    NARU_ASSIGN(const std::vector<std::string> messages, peers.gather(message_of(mine, own)));
    for (size_t rank = 0; rank < messages.size(); ++rank) {
      Status status = read_message(messages[rank], mine);
      if (status.ok()) continue;
      Error error = std::move(status).error();
      if (static_cast<int64_t>(rank) != peers.rank())
        error.message = fmt::format("process {}: {}", rank, error.message);
      return error;
    }
  }
  std::vector<MicroSums> all;
  for (size_t i = 0; i < mine.size(); ++i) {
    if (!mine[i]) {
      return Error{Code::kInternal, fmt::format("gathering the results of {} micro-batches: none computed number {}; "
                                                "run the same naru and the same recipe everywhere",
                                                mine.size(), i)};
    }
    all.push_back(std::move(*mine[i]));
    if (is_alike(all.front(), all.back())) continue;
    return Error{Code::kCorrupt, fmt::format("gathering the results of {} micro-batches: those of numbers 0 and {} are "
                                             "of different models; run the same naru and the same recipe everywhere",
                                             mine.size(), i)};
  }
  return all;
}

}  // namespace naru::train
