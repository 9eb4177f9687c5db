// Files and folders that are written whole or not at all: what they may replace, what a kill leaves, and mappings whose
// file goes away under them.
#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "base/folder.h"
#include "base/mapping_faults.h"

namespace naru {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() {
    std::string pattern = (fs::temp_directory_path() / "naru-files-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Files() override { fs::remove_all(folder_); }

  fs::path at(const std::string& name) const { return folder_ / name; }
  void put(const std::string& name, const std::string& text) const { std::ofstream(at(name)) << text; }
  std::string text_of(const std::string& name) const { return read_file(at(name), 1 << 20).value(); }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_)) found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }
  static mode_t mode_of(const fs::path& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 ? info.st_mode : 0;
  }
  Status write(const std::string& name, Existing existing, std::string_view text = "new") const {
    NARU_ASSIGN(AtomicFile file, AtomicFile::create(at(name), existing));
    NARU_TRY(file.write(as_bytes(text)));
    return file.commit();
  }
  Status write_folder(const std::string& name, Existing existing) const {
    NARU_ASSIGN(AtomicFolder folder, AtomicFolder::create(at(name), existing));
    std::ofstream(folder.path() / "new") << "new";
    return folder.commit();
  }
  static void expect_error(const Status& status, Code code, const std::string& words) {
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, code) << status.error().message;
    EXPECT_NE(status.error().message.find(words), std::string::npos) << status.error().message;
  }

  fs::path folder_;
};

TEST_F(Files, OnlyRegularFilesAreReplaced) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  fs::create_directory(at("folder"));
  fs::create_symlink(at("pipe"), at("to-pipe"));
  fs::create_symlink(at("nowhere"), at("to-nowhere"));
  const std::vector<std::string> before = names();
  for (const Existing existing : {Existing::kRefuse, Existing::kReplace}) {
    expect_error(write("pipe", existing), Code::kInvalidArgument, "there is a pipe of that name");
    expect_error(write("folder", existing), Code::kInvalidArgument, "there is a folder of that name");
    expect_error(write("to-pipe", existing), Code::kInvalidArgument, "there is a pipe of that name");
    expect_error(write("to-nowhere", existing), Code::kInvalidArgument, "a link that leads nowhere");
    EXPECT_EQ(AtomicFile::create("/dev/null", existing).error().code, Code::kInvalidArgument);
    EXPECT_EQ(AtomicFile::create("", existing).error().code, Code::kInvalidArgument);
    EXPECT_EQ(AtomicFile::create(at("no") / "file", existing).error().code, Code::kNotFound);
  }
  EXPECT_EQ(names(), before);
  EXPECT_TRUE(S_ISFIFO(mode_of(at("pipe"))));
  EXPECT_TRUE(S_ISCHR(mode_of("/dev/null")));
}

TEST_F(Files, AnExistingFileIsRefusedOrReplaced) {
  put("there", "old");
  expect_error(write("there", Existing::kRefuse), Code::kInvalidArgument, "--force");
  EXPECT_EQ(text_of("there"), "old");
  ASSERT_TRUE(write("there", Existing::kReplace).ok());
  EXPECT_EQ(text_of("there"), "new");
  ASSERT_TRUE(write("fresh", Existing::kRefuse).ok());
  EXPECT_EQ(text_of("fresh"), "new");
}

TEST_F(Files, WhatAppearsMeanwhileIsNotReplacedEither) {
  auto refusing = AtomicFile::create(at("a"), Existing::kRefuse).value();
  auto replacing = AtomicFile::create(at("b"), Existing::kReplace).value();
  auto folder = AtomicFolder::create(at("c"), Existing::kRefuse).value();
  put("a", "mine");
  ASSERT_EQ(::mkfifo(at("b").c_str(), 0600), 0);
  fs::create_directory(at("c"));
  put("c/mine", "mine");
  expect_error(refusing.commit(), Code::kInvalidArgument, "--force");
  expect_error(replacing.commit(), Code::kInvalidArgument, "a pipe");
  expect_error(folder.commit(), Code::kInvalidArgument, "--force");
  EXPECT_EQ(text_of("a"), "mine");
  EXPECT_EQ(text_of("c/mine"), "mine");
}

TEST_F(Files, ALinkStaysAndItsFileIsReplaced) {
  put("real", "old");
  fs::create_symlink("real", at("link"));
  expect_error(write("link", Existing::kRefuse), Code::kInvalidArgument, "already");
  ASSERT_TRUE(write("link", Existing::kReplace).ok());
  EXPECT_TRUE(fs::is_symlink(at("link")));
  EXPECT_EQ(text_of("real"), "new");
}

TEST_F(Files, ModesAreThoseOfTheOldFileOrOfTheUmask) {
  put("there", "old");
  fs::permissions(at("there"), fs::perms(0640));
  const mode_t before = ::umask(027);
  EXPECT_TRUE(write("there", Existing::kReplace).ok());
  EXPECT_TRUE(write("fresh", Existing::kReplace).ok());
  EXPECT_TRUE(write_folder("folder", Existing::kReplace).ok());
  ::umask(before);
  EXPECT_EQ(mode_of(at("there")) & 07777, 0640u);
  EXPECT_EQ(mode_of(at("fresh")) & 07777, 0640u);
  EXPECT_EQ(mode_of(at("folder")) & 07777, 0750u);
}

TEST_F(Files, TemporaryNamesCannotBeGuessed) {
  const auto a = AtomicFile::create(at("out")).value();
  const auto b = AtomicFile::create(at("out")).value();
  EXPECT_NE(a.temporary_path(), b.temporary_path());
  EXPECT_EQ(a.temporary_path().parent_path(), folder_);
  const std::string name = a.temporary_path().filename().string();
  EXPECT_TRUE(name.starts_with("out.partial-")) << name;
  EXPECT_EQ(name.size(), std::string("out.partial-").size() + 16);
}

TEST_F(Files, APlantedLinkIsNotWrittenThrough) {
  put("victim", "old");
  fs::create_symlink("victim", at("out.partial-0123456789abcdef"));
  EXPECT_TRUE(write("out", Existing::kReplace).ok());
  EXPECT_EQ(text_of("victim"), "old");
  EXPECT_EQ(text_of("out"), "new");
}

// A child that dies with an unfinished file and folder, as kill -9 would have it.
void die_with_left_overs(const fs::path& file, const fs::path& folder) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto a = AtomicFile::create(file);
    auto b = AtomicFolder::create(folder);
    if (!a.ok() || !b.ok() || !a->write(as_bytes("half")).ok()) ::_exit(1);
    std::ofstream(b->path() / "half") << "half";
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST_F(Files, TheNextWriterRemovesWhatAKilledOneLeft) {
  die_with_left_overs(at("file"), at("folder"));
  ASSERT_EQ(names().size(), 2u);
  put("file.partial-notes", "mine");
  put("file.partial-0123456789abcdef.bak", "mine");
  put("file.partial-2", "the second part of a split download");
  put("file.partial-4194999.gguf", "mine");
  put("file.partial-0123456789ABCDEF", "mine");
  put("file.partial-0123456789abcdef-old", "what was replaced");
  const auto alive = AtomicFile::create(at("file")).value();
  EXPECT_TRUE(write("file", Existing::kRefuse).ok());
  EXPECT_TRUE(write_folder("folder", Existing::kRefuse).ok());
  std::vector<std::string> wanted = {"file",
                                     "file.partial-2",
                                     "file.partial-4194999.gguf",
                                     "file.partial-0123456789ABCDEF",
                                     "file.partial-0123456789abcdef-old",
                                     "file.partial-0123456789abcdef.bak",
                                     "file.partial-notes",
                                     alive.temporary_path().filename().string(),
                                     "folder"};
  std::sort(wanted.begin(), wanted.end());
  EXPECT_EQ(names(), wanted);
}

TEST_F(Files, RemoveAllPartialsLeavesNothing) {
  const auto file = AtomicFile::create(at("file")).value();
  const auto folder = AtomicFolder::create(at("folder")).value();
  fs::create_directory(folder.path() / "below");
  for (int i = 0; i < 300; ++i) {
    std::ofstream(folder.path() / std::to_string(i)) << i;
    std::ofstream(folder.path() / "below" / std::to_string(i)) << i;
  }
  ASSERT_TRUE(write("done", Existing::kRefuse).ok());
  remove_all_partials();
  EXPECT_EQ(names(), (std::vector<std::string>{"done"}));
}

TEST_F(Files, AFolderIsReplacedWhereItHoldsNothingElse) {
  const auto is_ours = [](const fs::directory_entry& entry) { return entry.path().filename() == "new"; };
  ASSERT_TRUE(write_folder("folder", Existing::kRefuse).ok());
  expect_error(write_folder("folder", Existing::kRefuse), Code::kInvalidArgument, "--force");
  EXPECT_TRUE(check_folder_place(at("folder"), Existing::kReplace, is_ours).ok());
  ASSERT_TRUE(write_folder("folder", Existing::kReplace).ok());
  put("folder/mine", "mine");
  expect_error(check_folder_place(at("folder"), Existing::kReplace, is_ours), Code::kInvalidArgument, "'mine'");
  expect_error(check_folder_place(at("no/folder"), Existing::kReplace, is_ours), Code::kNotFound, "no");
  put("file", "mine");
  expect_error(write_folder("file", Existing::kReplace), Code::kInvalidArgument, "a file of that name");
  EXPECT_EQ(names(), (std::vector<std::string>{"file", "folder"}));
}

TEST_F(Files, ParentsOfAFolderAreMadeAndEmptyOnesGo) {
  const auto is_ours = [](const fs::directory_entry&) { return true; };
  const auto place = [&](const std::string& name) {
    return check_folder_place(at(name), Existing::kRefuse, is_ours, Parents::kMade);
  };
  fs::create_directory(at("there"));
  EXPECT_TRUE(place("there/a/b/folder").ok());
  { EXPECT_TRUE(MadeParents::create(at("there/a/b/folder")).ok()); }
  EXPECT_EQ(names(), (std::vector<std::string>{"there"}));
  EXPECT_TRUE(fs::is_empty(at("there")));
  {
    const auto parents = MadeParents::create(at("there/a/b/folder"));
    ASSERT_TRUE(parents.ok());
    EXPECT_TRUE(fs::is_directory(at("there/a/b")));
    put("there/a/mine", "mine");
  }
  EXPECT_TRUE(fs::exists(at("there/a/mine")));
  EXPECT_FALSE(fs::exists(at("there/a/b")));
  { EXPECT_TRUE(MadeParents::create(at("there/folder")).ok()); }
  EXPECT_TRUE(fs::exists(at("there")));  // it was there before
  fs::create_symlink("nowhere", at("link"));
  expect_error(place("link/folder"), Code::kInvalidArgument, "is no folder");
}

TEST_F(Files, AFileThatIsWrittenOverIsNoticed) {
  put("a", "hello");
  const auto file = MappedFile::open(at("a")).value();
  EXPECT_TRUE(file.check_unchanged().ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a file system's clock ticks up to 10 ms apart
  std::fstream(at("a"), std::ios::in | std::ios::out) << "HELLO";
  expect_error(file.check_unchanged(), Code::kUnavailable, "was written to while it was read");
}

TEST_F(Files, BytesOfAMappingThatIsGoneCannotBeWritten) {
  put("a", std::string(100000, 'a'));
  const auto file = MappedFile::open(at("a")).value();
  fs::resize_file(at("a"), 10);
  auto out = AtomicFile::create(at("out")).value();
  expect_error(out.write(file.bytes()), Code::kUnavailable, "cannot be read any more");
}

// --- mappings that fail: in processes of their own ------------------------------------------------------------------

void tell(std::string_view message) {
  (void)!::write(STDERR_FILENO, message.data(), message.size());
}

using MappingsDeathTest = Files;

int touch_last(const MappedFile& file) {
  return static_cast<int>(*const_cast<const volatile std::byte*>(file.bytes().data() + file.size() - 1));
}

TEST_F(MappingsDeathTest, AFileThatShrinksEndsTheProgramWithAMessage) {
  put("model", std::string(100000, 'a'));
  const auto file = MappedFile::open(at("model")).value();
  const auto shrink_and_read = [&] {
    end_when_a_mapping_fails(tell);
    const auto partial = AtomicFile::create(at("out")).value();
    fs::resize_file(at("model"), 10);
    std::thread([&] { (void)touch_last(file); }).join();
  };
  EXPECT_EXIT(shrink_and_read(), testing::ExitedWithCode(8),
              "reading .*/model: it had 100000 bytes when it was opened and has 10 now; it was shortened meanwhile");
  EXPECT_EQ(names(), (std::vector<std::string>{"model"})) << "the unfinished file is gone";
}

// A file that is as long as it was: its disk or network failed. That is played by the descriptor of another file.
TEST_F(MappingsDeathTest, ADiskThatFailsEndsTheProgramWithAMessage) {
  put("model", std::string(100000, 'a'));
  put("whole", std::string(100000, 'a'));
  const int fd = ::open(at("model").c_str(), O_RDONLY), whole = ::open(at("whole").c_str(), O_RDONLY);
  void* data = ::mmap(nullptr, 100000, PROT_READ, MAP_PRIVATE, fd, 0);
  ASSERT_NE(data, MAP_FAILED);
  Mapping* mapping = add_mapping(static_cast<std::byte*>(data), 100000, whole, at("model"));
  fs::resize_file(at("model"), 10);
  const auto read = [&] {
    end_when_a_mapping_fails(tell);
    (void)*(static_cast<const volatile char*>(data) + 99999);
  };
  EXPECT_EXIT(read(), testing::ExitedWithCode(8), "/model: at byte 99999 of 100000: the system could not read it");
  remove_mapping(mapping);
  ::munmap(data, 100000);
  ::close(fd);
  ::close(whole);
}

TEST_F(MappingsDeathTest, ControlCharactersOfANameAreNotShown) {
  put("a\x1b[31m", std::string(100000, 'a'));
  const auto file = MappedFile::open(at("a\x1b[31m")).value();
  const auto shrink_and_read = [&] {
    end_when_a_mapping_fails(tell);
    fs::resize_file(at("a\x1b[31m"), 10);
    (void)touch_last(file);
  };
  EXPECT_EXIT(shrink_and_read(), testing::ExitedWithCode(8), "reading .*/a\xef\xbf\xbd\\[31m: it had");
}

TEST_F(MappingsDeathTest, OtherBusErrorsEndAsEver) {
  put("a", "a");
  const auto send = [&] {
    end_when_a_mapping_fails(tell);
    ::raise(SIGBUS);
    ::_exit(0);
  };
  EXPECT_EXIT(send(), testing::KilledBySignal(SIGBUS), "");
  // A mapping that is closed is none of ours any more, wherever the next one lies.
  const auto fault = [&] {
    end_when_a_mapping_fails(tell);
    { const auto closed = MappedFile::open(at("a")).value(); }
    const int fd = ::open(at("a").c_str(), O_RDONLY);
    const auto* data = static_cast<volatile char*>(::mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE, fd, 0));
    (void)data[8191];
    ::_exit(0);
  };
  EXPECT_EXIT(fault(), testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace naru
