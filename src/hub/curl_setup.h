// What every use of libcurl here begins with.
#pragma once

#include <curl/curl.h>

#include "base/result.h"

namespace naru::hub {

// Once a process, from the first thread that asks.
Status start_curl();

// The files of authorities that libcurl's own tool reads from the environment, and the library does not.
void set_certificates(CURL* handle);

}  // namespace naru::hub
