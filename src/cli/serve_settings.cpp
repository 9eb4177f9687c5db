#include "cli/serve_settings.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "cli/json_text.h"
#include "cli/shell_word.h"

namespace naru::cli {
namespace {

std::string exported(std::string_view name, const std::string& value) {
  return fmt::format("export {}={}\n", name, shell_word(value));
}

// The key's variable, where there is one to be had.
std::string key_line(const ServedAt& server) {
  return server.has_keys ? fmt::format("export {}=...  # one of the server's keys\n", kKeyVariable) : "";
}

// Programs that run on Node or Bun read this variable for authorities besides the usual ones.
std::string certificate_line(const ServedAt& server) {
  if (server.cert_file.empty()) return "";
  return fmt::format("export NODE_EXTRA_CA_CERTS={}  # where no authority that is known has signed it\n",
                     shell_word(server.cert_file));
}

std::string for_claude(const ServedAt& server) {
  std::string text = "# Claude Code: in the shell that starts it (or under \"env\" in ~/.claude/settings.json)\n";
  text += key_line(server) + certificate_line(server);
  text += exported("ANTHROPIC_BASE_URL", server.address);
  text += server.has_keys ? fmt::format("export ANTHROPIC_AUTH_TOKEN=\"${}\"\n", kKeyVariable)
                          : exported("ANTHROPIC_AUTH_TOKEN", "none");
  text += "unset ANTHROPIC_API_KEY\n";
  for (const char* name : {"ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL",
                           "ANTHROPIC_DEFAULT_HAIKU_MODEL"}) {
    text += exported(name, server.model);
  }
  return text + "export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1\nclaude\n";
}

std::string for_codex(const ServedAt& server) {
  std::string text = "# Codex: in ~/.codex/config.toml\n";
  text += fmt::format("model = {}\nmodel_provider = \"naru\"\n", json_string(server.model));
  if (server.context > 0) text += fmt::format("model_context_window = {}\n", server.context);
  text += fmt::format("\n[model_providers.naru]\nname = \"naru\"\nbase_url = {}\nwire_api = \"responses\"\n",
                      json_string(server.address + "/v1"));
  if (server.has_keys) text += fmt::format("env_key = \"{}\"\n", kKeyVariable);
  if (server.has_keys || !server.cert_file.empty()) text += "\n# and in the shell that starts it\n";
  text += key_line(server);
  if (!server.cert_file.empty()) text += exported("SSL_CERT_FILE", server.cert_file);
  return text;
}

std::string for_opencode(const ServedAt& server) {
  Json model = {{"name", server.model}};
  if (server.context > 0) model["limit"] = {{"context", server.context}, {"output", server.context}};
  const std::string key = server.has_keys ? fmt::format("{{env:{}}}", kKeyVariable) : "none";
  const Json json = {{"$schema", "https://opencode.ai/config.json"},
                     {"model", "naru/" + server.model},
                     {"provider",
                      {{"naru",
                        {{"npm", "@ai-sdk/openai-compatible"},
                         {"name", "naru"},
                         {"options", {{"baseURL", server.address + "/v1"}, {"apiKey", key}}},
                         {"models", {{server.model, std::move(model)}}}}}}}};
  std::string text = fmt::format(
      "# opencode: as opencode.json in the project (or ~/.config/opencode/opencode.json)\n{}", json_text(json));
  const std::string lines = key_line(server) + certificate_line(server);
  return lines.empty() ? text : text + "# and in the shell that starts it\n" + lines;
}

std::string for_open_webui(const ServedAt& server) {
  std::string text =
      "# Open WebUI: in the shell that starts it for the first time; later its settings for administrators have them,\n"
      "# under Connections. In a container the address is that of this machine as the container sees it, which --host\n"
      "# and --allow-host must let in.\n";
  text += key_line(server);
  text += exported("OPENAI_API_BASE_URL", server.address + "/v1");
  text += server.has_keys ? fmt::format("export OPENAI_API_KEY=\"${}\"\n", kKeyVariable)
                          : exported("OPENAI_API_KEY", "none");
  text += "export ENABLE_OLLAMA_API=false\n";
  if (!server.cert_file.empty()) text += exported("SSL_CERT_FILE", server.cert_file);
  return text + "open-webui serve\n";
}

}  // namespace

std::string settings_for(std::string_view program, const ServedAt& server) {
  if (program == "claude") return for_claude(server);
  if (program == "codex") return for_codex(server);
  if (program == "opencode") return for_opencode(server);
  NARU_CHECK(program == "openwebui", program);
  return for_open_webui(server);
}

}  // namespace naru::cli
