// The page for people, at / and below /page/: files of the program itself, whose policy lets run its own scripts alone
// and asks nobody but this server. No file says anything about the server, so that no key is wanted for them.
#pragma once

#include "server/http_message.h"

namespace naru::server {

// To GET and HEAD. 404 where there is no such file; 304 where the one that is held already is the same.
HttpResponse page_response(const HttpRequest& request);

}  // namespace naru::server
