#include "server/metrics_text.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <filesystem>

#include "base/memory.h"

namespace naru::server {
namespace {

// Names of ours ("naru_" before them) and vLLM's ("vllm:"); an empty one of vLLM's: ours stands in both.
struct MetricName {
  std::string_view ours;
  std::string_view vllm;
  std::string_view help;
};

std::string escaped_label(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') text += '\\';
    text += c;
  }
  return text;
}

class MetricsWriter {
 public:
  MetricsWriter(const std::vector<NamedMetrics>& models, MetricNames names) : models_(models), names_(names) {}

  void family(const MetricName& name, std::string_view type) {
    const bool is_vllm = names_ == MetricNames::kVllm && !name.vllm.empty();
    name_ = is_vllm ? fmt::format("vllm:{}", name.vllm) : fmt::format("naru_{}", name.ours);
    head(name.help, type);
  }
  // Of the process, as every program calls it.
  void process(std::string_view name, std::string_view help, std::string_view type, double value) {
    name_ = name;
    head(help, type);
    line("", "", fmt::format("{}", value));
  }
  void line(std::string_view suffix, std::string_view labels, std::string_view value) {
    text_ += labels.empty() ? fmt::format("{}{} {}\n", name_, suffix, value)
                            : fmt::format("{}{}{{{}}} {}\n", name_, suffix, labels, value);
  }

  std::string model_label(const NamedMetrics& model) const {
    const char* label = names_ == MetricNames::kVllm ? "model_name" : "model";
    return fmt::format("{}=\"{}\"", label, escaped_label(model.model));
  }

  void counts(const MetricName& name, std::string_view type, Counted ModelMetrics::*count) {
    family(name, type);
    for (const NamedMetrics& model : models_)
      line("", model_label(model), fmt::format("{}", (model.metrics->*count).get()));
  }
  void seconds(const MetricName& name, CountedTime ModelMetrics::*time) {
    family(name, "counter");
    for (const NamedMetrics& model : models_)
      line("", model_label(model), fmt::format("{}", (model.metrics->*time).get()));
  }
  template <size_t n>
  void histogram(const MetricName& name, Histogram<n> ModelMetrics::*histogram) {
    family(name, "histogram");
    for (const NamedMetrics& model : models_) {
      const Histogram<n>& values = model.metrics->*histogram;
      const std::string label = model_label(model);
      int64_t so_far = 0;
      for (size_t i = 0; i <= n; ++i) {
        so_far += values.count(i);
        const std::string bound = i < n ? fmt::format("{}", values.bounds()[i]) : "+Inf";
        line("_bucket", fmt::format("{},le=\"{}\"", label, bound), fmt::format("{}", so_far));
      }
      line("_sum", label, fmt::format("{}", values.sum()));
      line("_count", label, fmt::format("{}", so_far));
    }
  }
  void by_name(const MetricName& name, std::string_view label, const std::map<std::string, int64_t>& counts) {
    family(name, "counter");
    for (const auto& [word, n] : counts)
      line("", fmt::format("{}=\"{}\"", label, escaped_label(word)), fmt::format("{}", n));
  }

  const std::vector<NamedMetrics>& models() const { return models_; }
  MetricNames names() const { return names_; }
  std::string take() { return std::move(text_); }

 private:
  void head(std::string_view help, std::string_view type) {
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type);
  }

  const std::vector<NamedMetrics>& models_;
  MetricNames names_;
  std::string name_;
  std::string text_;
};

void write_requests(MetricsWriter& out, const ServerMetrics& server) {
  out.family({"requests_total", "", "Requests that have ended, by dialect and HTTP status; left: the client went away"},
             "counter");
  for (const auto& [key, n] : server.requests) {
    const std::string labels =
        fmt::format("dialect=\"{}\",status=\"{}\"", escaped_label(key.first), escaped_label(key.second));
    out.line("", labels, fmt::format("{}", n));
  }
  out.by_name({"errors_total", "", "Refusals, by the code of the error"}, "code", server.errors);
  out.by_name({"limits_hit_total", "", "Requests refused or ended for a limit, by its name"}, "limit", server.limits);
  out.by_name({"aborts_total", "", "Clients that went away before their answer was whole, by what it was at"}, "stage",
              server.aborts);
}

void write_load(MetricsWriter& out) {
  out.family({"model_loaded", "", "Whether the model is in memory"}, "gauge");
  for (const NamedMetrics& model : out.models()) out.line("", out.model_label(model), model.is_loaded ? "1" : "0");
  out.counts({"model_loads_total", "", "How often the model was loaded"}, "counter", &ModelMetrics::loads);
  out.counts({"requests_running", "num_requests_running", "Answers that are being computed"}, "gauge",
             &ModelMetrics::running);
  out.counts({"requests_waiting", "num_requests_waiting", "Answers that wait to be computed"}, "gauge",
             &ModelMetrics::waiting);
  out.counts({"cache_pages_used", "", "Pages of the cache that answers hold"}, "gauge", &ModelMetrics::pages_used);
  out.counts({"cache_pages_total", "", "Pages of the cache"}, "gauge", &ModelMetrics::pages_total);
  if (out.names() == MetricNames::kVllm) {
    out.family({"", "kv_cache_usage_perc", "Share of the cache's pages that answers hold, 0 to 1"}, "gauge");
    for (const NamedMetrics& model : out.models()) {
      const auto total = static_cast<double>(model.metrics->pages_total.get());
      const auto used = static_cast<double>(model.metrics->pages_used.get());
      out.line("", out.model_label(model), fmt::format("{}", total > 0 ? used / total : 0.0));
    }
  }
  out.counts({"preemptions_total", "num_preemptions_total", "Answers that gave up their place and went on later"},
             "counter", &ModelMetrics::preemptions);
  out.counts({"evictions_total", "", "Pages that the prefix cache gave up for others"}, "counter",
             &ModelMetrics::evictions);
}

void write_tokens(MetricsWriter& out) {
  out.counts({"prompt_tokens_total", "prompt_tokens_total", "Tokens of prompts"}, "counter",
             &ModelMetrics::prompt_tokens);
  out.counts({"prefix_query_tokens_total", "prefix_cache_queries_total", "Tokens of prompts that were looked for"},
             "counter", &ModelMetrics::prompt_tokens);
  out.counts({"prefix_hit_tokens_total", "prefix_cache_hits_total", "Of those, the ones that were there already"},
             "counter", &ModelMetrics::cached_tokens);
  out.counts({"generated_tokens_total", "generation_tokens_total", "Tokens of answers"}, "counter",
             &ModelMetrics::generated_tokens);
  out.counts({"reasoning_tokens_total", "", "Of those, the ones of reasoning"}, "counter",
             &ModelMetrics::reasoning_tokens);
  out.family({"answers_total", "request_success_total", "Answers that are whole, by what ended them"}, "counter");
  const char* label = out.names() == MetricNames::kVllm ? "finished_reason" : "reason";
  for (const NamedMetrics& model : out.models()) {
    const ModelMetrics& m = *model.metrics;
    for (const auto& [reason, n] : {std::pair("stop", m.ended_by_stop.get()),
                                    {"length", m.ended_by_length.get()},
                                    {"tool_calls", m.ended_by_tool_calls.get()}}) {
      out.line("", fmt::format("{},{}=\"{}\"", out.model_label(model), label, reason), fmt::format("{}", n));
    }
  }
}

void write_times(MetricsWriter& out) {
  out.histogram({"ttft_seconds", "time_to_first_token_seconds",
                 "From a request's arrival to the first text of its "
                 "answer"},
                &ModelMetrics::first_token);
  out.histogram({"inter_token_seconds", "inter_token_latency_seconds", "From a token of an answer to its next"},
                &ModelMetrics::inter_token);
  out.histogram({"request_seconds", "e2e_request_latency_seconds", "From a request's arrival to the end of its answer"},
                &ModelMetrics::request);
  out.histogram({"queue_seconds", "request_queue_time_seconds",
                 "From a request's arrival to the first step of the "
                 "engine that it is in"},
                &ModelMetrics::queue);
  out.histogram({"prefill_seconds", "request_prefill_time_seconds", "From there to the first token"},
                &ModelMetrics::prefill);
  out.histogram({"request_prompt_tokens", "request_prompt_tokens", "Tokens of a request's prompts"},
                &ModelMetrics::request_prompt);
  out.histogram({"request_generated_tokens", "request_generation_tokens", "Tokens of a request's answers"},
                &ModelMetrics::request_generated);
  out.counts({"steps_total", "", "Steps of the engine"}, "counter", &ModelMetrics::steps);
  out.seconds({"step_seconds_total", "", "Time in steps: passes of the model, and what is drawn from them"},
              &ModelMetrics::step_time);
  out.seconds({"between_steps_seconds_total", "", "Time from the end of a step to the next one, where there was work"},
              &ModelMetrics::between_time);
  out.seconds({"turn_seconds_total", "", "Time in which another model was at its step; in neither of the two above"},
              &ModelMetrics::turn_time);
}

int64_t n_open_files() {
  std::error_code error;
  int64_t n = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end; at.increment(error))
    ++n;
  return n > 0 ? n - 1 : 0;  // but the one that looks
}

void write_process(MetricsWriter& out, const ServerMetrics& server) {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  out.process("process_cpu_seconds_total", "Processor time of this process", "counter",
              seconds(use.ru_utime) + seconds(use.ru_stime));
  out.process("process_resident_memory_bytes", "Memory of this process", "gauge",
              static_cast<double>(resident_bytes()));
  out.process("process_open_fds", "Open files and sockets", "gauge", static_cast<double>(n_open_files()));
  out.process("process_start_time_seconds", "When the server began, in seconds since 1970", "gauge",
              std::chrono::duration<double>(server.begin.time_since_epoch()).count());
}

}  // namespace

std::string metrics_text(const ServerMetrics& server, const std::vector<NamedMetrics>& models, MetricNames names) {
  MetricsWriter out(models, names);
  write_requests(out, server);
  write_load(out);
  write_tokens(out);
  write_times(out);
  write_process(out, server);
  return out.take();
}

}  // namespace naru::server
