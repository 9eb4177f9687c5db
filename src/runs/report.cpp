// The page: its parts as HTML, the curves as JSON inside of it, and a policy that allows our script and style alone.
#include "runs/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/sha256.h"
#include "base/shown_text.h"
#include "formats/utf8.h"
#include "runs/json_lines.h"
#include "runs/report_answers.h"
#include "runs/report_page.h"
#include "runs/run_files.h"

namespace naru::runs {
namespace {

// What f32 holds is enough for a curve and takes half the characters; what it does not hold stays.
double shortened(double value) {
  const double magnitude = std::abs(value);
  const bool is_f32 = magnitude == 0 || (magnitude > 1e-30 && magnitude < 1e30);
  return is_f32 ? static_cast<double>(static_cast<float>(value)) : value;
}

// JSON inside of a script element: nothing in it can end the element.
std::string script_data(const ReportData& data) {
  nlohmann::ordered_json curves = nlohmann::ordered_json::array();
  for (const Curve& curve : data.curves) {
    nlohmann::ordered_json steps = nlohmann::ordered_json::array();
    nlohmann::ordered_json values = nlohmann::ordered_json::array();
    for (const auto& [step, value] : curve.points) {
      steps.push_back(step);
      values.push_back(shortened(value));
    }
    curves.push_back({{"name", curve.name}, {"steps", std::move(steps)}, {"values", std::move(values)}});
  }
  std::string safe;
  for (const char c : json_line({{"curves", std::move(curves)}, {"went_on", data.went_on}})) {
    if (c == '<')
      safe += "\\u003c";
    else if (c == '>')
      safe += "\\u003e";
    else if (c == '&')
      safe += "\\u0026";
    else
      safe += c;
  }
  return safe;
}

std::string figures_html(const ReportData& data) {
  std::string out = "<div class=\"figures\">";
  for (const auto& [label, text] : data.figures) {
    out += fmt::format("<div class=\"figure\"><b>{}</b><span>{}</span></div>", html_escaped(text), html_escaped(label));
  }
  return out + "</div>\n";
}

std::string samples_html(const ReportData& data) {
  if (data.samples.empty()) return "";
  std::string out = "<section><h2>Answers, before and after</h2>\n";
  for (const ReportSample& sample : data.samples) {
    const auto answer = [&sample](size_t i, const char* label) {
      const auto& [step, text] = sample.answers[i];
      return fmt::format("<div><h3>{}step {}</h3>{}</div>", label, grouped(step), answer_html(text));
    };
    out += fmt::format("<article class=\"sample\"><pre class=\"prompt\">{}</pre><div class=\"answers\">{}",
                       html_escaped(sample.prompt), answer(0, sample.answers.size() > 1 ? "before, " : ""));
    if (sample.answers.size() > 1) out += answer(sample.answers.size() - 1, "after, ");
    out += "</div>";
    if (sample.answers.size() > 2) {
      out += fmt::format("<details><summary>{} answers between</summary><div class=\"answers\">",
                         sample.answers.size() - 2);
      for (size_t i = 1; i + 1 < sample.answers.size(); ++i) out += answer(i, "");
      out += "</div></details>";
    }
    out += "</article>\n";
  }
  return out + "</section>\n";
}

std::string section_html(const ReportSection& section) {
  if (section.rows.empty()) return "";
  std::string out = fmt::format("<section><h2>{}</h2><table>\n", html_escaped(section.title));
  for (const auto& [label, text] : section.rows) {
    out += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", html_escaped(label), html_escaped(text));
  }
  return out + "</table></section>\n";
}

// Why the run is not done, and what goes on with it.
std::string unfinished_html(const ReportData& data) {
  if (data.unfinished.empty()) return "";
  std::string out = fmt::format("<div class=\"unfinished\"><p>{}</p>", html_escaped(data.unfinished));
  if (!data.command.empty()) {
    out += fmt::format("<p>This goes on with it:</p><pre>{}</pre>", html_escaped(data.command));
  }
  return out + "</div>\n";
}

std::string alarms_html(const ReportData& data) {
  std::string out;
  for (const Alarm& alarm : data.alarms) {
    out += fmt::format("<div class=\"unfinished alarm\"><p><b>Alarm at step {}</b>: {}.</p><p>Try {}.</p></div>\n",
                       grouped(alarm.step), html_escaped(alarm.what), html_escaped(alarm.advice));
  }
  return out;
}

}  // namespace

// Base64 of the digest's bytes.
std::string policy_hash(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string hex = sha256_hex(as_bytes(text));
  const auto nibble = [&hex](size_t i) {
    return i >= hex.size() ? 0u : static_cast<unsigned>(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
  };
  std::string out = "'sha256-";
  for (size_t i = 0; i < hex.size(); i += 6) {
    unsigned bits = 0;
    for (size_t j = 0; j < 6; ++j) bits = bits << 4 | nibble(i + j);
    for (int shift = 18; shift >= 0; shift -= 6) out += kAlphabet[bits >> shift & 63];
  }
  out.back() = '=';  // 32 bytes are ten threes and two
  return out + "'";
}

std::string status_class(std::string_view status) {
  for (const std::string_view known : {"done", "running", "failed", "stopped"}) {
    if (status == known) return std::string(known);
  }
  return "other";
}

std::string html_escaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const std::string_view rest = text.substr(i);
    const auto byte = static_cast<unsigned char>(rest.front());
    if (byte >= 0x80) {
      const size_t length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
      const std::string_view character = rest.substr(0, length);
      const bool is_good = character.size() == length && formats::is_valid_utf8(character);
      out += is_good ? character : "\xef\xbf\xbd";
      i += is_good ? length : 1;
      continue;
    }
    ++i;
    switch (byte) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default:
        if (byte < 0x20 && byte != '\n' && byte != '\t') {
          out += "\xef\xbf\xbd";  // HTML has no other control characters
        } else {
          out += static_cast<char>(byte);
        }
    }
  }
  return out;
}

std::string report_html(const ReportData& data) {
  const std::string name = html_escaped(data.name);
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; "
      "style-src {}; script-src {}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" "
      "content=\"light dark\">\n<title>{} · naru</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
      policy_hash(kReportStyle), policy_hash(kReportScript), name, kReportStyle);
  out += fmt::format("<header><h1>{}</h1><span class=\"status {}\">{}</span></header>\n", name,
                     status_class(data.status), html_escaped(data.status));
  if (!data.summary.empty()) out += fmt::format("<p class=\"summary\">{}</p>\n", html_escaped(data.summary));
  out += unfinished_html(data);
  out += alarms_html(data);
  out += figures_html(data);
  for (const std::string& note : data.notes) out += fmt::format("<p class=\"note\">{}</p>\n", html_escaped(note));
  if (!data.curves.empty()) {
    out +=
        "<section><div class=\"controls\"><h2>Curves</h2><label>smoothing <input id=\"smooth\" type=\"range\" "
        "min=\"0\" max=\"100\" value=\"65\"></label><label><input id=\"log\" type=\"checkbox\" checked> logarithmic "
        "scales</label><label><input id=\"whole\" type=\"checkbox\"> whole beginning</label>"
        "</div><div id=\"charts\"></div><noscript><p class=\"note\">The curves are drawn by a script of this page; "
        "their numbers are in metrics.jsonl.</p></noscript></section>\n";
  }
  out += problems_html(data);
  out += groups_html(data);
  out += samples_html(data);
  for (const ReportSection& section : data.sections) out += section_html(section);
  if (!data.recipe.empty()) {
    out += fmt::format(
        "<section><h2>Recipe</h2><details><summary>the effective recipe, with every default "
        "written out</summary><pre class=\"recipe\">{}</pre></details></section>\n",
        html_escaped(data.recipe));
  }
  out += fmt::format(
      "</main>\n<script type=\"application/json\" id=\"curves\">{}</script>\n<script>{}</script>\n</body>\n"
      "</html>\n",
      script_data(data), kReportScript);
  return out;
}

Status write_page(const std::filesystem::path& folder, const std::string& page) {
  const std::filesystem::path path = folder / kReportFile;
  std::error_code error;
  if (std::filesystem::file_size(path, error) == page.size() && !error) {
    const auto old = read_file(path, static_cast<int64_t>(page.size()));
    if (old.ok() && *old == page) return {};
  }
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path));
  NARU_TRY(file.write(as_bytes(page)));
  return file.commit();
}

Status write_report(const std::filesystem::path& run_folder) {
  NARU_ASSIGN(const ReportData data, read_report_data(run_folder));
  return write_page(run_folder, report_html(data));
}

}  // namespace naru::runs
