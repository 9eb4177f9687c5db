#include "train/answer_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/bytes.h"

namespace naru::train {
namespace {

void add_answer(data::MicroBatch& micro, const JudgedAnswer& judged, float weight, bool is_on_policy) {
  const SampledAnswer& answer = judged.answer;
  const auto begin = std::ssize(micro.ids);
  const auto n_prompt = std::ssize(answer.prompt), n = n_prompt + std::ssize(answer.ids);
  micro.signals.resize(kPolicySignals);
  const auto id_at = [&](int64_t i) {
    return i < n_prompt ? answer.prompt[static_cast<size_t>(i)] : answer.ids[static_cast<size_t>(i - n_prompt)];
  };
  for (int64_t i = 0; i < n; ++i) {
    const bool is_target = i + 1 >= n_prompt && i + 1 < n;
    micro.ids.push_back(id_at(i));
    micro.positions.push_back(static_cast<int32_t>(i));
    micro.targets.push_back(i + 1 < n ? id_at(i + 1) : 0);
    micro.weights.push_back(is_target ? weight : 0.0f);
    micro.signals[kAdvantage].push_back(is_target ? static_cast<float>(judged.advantage) : 0.0f);
    micro.signals[kOldLogProb].push_back(is_target ? answer.log_probs[static_cast<size_t>(i + 1 - n_prompt)] : 0.0f);
    micro.signals[kOnPolicy].push_back(is_target && is_on_policy ? 1.0f : 0.0f);
    if (answer.kept.rows() == 0) continue;
    if (is_target) {
      micro.kept.add_row_of(answer.kept, static_cast<size_t>(i + 1 - n_prompt));
    } else {
      micro.kept.add_none();
    }
  }
  micro.documents.push_back({begin, n});
}

Error corrupt(std::string_view what) {
  return {Code::kCorrupt, fmt::format("reading the rollout that a checkpoint keeps: {}; start from another checkpoint: "
                                      "move this one away",
                                      what)};
}

// Little-endian numbers one behind the other.
template <typename T>
void put(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
}
template <typename T>
void put_all(std::string& bytes, const std::vector<T>& values) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

template <typename T>
bool take_all(ByteCursor& bytes, int64_t n, std::vector<T>& values) {
  const auto taken = bytes.take(static_cast<uint64_t>(n) * sizeof(T));  // n is a uint32
  if (!taken) return false;
  values.resize(static_cast<size_t>(n));
  if (n > 0) std::memcpy(values.data(), taken->data(), taken->size());
  return true;
}

bool are_ids(const std::vector<int32_t>& ids, int64_t vocab) {
  return std::all_of(ids.begin(), ids.end(), [&](int32_t id) { return id >= 0 && id < vocab; });
}

// Documents of the lengths, which fill the rows; positions count in each.
bool take_documents(const std::vector<int32_t>& lengths, data::MicroBatch& micro) {
  const auto n = std::ssize(micro.ids);
  int64_t at = 0;
  for (const int32_t length : lengths) {
    if (length <= 0 || length > n - at) return false;
    micro.documents.push_back({at, length});
    for (int32_t i = 0; i < length; ++i) micro.positions.push_back(i);
    at += length;
  }
  return at == n && n > 0;
}

void put_micro_batch(std::string& bytes, const data::MicroBatch& micro) {
  put(bytes, static_cast<uint32_t>(micro.ids.size()));
  put(bytes, static_cast<uint32_t>(micro.documents.size()));
  for (const data::DocumentRows& document : micro.documents) put(bytes, static_cast<int32_t>(document.n_rows));
  put_all(bytes, micro.ids);
  put_all(bytes, micro.targets);
  put_all(bytes, micro.weights);
  for (const std::vector<float>& signal : micro.signals) put_all(bytes, signal);
  if (micro.kept.rows() == 0) return;
  put(bytes, static_cast<uint32_t>(micro.kept.words().size()));
  put_all(bytes, micro.kept.ends());
  put_all(bytes, micro.kept.words());
}

// Of rows that count, the target is one of those that were kept.
bool take_kept(ByteCursor& bytes, int64_t vocab, data::MicroBatch& micro) {
  const auto n_words = bytes.read<uint32_t>();
  std::vector<uint32_t> ends, words;
  if (!n_words || !take_all(bytes, std::ssize(micro.ids), ends) || !take_all(bytes, *n_words, words)) return false;
  auto sets = data::TokenSets::from_words(std::move(words), std::move(ends), vocab);
  if (!sets) return false;
  micro.kept = *std::move(sets);
  for (size_t i = 0; i < micro.ids.size(); ++i) {
    if (micro.weights[i] == 0 || !micro.kept.has(i)) continue;
    const std::vector<int32_t> ids = micro.kept.ids(i, vocab);
    if (!std::binary_search(ids.begin(), ids.end(), micro.targets[i])) return false;
  }
  return true;
}

bool take_micro_batch(ByteCursor& bytes, int64_t vocab, const BatchForm& form, data::MicroBatch& micro) {
  const auto rows = bytes.read<uint32_t>(), documents = bytes.read<uint32_t>();
  std::vector<int32_t> lengths;
  if (!rows || !documents || !take_all(bytes, *documents, lengths)) return false;
  if (!take_all(bytes, *rows, micro.ids) || !take_all(bytes, *rows, micro.targets)) return false;
  if (!take_all(bytes, *rows, micro.weights)) return false;
  micro.signals.resize(form.n_signals);
  for (std::vector<float>& signal : micro.signals) {
    if (!take_all(bytes, *rows, signal)) return false;
  }
  if (!are_ids(micro.ids, vocab) || !are_ids(micro.targets, vocab) || !take_documents(lengths, micro)) return false;
  return !form.keeps_tokens || take_kept(bytes, vocab, micro);
}

}  // namespace

data::StepBatch answer_batch(const std::vector<JudgedAnswer>& answers, Averaging averaging, int64_t tokens_max,
                             int64_t rows_max, bool is_on_policy) {
  std::vector<const JudgedAnswer*> kept;
  std::vector<int64_t> lengths;
  for (const JudgedAnswer& judged : answers) {
    if (judged.answer.ids.empty()) continue;
    kept.push_back(&judged);
    lengths.push_back(std::ssize(judged.answer.ids));
  }
  data::StepBatch batch;
  const AnswerWeights weights = answer_weights(averaging, lengths, tokens_max);
  batch.divisor = weights.divisor;
  for (size_t i = 0; i < kept.size(); ++i) {
    const int64_t n = std::ssize(kept[i]->answer.prompt) + lengths[i];
    if (batch.micro_batches.empty() || std::ssize(batch.micro_batches.back().ids) + n > rows_max) {
      batch.micro_batches.emplace_back();
    }
    add_answer(batch.micro_batches.back(), *kept[i], weights.of_token[i], is_on_policy);
    batch.n_tokens += n;
  }
  return batch;
}

std::string batches_to_bytes(int64_t index, const std::vector<data::StepBatch>& batches) {
  std::string bytes;
  put(bytes, index);
  put(bytes, static_cast<uint32_t>(batches.size()));
  for (const data::StepBatch& batch : batches) {
    put(bytes, batch.divisor);
    put(bytes, static_cast<uint32_t>(batch.micro_batches.size()));
    for (const data::MicroBatch& micro : batch.micro_batches) put_micro_batch(bytes, micro);
  }
  return bytes;
}

Result<KeptBatches> batches_from_bytes(std::string_view text, int64_t vocab, const BatchForm& form) {
  ByteCursor bytes(as_bytes(text));
  KeptBatches kept;
  const auto index = bytes.read<int64_t>();
  const auto n_batches = bytes.read<uint32_t>();
  if (!index || !n_batches || *index < 0) return corrupt("its head is cut off");
  kept.index = *index;
  for (uint32_t b = 0; b < *n_batches; ++b) {
    data::StepBatch& batch = kept.batches.emplace_back();
    const auto divisor = bytes.read<double>();
    const auto n_micro_batches = bytes.read<uint32_t>();
    if (!divisor || !n_micro_batches || *n_micro_batches == 0) return corrupt(fmt::format("update {} is cut off", b));
    if (!std::isfinite(*divisor) || *divisor <= 0) return corrupt("a divisor is no number above 0");
    batch.divisor = *divisor;
    for (uint32_t m = 0; m < *n_micro_batches; ++m) {
      if (!take_micro_batch(bytes, vocab, form, batch.micro_batches.emplace_back())) {
        return corrupt(fmt::format("rows of micro-batch {} of update {} do not fit together", m, b));
      }
      batch.n_tokens += std::ssize(batch.micro_batches.back().ids);
    }
  }
  if (bytes.remaining() > 0) return corrupt(fmt::format("{} bytes follow its end", bytes.remaining()));
  return kept;
}

}  // namespace naru::train
