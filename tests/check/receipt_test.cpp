#include "check/receipt.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/json_digest.h"

namespace naru::check {
namespace {

nlohmann::json cell(const std::string& op, const std::string& outputs, const std::string& cases) {
  return {{"op", op},
          {"kind", "f32"},
          {"verdict", "exact"},
          {"outputs_sha256", outputs},
          {"cases_sha256", cases},
          {"speed", {{"seconds", 0.5}}}};
}

nlohmann::json document() {
  return {{"receipt", kReceiptVersion}, {"chip", "cpu (avx2)"},
          {"arithmetic_sha256", "11"},  {"cases_sha256", "22"},
          {"binary_sha256", "33"},      {"cells", {cell("add", "44", "55"), cell("rope", "66", "77")}}};
}

std::string signed_text(nlohmann::json document) {
  document["sha256"] = formats::own_digest(document);
  return document.dump();
}

Result<ReadReceipt> parsed(const std::string& text) {
  return parse_receipt(as_bytes(text), "receipt.json");
}

TEST(Receipt, IsReadBack) {
  const auto receipt = parsed(signed_text(document()));
  ASSERT_TRUE(receipt.ok()) << receipt.error().message;
  EXPECT_EQ(receipt->chip, "cpu (avx2)");
  ASSERT_EQ(receipt->cells.size(), 2u);
  EXPECT_EQ(receipt->cells[1].first, "rope f32");
  EXPECT_EQ(receipt->cells[1].second.outputs, "66");
  EXPECT_EQ(receipt->cells[1].second.seconds, 0.5);
  EXPECT_TRUE(receipt->is_whole);
}

TEST(Receipt, AnyChangedByteIsSeen) {
  const std::string text = signed_text(document());
  for (size_t at = 0; at < text.size(); ++at) {
    for (const char mask : {'\x01', '\x10'}) {
      std::string other = text;
      other[at] = static_cast<char>(other[at] ^ mask);
      EXPECT_FALSE(parsed(other).ok()) << at << ": " << other;
    }
  }
}

TEST(Receipt, RefusesWhatIsNoMatrix) {
  const auto refused = [](const nlohmann::json& document) {
    const auto receipt = parsed(signed_text(document));
    return receipt.ok() ? std::string("read") : receipt.error().message;
  };
  nlohmann::json doubled = document();
  doubled["cells"].push_back(doubled["cells"][0]);
  EXPECT_NE(refused(doubled).find("add f32 a second time"), std::string::npos) << refused(doubled);
  nlohmann::json empty = document();
  empty["cells"] = nlohmann::json::array();
  EXPECT_NE(refused(empty).find("none, 1 to 4096, the cells of a matrix"), std::string::npos) << refused(empty);
  nlohmann::json many = document();
  for (int64_t i = 0; i < kReceiptCellsMax; ++i) many["cells"].push_back(cell(std::to_string(i), "4", "5"));
  EXPECT_NE(refused(many).find("4098 of them"), std::string::npos) << refused(many);
  nlohmann::json next = document();
  next["receipt"] = kReceiptVersion + 1;
  EXPECT_NE(refused(next).find(std::to_string(kReceiptVersion + 1)), std::string::npos) << refused(next);
  EXPECT_FALSE(parsed(document().dump()).ok());  // its own SHA-256 is missing
}

TEST(Receipt, CellsOfOtherCasesAreNotCompared) {
  nlohmann::json other = document();
  other["cases_sha256"] = "other";
  other["cells"][0]["cases_sha256"] = "other";
  other["cells"][1]["outputs_sha256"] = "other";
  ReadReceipt a = *parsed(signed_text(document())), b = *parsed(signed_text(other));
  EXPECT_EQ(drop_other_cases(a, b), 1);
  EXPECT_TRUE(check_comparable(a, b).ok());
  const auto differences = differences_of(a, b);
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].cell, "rope f32");
  EXPECT_EQ(count_alike(a, b), 0);
  b.arithmetic = "another";
  EXPECT_FALSE(check_comparable(a, b).ok());
}

}  // namespace
}  // namespace naru::check
