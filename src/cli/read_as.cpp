#include "cli/read_as.h"

#include <fmt/format.h>

#include <algorithm>

namespace naru::cli {

std::vector<std::string> read_as(const std::vector<data::DataFile>& files) {
  constexpr int64_t kNamedMax = 4;
  struct Group {
    std::string form, names;
    int64_t n_files = 0;
  };
  std::vector<Group> groups;
  for (const data::DataFile& file : files) {
    if (file.form.empty()) continue;  // not of texts: a teacher's, a program's
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.form == file.form; });
    if (group == groups.end()) group = groups.insert(groups.end(), {file.form, "", 0});
    if (++group->n_files <= kNamedMax) group->names += (group->names.empty() ? "" : ", ") + file.name;
  }
  std::vector<std::string> lines;
  for (const Group& group : groups) {
    const int64_t n_more = group.n_files - kNamedMax;
    lines.push_back(
        fmt::format("{}: {}{}", group.form, group.names, n_more > 0 ? fmt::format(" and {} more", n_more) : ""));
  }
  return lines;
}

}  // namespace naru::cli
