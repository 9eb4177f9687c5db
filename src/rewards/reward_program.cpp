#include "rewards/reward_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

#include "base/file_digest.h"
#include "base/sha256.h"
#include "formats/utf8.h"
#include "rewards/reward_worker.h"

namespace naru::rewards {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr auto kPollTime = milliseconds(50);           // how often somebody who wants to stop is asked
constexpr auto kTrialTime = std::chrono::seconds(10);  // for a program without work to end
constexpr size_t kShownErrorBytes = 400;

bool stops(const std::function<bool()>& should_stop) {
  return should_stop && should_stop();
}

std::string read_all(int fd, size_t most) {
  std::string text;
  std::array<char, 4096> buffer;
  ssize_t n = 0;
  while (text.size() < most && ((n = ::read(fd, buffer.data(), buffer.size())) > 0 || (n < 0 && errno == EINTR))) {
    if (n > 0) text.append(buffer.data(), static_cast<size_t>(n));
  }
  return text;
}

Error refused(const std::string& command, std::string_view what) {
  return {Code::kInvalidArgument, fmt::format("trying the reward program {} without work: {}", command, what)};
}

// A process that is given nothing.
Status try_program(const ChildPlan& plan, const std::string& command, const std::function<bool()>& should_stop) {
  NARU_ASSIGN(ChildProcess child, ChildProcess::start(plan));
  child.close_in();
  const auto until = RewardClock::now() + kTrialTime;
  std::string out, err;
  std::optional<std::string> how;
  while (!how && RewardClock::now() < until && out.empty()) {
    if (stops(should_stop)) return Error{Code::kCancelled, "opening the run: stopped as asked; nothing was changed"};
    how = child.ended();
    std::array<pollfd, 2> polls = {pollfd{child.out(), POLLIN, 0}, pollfd{child.err(), POLLIN, 0}};
    if (!how) (void)::poll(polls.data(), polls.size(), 10);
    out += read_all(child.out(), kShownErrorBytes);
    const std::string more = read_all(child.err(), size_t{1} << 16);
    if (err.size() < kShownErrorBytes) err += more;
  }
  if (!out.empty()) {
    return refused(command, fmt::format("it wrote '{}', nothing was wanted before it is asked; what it has to say goes "
                                        "to its error output",
                                        formats::printable(out)));
  }
  if (!how || child.ended_well()) return {};
  return refused(command, fmt::format("it {}, status 0 at the end of its input was wanted; correct it{}{}", *how,
                                      err.empty() ? "" : "; its error output: ",
                                      formats::printable(err, static_cast<int64_t>(kShownErrorBytes))));
}

}  // namespace

struct RewardProgram::State {
  recipes::RewardRecipe recipe;
  std::string command;  // for messages
  ChildPlan plan;
  std::vector<data::DataFile> files;
  std::string identity;
  std::vector<RewardWorker> workers;
  int64_t next_id = 0;

  // Programs are asked to end and have a moment for it, all together.
  ~State() {
    for (RewardWorker& worker : workers) worker.close_in();
    const auto until = RewardClock::now() + milliseconds(500);
    const auto has_running = [this] {
      return std::ranges::any_of(workers, [](RewardWorker& worker) { return worker.is_running(); });
    };
    while (has_running() && RewardClock::now() < until) std::this_thread::sleep_for(milliseconds(2));
  }

  Status add_files(const fs::path& folder);
  void wait(RewardClock::time_point until) const;
};

// Of the command's words those that are files; a program of PATH belongs to the machine.
Status RewardProgram::State::add_files(const fs::path& folder) {
  identity = fmt::format("{}\n", recipe.command.size());
  for (size_t i = 0; i < recipe.command.size(); ++i) {
    const std::string& word = recipe.command[i];
    identity += fmt::format("{}:{}\n", word.size(), word);
    std::error_code ignored;
    const fs::path path = folder / word;
    const bool is_of_path = i == 0 && word.find('/') == std::string::npos;
    if (is_of_path || word.empty() || !fs::is_regular_file(path, ignored)) continue;
    NARU_ASSIGN(const FileContent content, digest_file(path));
    identity += content.sha256 + "\n";
    files.push_back({word, content.bytes, content.sha256});
  }
  return {};
}

void RewardProgram::State::wait(RewardClock::time_point until) const {
  std::vector<pollfd> polls;
  for (const RewardWorker& worker : workers) worker.add_polls(polls);
  const auto left = std::chrono::duration_cast<milliseconds>(until - RewardClock::now()) + milliseconds(1);
  (void)::poll(polls.data(), polls.size(), static_cast<int>(std::clamp(left, milliseconds(0), kPollTime).count()));
}

RewardProgram::RewardProgram(std::unique_ptr<State> state) : state_(std::move(state)) {}
RewardProgram::RewardProgram(RewardProgram&&) noexcept = default;
RewardProgram& RewardProgram::operator=(RewardProgram&&) noexcept = default;
RewardProgram::~RewardProgram() = default;

Result<RewardProgram> RewardProgram::open(const recipes::RewardRecipe& recipe, const fs::path& folder,
                                          const std::function<bool()>& should_stop) {
  auto state = std::make_unique<State>();
  state->recipe = recipe;
  state->command = recipe.command[0];
  for (size_t i = 1; i < recipe.command.size(); ++i) state->command += " " + recipe.command[i];
  state->command = formats::printable(state->command, 120);
  const fs::path place = folder.empty() ? fs::path(".") : folder;
  auto program = find_program(recipe.command[0], place);
  if (!program.ok()) {
    return Error{program.error().code,
                 fmt::format("opening the reward program {}: {}", state->command, program.error().message)};
  }
  state->plan = {.program = *std::move(program),
                 .arguments = recipe.command,
                 .folder = place,
                 .address_bytes = recipe.memory_mib << 20};
  NARU_TRY(state->add_files(place));
  NARU_TRY(try_program(state->plan, state->command, should_stop));
  for (int64_t i = 0; i < recipe.processes; ++i) state->workers.emplace_back(state->plan, recipe.seconds);
  return RewardProgram(std::move(state));
}

const std::vector<data::DataFile>& RewardProgram::files() const {
  return state_->files;
}

const std::string& RewardProgram::identity() const {
  return state_->identity;
}

Result<std::vector<ProgramReply>> RewardProgram::ask(const std::vector<std::string>& questions,
                                                     const std::function<bool()>& should_stop,
                                                     const std::function<void(size_t, const ProgramReply&)>& on_reply) {
  State& s = *state_;
  std::vector<ProgramReply> replies(questions.size());
  size_t next = 0, n_done = 0, n_failed = 0;
  const auto stop_all = [&s] {
    for (RewardWorker& worker : s.workers) {
      if (!worker.is_free()) worker.stop();
    }
  };
  while (n_done < questions.size()) {
    if (stops(should_stop)) {
      stop_all();
      return Error{Code::kCancelled, "asking the reward program: stopped"};
    }
    auto until = RewardClock::now() + kPollTime;
    for (RewardWorker& worker : s.workers) {
      if (!worker.is_free() || next == questions.size()) continue;
      const Status status = worker.begin(static_cast<int64_t>(next), questions[next], s.next_id++);
      if (!status.ok()) {
        stop_all();
        return Error{status.error().code,
                     fmt::format("asking the reward program {}: {}; the last checkpoint is whole, and the run goes on "
                                 "from it",
                                 s.command, status.error().message)};
      }
      ++next;
    }
    for (const RewardWorker& worker : s.workers) {
      if (!worker.is_free()) until = std::min(until, worker.deadline());
    }
    s.wait(until);
    for (RewardWorker& worker : s.workers) {
      if (worker.is_free()) continue;
      const auto index = static_cast<size_t>(worker.index());
      auto reply = worker.advance();
      if (!reply) continue;
      ++n_done;
      n_failed += reply->failure.empty() ? 0 : 1;
      replies[index] = *std::move(reply);
      if (on_reply) on_reply(index, replies[index]);
      if (n_failed < n_done || static_cast<int64_t>(n_failed) < kRewardFailuresMax) continue;
      stop_all();
      return Error{
          Code::kUnavailable,
          fmt::format("asking the reward program {}: none of its first {} answers got a reward, the last as {}; "
                      "correct the program and give the same command: a run goes on from its last checkpoint, where it "
                      "has one with --accept-changed-data, as another program is other data",
                      s.command, n_failed, replies[index].failure)};
    }
  }
  return replies;
}

}  // namespace naru::rewards
