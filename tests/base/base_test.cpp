// Floor 0: results, checked arithmetic, byte cursor, files, hashes, random numbers, threads.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/float_bits.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/thread_pool.h"

namespace naru {
namespace {

std::filesystem::path temporary_folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "naru-base-XXXXXX").string();
  return ::mkdtemp(pattern.data());
}

Result<int> half(int x) {
  if (x % 2 != 0) return Error{Code::kInvalidArgument, "halving: odd"};
  return x / 2;
}
Result<int> quarter(int x) {
  NARU_ASSIGN(const int h, half(x));
  return half(h);
}

TEST(Result, PassesErrorsOn) {
  EXPECT_EQ(quarter(12).value(), 3);
  EXPECT_EQ(quarter(6).error().message, "halving: odd");
  EXPECT_EQ(quarter(6).error().code, Code::kInvalidArgument);
}

TEST(Result, ExitStatusesAreDistinct) {
  std::set<int> statuses;
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
    const int status = exit_status(static_cast<Code>(code));
    EXPECT_TRUE(status > 1 && status < 256) << status;
    EXPECT_TRUE(statuses.insert(status).second) << code_name(static_cast<Code>(code));
  }
}

TEST(Checked, SaysWhenItDoesNotFit) {
  const int64_t max = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(checked_add(max, 0), max);
  EXPECT_FALSE(checked_add(max, 1));
  EXPECT_FALSE(checked_mul(int64_t{1} << 32, int64_t{1} << 31));
  EXPECT_EQ(checked_mul(int64_t{1} << 31, int64_t{1} << 31), int64_t{1} << 62);
  EXPECT_FALSE(checked_sub(std::numeric_limits<int64_t>::min(), 1));
  EXPECT_EQ(checked_align_up(65, 64), 128);
  EXPECT_FALSE(checked_align_up(max - 3, 64));
  EXPECT_FALSE(checked_count(~uint64_t{0}, max));
  EXPECT_EQ(checked_count(7, 7), 7);
  EXPECT_FALSE(checked_count(8, 7));
}

TEST(ByteCursor, NeverReadsPastTheEnd) {
  const std::string bytes(
      "\x01\x00\x00\x00"
      "ab",
      6);
  ByteCursor cursor(as_bytes(bytes));
  EXPECT_EQ(cursor.read<uint32_t>(), 1u);
  EXPECT_FALSE(cursor.read<uint32_t>());
  EXPECT_FALSE(cursor.take(~uint64_t{0}));
  EXPECT_EQ(cursor.take_text(2), "ab");
  EXPECT_EQ(cursor.remaining(), 0);
  EXPECT_FALSE(cursor.read<uint8_t>());
}

TEST(File, MapsRegularFilesOnly) {
  const auto folder = temporary_folder();
  std::ofstream(folder / "a") << "hello";
  const auto file = MappedFile::open(folder / "a");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(as_text(file->bytes()), "hello");
  EXPECT_TRUE(file->check_unchanged().ok());
  std::filesystem::resize_file(folder / "a", 2);
  EXPECT_EQ(file->check_unchanged().error().code, Code::kUnavailable);

  EXPECT_EQ(MappedFile::open(folder / "missing").error().code, Code::kNotFound);
  EXPECT_EQ(MappedFile::open(folder).error().code, Code::kInvalidArgument);
  EXPECT_EQ(MappedFile::open("/dev/zero").error().code, Code::kInvalidArgument);
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::open(folder / "fifo").error().code, Code::kInvalidArgument);  // and does not block
  std::ofstream(folder / "empty");
  EXPECT_EQ(MappedFile::open(folder / "empty")->size(), 0);
  EXPECT_EQ(read_file(folder / "a", 1).error().code, Code::kCorrupt);
  EXPECT_EQ(read_file(folder / "a", 2).value(), "he");
  std::filesystem::remove_all(folder);
}

TEST(File, AtomicWritesAreWholeOrAbsent) {
  const auto folder = temporary_folder();
  {
    auto file = AtomicFile::create(folder / "out");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write(as_bytes("half")).ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  {
    auto file = AtomicFile::create(folder / "out");
    ASSERT_TRUE(file->write(as_bytes("whole")).ok());
    ASSERT_TRUE(file->commit().ok());
  }
  EXPECT_EQ(read_file(folder / "out", 100).value(), "whole");
  EXPECT_EQ(AtomicFile::create(folder / "none" / "out").error().code, Code::kNotFound);
  std::filesystem::remove_all(folder);
}

// Known answers of the paper's own tests ("Random123", kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32_10({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformStaysBelowOne) {
  EXPECT_EQ(uniform_53({0, 0, 0, 0}), 0.0);
  EXPECT_LT(uniform_53({~0u, ~0u, 0, 0}), 1.0);
  EXPECT_NE(draw(1, DrawPurpose::kSample, 0, 5), draw(1, DrawPurpose::kInit, 0, 5));
}

TEST(Sha256, KnownAnswer) {
  EXPECT_EQ(sha256_hex(as_bytes("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(FloatBits, HalfPrecisionOfEveryPattern) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    const uint32_t exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(value), mantissa != 0);
      continue;
    }
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, static_cast<int>(exponent) - 25);
    EXPECT_EQ(value, (bits & 0x8000) != 0 ? -magnitude : magnitude) << bits;
  }
  for (uint32_t bits = 0; bits < 256; ++bits) {
    const float value = f8_e4m3_to_f32(static_cast<uint8_t>(bits));
    const uint32_t exponent = bits >> 3 & 15, mantissa = bits & 7;
    if ((bits & 127) == 127) {
      EXPECT_TRUE(std::isnan(value));
      continue;
    }
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, static_cast<int>(exponent) - 10);
    EXPECT_EQ(value, (bits & 128) != 0 ? -magnitude : magnitude) << bits;
  }
}

TEST(FloatBits, Bf16RoundsToNearestEvenAndFlushes) {
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // tie, even below
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);  // tie, even above
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x7f7fffffu)), 0x7f80);  // overflow
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x807fffffu)), 0x8000);  // subnormal
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x7f800001u)), 0x7fc0);  // NaN
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0xffc12345u)), 0x7fc0);
}

TEST(ThreadPool, RunsEveryIndexOnce) {
  for (const int n_threads : {1, 2, 3}) {
    const auto pool = ThreadPool::create(n_threads).value();
    for (int repeat = 0; repeat < 400; ++repeat) {
      const size_t n = repeat % 3 == 0 ? 2 : 37;
      std::vector<std::atomic<int>> counts(n);
      std::vector<int64_t> values(n, -1);  // read by this thread when the loop is over
      const auto body = [&](int64_t index, int thread) {
        ASSERT_LT(thread, n_threads);
        counts[static_cast<size_t>(index)].fetch_add(1);
        values[static_cast<size_t>(index)] = index;
      };
      if (repeat % 2 == 0) {
        pool->parallel_for(static_cast<int64_t>(n), body);
      } else {
        pool->parallel_for_near(static_cast<int64_t>(n), body);
      }
      for (size_t i = 0; i < n; ++i) {
        ASSERT_EQ(counts[i].load(), 1);
        ASSERT_EQ(values[i], static_cast<int64_t>(i));
      }
    }
  }
}

// The first index ends when all others have: those behind it are run by the other thread.
TEST(ThreadPool, WhoIsDoneTakesFromTheOthers) {
  const auto pool = ThreadPool::create(2).value();
  std::atomic<int> n_done = 0;
  std::array<std::atomic<int>, 8> thread_of{};
  pool->parallel_for_near(8, [&](int64_t index, int thread) {
    thread_of[static_cast<size_t>(index)] = thread;
    if (index == 0) {
      while (n_done.load() < 7) std::this_thread::yield();
    } else {
      n_done.fetch_add(1);
    }
  });
  for (size_t i = 1; i < 4; ++i) EXPECT_NE(thread_of[i].load(), thread_of[0].load()) << i;
}

// Ends with 0 where a pool of 64 threads is refused as it should be, in a process that may have only a few. The limit
// does not bind the superuser, so that one becomes nobody first.
[[noreturn]] void make_pool_with_few_threads() {
  constexpr uid_t kNobody = 65534;
  constexpr rlim_t kFew = 3;
  const rlimit limit{kFew, kFew};
  if (::setrlimit(RLIMIT_NPROC, &limit) != 0) ::_exit(1);
  if (::geteuid() == 0 && ::setuid(kNobody) != 0) ::_exit(2);
  const auto pool = ThreadPool::create(64);
  if (pool.ok()) ::_exit(3);
  const Error& error = pool.error();
  const bool is_right = error.code == Code::kResourceExhausted &&
                        error.message.find("starting 64 threads") != std::string::npos &&
                        error.message.find("--threads N") != std::string::npos;
  ::_exit(is_right && ThreadPool::create(1).ok() ? 0 : 4);
}

TEST(ThreadPool, IsAnErrorWhereThreadsRunOut) {
  EXPECT_EXIT(make_pool_with_few_threads(), testing::ExitedWithCode(0), "");
}

TEST(Memory, SaysSomethingSensible) {
  EXPECT_GT(available_memory_bytes(), 0);
  EXPECT_GT(peak_resident_bytes(), 0);
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(int64_t{3} << 29), "1.50 GiB");
}

TEST(MemoryDeathTest, WhatIsAvailableKnowsTheLimitOfAddresses) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory is beyond every limit";
#endif
  const auto under_limit = [] {
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    constexpr rlim_t kRoom = rlim_t{100} << 20;
    const rlim_t limit = static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + kRoom;
    const rlimit both{limit, limit};
    const bool is_set = ::setrlimit(RLIMIT_AS, &both) == 0;
    const int64_t available = available_memory_bytes();
    ::_exit(is_set && available > 0 && available <= static_cast<int64_t>(kRoom) ? 0 : 1);
  };
  EXPECT_EXIT(under_limit(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace naru
