// Forms of schemas against python-jsonschema (tools/make_form_fixtures.py): what is valid is taken, and nothing else
// is.
#include "base/bytes.h"
#include "base/file.h"
#include "tests/text/forms_rig.h"

namespace naru::text {
namespace {

TEST(FormFixtures, SchemasTakeWhatIsValidAndNothingElse) {
  const std::string json = read_file(std::string(NARU_TEST_DATA) + "/text/forms.json", 4 << 20).value();
  const Value cases = parse_value(json, "forms.json").value();
  ASSERT_GE(cases.as_list()->size(), 50u);
  size_t n_taken = 0, n_refused = 0;
  for (const Value& each : *cases.as_list()) {
    const std::string shown = json_text(*each.find("schema"), 1 << 20).value();
    FormRig rig(SchemaForm{*each.find("schema")});
    ASSERT_NE(rig.matcher, nullptr) << shown;
    for (const Value& text : *each.find("taken")->as_list()) {
      EXPECT_TRUE(rig.accepts(*text.as_string())) << shown << "\n" << *text.as_string();
      ++n_taken;
    }
    for (const Value& text : *each.find("refused")->as_list()) {
      EXPECT_FALSE(rig.accepts(*text.as_string())) << shown << "\n" << *text.as_string();
      ++n_refused;
    }
  }
  EXPECT_GE(n_taken, 100u);
  EXPECT_GE(n_refused, 200u);
}

}  // namespace
}  // namespace naru::text
