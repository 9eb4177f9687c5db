#include "train/gradient_sum.h"

#include <algorithm>
#include <bit>

namespace naru::train {
namespace {

int64_t group_begin(int64_t group, int64_t n, int64_t groups) {
  return n * std::min(group, groups) / groups;
}

}  // namespace

Result<GradientSum::Copy> GradientSum::take() {
  if (!free_.empty()) {
    Copy copy = std::move(free_.back());
    free_.pop_back();
    return copy;
  }
  NARU_ASSIGN(GradientBuffer made, model_->make_gradients());
  return std::make_unique<GradientBuffer>(std::move(made));
}

Result<GradientSum::Copy> GradientSum::sum(int64_t begin, int64_t size, int64_t n, int64_t groups,
                                           const Accumulate& accumulate) {
  if (begin >= groups) return Copy{};
  if (size == 1) {
    const int64_t first = group_begin(begin, n, groups), end = group_begin(begin + 1, n, groups);
    if (first == end) return Copy{};
    NARU_ASSIGN(Copy copy, take());
    NARU_TRY(model_->chip().run(contract::Fill{.out = copy->all(), .value = 0}));
    for (int64_t i = first; i < end; ++i) NARU_TRY(accumulate(i, *copy));
    return copy;
  }
  NARU_ASSIGN(Copy left, sum(begin, size / 2, n, groups, accumulate));
  NARU_ASSIGN(Copy right, sum(begin + size / 2, size / 2, n, groups, accumulate));
  if (left == nullptr || right == nullptr) return left == nullptr ? std::move(right) : std::move(left);
  NARU_TRY(model_->chip().run(contract::Add{.a = left->all(), .b = right->all(), .out = left->all()}));
  free_.push_back(std::move(right));
  return left;
}

Result<GradientSum::Copy> GradientSum::join(Copy mine, std::vector<int64_t> owners) {
  contract::Chip& chip = model_->chip();
  const int64_t rank = peers_->rank();
  for (size_t width = 1; width < owners.size(); width *= 2) {
    for (size_t part = 0; part < owners.size(); part += 2 * width) {
      const int64_t left = owners[part], right = owners[part + width];
      if (left == -1) owners[part] = right;
      if (left == -1 || right == -1) continue;
      if (rank == right) NARU_TRY(peers_->send(left, chip, mine->all()));
      if (rank != left) continue;
      NARU_ASSIGN(Copy other, take());
      NARU_TRY(peers_->receive(right, chip, other->all()));
      NARU_TRY(chip.run(contract::Add{.a = mine->all(), .b = other->all(), .out = mine->all()}));
      free_.push_back(std::move(other));
    }
  }
  const int64_t owner = owners[0];
  if (rank != owner) {
    if (mine == nullptr) {
      NARU_ASSIGN(mine, take());
    }
    NARU_TRY(peers_->receive(owner, chip, mine->all()));
    return mine;
  }
  for (int64_t to = 0; to < peers_->count(); ++to) {
    if (to != owner) NARU_TRY(peers_->send(to, chip, mine->all()));
  }
  return mine;
}

Result<const ParameterBuffer*> GradientSum::run(int64_t n_micro_batches, int64_t groups, const Accumulate& accumulate,
                                                const Settle& settle) {
  NARU_CHECK(n_micro_batches > 0 && groups > 0, n_micro_batches, groups);
  if (result_ != nullptr) free_.push_back(std::move(result_));
  const auto size = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(groups)));
  const auto parts = std::min(size, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(peers_->count()))));
  const int64_t part_size = size / parts, rank = peers_->rank();
  Result<Copy> mine = Copy();
  if (rank < parts) mine = sum(rank * part_size, part_size, n_micro_batches, groups, accumulate);
  NARU_TRY(settle(mine.ok() ? Status() : Status(mine.error())));
  result_ = std::move(mine).value();
  if (parts > 1 || peers_->count() > 1) {
    std::vector<int64_t> owners;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t begin = group_begin(part * part_size, n_micro_batches, groups);
      owners.push_back(begin < group_begin((part + 1) * part_size, n_micro_batches, groups) ? part : -1);
    }
    NARU_ASSIGN(result_, join(std::move(result_), std::move(owners)));
  }
  return static_cast<const ParameterBuffer*>(result_.get());
}

int64_t GradientSum::copies(int64_t n_micro_batches, int64_t groups) {
  const int64_t leaves = std::min(n_micro_batches, groups);
  return leaves <= 1 ? 1 : static_cast<int64_t>(std::bit_width(static_cast<uint64_t>(leaves - 1))) + 1;
}

}  // namespace naru::train
