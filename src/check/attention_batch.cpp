#include "check/attention_batch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/float_bits.h"
#include "check/suite.h"
#include "contract/selected.h"

namespace naru::check {
namespace {

using contract::CacheStream;
using contract::CacheUse;
using contract::kCachePage;
using contract::SequenceRows;

// Some positions of every document, fed together.
struct Step {
  std::vector<SequenceRows> documents;  // rows count from the step's first
  int64_t n_rows = 0;
  bool attends = true;
};

struct Documents {
  std::vector<std::vector<int32_t>> pages;
  int64_t n_pages = 0;  // with some that no document has
  std::vector<Step> steps;
  int64_t n_rows = 0, n_attending = 0;
};

std::vector<int32_t> shuffled_pages(int64_t n, Filler filler) {
  std::vector<int32_t> pages(static_cast<size_t>(n));
  std::iota(pages.begin(), pages.end(), 0);
  for (size_t i = pages.size(); i > 1; --i) std::swap(pages[i - 1], pages[filler.bits() % i]);
  return pages;
}

int64_t pages_of(int64_t length) {
  return (length + kCachePage - 1) / kCachePage;
}

bool has_dimension(const Case& c, std::string_view name) {
  return std::any_of(c.dimensions.begin(), c.dimensions.end(), [&](const Dimension& d) { return d.name == name; });
}
int64_t chunk_of(const Case& c) {
  return has_dimension(c, "chunk") ? c.at("chunk") : 0;
}
// Of every document, how many of its last positions attend; all where 0.
std::vector<int64_t> last_of(const Case& c) {
  const std::vector<int64_t>& lengths = c.list("lengths");
  std::vector<int64_t> last = has_dimension(c, "last") ? c.list("last") : std::vector<int64_t>{0};
  if (last.size() == 1) last.assign(lengths.size(), last[0]);
  for (size_t d = 0; d < lengths.size(); ++d) last[d] = last[d] == 0 ? lengths[d] : std::min(last[d], lengths[d]);
  return last;
}

// Positions [begins[d], ends[d]) of every document d; the first one has the last rows.
Step make_step(const Documents& all, const std::vector<int64_t>& begins, const std::vector<int64_t>& ends) {
  Step step;
  for (size_t d = 0; d < begins.size(); ++d) step.n_rows += ends[d] - begins[d];
  int64_t row = step.n_rows;
  for (size_t d = 0; d < begins.size(); ++d) {
    const int64_t n = ends[d] - begins[d];
    row -= n;
    if (n > 0) step.documents.push_back({row, n, begins[d], all.pages[d].data()});
  }
  return step;
}

Documents make_documents(const Case& c, const Program& p) {
  const std::vector<int64_t>& lengths = c.list("lengths");
  Documents all;
  all.n_pages = 3;
  for (const int64_t n : lengths) all.n_pages += pages_of(n);
  std::vector<int32_t> free_pages = shuffled_pages(all.n_pages, p.filler(90));
  for (const int64_t n : lengths) {
    all.pages.emplace_back(free_pages.end() - pages_of(n), free_pages.end());
    free_pages.resize(free_pages.size() - static_cast<size_t>(pages_of(n)));
  }
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  std::vector<int64_t> begins(lengths.size(), 0), ends(lengths.size());
  const std::vector<int64_t> last = last_of(c);
  if (last != lengths) {
    for (size_t d = 0; d < lengths.size(); ++d) ends[d] = lengths[d] - last[d];
    all.steps.push_back(make_step(all, begins, ends));
    all.steps.back().attends = false;
    begins = ends;
  }
  const int64_t chunk = chunk_of(c) == 0 ? longest : chunk_of(c);
  while (begins != lengths) {
    for (size_t d = 0; d < lengths.size(); ++d) ends[d] = std::min(lengths[d], begins[d] + chunk);
    all.steps.push_back(make_step(all, begins, ends));
    begins = ends;
  }
  for (const Step& step : all.steps) {
    all.n_rows += step.n_rows;
    all.n_attending += step.attends ? step.n_rows : 0;
  }
  return all;
}

// Which of the positions up to its own a row sees; `row` counts those that attend.
bool is_listed(std::string_view lists, int64_t j, int64_t own, int64_t row, Filler& filler) {
  if (lists == "all") return true;
  if (lists == "own") return j == own;
  if (lists == "first") return j == 0;
  if (lists == "sparse") return filler.bits() % 8 == 0;
  if (lists == "most") return filler.bits() % 8 != 0;
  if (lists == "pages") return j / kCachePage % 2 == own / kCachePage % 2;  // runs that begin with a page
  if (lists == "recent") return j > own - 40;
  // Mixed: everything, six of seven, and few.
  return row % 3 == 0 ? true : row % 3 == 1 ? j % 7 != row % 7 : (j * j + row) % 11 == 0;
}

// A list a row that attends. Behind its end lie positions that no cache has.
View add_lists(Program& p, const Case& c, const Documents& all) {
  const std::string_view kind = c.word(2);
  if (kind == "every") return {};
  std::vector<std::vector<int32_t>> lists(static_cast<size_t>(all.n_attending));
  Filler filler = p.filler(91);
  int64_t first = 0;
  size_t longest = 0;
  for (const Step& step : all.steps) {
    if (!step.attends) continue;
    for (const SequenceRows& rows : step.documents) {
      for (int64_t i = 0; i < rows.n_rows; ++i) {
        const int64_t own = rows.position_begin + i, row = first + rows.row_begin + i;
        std::vector<int32_t>& list = lists[static_cast<size_t>(row)];
        int64_t wanted = std::min(c.at("listed"), own + 1);
        for (int64_t j = 0; j <= own; ++j) {
          // Few: `listed` of the positions, each as likely as any other.
          const bool is_in = kind == "few" ? filler.below(own + 1 - j) < wanted : is_listed(kind, j, own, row, filler);
          if (is_in) list.push_back(static_cast<int32_t>(j)), --wanted;
        }
        if (list.empty()) list.push_back(static_cast<int32_t>(kind == "mixed" ? own : filler.below(own + 1)));
        longest = std::max(longest, list.size());
      }
    }
    first += step.n_rows;
  }
  std::vector<int32_t> flat;
  for (std::vector<int32_t>& list : lists) {
    if (list.size() < longest) list.push_back(contract::kListEnd);
    list.resize(longest, std::numeric_limits<int32_t>::max());
    flat.insert(flat.end(), list.begin(), list.end());
  }
  return p.ints(flat, all.n_attending, static_cast<int64_t>(longest));
}

// What overflows bf16 is refused by the cache, and is for the cases of cache_write.
void keep_finite(Program& p, const View& view) {
  for (int64_t r = 0; r < view.rows; ++r) {
    for (int64_t k = 0; k < view.cols; ++k) {
      float& x = p.row(view, r)[k];
      if (!std::isfinite(round_to_bf16(x))) x = 1.0f;
    }
  }
}

View add_operand(Program& p, const Case& c, uint32_t stream, int64_t rows, int64_t cols, bool is_key) {
  Values values = c.values;
  if (values == Values::kNotFinite || (values == Values::kLow && is_key)) values = Values::kPlain;
  const View view = p.drawn(stream, rows, cols, values);
  if (values == Values::kWide || values == Values::kAny) keep_finite(p, view);
  return view;
}

// Some elements of some rows.
void spoil(Program& p, const View& view, int64_t every) {
  Filler filler = p.filler(92);
  for (int64_t r = 0; r < view.rows; r += every) {
    p.row(view, r)[filler.below(view.cols)] = filler.value(Values::kNotFinite);
  }
  // A NaN whose rounding must not carry into the sign.
  if (view.rows > 3) p.row(view, 3)[view.cols / 2] = std::bit_cast<float>(0x7fffffffu);
  if (view.rows > 11) p.row(view, 11)[view.cols - 1] = std::numeric_limits<float>::infinity();
}

// The operands of attention over some documents, and its ops.
class Batch {
 public:
  // `first` is the stream of the keys; those of the values and of the queries follow.
  Batch(Program& p, const Case& c, uint32_t first)
      : p_(p), c_(c), all_(make_documents(c, p)), heads_(c.at("heads")), key_heads_(c.at("key_heads")) {
    const int64_t width = c.at("width"), value_width = c.at("value_width");
    const DType dtype = c.is("bf16") ? DType::kBF16 : DType::kF32;
    is_latent_ = c.is("latent");
    key_ = p.stream({key_heads_, width, dtype, is_latent_ ? CacheUse::kKeyAndValue : CacheUse::kKey}, all_.n_pages);
    value_ = is_latent_ ? key_ : p.stream({key_heads_, value_width, dtype, CacheUse::kValue}, all_.n_pages);
    k_ = add_operand(p, c, first, all_.n_rows * key_heads_, width, true);
    if (!is_latent_) v_ = add_operand(p, c, first + 1, all_.n_rows * key_heads_, value_width, false);
    q_ = add_operand(p, c, first + 2, all_.n_attending * heads_, width, true);
    if (c.values == Values::kNotFinite) spoil(p, q_, c.op == "attention" ? 7 : 97);
    selected_ = add_lists(p, c, all_);
    out_ = p.output("out", all_.n_attending * heads_, value_width);
    if (!c.is("no_stats")) stats_ = p.output("stats", all_.n_attending * heads_, 2);
    scale_ = std::ldexp(1.0f, static_cast<int>(c.at("scale_log2")));
  }

  void forward() {
    int64_t row = 0, attending = 0;
    for (const Step& step : all_.steps) {
      const contract::SequencesRef sequences = p_.sequences(step.documents);
      if (step.n_rows > 0) write(step, row, sequences);
      row += step.n_rows;
      if (!step.attends) continue;
      p_.run(contract::Attention{.q = rows_of(q_, attending, step, heads_),
                                 .key = key_,
                                 .value = value_,
                                 .heads = heads_,
                                 .scale = scale_,
                                 .sequences = sequences,
                                 .out = rows_of(out_, attending, step, heads_),
                                 .stats = rows_of(stats_, attending, step, heads_),
                                 .selected = rows_of(selected_, attending, step, 1)});
      attending += step.n_rows;
    }
  }

  void gradient() {
    const int64_t width = c_.at("width"), value_width = c_.at("value_width");
    const int64_t n = all_.n_attending;
    const View dout = add_operand(p_, c_, 26, n * heads_, value_width, false);
    std::vector<SequenceRows> documents = all_.steps.back().documents;
    int64_t key_rows = n;
    for (SequenceRows& rows : documents) {
      rows.prefix_begin = key_rows;
      key_rows += rows.position_begin;
    }
    const contract::SequencesRef sequences = p_.sequences(documents);
    p_.run(contract::AttentionGrad{.q = q_,
                                   .key = key_,
                                   .value = value_,
                                   .heads = heads_,
                                   .scale = scale_,
                                   .sequences = sequences,
                                   .out = out_,
                                   .stats = stats_,
                                   .dout = dout,
                                   .dq = p_.output("dq", n * heads_, width),
                                   .dk = p_.output("dk", key_rows * key_heads_, width),
                                   .dv = p_.output("dv", key_rows * key_heads_, value_width),
                                   .selected = selected_});
  }

 private:
  static View rows_of(const View& view, int64_t begin, const Step& step, int64_t each) {
    return view.empty() ? View{} : view.slice_rows(begin * each, step.n_rows * each);
  }
  void write(const Step& step, int64_t row, contract::SequencesRef sequences) {
    const View k = rows_of(k_, row, step, key_heads_);
    // The latent part and the rotary part are written one after the other.
    const int64_t split = is_latent_ && k.cols > 1 ? k.cols - std::max<int64_t>(1, k.cols / 4) : k.cols;
    p_.run(contract::CacheWrite{.x = k.slice_cols(0, split), .stream = key_, .column = 0, .sequences = sequences});
    if (split < k.cols) {
      p_.run(contract::CacheWrite{
          .x = k.slice_cols(split, k.cols - split), .stream = key_, .column = split, .sequences = sequences});
    }
    if (is_latent_) return;
    p_.run(contract::CacheWrite{
        .x = rows_of(v_, row, step, key_heads_), .stream = value_, .column = 0, .sequences = sequences});
  }

  Program& p_;
  const Case& c_;
  Documents all_;
  int64_t heads_, key_heads_;
  bool is_latent_ = false;
  CacheStream key_, value_;
  View k_, v_, q_, selected_, out_, stats_;
  float scale_ = 1;
};

}  // namespace

double attention_elements(const Case& c) {
  double positions = 0, seen = 0;
  int64_t longest = 0;
  for (const int64_t n : c.list("lengths")) {
    positions += static_cast<double>(n + 2 * kCachePage);
    longest = std::max(longest, n);
  }
  const int64_t listed = c.is("few") ? std::min(c.at("listed"), longest) : longest;
  if (!c.is("every")) seen = positions * static_cast<double>(listed + kGapMax);
  const auto rows = static_cast<double>(c.at("heads") + 2 * c.at("key_heads"));
  return seen + 4 * positions * rows * static_cast<double>(c.at("width") + c.at("value_width") + 2 * kGapMax);
}

std::string attention_misfit(const Case& c) {
  const int64_t heads = c.at("heads"), key_heads = c.at("key_heads");
  if (heads % key_heads != 0) return "the key heads do not divide the heads";
  if (c.is("latent") && key_heads != 1) return "latent attention has one key head";
  if (c.is("latent") && c.at("value_width") > c.at("width")) return "latent values are columns of the keys";
  if (c.is("few") != (c.at("listed") > 0)) return "'listed' and lists of kind 'few' come together";
  if (!has_dimension(c, "last")) return {};
  const std::vector<int64_t>& last = c.list("last");
  if (last.size() != 1 && last.size() != c.list("lengths").size()) return "'last' names neither one nor all documents";
  const bool is_whole = std::all_of(last.begin(), last.end(), [](int64_t n) { return n == 0; });
  if (!is_whole && chunk_of(c) != 0) return "it has 'chunk' and 'last'";
  return {};
}

std::string attention_grad_misfit(const Case& c) {
  if (c.is("every") || last_of(c) == c.list("lengths")) return attention_misfit(c);
  return "'last' and lists do not come together";
}

Program build_attention(const Case& c) {
  Program p(c.drawing());
  Batch batch(p, c, 19);
  batch.forward();
  return p;
}

Program build_attention_grad(const Case& c) {
  Program p(c.drawing());
  Batch batch(p, c, 23);
  batch.forward();
  batch.gradient();
  return p;
}

}  // namespace naru::check
