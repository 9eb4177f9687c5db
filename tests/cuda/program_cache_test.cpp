// The folder of kept programs has a bound: what was not used for the longest time goes first.
#include "chips/gpu/program_cache.h"

#include <chrono>
#include <fstream>

#include "tests/cuda/cuda_rig.h"

namespace naru {
namespace {

namespace fs = std::filesystem;

class ProgramCache : public ::testing::Test {
 protected:
  ProgramCache() : cache_home_("XDG_CACHE_HOME", folder_.path().c_str()) {}
  // Everything in the folder was used an hour before it was.
  void let_time_pass() {
    for (const auto& file : fs::directory_iterator(kept()))
      fs::last_write_time(file, file.last_write_time() - std::chrono::hours(1));
  }
  int64_t bytes() const {
    int64_t total = 0;
    for (const auto& file : fs::directory_iterator(kept())) total += static_cast<int64_t>(file.file_size());
    return total;
  }
  fs::path kept() const { return folder_.path() / "naru" / "kernels"; }

  test::Folder folder_;
  test::Variable cache_home_;
  gpu::ProgramCache cache_{1000};
  const std::string program_ = std::string(300, 'p');
};

TEST_F(ProgramCache, TheOldestGoFirst) {
  for (const char* key : {"a", "b"}) {
    cache_.keep(key, program_);
    let_time_pass();
  }
  EXPECT_EQ(bytes(), 2 * 364);
  cache_.keep("c", program_);
  EXPECT_EQ(bytes(), 2 * 364);
  EXPECT_EQ(cache_.find("a"), "");
  EXPECT_EQ(cache_.find("b"), program_);
  EXPECT_EQ(cache_.find("c"), program_);
}

TEST_F(ProgramCache, WhatIsTakenWasUsed) {
  for (const char* key : {"a", "b"}) {
    cache_.keep(key, program_);
    let_time_pass();
  }
  EXPECT_EQ(cache_.find("a"), program_);
  cache_.keep("c", program_);
  EXPECT_EQ(cache_.find("b"), "");
  EXPECT_EQ(cache_.find("a"), program_);
}

TEST_F(ProgramCache, WhatIsLargerThanTheFolderIsNotKept) {
  cache_.keep("a", program_);
  cache_.keep("large", std::string(937, 'p'));
  EXPECT_EQ(cache_.find("large"), "");
  EXPECT_EQ(cache_.find("a"), program_);
  cache_.keep("fits", std::string(936, 'p'));
  EXPECT_EQ(bytes(), 1000);
  EXPECT_EQ(cache_.find("fits"), std::string(936, 'p'));
}

// Left behind by a process that was killed, say.
TEST_F(ProgramCache, WhatWasLeftUnfinishedCountsToo) {
  cache_.keep("a", program_);
  const fs::path left = kept() / (std::string(64, 'a') + ".partial-0123456789abcdef"), other = kept() / "notes";
  for (const fs::path& path : {left, other}) std::ofstream(path) << std::string(900, 'x');
  let_time_pass();
  cache_.keep("b", program_);
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(other)) << "it is no program";
  EXPECT_EQ(cache_.find("b"), program_);
}

}  // namespace
}  // namespace naru
