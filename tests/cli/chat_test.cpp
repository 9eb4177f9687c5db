// What the chat is made of: the editor's buffer, keys and screen, the history's file, conversations as files, commands,
// and which turns leave a full context.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "base/file.h"
#include "cli/chat_commands.h"
#include "cli/context_room.h"
#include "cli/conversation.h"
#include "cli/edit_buffer.h"
#include "cli/edit_screen.h"
#include "cli/history.h"
#include "cli/key_reader.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

// What is drawn here has no styles, whatever the tests are started on.
const int kNoColor = ::setenv("NO_COLOR", "1", 1);

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "naru-chat-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST(EditBuffer, ErasesAndCrossesWholeClusters) {
  for (const std::string one : {"e\u0301", "\u1112\u1161\u11ab", "\U0001F468\u200D\U0001F469\u200D\U0001F467",
                                "\U0001F44D\U0001F3FD", "\U0001F1F0\U0001F1F7", "1\uFE0F\u20E3", "\u2764\uFE0F"}) {
    EditBuffer buffer;
    buffer.insert("a" + one + "b");
    buffer.left();
    buffer.left();
    EXPECT_EQ(buffer.cursor(), 1u) << one;
    buffer.right();
    EXPECT_EQ(buffer.cursor(), 1 + one.size()) << one;
    buffer.erase_left();
    EXPECT_EQ(buffer.text(), "ab") << one;
    buffer.insert(one);
    buffer.left();
    buffer.erase_right();
    EXPECT_EQ(buffer.text(), "ab") << one;
  }
}

TEST(EditBuffer, MovesByLinesAndKeepsTheColumn) {
  EditBuffer buffer;
  buffer.set("first line\nab\n\u4e2d\u4e2d\u4e2d\u4e2d\u4e2d end");  // wide characters
  EXPECT_FALSE(buffer.line_down());
  buffer.line_begin();
  for (int i = 0; i < 4; ++i) buffer.right();
  EXPECT_EQ(buffer.cursor(), 14u + 12);
  EXPECT_TRUE(buffer.line_up());
  EXPECT_EQ(buffer.cursor(), 13u);  // the end of the short one
  EXPECT_TRUE(buffer.line_up());
  EXPECT_EQ(buffer.cursor(), 8u);  // the column of before
  EXPECT_FALSE(buffer.line_up());
  EXPECT_TRUE(buffer.line_down());
  EXPECT_TRUE(buffer.line_down());
  EXPECT_EQ(buffer.cursor(), 14u + 12);
}

TEST(EditBuffer, WhatWasKilledComesBack) {
  EditBuffer buffer;
  buffer.set("one two three");
  buffer.kill_word_left();
  buffer.kill_word_left();
  EXPECT_EQ(buffer.text(), "one ");
  buffer.yank();
  EXPECT_EQ(buffer.text(), "one two three");
  buffer.line_begin();
  buffer.kill_to_line_end();
  buffer.yank();
  buffer.yank();
  EXPECT_EQ(buffer.text(), "one two threeone two three");
  buffer.kill_to_line_begin();
  EXPECT_EQ(buffer.text(), "");
}

std::vector<Key> keys_of(std::string bytes) {
  size_t at = 0;
  KeyReader reader([&] { return at < bytes.size() ? static_cast<unsigned char>(bytes[at++]) : -1; },
                   [&] { return at < bytes.size(); });
  std::vector<Key> keys;
  while (keys.empty() || keys.back().kind != Key::Kind::kGone) keys.push_back(reader.next());
  keys.pop_back();
  return keys;
}

TEST(KeyReader, Keys) {
  const auto kinds = [](const std::string& bytes) {
    std::vector<Key::Kind> found;
    for (const Key& key : keys_of(bytes)) found.push_back(key.kind);
    return found;
  };
  using K = Key::Kind;
  EXPECT_EQ(kinds("\x1b[A\x1bOB\x1b[1;5C\x1b[3~\x1b\r\r\n\t\x7f"),
            (std::vector{K::kUp, K::kDown, K::kWordRight, K::kDelete, K::kNewLine, K::kEnter, K::kNewLine, K::kTab,
                         K::kBackspace}));
  EXPECT_EQ(kinds("\x1b"), std::vector{K::kEscape});
  EXPECT_EQ(kinds("\xff\xc3\xb6"), (std::vector{K::kOther, K::kText}));
  EXPECT_EQ(kinds("\xe4\xb8"
                  "a"),
            (std::vector{K::kOther, K::kText}));  // a cut character costs no key
  EXPECT_EQ(keys_of("\x12").front().control, 'R');
}

TEST(KeyReader, APasteIsOneKey) {
  const auto pasted = keys_of("\x1b[200~/a\rb\r\nc\xff\x1b[201~x");
  ASSERT_EQ(pasted.size(), 2u);
  EXPECT_EQ(pasted[0].text, "/a\nb\nc\uFFFD");
  const auto keys = keys_of("\x1b[200~" + std::string(3 * kMessageBytesMax, '\r') + "\x1b[201~x");
  ASSERT_EQ(keys.size(), 2u);  // none of it is taken for Enter
  EXPECT_EQ(keys[0].kind, Key::Kind::kPasteTooLong);
  EXPECT_EQ(keys_of("\x1b[200~" + std::string(kMessageBytesMax, 'a') + "\x1b[201~").front().text.size(),
            kMessageBytesMax);
  EXPECT_EQ(keys_of("\x1b[200~" + std::string(kMessageBytesMax + 1, 'a') + "\x1b[201~").front().kind,
            Key::Kind::kPasteTooLong);
}

TEST(EditScreen, TheColumnIsTheTerminalsOwn) {
  EditScreen screen;
  const std::string family = "\U0001F468\u200D\U0001F469";
  // The row up to the cursor once more: no count of columns.
  EXPECT_EQ(screen.draw({"> ", family + "ab", family.size(), ""}, 40), "\r\x1b[J> " + family + "ab\r> " + family);
  EXPECT_EQ(screen.draw({"> ", "a\nb", 1, ""}, 40), "\r\x1b[J> a\r\n... b\x1b[1A\r> a");
  EXPECT_EQ(screen.leave(), "\x1b[1B\r\n");
  // A full row: the cursor stands at the start of the next one.
  EXPECT_EQ(screen.draw({"> ", "abcdefgh", 8, ""}, 10), "\r\x1b[J> abcdefgh\r\n");
  EXPECT_EQ(screen.draw({"> ", "\u009b2J\x1b", 0, ""}, 40), "\r\x1b[1A\x1b[J>  2J \r> ");  // controls are spaces
}

TEST(History, LinesAreEscaped) {
  const std::vector<std::string> messages = {"a", "two\nlines", "back\\slash \\n", "tab\there"};
  EXPECT_EQ(format_history(messages), "a\ntwo\\nlines\nback\\\\slash \\\\n\ntab\there\n");
  EXPECT_EQ(parse_history(format_history(messages)), messages);
}

TEST(History, DamagedLinesArePassedOver) {
  const std::string text = std::string("good\n\n\xff\xfe\nesc\x1b[2J\n") + std::string(1, '\0') + "\n" +
                           std::string(kHistoryLineBytesMax + 1, 'x') + "\nlast without an end";
  EXPECT_EQ(parse_history(text), (std::vector<std::string>{"good", "last without an end"}));
}

TEST(History, IsBounded) {
  std::vector<std::string> messages;
  for (size_t i = 0; i < kHistoryLinesMax + 5; ++i) messages.push_back(std::to_string(i));
  const auto kept = parse_history(format_history(messages));
  ASSERT_EQ(kept.size(), kHistoryLinesMax);
  EXPECT_EQ(kept.front(), "5");
  messages.assign(40, std::string(kHistoryLineBytesMax, 'x'));
  EXPECT_LE(format_history(messages).size(), static_cast<size_t>(kHistoryBytesMax));
  messages.assign(1, std::string(kHistoryLineBytesMax + 1, 'x'));
  EXPECT_EQ(format_history(messages), "");
}

TEST(History, ChatsAtOnceLoseNothing) {
  const Folder folder;
  const fs::path path = folder / "state/naru/history";
  constexpr int kChats = 4, kMessages = 8;
  std::vector<std::thread> chats;
  for (int chat = 0; chat < kChats; ++chat) {
    chats.emplace_back([&path, chat] {
      History history;
      ASSERT_TRUE(history.open(path).ok());
      for (int i = 0; i < kMessages; ++i) ASSERT_TRUE(history.add(std::to_string(chat) + " " + std::to_string(i)).ok());
    });
  }
  for (std::thread& chat : chats) chat.join();
  History history;
  ASSERT_TRUE(history.open(path).ok());
  EXPECT_EQ(history.messages().size(), static_cast<size_t>(kChats * kMessages));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(path.parent_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  ASSERT_TRUE(history.add("once more").ok());
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(History, WhatALockKeepsBackComesWithTheNextMessage) {
  const Folder folder;
  History history;
  ASSERT_TRUE(history.open(folder / "history").ok());
  const int lock = ::open((folder / "").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  EXPECT_EQ(history.add("one").error().code, Code::kUnavailable);
  ::close(lock);
  ASSERT_TRUE(history.add("two").ok());
  EXPECT_EQ(read_file(folder / "history", 100).value(), "one\ntwo\n");
}

TEST(History, WhatIsNoFileIsNoHistory) {
  const Folder folder;
  fs::create_directory(folder / "history");
  History history;
  EXPECT_FALSE(history.open(folder / "history").ok());
  EXPECT_TRUE(history.add("kept here").ok());
  EXPECT_EQ(history.messages().size(), 1u);
  write_file(folder / "large", std::string(kHistoryBytesMax + 1, 'x'));
  EXPECT_FALSE(history.open(folder / "large").ok());
}

TEST(History, SearchGoesBack) {
  History history;
  for (const char* message : {"apple", "pear", "apple pie", "plum", "plum"}) ASSERT_TRUE(history.add(message).ok());
  EXPECT_EQ(history.messages().size(), 4u);
  EXPECT_EQ(history.find("apple", 4), 2u);
  EXPECT_EQ(history.find("apple", 2), 0u);
  EXPECT_EQ(history.find("apple", 0), std::nullopt);
}

Conversation talk(size_t n_turns) {
  Conversation c;
  c.system = "be brief";
  for (size_t i = 0; i < n_turns; ++i) c.turns.push_back({.question = "q\n\u009b", .answer = "a\"", .reasoning = "r"});
  return c;
}

TEST(Conversation, ComesBackFromItsFile) {
  const Folder folder;
  size_t n_left_out = 0;
  ASSERT_TRUE(save_conversation(talk(2), folder / "talk.jsonl", Existing::kRefuse, &n_left_out).ok());
  EXPECT_EQ(read_file(folder / "talk.jsonl", 1000).value(),
            "{\"messages\": [{\"role\": \"system\", \"content\": \"be brief\"}, "
            "{\"role\": \"user\", \"content\": \"q\\n\\u009b\"}, "
            "{\"role\": \"assistant\", \"content\": \"a\\\"\", \"reasoning_content\": \"r\"}, "
            "{\"role\": \"user\", \"content\": \"q\\n\\u009b\"}, "
            "{\"role\": \"assistant\", \"content\": \"a\\\"\", \"reasoning_content\": \"r\"}]}\n");
  const auto loaded = load_conversation(folder / "talk.jsonl");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->system, "be brief");
  ASSERT_EQ(loaded->turns.size(), 2u);
  EXPECT_EQ(loaded->turns[1].question, "q\n\u009b");
  EXPECT_EQ(loaded->turns[1].reasoning, "r");
  EXPECT_EQ(loaded->messages_without(1).size(), 3u);  // the system prompt stays
  EXPECT_FALSE(save_conversation(talk(1), folder / "talk.jsonl", Existing::kRefuse, &n_left_out).ok());
  EXPECT_TRUE(save_conversation(talk(1), folder / "talk.jsonl", Existing::kReplace, &n_left_out).ok());
}

TEST(Conversation, AFileHoldsSoManyMessages) {
  size_t n_left_out = 0;
  EXPECT_TRUE(parse_conversation(conversation_text(talk(127), &n_left_out), "x").ok());
  EXPECT_EQ(n_left_out, 0u);
  const auto loaded = parse_conversation(conversation_text(talk(128), &n_left_out), "x");
  EXPECT_EQ(n_left_out, 1u);
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded->turns.size(), 127u);
}

TEST(Conversation, HostileFilesAreRefusedByName) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "f:"},
      {"{", "f:"},
      {"[]", "an object"},
      {"{\"messages\": []}", "empty"},
      {"{\"messages\": [{\"role\": \"user\", \"content\": 5}]}", "messages[0].content is a number"},
      {"{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}]}", "messages[0].role is 'assistant'"},
      {"{\"messages\": [{\"role\": \"tool\", \"content\": \"x\"}]}", "messages[0].role is 'tool'"},
      {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"system\", \"content\": \"x\"}]}",
       "messages[1].role is 'system'"},
      {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"tool_calls\": [1]}]}",
       "messages[1].tool_calls"},
      {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"tools\": []}", "tools"},
      {"{\"text\": \"x\"}", "a conversation"},
      {std::string(100, '['), "f"},
      {"{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}", "f"},
  };
  for (const auto& [text, part] : cases) {
    const auto read = parse_conversation(text, "f");
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_NE(read.error().message.find(part), std::string::npos) << read.error().message;
    EXPECT_TRUE(read.error().message.starts_with("reading f")) << read.error().message;
  }
}

TEST(ChatCommands, Parsing) {
  EXPECT_TRUE(is_chat_command("/set x"));
  EXPECT_FALSE(is_chat_command("/two\nlines"));
  EXPECT_TRUE(is_chat_command("/system two\nlines"));
  EXPECT_FALSE(is_chat_command(" /usr/bin"));
  EXPECT_EQ(parse_chat_command("/set  top-k 5 ").value().argument, "top-k 5");
  EXPECT_EQ(parse_chat_command("/exit").value().verb, ChatVerb::kQuit);
  EXPECT_EQ(parse_chat_command("/hlep").error().message, "there is no /hlep; did you mean /help?");
  EXPECT_EQ(parse_chat_command("/clear it").error().message, "/clear takes nothing behind it, 'it' was given");
}

TEST(ChatCommands, NamesOfFiles) {
  const auto file = [](std::string_view argument) { return parse_file_argument("/save", argument, true); };
  EXPECT_EQ(file("a file.json").value().path, "a file.json");
  EXPECT_FALSE(file("a").value().is_forced);
  EXPECT_TRUE(file("a --force").value().is_forced);
  EXPECT_EQ(file("--force a").value().path, "a");
  EXPECT_EQ(file("-- --force").value().path, "--force");
  EXPECT_EQ(file("-- a --force").value().path, "a --force");
  EXPECT_FALSE(file("").ok());
  EXPECT_FALSE(file("--force").ok());
  EXPECT_FALSE(file("--forced a").ok());
  EXPECT_FALSE(parse_file_argument("/load", "--force a", false).ok());
}

TEST(ChatCommands, Completion) {
  const std::vector<std::string> names = {"temperature", "top-k", "top-p"};
  EXPECT_EQ(complete_chat("/s", names).words, (std::vector<std::string>{"/system ", "/set ", "/save ", "/stats"}));
  EXPECT_EQ(complete_chat("/set to", names).words, (std::vector<std::string>{"top-k ", "top-p "}));
  EXPECT_EQ(complete_chat("/set to", names).begin, 5u);
  EXPECT_TRUE(complete_chat("/set top-k 5", names).words.empty());
  EXPECT_TRUE(complete_chat("hello", names).words.empty());
  const Folder folder;
  write_file(folder / "talk.json", "");
  write_file(folder / "talk \u009b", "");  // cannot be typed
  write_file(folder / ".talk", "");
  fs::create_directory(folder / "talks");
  const std::string begin = "/save --force " + (folder / "").string();
  const Completion files = complete_chat(begin, names);
  EXPECT_EQ(files.begin, 14u);
  EXPECT_EQ(files.words, (std::vector<std::string>{(folder / "talk.json").string(), (folder / "talks/").string()}));
  EXPECT_EQ(complete_chat(begin + ".", names).words.size(), 1u);
}

// Turns of these tokens, the oldest first, and what is always there.
ContextRoom room(std::vector<int64_t> turns, int64_t rest, int64_t context, int64_t max_tokens = 0) {
  return make_room(turns.size(), context, max_tokens,
                   [&](size_t n) -> Result<int64_t> {
                     int64_t tokens = rest;
                     for (size_t i = n; i < turns.size(); ++i) tokens += turns[i];
                     return tokens;
                   })
      .value();
}

TEST(ContextRoom, NothingLeavesWhileThereIsRoom) {
  EXPECT_EQ(room({}, 10, 1000).n_dropped, 0u);
  EXPECT_EQ(room({300, 300}, 150, 1000).n_dropped, 0u);  // 750, and a quarter
  EXPECT_EQ(room({300, 300}, 151, 1000).n_dropped, 1u);
  EXPECT_EQ(room({300, 300}, 390, 1000, 10).n_dropped, 0u);  // --max-tokens needs less
  EXPECT_EQ(room({300, 300}, 391, 1000, 10).n_dropped, 1u);
}

TEST(ContextRoom, TheOldestLeaveUntilHalfIsFree) {
  EXPECT_EQ(room(std::vector<int64_t>(30, 30), 50, 1000).n_dropped, 15u);
  EXPECT_EQ(room(std::vector<int64_t>(30, 30), 50, 1000).prompt_tokens, 500);
  EXPECT_EQ(room({10, 400, 10, 400}, 50, 1000).n_dropped, 2u);
  EXPECT_EQ(room({10, 600, 10, 600}, 50, 1000).n_dropped, 2u);  // half would leave none of them
  EXPECT_EQ(room({100, 100, 100}, 480, 1000).n_dropped, 1u);
  EXPECT_EQ(room({100, 100, 100}, 760, 1000).n_dropped, 3u);  // nor does the room
}

TEST(ContextRoom, TheNewestMessageAlone) {
  EXPECT_TRUE(room({500}, 999, 1000).fits);  // one token for the answer
  EXPECT_FALSE(room({500}, 1000, 1000).fits);
  EXPECT_EQ(room({500}, 1000, 1000).prompt_tokens, 1000);
  EXPECT_FALSE(room({}, 1000, 1000).fits);
  EXPECT_TRUE(room({}, 1, 2).fits);
  EXPECT_EQ(answer_room(2, 0), 1);
  EXPECT_EQ(answer_room(4096, 0), 1024);
  EXPECT_EQ(answer_room(4096, 100), 100);
}

TEST(ContextRoom, ErrorsArePassedOn) {
  const auto failed = make_room(1, 10, 0, [](size_t) -> Result<int64_t> { return Error{Code::kUnsupported, "x"}; });
  EXPECT_EQ(failed.error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace naru::cli
