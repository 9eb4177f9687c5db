// Calls of a driver that fail, and devices that lie: somebody hears of it, and nothing is left behind.
#include <algorithm>
#include <cstring>
#include <limits>

#include "chips/gpu/gpu_chip.h"
#include "tests/contract/opencl_rig.h"

namespace naru {
namespace {

using opencl::Int;
using test::first_device;

// The driver of a device, one of whose calls fails: the n-th of all.
class FailingDriver : public gpu::Driver {
 public:
  FailingDriver(std::unique_ptr<gpu::Driver> driver, int at) : driver_(std::move(driver)), at_(at) {}
  const gpu::DriverInfo& info() const override { return driver_->info(); }
  void choose(gpu::Software software) override { driver_->choose(software); }
  Result<gpu::Memory> allocate(int64_t bytes) override {
    NARU_TRY(count());
    return driver_->allocate(bytes);
  }
  Status write(gpu::MemoryPlace to, const void* from, int64_t bytes) override {
    NARU_TRY(count());
    return driver_->write(to, from, bytes);
  }
  Status read(void* to, gpu::MemoryPlace from, int64_t bytes) override {
    NARU_TRY(count());
    return driver_->read(to, from, bytes);
  }
  Status launch(const gpu::KernelInfo& kernel, int64_t x, int64_t y, int64_t z,
                std::span<const gpu::Argument> arguments) override {
    NARU_TRY(count());
    return driver_->launch(kernel, x, y, z, arguments);
  }
  Status wait() override {
    NARU_TRY(count());
    return driver_->wait();
  }
  bool has_failed() const { return n_calls_ > at_; }

 private:
  Status count() {
    if (n_calls_++ != at_) return {};
    return Error{Code::kUnavailable, "the call that was chosen to fail"};
  }
  std::unique_ptr<gpu::Driver> driver_;
  int at_, n_calls_ = 0;
};

// Whichever call of the driver fails, somebody hears of it, and the same chip computes the right bits afterwards.
TEST(Opencl, AnyCallOfTheDriverMayFail) {
  SKIP_WHERE_ABSENT();
  const check::Program program = check::build(
      check::make_case("matmul", "f32_as_f32/no_bias/three", {{"rows", {3}}, {"inputs", {4096}}, {"outputs", {5}}}));
  const check::Outcome want = test::reference_outcome(program);
  int n_failed = 0;
  for (int at = 0;; ++at) {
    auto chip = gpu::make_gpu_chip(std::make_unique<FailingDriver>(first_device(), at));
    if (!chip.ok()) {
      EXPECT_EQ(chip.error().code, Code::kUnavailable) << at;
      ++n_failed;
      continue;
    }
    const auto first = check::run_program(program, **chip);
    if (first.ok() && first->status.ok()) {
      EXPECT_EQ(check::difference(program, *first, want), "") << at;
      break;
    }
    EXPECT_EQ(first.ok() ? first->status.error().code : first.error().code, Code::kUnavailable) << at;
    const auto again = check::run_program(program, **chip);
    ASSERT_TRUE(again.ok()) << at << again.error().message;
    EXPECT_EQ(check::difference(program, *again, want), "") << at;
    ++n_failed;
  }
  EXPECT_GT(n_failed, 8);
}

// The functions of the library, some of which fail as the test says.
struct FailingCalls {
  Int of_launch = opencl::kSuccess, of_read = opencl::kSuccess, of_event = opencl::kSuccess;
  Int of_memory = opencl::kSuccess;
  int n_without_memory = 0;  // that many calls have none
};
FailingCalls failing;

const opencl::Api& failing_api() {
  static const opencl::Api& kApi = *opencl::load_api().value();
  static const opencl::Api kFailing = [] {
    opencl::Api api = kApi;
    api.create_buffer = [](opencl::ContextId context, opencl::Bits flags, size_t bytes, void* data, Int* code) {
      if (failing.n_without_memory == 0) return kApi.create_buffer(context, flags, bytes, data, code);
      --failing.n_without_memory;
      *code = failing.of_memory;
      return opencl::MemId{};
    };
    api.launch = [](opencl::QueueId queue, opencl::KernelId kernel, opencl::Uint dimensions, const size_t* offset,
                    const size_t* global, const size_t* local, opencl::Uint n, const opencl::EventId* behind,
                    opencl::EventId* event) {
      if (failing.of_launch != opencl::kSuccess) return failing.of_launch;
      return kApi.launch(queue, kernel, dimensions, offset, global, local, n, behind, event);
    };
    api.read_buffer = [](opencl::QueueId queue, opencl::MemId from, opencl::Uint blocks, size_t offset, size_t bytes,
                         void* to, opencl::Uint n, const opencl::EventId* behind, opencl::EventId* event) {
      if (failing.of_read != opencl::kSuccess) return failing.of_read;
      return kApi.read_buffer(queue, from, blocks, offset, bytes, to, n, behind, event);
    };
    api.get_event_info = [](opencl::EventId event, opencl::Uint what, size_t bytes, void* value, size_t* size) {
      const Int code = kApi.get_event_info(event, what, bytes, value, size);
      if (failing.of_event != opencl::kSuccess) *static_cast<Int*>(value) = failing.of_event;
      return code;
    };
    return api;
  }();
  return kFailing;
}

// 1 + 1 by the chip.
Result<float> two_of(contract::Chip& chip) {
  NARU_ASSIGN(const auto buffer, chip.allocate(8));
  const float one = 1;
  NARU_TRY(chip.copy_in(buffer->address(), &one, 4));
  const View x = make_view(buffer->address(), DType::kF32, 1, 1), out = make_view(x.address + 4, DType::kF32, 1, 1);
  NARU_TRY(chip.run(contract::Add{.a = x, .b = x, .out = out}));
  float two = 0;
  NARU_TRY(chip.copy_out(&two, out.address, 4));
  return two;
}

Status norm_of_infinity(contract::Chip& chip) {
  NARU_ASSIGN(const auto buffer, chip.allocate(12));
  float values[] = {std::numeric_limits<float>::infinity(), 1, 0};
  NARU_TRY(chip.copy_in(buffer->address(), values, 12));
  const auto at = [&](int64_t i) { return make_view(buffer->address() + 4 * i, DType::kF32, 1, 1); };
  NARU_TRY(chip.run(contract::RmsNorm{.x = at(0), .weight = at(1), .eps = 0, .out = at(2)}));
  return chip.copy_out(values, buffer->address(), 12);
}

// An error of numbers, and beside it a call of the driver that fails: what comes then has the right bits, or an error
// where the device stays in the failure.
TEST(Opencl, AFailureThatCannotBeReadLeavesNothingBehind) {
  SKIP_WHERE_ABSENT();
  int n_lost = 0;
  for (int at = 1;; ++at) {
    auto owned = std::make_unique<FailingDriver>(first_device(), at);
    const FailingDriver* driver = owned.get();
    const auto chip = gpu::make_gpu_chip(std::move(owned)).value();
    EXPECT_FALSE(norm_of_infinity(*chip).ok()) << at;
    if (!driver->has_failed()) break;
    for (int again = 0; again < 2; ++again) {
      const auto two = two_of(*chip);
      if (two.ok()) {
        EXPECT_EQ(*two, 2) << at;
        EXPECT_TRUE(chip->wait().ok()) << at;
        continue;
      }
      ++n_lost;
      EXPECT_NE(two.error().message.find("the device is lost to this process"), std::string::npos)
          << at << two.error().message;
      EXPECT_FALSE(chip->wait().ok()) << at;
    }
  }
  EXPECT_EQ(n_lost, 2) << "both after the write of the status word";
}

// A device that says of a launch that it failed, and leaves the marks that the test has.
class LyingDriver : public FailingDriver {
 public:
  LyingDriver() : FailingDriver(first_device(), std::numeric_limits<int>::max()) {}
  // About the launch of a kernel; "": about one that never was.
  void lie(std::string_view kernel, int32_t mark) { kernel_ = kernel, mark_ = mark, number_ = 0; }
  Status read(void* to, gpu::MemoryPlace from, int64_t bytes) override {
    NARU_TRY(FailingDriver::read(to, from, bytes));
    if (from.memory == status_ && number_ != 0) {
      const auto number = static_cast<int32_t>(std::exchange(number_, 0));
      std::memcpy(to, &number, 4);
      is_asked_ = true;
    } else if (std::exchange(is_asked_, false)) {
      std::fill_n(static_cast<int32_t*>(to), bytes / 4, mark_);
    }
    return {};
  }
  Status launch(const gpu::KernelInfo& kernel, int64_t x, int64_t y, int64_t z,
                std::span<const gpu::Argument> arguments) override {
    status_ = std::get<gpu::MemoryPlace>(arguments[0]).memory;
    if (kernel.name == kernel_ || kernel_.empty()) {
      number_ = std::get<int64_t>(arguments[1]) + (kernel_.empty() ? 1000 : 0);
    }
    return FailingDriver::launch(kernel, x, y, z, arguments);
  }

 private:
  std::string_view kernel_;
  int32_t mark_ = 0;
  const gpu::DeviceMemory* status_ = nullptr;
  int64_t number_ = 0;
  bool is_asked_ = false;
};

// Numbers of a device are input: whatever they are there is an error, and the chip goes on.
TEST(Opencl, NumbersOfADeviceThatLiesAreAnError) {
  SKIP_WHERE_ABSENT();
  struct {
    std::string_view op, kind, kernel;
  } const kOps[] = {{"rms_norm", "", "rms_norm"},      {"rms_norm", "", ""},
                    {"log_prob", "", "log_prob"},      {"cross_entropy", "", "cross_entropy"},
                    {"embed_grad", "", "embed_grad"},  {"cache_write", "", "cache_write"},
                    {"route", "given", "check_given"}, {"attention", "/mixed", "check_selected"}};
  auto owned = std::make_unique<LyingDriver>();
  LyingDriver* driver = owned.get();
  const auto chip = gpu::make_gpu_chip(std::move(owned)).value();
  for (const auto& [op, kind, kernel] : kOps) {
    const auto cases = check::find_suite(op)->cases();
    const auto found = std::find_if(cases.begin(), cases.end(), [&](const check::Case& c) {
      return !c.is_large && check::case_line(c).find(kind) != std::string::npos &&
             test::reference_outcome(check::build(c)).status.ok();
    });
    ASSERT_NE(found, cases.end()) << op;
    const check::Program program = check::build(*found);
    for (const int32_t mark : {0, 1, 2, 1 << 30, -1, std::numeric_limits<int32_t>::min()}) {
      driver->lie(kernel, mark);
      const auto outcome = check::run_program(program, *chip);
      ASSERT_TRUE(outcome.ok()) << outcome.error().message;
      ASSERT_FALSE(outcome->status.ok()) << check::case_line(*found) << " " << mark;
      const Error& error = outcome->status.error();
      EXPECT_TRUE(error.code == Code::kInternal || ((mark == 1 || mark == 2) && error.code == Code::kOutOfRange))
          << error.message;
      if (mark <= 0 || mark > 2) {
        EXPECT_NE(error.message.find("the device or its driver is at fault"), std::string::npos) << error.message;
      }
      EXPECT_EQ(two_of(*chip).value(), 2) << check::case_line(*found) << " " << mark;
    }
  }
}

// The same code of the library means no memory where it was asked for, and elsewhere that a kernel was aborted.
TEST(Opencl, AnAbortedKernelIsADeviceThatIsLost) {
  SKIP_WHERE_ABSENT();
  const Int none = opencl::kOutOfResources;
  for (const FailingCalls& calls : {FailingCalls{.of_launch = none}, FailingCalls{.of_read = none},
                                    FailingCalls{.of_event = none}, FailingCalls{.of_event = -9999}}) {
    failing = {};
    const auto chip = gpu::make_gpu_chip(first_device(failing_api())).value();
    EXPECT_EQ(two_of(*chip).value(), 2);
    failing = calls;
    const auto two = two_of(*chip);
    failing = {};
    ASSERT_FALSE(two.ok());
    EXPECT_EQ(two.error().code, Code::kUnavailable);
    EXPECT_NE(two.error().message.find("the device is lost to this process: start naru again"), std::string::npos)
        << two.error().message;
  }
}

// Each way to wait hears of a kernel that ended abnormally, whose only word of it is the event of its launch.
TEST(Opencl, EveryWaitAsksForTheEventsOfLaunches) {
  SKIP_WHERE_ABSENT();
  for (const int way : {0, 1, 2}) {
    failing = {};
    const auto chip = gpu::make_gpu_chip(first_device(failing_api())).value();
    const auto buffer = chip->allocate(4).value();
    const View x = make_view(buffer->address(), DType::kF32, 1, 1);
    chip->set_place({"layer", 3});
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(chip->run(contract::Add{.a = x, .b = x, .out = x}).ok());
    failing.of_event = opencl::kOutOfResources;
    float value = 0;
    const auto wait = [&] {
      if (way == 0) return chip->wait();
      return way == 1 ? chip->copy_in(x.address, &value, 4) : chip->copy_out(&value, x.address, 4);
    };
    const Status status = wait();
    failing = {};
    ASSERT_FALSE(status.ok()) << way;
    EXPECT_TRUE(status.error().message.starts_with(
        "layer 3: running add, or what was queued before it: running kernel add on chip opencl ("))
        << status.error().message;
    EXPECT_TRUE(wait().ok()) << "said once";
    // What waited for it has done it: an error from then on is of no op.
    failing.of_read = opencl::kOutOfResources;
    const Status read = chip->copy_out(&value, x.address, 4);
    failing = {};
    ASSERT_FALSE(read.ok()) << way;
    EXPECT_TRUE(read.error().message.starts_with("copying 4 B out on chip opencl (")) << read.error().message;
  }
}

// Memory of what is queued is free when it is done: a driver without any is asked again then.
TEST(Opencl, MemoryThatIsNotThereIsAskedForTwice) {
  SKIP_WHERE_ABSENT();
  for (const Int code : {opencl::kNoMemoryForObject, opencl::kOutOfResources}) {
    for (const int64_t bytes : {64, 1 << 20}) {
      failing = {};
      const auto driver = first_device(failing_api());
      failing = {.of_memory = code, .n_without_memory = 1};
      EXPECT_TRUE(driver->allocate(bytes).ok()) << code;
      failing = {.of_memory = code, .n_without_memory = 2};
      const auto refused = driver->allocate(bytes);
      ASSERT_FALSE(refused.ok()) << code;
      EXPECT_EQ(refused.error().code, Code::kResourceExhausted) << refused.error().message;
      EXPECT_EQ(failing.n_without_memory, 0);
    }
  }
  failing = {};
}

}  // namespace
}  // namespace naru
