#include "server/responses_items.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "formats/utf8.h"
#include "server/limits.h"
#include "server/text_blocks.h"

namespace naru::server {
namespace {

using text::Value;

constexpr std::string_view kSeal = "naru-plain-1.";

// Fields of items that say nothing about the conversation.
void pass_item_words(Fields& item) {
  for (const char* name : {"id", "status", "phase", "caller"}) item.find(name);
}

std::string read_item_text(Fields& item, std::string_view name) {
  const Value* value = item.find(name);
  const std::string place = item.path_of(name);
  if (value == nullptr) {
    item.notes().refuse(place, fmt::format("{} is not there, a string or an array of parts was wanted", place));
    return {};
  }
  return read_text_blocks(*value, place, item.notes(), {"input_text", "output_text", "text", "refusal"});
}

void read_message_item(Fields& item, Conversation& conversation) {
  const std::string role = required_string(item, "role", kBlockWordBytesMax);
  std::string text = read_item_text(item, "content");
  if (!item.notes().ok()) return;
  if (role == "system" || role == "developer") return conversation.add_system(std::move(text));
  if (role == "user") return conversation.add_user(std::move(text));
  if (role == "assistant") return conversation.add_assistant(std::move(text));
  const std::string place = item.path_of("role");
  item.notes().refuse(
      place, fmt::format("{} is {}, user, assistant, system or developer was wanted", place, formats::printable(role)));
}

void read_call_item(Fields& item, Conversation& conversation) {
  std::string id = required_string(item, "call_id", kBlockWordBytesMax);
  std::string name = required_string(item, "name", kBlockWordBytesMax);
  std::string arguments = required_string(item, "arguments", kBodyBytesMax);
  conversation.add_call(std::move(id), std::move(name), std::move(arguments));
}

void read_output_item(Fields& item, Conversation& conversation) {
  const std::string id = required_string(item, "call_id", kBlockWordBytesMax);
  std::string text = read_item_text(item, "output");
  item.find("name");  // the call's, which it has itself
  if (!item.notes().ok() || conversation.add_result(id, std::move(text))) return;
  const std::string place = item.path_of("call_id");
  item.notes().refuse(place, fmt::format("{} is '{}', the call_id of a function_call before it was wanted; send that "
                                         "one too",
                                         place, formats::printable(id)));
}

// The thought itself where the client has it, else what it keeps unread, else its summary.
void read_reasoning_item(Fields& item, Conversation& conversation) {
  std::string text, summary;
  if (const Value* content = item.find("content")) {
    text = read_text_blocks(*content, item.path_of("content"), item.notes(), {"reasoning_text"});
  }
  if (const Value* parts = item.find("summary")) {
    summary = read_text_blocks(*parts, item.path_of("summary"), item.notes(), {"summary_text"});
  }
  const auto sealed = item.string("encrypted_content", kBodyBytesMax);
  if (text.empty() && sealed) {
    auto opened = open_sealed_reasoning(*sealed);
    if (!opened) item.ignore("encrypted_content");  // another server's
    text = opened.value_or("");
  }
  if (text.empty()) text = std::move(summary);
  if (!text.empty()) conversation.add_reasoning(std::move(text));
}

void read_item(Fields& item, Conversation& conversation) {
  const std::string type = block_type(item);
  FieldNotes& notes = item.notes();
  if (!notes.ok()) return;
  if (type.empty() || type == "message") {
    read_message_item(item, conversation);
  } else if (type == "function_call") {
    read_call_item(item, conversation);
  } else if (type == "function_call_output") {
    read_output_item(item, conversation);
  } else if (type == "reasoning") {
    read_reasoning_item(item, conversation);
  } else {
    const std::string place = item.path_of("type");
    const std::string_view why = type == "item_reference" ? "nothing is stored here: send the item itself"
                                                          : "message, function_call, function_call_output and "
                                                            "reasoning are what is taken here; leave it out";
    return notes.refuse(place, fmt::format("{} is {}, and {}", place, formats::printable(type), why), 400,
                        "unsupported_content");
  }
  pass_item_words(item);
  item.ignore_rest();
}

}  // namespace

void read_responses_conversation(Fields& body, Conversation& conversation) {
  FieldNotes& notes = body.notes();
  if (const auto instructions = body.string("instructions", kBodyBytesMax)) conversation.add_system(*instructions);
  const Value* input = body.find("input");
  if (input != nullptr && input->as_string() != nullptr) return conversation.add_user(*input->as_string());
  if (input == nullptr || (input->as_list() != nullptr && input->as_list()->empty())) {
    return notes.refuse("input", fmt::format("input is {}, a string or an array of items was wanted; give one",
                                             input == nullptr ? "not there" : "empty"));
  }
  if (input->as_list() == nullptr) return body.refuse_wrong("input", *input, "a string or an array of items");
  read_objects(*input, "input", kMessagesMax, notes, [&](Fields& item) { read_item(item, conversation); });
  if (notes.ok() && conversation.ends_with_calls()) {
    notes.refuse("input", "input ends with a function_call, its function_call_output was wanted; send that behind it");
  }
  if (notes.ok() && conversation.empty()) {
    notes.refuse("input", "input has no message, one at least was wanted; give one");
  }
}

std::string seal_reasoning(std::string_view text) {
  std::string base64(4 * ((text.size() + 2) / 3) + 1, '\0');  // and the zero that is written behind
  const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()),
                                reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  base64.resize(static_cast<size_t>(n));
  return std::string(kSeal) + base64;
}

std::optional<std::string> open_sealed_reasoning(std::string_view sealed) {
  if (!sealed.starts_with(kSeal)) return std::nullopt;
  sealed.remove_prefix(kSeal.size());
  if (sealed.empty()) return std::string();
  std::string text(3 * (sealed.size() / 4) + 3, '\0');
  const int n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                reinterpret_cast<const unsigned char*>(sealed.data()), static_cast<int>(sealed.size()));
  const size_t n_filled = sealed.ends_with("==") ? 2 : sealed.ends_with('=') ? 1 : 0;  // zeros in the place of "="
  if (n < static_cast<int>(n_filled)) return std::nullopt;
  text.resize(static_cast<size_t>(n) - n_filled);
  if (seal_reasoning(text).compare(kSeal.size(), std::string::npos, sealed) != 0) return std::nullopt;
  return formats::is_valid_utf8(text) ? std::optional(text) : std::nullopt;
}

}  // namespace naru::server
