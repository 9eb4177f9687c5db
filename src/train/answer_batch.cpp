#include "train/answer_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace naru::train {
namespace {

using Json = nlohmann::json;

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
  }
  micro.documents.push_back({begin, n});
}

Error corrupt(std::string_view what) {
  return {Code::kCorrupt, fmt::format("reading the rollout that a checkpoint keeps: {}; start from another checkpoint: "
                                      "move this one away",
                                      what)};
}

bool is_whole(const data::MicroBatch& micro) {
  const auto n = std::ssize(micro.ids);
  const auto is_row = [&](const auto& values) { return std::ssize(values) == n; };
  if (n == 0 || !is_row(micro.positions) || !is_row(micro.targets) || !is_row(micro.weights)) return false;
  if (micro.signals.size() != kPolicySignals || !std::all_of(micro.signals.begin(), micro.signals.end(), is_row)) {
    return false;
  }
  int64_t at = 0;
  for (const data::DocumentRows& document : micro.documents) {
    if (document.row_begin != at || document.n_rows <= 0 || document.n_rows > n - at) return false;
    at += document.n_rows;
  }
  return at == n;
}

Json to_json(const data::StepBatch& batch) {
  Json micros = Json::array();
  for (const data::MicroBatch& micro : batch.micro_batches) {
    Json lengths = Json::array();
    for (const data::DocumentRows& document : micro.documents) lengths.push_back(document.n_rows);
    micros.push_back({{"ids", micro.ids},
                      {"targets", micro.targets},
                      {"weights", micro.weights},
                      {"signals", micro.signals},
                      {"lengths", lengths}});
  }
  return {{"micro_batches", micros}, {"divisor", batch.divisor}};
}

data::StepBatch batch_of(const Json& json) {
  data::StepBatch batch;
  json.at("divisor").get_to(batch.divisor);
  for (const Json& one : json.at("micro_batches")) {
    data::MicroBatch& micro = batch.micro_batches.emplace_back();
    one.at("ids").get_to(micro.ids);
    one.at("targets").get_to(micro.targets);
    one.at("weights").get_to(micro.weights);
    one.at("signals").get_to(micro.signals);
    int64_t at = 0;
    for (const Json& length : one.at("lengths")) {
      const auto n = length.get<int64_t>();
      micro.documents.push_back({at, n});
      for (int64_t i = 0; i < n && std::ssize(micro.positions) < std::ssize(micro.ids); ++i) {
        micro.positions.push_back(static_cast<int32_t>(i));
      }
      at += n;
    }
    batch.n_tokens += std::ssize(micro.ids);
  }
  return batch;
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
  Json json{{"rollout", index}, {"batches", Json::array()}};
  for (const data::StepBatch& batch : batches) json["batches"].push_back(to_json(batch));
  const std::vector<uint8_t> bytes = Json::to_cbor(json);
  return {bytes.begin(), bytes.end()};
}

Result<KeptBatches> batches_from_bytes(std::string_view bytes) {
  KeptBatches kept;
  try {  // the library's own way to say that bytes are no CBOR, or that a member is missing or of another type
    const Json json = Json::from_cbor(bytes.begin(), bytes.end());
    json.at("rollout").get_to(kept.index);
    for (const Json& one : json.at("batches")) kept.batches.push_back(batch_of(one));
  } catch (const Json::exception& e) {
    return corrupt(e.what());
  }
  for (const data::StepBatch& batch : kept.batches) {
    if (!std::isfinite(batch.divisor) || batch.divisor <= 0) return corrupt("a divisor is no number above 0");
    for (const data::MicroBatch& micro : batch.micro_batches) {
      if (!is_whole(micro)) return corrupt("rows of a micro-batch do not fit together");
    }
  }
  return kept;
}

}  // namespace naru::train
