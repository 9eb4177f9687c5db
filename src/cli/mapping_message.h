// The one message of a command that ends because a mapped file cannot be read any more.
#pragma once

namespace naru::cli {

// From now on: the message on standard error, with --json also as an object on standard output, the terminal as it was.
void say_when_a_mapping_fails(bool is_json);

}  // namespace naru::cli
