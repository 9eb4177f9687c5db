// The files beside tokenizer.json, as transformers reads them for a tokenizer that has one: the roles of special
// tokens, the tokens that only these files name, and chat templates.
//
// Where tokenizer_config.json lists its added tokens ("added_tokens_decoder") it alone speaks; only a role that it
// leaves open and whose token is there already may come from special_tokens_map.json. Where it does not,
// special_tokens_map.json wins over it, and added_tokens.json lists tokens. A token that tokenizer.json has keeps its
// id; the others follow behind the vocabulary: the listed ones by their listed ids, then the roles, then the lists of
// further special tokens.
#pragma once

#include "formats/tokenizer_files.h"
#include "formats/tokenizer_table.h"

namespace naru::formats {

Status read_companions(const TokenizerSources& sources, std::string_view name, TokenizerTable* table,
                       TokenizerData* data);

// What a tokenizer_config.json and tokenizer.json call an added token, but its id.
class JsonObject;
Result<AddedToken> read_added_token(const JsonObject& object);

}  // namespace naru::formats
