#include "check/op_outputs.h"

namespace naru::check {
namespace {

using Outputs = std::vector<OpOutput>;

// Ops with one output of this name.
template <typename O>
requires requires(const O& op) {
  { op.out } -> std::convertible_to<View>;
}
Outputs views_written(const O& op) {
  return {{"out", op.out}};
}

OpOutput read_too(std::string_view name, const View& view) {
  return {.name = name, .view = view, .weight = nullptr, .is_read = true};
}
Outputs views_written(const contract::Matmul& op) {
  Outputs outputs;
  for (int i = 0; i < op.n_targets; ++i) outputs.push_back({"out", op.targets[i].out, op.targets[i].weight});
  return outputs;
}
Outputs views_written(const contract::GroupedMatmul& op) {
  Outputs outputs;
  for (int i = 0; i < op.n_targets; ++i) outputs.push_back({"out", op.targets[i].out, op.targets[i].weight});
  return outputs;
}
Outputs views_written(const contract::RopeTable& op) {
  return {{"cos", op.cos}, {"sin", op.sin}};
}
Outputs views_written(const contract::CacheWrite&) {
  return {};
}
Outputs views_written(const contract::Attention& op) {
  return {{"out", op.out}, {"stats", op.stats}};
}
Outputs views_written(const contract::Route& op) {
  if (op.is_given) return {{"gates", op.gates}};
  return {{"experts", op.experts}, {"gates", op.gates}};
}
Outputs views_written(const contract::Pack&) {
  return {};
}
Outputs views_written(const contract::WeightGrad& op) {
  Outputs outputs;
  for (const View& view : op.out) outputs.push_back(read_too("out", view));
  return outputs;
}
Outputs views_written(const contract::ColumnSum& op) {
  return {read_too("out", op.out)};
}
Outputs views_written(const contract::EmbedGrad& op) {
  return {read_too("out", op.out)};
}
Outputs views_written(const contract::RmsNormGrad& op) {
  return {{"dx", op.dx}, read_too("dweight", op.dweight)};
}
Outputs views_written(const contract::RopeGrad& op) {
  return {{"dx", op.dx}};
}
Outputs views_written(const contract::AttentionGrad& op) {
  return {{"dq", op.dq}, {"dk", op.dk}, {"dv", op.dv}};
}
Outputs views_written(const contract::SiluMulGrad& op) {
  return {{"dgate", op.dgate}, {"dup", op.dup}};
}
Outputs views_written(const contract::CombineGrad& op) {
  return {{"dy", op.dy}, {"dgates", op.dgates}};
}
Outputs views_written(const contract::RouteGrad& op) {
  return {{"dlogits", op.dlogits}};
}
Outputs views_written(const contract::BalanceLoss& op) {
  return {{"loss", op.loss}, {"dscores", op.dscores}};
}
Outputs views_written(const contract::CrossEntropy& op) {
  return {{"loss", op.loss}, {"dlogits", op.dlogits}};
}
Outputs views_written(const contract::AdamW& op) {
  Outputs outputs;
  for (const View& view : op.weight) outputs.push_back(read_too("weight", view));
  for (const View& view : op.m) outputs.push_back(read_too("m", view));
  for (const View& view : op.v) outputs.push_back(read_too("v", view));
  return outputs;
}

}  // namespace

std::vector<OpOutput> outputs_of(const contract::Op& op) {
  Outputs outputs = std::visit([](const auto& o) { return views_written(o); }, op);
  std::erase_if(outputs, [](const OpOutput& output) { return output.view.empty(); });
  return outputs;
}

}  // namespace naru::check
