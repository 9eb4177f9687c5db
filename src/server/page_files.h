// The files of the page, as the build has put them into the program (cmake/page.cmake): our own, of src/server/page,
// and those of Debian's packages.
#pragma once

#include <span>
#include <string_view>

namespace naru::server {

struct PageFile {
  std::string_view name;  // "main.js", "fonts/KaTeX_Main-Regular.woff2"
  std::string_view type;  // of its content, as HTTP has it
  std::string_view bytes;
};

std::span<const PageFile> page_files();
// Packages that were not there when this was built, so that there is no page: "libjs-marked node-dompurify"; empty:
// none.
std::string_view page_packages_missing();

}  // namespace naru::server
