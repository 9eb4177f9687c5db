// ModelFacts: what the server knows of the model it serves, from when it is loaded until the server ends. Read by many
// threads, changed by none.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "text/forms/form.h"
#include "text/tool_support.h"

namespace naru::engine {
class FormVocabulary;
class JsonMasks;
class SharedForm;
}  // namespace naru::engine

namespace naru::server {

inline constexpr size_t kFormsKeptMax = 8;  // of one model; each is some tens of megabytes at most
inline constexpr size_t kFormsBytesMax = 256
                                         << 20;  // of one model's that are kept or that answers have, queued ones too

// What answers of a form need of a vocabulary. It is made when somebody first asks for it: every token is looked at.
class VocabularyMasks {
 public:
  // The tokenizer must outlive it. `end_ids`: ascending.
  VocabularyMasks(const text::Tokenizer& tokenizer, int64_t n_ids, std::vector<int32_t> end_ids,
                  size_t forms_bytes_max = kFormsBytesMax)
      : tokenizer_(tokenizer), n_ids_(n_ids), end_ids_(std::move(end_ids)), forms_bytes_max_(forms_bytes_max) {}
  std::shared_ptr<const engine::JsonMasks> json() const;
  // The form, compiled when it is first asked for; those asked for last are kept. `key`: the same for no two forms.
  // `calls`: the form of the calls in it. kUnavailable where the forms of answers that are not ended take so many bytes
  // that there is no room for another; else as text::compile.
  Result<std::shared_ptr<engine::SharedForm>> form(const std::string& key, const text::Form& form,
                                                   text::ToolCallForm calls) const;

 private:
  const text::Tokenizer& tokenizer_;
  int64_t n_ids_;
  std::vector<int32_t> end_ids_;
  size_t forms_bytes_max_;
  // Lets go of what is kept where there is no room.
  Status make_room(size_t bytes) const;
  mutable std::once_flag is_made_;
  mutable std::shared_ptr<const engine::JsonMasks> json_;
  mutable std::once_flag is_read_;
  mutable std::shared_ptr<const engine::FormVocabulary> vocabulary_;
  mutable std::mutex mutex_;                                                               // of what follows
  mutable std::deque<std::pair<std::string, std::shared_ptr<engine::SharedForm>>> forms_;  // that of last is last
  mutable std::vector<std::weak_ptr<engine::SharedForm>> living_;                          // all that may be in use
};

struct ModelFacts {
  std::string name;  // it is served by
  std::string numerics_id;
  std::string fingerprint;   // "fp_..." of name, shape, sizes and numerics
  std::string chip;          // what computes
  int64_t created = 0;       // seconds since 1970: when it was loaded
  std::string architecture;  // as GGUF files call it: "qwen3"
  std::string stored_kind;   // of most bytes of the files' tensors: "Q4_0"
  bool is_gguf = false;
  int64_t file_bytes = 0;  // of the tensors that are used
  int64_t n_parameters = 0;
  int64_t vocab = 0;
  int64_t context_tokens = 0;
  engine::SamplingOptions sampling;  // where a request says nothing
  bool is_sampling_advised = false;  // by the model's makers; else temperature 1 and nothing cut
  // Of the engine; their const methods may run on any thread.
  const text::Tokenizer* tokenizer = nullptr;
  std::vector<int32_t> end_ids;  // the tokens that end an answer, ascending; of the tokenizer's
  const text::ChatTemplate* chat_template = nullptr;
  Status template_status;                        // why there is none
  text::ToolSupport tools;                       // what the template makes of them
  std::shared_ptr<const VocabularyMasks> masks;  // null where there is no tokenizer
};

ModelFacts facts_of(const engine::Engine& engine, std::string name, std::string chip, int64_t created);

// Those that may be looked at when the model is unloaded: without what is the engine's, or refers to it.
ModelFacts lasting_facts(const ModelFacts& facts);

}  // namespace naru::server
