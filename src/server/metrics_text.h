// Metrics in the text format 0.0.4 of Prometheus.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/metrics.h"

namespace naru::server {

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

enum class MetricNames : uint8_t {
  kNaru,
  kVllm,  // vLLM's names and label where it has the metric, for boards that are made for it
};

struct NamedMetrics {
  std::string model;  // its name
  bool is_loaded = false;
  const ModelMetrics* metrics = nullptr;
};

std::string metrics_text(const ServerMetrics& server, const std::vector<NamedMetrics>& models, MetricNames names);

}  // namespace naru::server
