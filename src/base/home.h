// The user's home, and paths that begin with it.
#pragma once

#include <string>
#include <string_view>

namespace naru {

// $HOME, else what the system knows; "" where there is none.
std::string home_folder();

// "~" and "~/..." as a shell writes them out; every other path, and all of them where there is no home, as it is.
std::string with_home(std::string_view path);

}  // namespace naru
