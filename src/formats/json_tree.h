// The tree of a JSON document, made of the events that walk_json tells.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/json.h"

namespace naru::formats {

// Builds the tree of the events; refuses a key twice in one object.
class JsonTree final : public JsonEvents {
 public:
  bool on_null() override { return add(nullptr); }
  bool on_bool(bool value) override { return add(value); }
  bool on_integer(int64_t value) override { return add(value); }
  bool on_double(double value) override { return add(value); }
  bool on_string(std::string&& value) override { return add(std::move(value)); }
  bool on_key(std::string&& key) override;
  bool on_start_object() override;
  bool on_end_object() override;
  bool on_start_array() override;
  bool on_end_array() override;

  nlohmann::json take() { return std::move(root_); }

 private:
  nlohmann::json* place(nlohmann::json&& value);
  bool add(nlohmann::json&& value) {
    place(std::move(value));
    return true;
  }

  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;  // the containers around the place, outermost first
  nlohmann::json* slot_ = nullptr;     // the value of the last key
};

}  // namespace naru::formats
