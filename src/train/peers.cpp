#include "train/peers.h"

#include <algorithm>

namespace naru::train {

Status NoPeers::send(int64_t to, contract::Chip&, View) {
  NARU_CHECK(false, "there is no other process", to);
}

Status NoPeers::receive(int64_t from, contract::Chip&, View) {
  NARU_CHECK(false, "there is no other process", from);
}

Result<std::string> say_to_all(Peers& peers, std::string text) {
  NARU_ASSIGN(std::vector<std::string> all, peers.gather(peers.rank() == 0 ? std::move(text) : std::string()));
  return std::move(all[0]);
}

Result<bool> agree_to_stop(Peers& peers, bool wants) {
  if (peers.count() == 1) return wants;
  NARU_ASSIGN(const std::vector<std::string> all, peers.gather(wants ? "stop" : ""));
  return std::any_of(all.begin(), all.end(), [](const std::string& text) { return !text.empty(); });
}

Status copy_to_all(Peers& peers, contract::Chip& chip, View values) {
  if (peers.rank() != 0) return peers.receive(0, chip, values);
  for (int64_t to = 1; to < peers.count(); ++to) NARU_TRY(peers.send(to, chip, values));
  return {};
}

}  // namespace naru::train
