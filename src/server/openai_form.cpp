#include "server/openai_form.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/json_place.h"
#include "formats/utf8.h"
#include "server/form_fields.h"
#include "server/limits.h"

namespace naru::server {
namespace {

using text::Value;

constexpr size_t kFormNameBytesMax = 256;

// A field that asks for a form: its name in its object, and from the body on.
struct FormField {
  std::string_view name, place;
  void (*read)(Fields& fields, const FormField& field, AnswerRequest& request);
};

// False where a form was asked for already, and that is refused.
bool begin_form(FieldNotes& notes, std::string_view place, AnswerRequest& request) {
  if (request.has_form()) {
    notes.refuse(std::string(place), fmt::format("{} and {} both ask for a form, and an answer has one; leave one out",
                                                 request.names.form, place));
    return false;
  }
  request.names.form = place;
  return true;
}

// An object, or that object's text, as vLLM takes either.
void read_json_form(Fields& fields, const FormField& field, AnswerRequest& request) {
  const Value* schema = fields.find(field.name);
  if (schema == nullptr || !begin_form(fields.notes(), field.place, request)) return;
  Value parsed;
  if (const std::string* text = schema->as_string()) {
    auto made = text::parse_value_at(formats::JsonPlace{}, *text, field.place);
    if (!made.ok()) {
      // The place is named once: "reading PLACE: " is left out of the inner message.
      std::string_view found = made.error().message;
      if (const std::string begin = fmt::format("reading {}: ", field.place); found.starts_with(begin)) {
        found.remove_prefix(begin.size());
      }
      return fields.notes().refuse(std::string(field.place),
                                   fmt::format("{} is a string, and no JSON schema: {}", field.place, found));
    }
    parsed = std::move(made).value();
    schema = &parsed;
  }
  if (schema->as_object() == nullptr) {
    return fields.refuse_wrong(field.name, *schema, "a JSON schema, an object or its text,");
  }
  request.form = text::SchemaForm{*schema};
}

void read_regex_form(Fields& fields, const FormField& field, AnswerRequest& request) {
  const auto regex = fields.string(field.name, kBodyBytesMax);
  if (regex && begin_form(fields.notes(), field.place, request)) request.form = text::RegexForm{*regex};
}

void read_choice_form(Fields& fields, const FormField& field, AnswerRequest& request) {
  constexpr std::string_view kWanted = "an array of strings";
  const Value* value = fields.find(field.name);
  if (value == nullptr || !begin_form(fields.notes(), field.place, request)) return;
  const Value::List* list = value->as_list();
  if (list == nullptr) return fields.refuse_wrong(field.name, *value, kWanted);
  if (list->empty() || list->size() > text::kChoicesOfFormMax) {
    return fields.notes().refuse(
        std::string(field.place),
        fmt::format("{} has {} texts, 1 to {} were wanted", field.place, list->size(), text::kChoicesOfFormMax));
  }
  text::ChoiceForm form;
  for (const Value& each : *list) {
    if (each.as_string() == nullptr) return fields.refuse_wrong(field.name, each, kWanted);
    form.texts.push_back(*each.as_string());
  }
  request.form = std::move(form);
}

void read_object_form(Fields& fields, const FormField& field, AnswerRequest& request) {
  const bool is_asked = fields.boolean(field.name).value_or(false);
  if (is_asked && begin_form(fields.notes(), field.place, request)) request.is_json = true;
}

constexpr FormField kStructured[] = {
    {"json", "structured_outputs.json", read_json_form},
    {"regex", "structured_outputs.regex", read_regex_form},
    {"choice", "structured_outputs.choice", read_choice_form},
    {"json_object", "structured_outputs.json_object", read_object_form},
};
constexpr FormField kGuided[] = {
    {"guided_json", "guided_json", read_json_form},
    {"guided_regex", "guided_regex", read_regex_form},
    {"guided_choice", "guided_choice", read_choice_form},
};

void read_structured_outputs(Fields& body, AnswerRequest& request) {
  constexpr std::string_view kName = "structured_outputs";
  const Value* value = body.find(kName);
  if (value == nullptr) return;
  if (value->as_object() == nullptr) return body.refuse_wrong(kName, *value, "an object with json, regex or choice");
  Fields fields(*value, std::string(kName), body.notes());
  const bool had_form = request.has_form();
  for (const FormField& field : kStructured) field.read(fields, field, request);
  for (const char* name : {"grammar", "structural_tag"}) {
    fields.refuse_unsupported(name, "write a json schema, a regex or choices");
  }
  if (fields.boolean("disable_any_whitespace").value_or(false)) {
    fields.refuse_unsupported("disable_any_whitespace", "white space between values is bounded: leave it out");
  }
  if (fields.boolean("disable_additional_properties").value_or(false)) {
    fields.refuse_unsupported("disable_additional_properties", "write additionalProperties in the schema");
  }
  fields.refuse_unsupported("whitespace_pattern", "white space between values is bounded: leave it out");
  fields.ignore_rest();
  if (had_form || request.has_form()) return;
  const auto unknown = std::find_if(value->as_object()->begin(), value->as_object()->end(),
                                    [&fields](const auto& each) { return !fields.is_known(each.first); });
  const bool has_unknown = unknown != value->as_object()->end();
  const std::string odd =
      has_unknown ? fmt::format(" ({} is not known)", fields.path_of(unknown->first)) : std::string();
  body.notes().refuse(std::string(kName),
                      fmt::format("structured_outputs asks for nothing{}: json, regex, choice or json_object was "
                                  "wanted; give one, or leave it out",
                                  odd));
}

// The content as text, as one JSON object, or as a value of a schema.
void read_response_format(Fields& body, AnswerRequest& request) {
  constexpr std::string_view kName = "response_format";
  const Value* value = body.find(kName);
  if (value == nullptr) return;
  if (value->as_object() == nullptr) return body.refuse_wrong(kName, *value, "an object with \"type\"");
  const Value* type = value->find("type");
  const std::string* word = type != nullptr ? type->as_string() : nullptr;
  if (word == nullptr || (*word != "text" && *word != "json_object" && *word != "json_schema")) {
    return body.notes().refuse(std::string(kName),
                               "response_format has a \"type\" that is not known; \"text\", \"json_object\" or "
                               "\"json_schema\" was wanted");
  }
  if (*word != "json_schema") {
    if (value->find("json_schema") != nullptr) body.notes().ignore("response_format.json_schema");
    request.is_json = *word == "json_object";
    return;
  }
  Fields format(*value, std::string(kName), body.notes());
  format.find("type");
  const Value* named = format.find("json_schema");
  if (named == nullptr || named->as_object() == nullptr) {
    return body.notes().refuse("response_format.json_schema",
                               "response_format.json_schema is no object with \"schema\", which was wanted; give one");
  }
  Fields fields(*named, "response_format.json_schema", body.notes());
  fields.string("name", kFormNameBytesMax);
  fields.string("description", kBodyBytesMax);
  fields.boolean("strict");  // a schema is always followed
  read_schema(fields, request);
  fields.ignore_rest();
  format.ignore_rest();
}

}  // namespace

void read_openai_form(Fields& body, AnswerRequest& request) {
  read_response_format(body, request);
  read_structured_outputs(body, request);
  for (const FormField& field : kGuided) field.read(body, field, request);
}

}  // namespace naru::server
