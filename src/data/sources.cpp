#include "data/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "data/conversation.h"
#include "data/limits.h"
#include "data/source_walk.h"

namespace naru::data {
namespace {

class SourceReader final : public SourceEvents {
 public:
  SourceReader(const recipes::SourceRecipe& source, int32_t index, SourceContext& context, SourceStatistics& statistics)
      : source_(source), index_(index), context_(context), statistics_(statistics) {}

  Result<std::vector<Document>> read() {
    recipes::SourceRecipe walked = source_;
    const int64_t generated_max = context_.options.generated_max;
    const int64_t n_wanted = source_.generator.empty() ? 0 : documents_of_generator(source_, context_.split);
    if (generated_max > 0 && n_wanted > generated_max) walked.documents = generated_max;
    NARU_TRY(walk_source(walked, context_.recipe_folder, context_.recipe.seed, context_.split, *this));
    if (walked.documents != source_.documents) {
      const double n_times = static_cast<double>(n_wanted) / static_cast<double>(generated_max);
      context_.n_tokens_left_out += static_cast<int64_t>((n_times - 1) * static_cast<double>(statistics_.n_tokens));
    }
    tell_shared_notes();
    if (documents_.empty() && n_unanswered_ > 0 && n_unanswered_ == statistics_.n_dropped) {
      return Error{
          Code::kInvalidArgument,
          fmt::format("reading {}: no document is left of it: none of its {} conversations has a message of "
                      "role assistant to learn (of weight 1), and that is all that kind = \"sft\" learns; give "
                      "answers, or set kind = \"pretrain\" to learn whole conversations",
                      statistics_.name, n_unanswered_)};
    }
    if (documents_.empty()) {
      return Error{Code::kInvalidArgument,
                   fmt::format("reading {}: no document is left of it{}; give text that the context of {} tokens holds",
                               statistics_.name, statistics_.n_dropped > 0 ? ", all were dropped" : "",
                               context_.recipe.batch.context)};
    }
    return std::move(documents_);
  }

  Status on_file(const std::string& name) override;
  void on_file_end(int64_t bytes, std::string sha256) override {
    context_.contents.push_back({context_.files.back().name, bytes, std::move(sha256), form_text()});
  }
  Status on_form(LineForm form, bool is_array, std::string_view place) override;
  Status on_sample(const Sample& sample, std::string_view place, int64_t line) override;
  Status on_text(std::string_view block) override;
  Status on_text_end(std::string_view place) override;
  Status on_problem(const Problem& problem, std::string_view place, int64_t index) override;

 private:
  // "plain text", "messages with tools", "Alpaca in an array"
  std::string form_text() const {
    if (!form_) return "plain text";
    return fmt::format("{}{}{}", form_name(*form_), has_tools_ ? " with tools" : "",
                       context_.files.back().is_array ? " in an array" : "");
  }
  Status check_stop() const {
    const StreamOptions& o = context_.options;
    if (o.progress) o.progress(context_.n_documents, context_.n_documents_wanted);
    if (!o.should_stop || !o.should_stop()) return {};
    return Error{Code::kCancelled, fmt::format("reading {}: stopped by you", statistics_.name)};
  }
  bool is_sft() const { return context_.recipe.kind == recipes::RunKind::kSft; }
  int64_t context() const { return context_.recipe.batch.context; }

  void on_note(std::string_view place, std::string reason) override {
    ++context_.n_notes;
    if (static_cast<int64_t>(context_.notes.size()) < kDataNotesMax) {
      context_.notes.push_back({std::string(place), std::move(reason)});
    }
  }
  void note_dropped(std::string_view place, std::string reason) {
    ++statistics_.n_dropped;
    on_note(place, std::move(reason));
  }

  // A reason that many lines share is told once, at the first of them, with how many there are.
  void note_shared(std::string_view place, const std::string& reason) {
    for (SharedNote& note : shared_notes_) {
      if (note.reason == reason) {
        ++note.n_lines;
        return;
      }
    }
    shared_notes_.push_back({reason, std::string(place), 1});
  }
  void tell_shared_notes() {
    for (const SharedNote& note : shared_notes_) {
      on_note(note.place, note.n_lines == 1
                              ? note.reason
                              : fmt::format("{} (so in {} conversations of this source)", note.reason, note.n_lines));
    }
  }

  // A document that lacks its source and index, of any length: cut, dropped or kept, as the recipe says.
  Status add(Document document, std::string_view place);
  Status keep(Document document, std::string_view place);
  Status check_room(int64_t n_tokens, std::string_view place) const;  // for so many more of one document

  const recipes::SourceRecipe& source_;
  int32_t index_;
  SourceContext& context_;
  SourceStatistics& statistics_;
  std::vector<Document> documents_;
  Document text_;  // of the text file that is being read
  struct SharedNote {
    std::string reason, place;
    int64_t n_lines = 0;
  };
  std::vector<SharedNote> shared_notes_;  // a handful: their reasons name no line
  std::optional<LineForm> form_;          // of the file; none of plain text
  bool has_tools_ = false;                // some of its conversations do
  int64_t n_unanswered_ = 0;              // conversations that have nothing to learn
  int64_t item_ = 0;                      // line or problem that the next documents are of
};

Status SourceReader::check_room(int64_t n_tokens, std::string_view place) const {
  if (context_.n_tokens + n_tokens <= kDataTokensMax && context_.n_documents < kDataDocumentsMax) return {};
  return Error{Code::kResourceExhausted,
               fmt::format("reading {}: the data has more than {} tokens or {} documents, the most that are kept in "
                           "memory; train on less at a time",
                           place, kDataTokensMax, kDataDocumentsMax)};
}

Status SourceReader::keep(Document document, std::string_view place) {
  const auto n_tokens = static_cast<int64_t>(document.ids.size());
  NARU_TRY(check_room(n_tokens, place));
  context_.n_tokens += n_tokens;
  ++context_.n_documents;
  document.source = index_;
  document.file = static_cast<int32_t>(context_.files.size()) - 1;
  document.index = item_;
  ++statistics_.n_documents;
  statistics_.n_tokens += n_tokens;
  statistics_.n_targets += std::count(document.loss.begin(), document.loss.end(), uint8_t{1});
  document.ids.shrink_to_fit();
  document.loss.shrink_to_fit();
  documents_.push_back(std::move(document));
  return {};
}

Status SourceReader::add(Document document, std::string_view place) {
  const auto n_tokens = static_cast<int64_t>(document.ids.size());
  const auto has_target = [](const Document& d) { return std::find(d.loss.begin(), d.loss.end(), 1) != d.loss.end(); };
  if (!has_target(document)) {
    note_dropped(place,
                 fmt::format("dropped: {} token{}, none of them to be learnt", n_tokens, n_tokens == 1 ? "" : "s"));
    return {};
  }
  if (n_tokens <= context()) return keep(std::move(document), place);
  if (context_.recipe.batch.overlong == "drop") {
    note_dropped(place, fmt::format("dropped: {} tokens, the context holds {}", n_tokens, context()));
    return {};
  }
  if (is_sft()) {
    document.ids.resize(static_cast<size_t>(context()));
    document.loss.resize(static_cast<size_t>(context()));
    if (!has_target(document)) {
      note_dropped(place,
                   fmt::format("dropped: {} tokens, the context holds {}, and nothing of what is to be learnt is "
                               "left in those",
                               n_tokens, context()));
      return {};
    }
    ++statistics_.n_cut;
    on_note(place, fmt::format("cut at the end: {} tokens, the context holds {}", n_tokens, context()));
    return keep(std::move(document), place);
  }
  on_note(place, fmt::format("cut into pieces: {} tokens, the context holds {}", n_tokens, context()));
  for (int64_t begin = 0; begin < n_tokens; begin += context()) {
    const int64_t end = std::min(n_tokens, begin + context());
    if (end - begin < 2) {
      on_note(place, "its last token left out: alone in the last piece, it has nothing to be learnt from");
      break;
    }
    Document piece;
    piece.ids.assign(document.ids.begin() + begin, document.ids.begin() + end);
    piece.loss.assign(document.loss.begin() + begin, document.loss.begin() + end);
    piece.loss[0] = 0;
    ++statistics_.n_pieces;
    NARU_TRY(keep(std::move(piece), place));
  }
  return {};
}

Status SourceReader::on_form(LineForm form, bool is_array, std::string_view place) {
  form_ = form;
  context_.files.back().is_array = is_array;
  if (!is_conversation(form) && is_sft()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it has \"text\", and the recipe's kind is sft, which wants conversations "
                             "(\"messages\", or another form of docs/data.md) to learn the assistant's turns of; set "
                             "kind = \"pretrain\" to learn all of a text",
                             place)};
  }
  if (is_conversation(form) && context_.chat_template == nullptr) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it is a conversation ({}), and the tokenizer has no chat template; name one "
                             "that has in model.tokenizer, or a template's file in model.chat_template",
                             place, form_name(form))};
  }
  context_.has_conversations |= is_conversation(form);
  return {};
}

Status SourceReader::on_sample(const Sample& sample, std::string_view place, int64_t index) {
  NARU_TRY(check_stop());
  item_ = index;
  if (!sample.note.empty()) note_shared(place, sample.note);
  if (!sample.is_chat) return add(text_document(sample.text, context_.tokenizer), place);
  has_tools_ |= sample.has_tools();
  if (!is_sft()) {
    NARU_ASSIGN(ConversationDocuments whole,
                whole_conversation(sample, *context_.chat_template, context_.tokenizer, place));
    for (const std::string& reason : whole.shared_notes) note_shared(place, reason);
    return add(std::move(whole.documents[0]), place);
  }
  NARU_ASSIGN(ConversationDocuments made,
              assistant_documents(sample, *context_.chat_template, context_.tokenizer, place));
  if (made.documents.empty()) {
    ++statistics_.n_dropped;
    ++n_unanswered_;
  }
  for (const std::string& reason : made.shared_notes) note_shared(place, reason);
  for (std::string& reason : made.notes) on_note(place, std::move(reason));
  for (Document& document : made.documents) NARU_TRY(add(std::move(document), place));
  return {};
}

Status SourceReader::on_file(const std::string& name) {
  context_.files.push_back({name});
  form_.reset();
  has_tools_ = false;
  text_ = {};
  text_.ids = context_.tokenizer.prefix_ids();
  return {};
}

Status SourceReader::on_text(std::string_view block) {
  NARU_TRY(check_stop());
  if (is_sft()) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading {}: it is plain text, and the recipe's kind is sft, which wants conversations in a "
                    ".jsonl file; set kind = \"pretrain\" to learn all of a text",
                    context_.files.back().name)};
  }
  append_content(block, context_.tokenizer, text_);
  return check_room(static_cast<int64_t>(text_.ids.size()), context_.files.back().name);
}

Status SourceReader::on_text_end(std::string_view place) {
  item_ = 1;
  finish_text(context_.tokenizer, text_);
  return add(std::move(text_), place);
}

Status SourceReader::on_problem(const Problem& problem, std::string_view place, int64_t index) {
  NARU_TRY(check_stop());
  if (is_sft()) {
    NARU_TRY(on_form(LineForm::kMessages, false, place));
    return on_sample(make_exchange(problem.prompt, problem.solution), place, index);
  }
  item_ = index;
  // Two parts, so that the ids of the beginning are those of the prompt when the model is asked.
  Document document;
  document.ids = context_.tokenizer.prefix_ids();
  append_content(problem.text_prompt, context_.tokenizer, document);
  append_content(" " + problem.solution, context_.tokenizer, document);
  finish_text(context_.tokenizer, document);
  return add(std::move(document), place);
}

}  // namespace

Result<std::vector<Document>> read_source(const recipes::SourceRecipe& source, int32_t index, SourceContext& context,
                                          SourceStatistics& statistics) {
  statistics.name = source_name(source);
  return SourceReader(source, index, context, statistics).read();
}

}  // namespace naru::data
