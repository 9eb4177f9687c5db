#include "hub/curl_setup.h"

#include <cstdlib>

namespace naru::hub {

Status start_curl() {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (kReady == CURLE_OK) return {};
  return Error{Code::kInternal, "starting libcurl: it cannot be started; check its installation"};
}

void set_certificates(CURL* handle) {
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    const char* path = std::getenv(name);
    if (path == nullptr || *path == '\0') continue;
    curl_easy_setopt(handle, CURLOPT_CAINFO, path);
    break;
  }
  const char* folder = std::getenv("SSL_CERT_DIR");
  if (folder != nullptr && *folder != '\0') curl_easy_setopt(handle, CURLOPT_CAPATH, folder);
}

std::string header_of(CURL* handle, const char* name) {
  curl_header* header = nullptr;
  if (curl_easy_header(handle, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK) return "";
  return header->value;
}

}  // namespace naru::hub
