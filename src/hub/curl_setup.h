// What every use of libcurl here begins with.
#pragma once

#include <curl/curl.h>

#include <string>

#include "base/result.h"

namespace naru::hub {

// Once a process, from the first thread that asks.
Status start_curl();

// The files of authorities that libcurl's own tool reads from the environment, and the library does not.
void set_certificates(CURL* handle);

// A field of the last answer's header; empty: it has none.
std::string header_of(CURL* handle, const char* name);

}  // namespace naru::hub
