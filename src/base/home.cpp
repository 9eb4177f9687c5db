#include "base/home.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

namespace naru {

std::string home_folder() {
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return home;
  const passwd* user = ::getpwuid(::getuid());
  return user == nullptr || user->pw_dir == nullptr ? "" : user->pw_dir;
}

std::string with_home(std::string_view path) {
  if (path != "~" && !path.starts_with("~/")) return std::string(path);
  const std::string home = home_folder();
  return home.empty() ? std::string(path) : home + std::string(path.substr(1));
}

}  // namespace naru
