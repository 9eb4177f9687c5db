#include "rewards/reward_worker.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include "formats/utf8.h"
#include "rewards/answers.h"

namespace naru::rewards {
namespace {

constexpr size_t kErrBytesKept = 400;
constexpr auto kEndTime = std::chrono::milliseconds(300);  // for a process whose output ended to end itself

// At most a buffer: -1 with errno, 0 at the end.
ssize_t read_some(int fd, std::array<char, 1 << 16>& buffer) {
  ssize_t n = 0;
  do {
    n = ::read(fd, buffer.data(), buffer.size());
  } while (n < 0 && errno == EINTR);
  return n;
}

std::string seconds_text(double seconds) {
  return fmt::format("{:g} second{}", seconds, seconds == 1 ? "" : "s");
}

}  // namespace

Status RewardWorker::begin(int64_t index, std::string_view question, int64_t id) {
  const bool is_fresh = !is_fit();
  if (is_fresh) {
    child_.reset();
    NARU_ASSIGN(child_, ChildProcess::start(*plan_));
    is_err_open_ = true;
  }
  index_ = index;
  id_ = id;
  line_ = reward_line(question, id);
  written_ = 0;
  out_.clear();
  err_.clear();
  err_bytes_ = 0;
  start_seconds_ = is_fresh && !was_late_ ? kRewardStartSeconds : 0;
  const double seconds = seconds_ + start_seconds_;
  deadline_ =
      RewardClock::now() + std::chrono::duration_cast<RewardClock::duration>(std::chrono::duration<double>(seconds));
  write();
  return {};
}

bool RewardWorker::is_fit() {
  if (!child_) return false;
  out_.clear();
  const bool is_open = read_out();
  if (is_err_open_) read_err();
  return is_open && out_.empty() && !child_->ended();
}

void RewardWorker::add_polls(std::vector<pollfd>& polls) const {
  if (is_free()) return;
  polls.push_back({child_->out(), POLLIN, 0});
  if (is_err_open_) polls.push_back({child_->err(), POLLIN, 0});
  if (written_ < line_.size()) polls.push_back({child_->in(), POLLOUT, 0});
}

void RewardWorker::write() {
  while (written_ < line_.size()) {
    const ssize_t n = write_quietly(child_->in(), line_.data() + written_, line_.size() - written_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    // Nobody reads: what it says, and how it ends, tells why.
    written_ = n < 0 ? line_.size() : written_ + static_cast<size_t>(n);
  }
}

bool RewardWorker::read_out() {
  std::array<char, 1 << 16> buffer;
  while (std::ssize(out_) <= kRewardReplyBytesMax) {
    const ssize_t n = read_some(child_->out(), buffer);
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    out_.append(buffer.data(), static_cast<size_t>(n));
  }
  return true;
}

void RewardWorker::read_err() {
  std::array<char, 1 << 16> buffer;
  while (err_bytes_ <= kRewardErrorBytesMax) {
    const ssize_t n = read_some(child_->err(), buffer);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      is_err_open_ = false;
      return;
    }
    err_bytes_ += n;
    err_.append(buffer.data(), static_cast<size_t>(n));
    if (err_.size() > kErrBytesKept) err_.erase(0, err_.size() - kErrBytesKept);
  }
}

std::optional<ProgramReply> RewardWorker::advance() {
  write();
  const bool is_open = read_out();
  if (is_err_open_) read_err();
  if (std::ssize(out_) > kRewardReplyBytesMax) {
    return fail(fmt::format("it wrote more than {} bytes, a line of JSON was wanted", kRewardReplyBytesMax));
  }
  if (err_bytes_ > kRewardErrorBytesMax) {
    return fail(fmt::format("it wrote more than {} bytes of error output for one answer", kRewardErrorBytesMax));
  }
  if (const size_t line_end = out_.find('\n'); line_end != std::string::npos) {
    if (line_end + 1 < out_.size()) {
      return fail(
          fmt::format("it wrote more than one line: '{}', one line an answer was wanted (what else it has to "
                      "say goes to its error output)",
                      formats::printable(out_, 80)));
    }
    auto reply = parse_reward_reply(std::string_view(out_).substr(0, line_end), id_);
    if (!reply.ok()) return fail(reply.error().message);
    return finish({*reply, {}});
  }
  if (!is_open) return fail(how_it_ended());
  if (RewardClock::now() < deadline_) return std::nullopt;
  was_late_ = true;
  const std::string beside =
      start_seconds_ > 0 ? fmt::format(" and {} more for the first answer of a process", start_seconds_) : "";
  return fail(fmt::format("it gave no answer within {} (reward.seconds){}", seconds_text(seconds_), beside));
}

std::string RewardWorker::how_it_ended() {
  const auto until = RewardClock::now() + kEndTime;
  std::optional<std::string> how;
  while (!(how = child_->ended()) && RewardClock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (is_err_open_) read_err();
  const std::string half = out_.empty() ? "" : fmt::format(" in the middle of '{}'", formats::printable(out_, 60));
  return how ? fmt::format("it {}{}, a line of JSON was wanted", *how, half)
             : fmt::format("it closed its output{}, a line of JSON was wanted", half);
}

ProgramReply RewardWorker::finish(ProgramReply reply) {
  index_ = -1;
  return reply;
}

ProgramReply RewardWorker::fail(std::string why) {
  // Of a traceback the line that says what it was.
  if (const std::string_view line = last_line(err_); !line.empty()) {
    why += fmt::format("; its error output ends: {}", formats::printable(line, static_cast<int64_t>(kErrBytesKept)));
  }
  stop();
  return {{}, std::move(why)};
}

void RewardWorker::close_in() {
  if (child_) child_->close_in();
}

void RewardWorker::stop() {
  index_ = -1;
  child_.reset();
}

}  // namespace naru::rewards
