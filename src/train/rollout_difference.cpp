#include "train/rollout_difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "check/recording_chip.h"
#include "contract/op_table.h"
#include "engine/sampler.h"
#include "train/drawn_rows.h"

namespace naru::train {
namespace {

using check::RecordingChip;

constexpr std::string_view kWhole = "what the run has written is whole";

// The token at fault: row `row` of the micro-batch predicts it, at `position` of its document.
struct Place {
  size_t document = 0;
  int64_t row = 0, position = 0;
};

Place place_of(const data::MicroBatch& batch, int64_t row) {
  for (size_t d = 0; d < batch.documents.size(); ++d) {
    const data::DocumentRows& document = batch.documents[d];
    if (row >= document.row_begin && row < document.row_begin + document.n_rows) {
      return {d, row, row - document.row_begin};
    }
  }
  NARU_CHECK(false, "a row of no document", row);
  return {};
}

// Tokens of the prompt: the last of them is the first that predicts one of the answer.
int64_t prompt_length(const data::MicroBatch& batch, const data::DocumentRows& document) {
  int64_t n = 0;
  while (n + 1 < document.n_rows && batch.weights[static_cast<size_t>(document.row_begin + n)] == 0) ++n;
  return n + 1;
}

// One answer on its way through the engine.
struct Replay {
  std::unique_ptr<engine::Session> session;
  std::span<const int32_t> ids;  // of the whole document
  int64_t n_prompt = 0;

  // What is fed next; nothing where only the last token is left, which no rollout feeds.
  std::span<const int32_t> next() const {
    const int64_t done = session->length(), left = std::ssize(ids) - 1 - done;
    const int64_t n = done == 0 ? n_prompt : 1;
    return ids.subspan(static_cast<size_t>(done), static_cast<size_t>(std::clamp<int64_t>(left, 0, n)));
  }
};

// Documents of the micro-batch as a rollout computes them, together, until the token at fault; its log-probability by
// the sampler.
class Server {
 public:
  Server(const TrainableModel& model, const Rollout::Size& size, const data::MicroBatch& batch, float temperature,
         const Place& place)
      : model_(model), size_(size), batch_(batch), temperature_(temperature), place_(place) {}

  // The documents that an engine of this size runs together with that at fault; that alone.
  std::vector<size_t> together() const {
    const auto width = static_cast<size_t>(size_.sessions);
    std::vector<size_t> documents;
    for (size_t d = place_.document / width * width; d < batch_.documents.size() && documents.size() < width; ++d) {
      documents.push_back(d);
    }
    return documents;
  }
  std::vector<size_t> alone() const { return {place_.document}; }

  Result<float> log_prob(const std::vector<size_t>& documents, contract::Chip& through) const {
    NARU_ASSIGN(models::HeldModel held, model_.held());
    engine::BorrowOptions options;
    options.memory.context_tokens = size_.context_tokens;
    options.memory.sessions_max = size_.sessions;
    options.memory.memory_bytes = INT64_MAX;  // as much as the run's own engine had
    options.share_prefixes = false;           // so that every sequence computes its prompt
    NARU_ASSIGN(const auto engine, engine::Engine::open({.model = std::move(held)}, options, through));
    std::vector<Replay> replays;
    for (const size_t d : documents) {
      const data::DocumentRows& document = batch_.documents[d];
      const std::span<const int32_t> all(batch_.ids);
      replays.push_back({engine->new_session(),
                         all.subspan(static_cast<size_t>(document.row_begin), static_cast<size_t>(document.n_rows)),
                         prompt_length(batch_, document)});
    }
    const auto at_fault =
        static_cast<size_t>(std::find(documents.begin(), documents.end(), place_.document) - documents.begin());
    return feed(*engine, replays, at_fault);
  }

 private:
  Result<float> feed(engine::Engine& engine, std::vector<Replay>& replays, size_t at_fault) const {
    while (true) {
      std::vector<engine::Feed> feeds;
      size_t of_fault = 0;
      for (size_t i = 0; i < replays.size(); ++i) {
        if (i == at_fault) of_fault = feeds.size();
        if (!replays[i].next().empty())
          feeds.push_back({.session = replays[i].session.get(), .ids = replays[i].next()});
      }
      NARU_CHECK(of_fault < feeds.size(), of_fault, feeds.size());
      const std::vector<engine::FeedOutput> outputs = engine.step(feeds);
      for (const engine::FeedOutput& output : outputs) NARU_TRY(output.status);
      if (replays[at_fault].session->length() <= place_.position) continue;
      const auto row = static_cast<size_t>(place_.row);
      const std::span<const float> logits = outputs[of_fault].logits.row(0);
      const bool is_plain = temperature_ == 1.0f && batch_.kept.rows() == 0;
      if (is_plain) return engine::LogProbs(logits).of(batch_.targets[row]);
      return DrawnRows(model_.chip(), batch_, temperature_).log_prob(row, logits);
    }
  }

  const TrainableModel& model_;
  const Rollout::Size& size_;
  const data::MicroBatch& batch_;
  float temperature_;
  const Place& place_;
};

// Both ways once more.
struct Again {
  check::Recording trained, served;
  std::optional<check::OutputValues> trained_value, served_value;  // of the spot
  float trained_log_prob = 0, served_log_prob = 0;
};

class Comparer {
 public:
  Comparer(TrainableModel& model, const Rollout::Size& size, const data::MicroBatch& batch, const LogProbLoss& loss,
           const Place& place)
      : model_(model),
        server_(model, size, batch, static_cast<float>(loss.temperature()), place),
        batch_(batch),
        loss_(loss),
        place_(place) {}

  Result<std::string> found() const {
    std::vector<size_t> documents = server_.together();
    NARU_ASSIGN(Again again, compute(documents, std::nullopt));
    check::RecordingComparison compared = check::compare_recordings(again.served, again.trained);
    if (!compared.first && documents.size() > 1) {  // how many rows run together may be what matters
      documents = server_.alone();
      NARU_ASSIGN(again, compute(documents, std::nullopt));
      compared = check::compare_recordings(again.served, again.trained);
    }
    if (!compared.first) return without_difference(again, compared.n_alike);
    NARU_ASSIGN(const Again once_more, compute(documents, compared.first));
    return at(*compared.first, once_more);
  }

 private:
  Result<Again> compute(const std::vector<size_t>& documents, const std::optional<check::Spot>& spot) const {
    Again again;
    const auto sequence = static_cast<int64_t>(place_.document);
    const int64_t n_tokens = place_.position + 1;
    RecordingChip trained(model_.chip(), {.sequence = sequence, .n_tokens = n_tokens, .spot = spot});
    NARU_ASSIGN(const std::vector<float> log_probs, model_.log_probs(batch_, loss_, trained));
    again.trained_log_prob = log_probs[static_cast<size_t>(place_.row)];
    again.trained = trained.recording();
    again.trained_value = trained.values();
    const auto number = std::find(documents.begin(), documents.end(), place_.document) - documents.begin();
    RecordingChip served(model_.chip(), {.sequence = number, .n_tokens = n_tokens, .spot = spot});
    NARU_ASSIGN(again.served_log_prob, server_.log_prob(documents, served));
    again.served = served.recording();
    again.served_value = served.values();
    return again;
  }

  std::string at(const check::Spot& spot, const Again& again) const {
    std::string text = fmt::format("computed again, the first value that differs is of {}", place_text(spot.place));
    if (again.served_value) {
      const check::OutputValues& value = *again.served_value;
      const std::string weight = model_.name_of(value.weight);
      if (!weight.empty()) text += fmt::format(" ({})", weight);
      text += fmt::format(": its '{}' [{}, {}] of the token at position {}", value.name, value.rows, value.cols,
                          spot.position);
    }
    const bool has_both = again.served_value && again.trained_value;
    const auto element = has_both ? check::first_element(*again.served_value, *again.trained_value) : std::nullopt;
    if (!element) {
      return text + fmt::format(
                        ", which was alike when it was computed once more: the fault comes and goes, and memory "
                        "or processor of this machine are not to be trusted; {}, go on from it on another one",
                        kWhole);
    }
    const auto [row, col] = *element;
    return text + fmt::format(
                      ", row {}, column {}, is {} as rollouts compute it and {} as training does; chip {} is not "
                      "exact there{}: {}, `naru train` with --chip reference goes on from it; report "
                      "this line",
                      row, col, element_text(*again.served_value, row, col),
                      element_text(*again.trained_value, row, col), model_.chip().info().name,
                      reads_cache(spot.place) ? ", or in the rows of the cache that it reads" : "", kWhole);
  }

  static bool reads_cache(const check::OutputPlace& place) {
    return contract::op_name(place.op) == contract::Attention::kName;
  }

  std::string without_difference(const Again& again, int64_t n_alike) const {
    const float said = batch_.signals[kOldLogProb][static_cast<size_t>(place_.row)];
    const auto bits = [](float x) { return std::bit_cast<uint32_t>(x); };
    std::string text =
        fmt::format("computed again, all {} values of ops up to that token are alike both ways", n_alike);
    if (bits(again.trained_log_prob) != bits(again.served_log_prob)) {
      return text + fmt::format(
                        ", and the log-probability that is made of them is {} ({:08x}) by the sampler and {} "
                        "({:08x}) by {} of chip {}, which is not exact there: {}, `naru train` with --chip "
                        "reference goes on from it; report this line",
                        again.served_log_prob, bits(again.served_log_prob), again.trained_log_prob,
                        bits(again.trained_log_prob), contract::LogProb::kName, model_.chip().info().name, kWhole);
    }
    const bool is_rollouts = bits(again.served_log_prob) == bits(said);
    return text + fmt::format(
                      ", and its log-probability is {} ({:08x}), {}: the difference was transient, a fault of "
                      "this machine's memory or processor in that moment; {}, the same command goes on from it; "
                      "where it happens again, test the memory or take another machine, and where it does not with "
                      "grpo.share_prompts=false, report this line",
                      again.served_log_prob, bits(again.served_log_prob),
                      is_rollouts ? "what the rollout said" : "not what the rollout said", kWhole);
  }

  TrainableModel& model_;
  Server server_;
  const data::MicroBatch& batch_;
  const LogProbLoss& loss_;
  const Place& place_;
};

}  // namespace

Error explain_difference(Error error, TrainableModel& model, const Rollout::Size& size, const data::MicroBatch& batch,
                         const LogProbLoss& loss) {
  NARU_CHECK(!error.failed.rows.empty());
  const Place place = place_of(batch, error.failed.rows.front());
  const auto found = Comparer(model, size, batch, loss, place).found();
  error.message += "; ";
  error.message += found.ok() ? *found
                              : fmt::format(
                                    "which op differs could not be found out: {}; {}, `naru train` with --chip "
                                    "reference goes on from it",
                                    found.error().message, kWhole);
  return error;
}

}  // namespace naru::train
