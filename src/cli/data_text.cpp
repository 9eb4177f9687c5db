#include "cli/data_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/double_math.h"
#include "base/shown_text.h"
#include "cli/open_model.h"
#include "cli/piece_lines.h"
#include "cli/read_as.h"
#include "cli/sheet.h"
#include "cli/table.h"

namespace naru::cli {
namespace {

constexpr int64_t kShownTokensMax = 400;  // of a document
constexpr size_t kShownNotes = 20;        // without --notes
constexpr int64_t kDocumentIndent = 2;

}  // namespace

data::SourceStatistics sum_of(const std::vector<data::SourceStatistics>& sources) {
  data::SourceStatistics sum;
  sum.name = "together";
  for (const data::SourceStatistics& s : sources) {
    sum.n_documents += s.n_documents;
    sum.n_tokens += s.n_tokens;
    sum.n_targets += s.n_targets;
    sum.n_rows += s.n_rows;
    sum.n_pieces += s.n_pieces;
    sum.n_cut += s.n_cut;
    sum.n_dropped += s.n_dropped;
    sum.share += s.share;
  }
  return sum;
}

// How much of its rows a source fills.
double fill_of(const data::SourceStatistics& s, int64_t context) {
  return static_cast<double>(s.n_tokens) / static_cast<double>(s.n_rows * context);
}

// The first documents of every source, as indices for BatchStream::document.
std::vector<int64_t> shown_documents(const data::BatchStream& stream, int64_t n_each) {
  std::vector<int64_t> indices;
  int64_t begin = 0;
  for (const data::SourceStatistics& s : stream.statistics()) {
    for (int64_t i = 0; i < std::min(n_each, s.n_documents); ++i) indices.push_back(begin + i);
    begin += s.n_documents;
  }
  return indices;
}

namespace {

std::string percent(double share) {
  return fmt::format("{:.1f}%", 100 * share);
}

std::string sources_table(const std::string& heading, const data::BatchStream& stream, int64_t context,
                          bool has_shares) {
  std::vector<data::SourceStatistics> sources = stream.statistics();
  if (sources.size() > 1) sources.push_back(sum_of(sources));
  std::vector<Table::Column> columns = {{heading, false, Style::kBold}};
  for (const char* head : {"documents", "tokens", "learnt", "rows", "filled"}) columns.push_back({head, true});
  if (has_shares) columns.push_back({"share", true});
  for (const char* head : {"pieces", "cut", "dropped"}) columns.push_back({head, true});
  Table table(std::move(columns));
  for (const data::SourceStatistics& s : sources) {
    std::vector<Table::Cell> cells = {one_line(s.name),     grouped(s.n_documents), grouped(s.n_tokens),
                                      grouped(s.n_targets), grouped(s.n_rows),      percent(fill_of(s, context))};
    if (has_shares) cells.emplace_back(percent(s.share));
    for (const int64_t n : {s.n_pieces, s.n_cut, s.n_dropped}) cells.emplace_back(grouped(n));
    table.row(std::move(cells));
  }
  return table.text(Stream::kOut);
}

std::string notes_text(std::string_view of, const data::BatchStream& stream, bool all) {
  if (stream.n_notes() == 0) return "";
  const auto& notes = stream.notes();
  const size_t n = all ? notes.size() : std::min(notes.size(), kShownNotes);
  std::string text =
      "\n" +
      styled(fmt::format("{} note{} on {}", grouped(stream.n_notes()), stream.n_notes() == 1 ? "" : "s", of),
             Style::kBold, Stream::kOut) +
      "\n";
  for (size_t i = 0; i < n; ++i) {
    const std::string note = fmt::format("{}  {}", one_line(notes[i].place), one_line(notes[i].reason));
    text += indented(note, 2, 6);
  }
  const int64_t n_left = stream.n_notes() - static_cast<int64_t>(n);
  if (n_left > 0) {
    text += fmt::format("  and {} more{}\n", grouped(n_left), all ? ", past what is kept" : "; --notes lists them");
  }
  return text;
}

// A document on the terminal: neighbouring tokens in two shades; what is learnt in two others. Without colours a bar
// between tokens, and brackets around what is learnt. A character made of several tokens shows with its last. Lines end
// between tokens.
std::string document_text(const data::Document& document, const text::Tokenizer& tokenizer) {
  const bool has_colours = !style_code(Style::kDim, Stream::kOut).empty();
  text::StreamDecoder decoder(tokenizer, false);
  PieceLines lines(kDocumentIndent, columns_of(Stream::kOut));
  const auto n_tokens = std::ssize(document.ids);
  const int64_t n_shown = std::min<int64_t>(n_tokens, kShownTokensMax);
  bool was_learnt = false, is_first = true, is_odd = false;
  for (int64_t i = 0; i < n_shown; ++i) {
    const bool is_learnt = document.loss[static_cast<size_t>(i)] == 1;
    std::string shown;
    for (const char c : without_controls(decoder.push(document.ids[static_cast<size_t>(i)]))) {
      shown += c == '\n' ? std::string("↵\n") : c == '\t' ? std::string("  ") : std::string(1, c);
    }
    if (has_colours) {
      lines.add(shown, is_learnt ? (is_odd ? Style::kCyan : Style::kGreen) : (is_odd ? Style::kDim : Style::kPlain));
    } else {
      if (was_learnt && !is_learnt) lines.add("⟧", Style::kPlain);
      const bool has_bar = was_learnt == is_learnt && !is_first && !shown.empty();
      lines.add((!was_learnt && is_learnt ? "⟦" : has_bar ? "|" : "") + shown, Style::kPlain);
    }
    was_learnt = is_learnt;
    is_first = false;
    is_odd = !is_odd;
  }
  lines.add(without_controls(decoder.finish()), Style::kPlain);
  if (!has_colours && was_learnt) lines.add("⟧", Style::kPlain);
  if (n_shown < n_tokens) {
    lines.add(fmt::format(" ... and {} tokens more", grouped(n_tokens - n_shown)), Style::kPlain);
  }
  return lines.str();
}

// What the documents are shown with.
std::string legend_text() {
  PieceLines lines(kDocumentIndent, columns_of(Stream::kOut));
  const auto words = [&lines](std::string_view text, Style style) {
    while (!text.empty()) {
      const size_t end = std::min(text.find(' '), text.size() - 1) + 1;
      lines.add(text.substr(0, end), style);
      text.remove_prefix(end);
    }
  };
  if (style_code(Style::kDim, Stream::kOut).empty()) {
    words("tokens between bars |, ⟦learnt⟧; ↵ a line break", Style::kPlain);
  } else {
    words("tokens in turn like this and ", Style::kPlain);
    words("like this", Style::kDim);
    words("; what is learnt ", Style::kPlain);
    words("like this ", Style::kGreen);
    words("and ", Style::kPlain);
    words("like this", Style::kCyan);
    words("; ↵ a line break", Style::kPlain);
  }
  return fmt::format("\n{}\n{:{}}{}\n", styled("Documents", Style::kBold, Stream::kOut), "", kDocumentIndent,
                     lines.str());
}

std::string documents_text(const RecipeData& data, int64_t n_each) {
  const std::vector<int64_t> indices = shown_documents(data.training, n_each);
  if (indices.empty()) return "";
  std::string text = legend_text();
  for (const int64_t index : indices) {
    const data::Document& document = data.training.document(index);
    const auto n_learnt = std::count(document.loss.begin(), document.loss.end(), uint8_t{1});
    text += "\n" +
            styled(fmt::format("{} ({} tokens, {} learnt)", one_line(data.training.place(document)),
                               grouped(std::ssize(document.ids)), grouped(n_learnt)),
                   Style::kBold, Stream::kOut) +
            "\n" + std::string(kDocumentIndent, ' ') + document_text(document, data.tokenizer) + "\n";
  }
  return text;
}

// As what each file was read: "read as Alpaca: a.jsonl, b.json".
std::string forms_text(const data::BatchStream& stream) {
  std::string text;
  for (const std::string& line : read_as(stream.files())) {
    text += indented(fmt::format("read as {}", one_line(line)), 0, 2);
  }
  return text;
}

std::string baseline_text(const data::NgramBaseline& b) {
  std::string text = indented(
      fmt::format(
          "5-gram baseline: {:.4f} nats a token, perplexity {:.3f}, over {} held-out targets ({} of training, {} "
          "n-grams)",
          b.nll, exp_double(b.nll), grouped(b.n_targets), grouped(b.n_events), grouped(b.n_nodes)),
      0, 2);
  if (b.documents_counted < b.documents) {
    text += indented(fmt::format("it counted {} of {} documents: more would have passed its limit of {} n-grams",
                                 grouped(b.documents_counted), grouped(b.documents), grouped(data::kNgramNodesMax)),
                     2, 2);
  }
  return text;
}

}  // namespace

std::string data_text(const DataOptions& options, const RecipeData& data) {
  const recipes::BatchRecipe& batch = data.recipe.batch;
  std::string text =
      indented(fmt::format("{}: {}, {} rows of {} tokens a step, {} in a micro-batch, seed {}",
                           one_line(short_name(options.recipe_path)), recipes::run_kind_name(data.recipe.kind),
                           grouped(batch.rows), grouped(batch.context), grouped(batch.micro_rows), data.recipe.seed),
               0, 2);
  text += "\n" + sources_table("Training", data.training, batch.context, true);
  const int64_t steps = data.training.steps_per_epoch();
  text +=
      indented(fmt::format("{} step{} {}; data {}", grouped(steps), steps == 1 ? "" : "s",
                           data.training.statistics().size() > 1 ? "until the first source was seen whole" : "an epoch",
                           data.training.sha256().substr(0, 16)),
               0, 2);
  text += forms_text(data.training);
  if (data.validation) {
    text += "\n" + sources_table("Validation", *data.validation, batch.context, false) + forms_text(*data.validation);
  }
  if (data.baseline) text += "\n" + baseline_text(*data.baseline);
  text += notes_text("training data", data.training, options.all_notes);
  if (data.validation) text += notes_text("validation data", *data.validation, options.all_notes);
  return text + documents_text(data, options.documents);
}

}  // namespace naru::cli
