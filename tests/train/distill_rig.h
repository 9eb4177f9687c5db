// A teacher and a student of a few thousand parameters, and recipes by which the one learns from the other.
#pragma once

#include "tests/train/trainer_rig.h"

namespace naru::train {

// A teacher with experts and latent attention that knows where answers end, and a dense student that hardly does.
class DistillRig : public TrainerRig {
 public:
  DistillRig() {
    recipes::Recipe teacher = recipe("teacher", "v3.json");
    teacher.steps = 200;
    teacher.checkpoint.every = 200;
    EXPECT_EQ(finished(teacher, best_cpu()).size(), 64u);
    recipes::Recipe student = recipe("student", "llama.json");
    student.steps = 100;
    student.checkpoint.every = 100;
    EXPECT_EQ(finished(student, best_cpu()).size(), 64u);
  }
  fs::path model(const std::string& name) const { return run_folder(name) / "model"; }

  recipes::Recipe distill(const std::string& name, const std::string& student = "student",
                          const std::string& teacher = "teacher") const {
    recipes::Recipe r = recipe(name);
    r.kind = recipes::RunKind::kDistill;
    r.model = {};
    r.model.path = model(student).string();
    r.batch.rows = recipes::BatchRecipe{}.rows;  // not read
    r.batch.micro_rows = 1;
    r.distill.prompts = 4;
    r.distill.answers = 2;
    r.distill.max_tokens = 24;
    r.teacher.resize(1);
    r.teacher[0].path = model(teacher).string();
    r.schedule.warmup_steps = 0;
    return r;
  }
  // Another place for a copy of a model.
  fs::path copied(const std::string& from, const std::string& to) const {
    const fs::path place = path() / to;
    fs::remove_all(place);
    fs::copy(model(from), place, fs::copy_options::recursive);
    return place;
  }
  std::string refusal(const recipes::Recipe& recipe) const {
    const auto refused = open(recipe, best_cpu());
    EXPECT_FALSE(refused.ok()) << recipe.name;
    EXPECT_FALSE(fs::exists(recipe.output)) << "a refused start leaves nothing";
    return refused.ok() ? "" : refused.error().message;
  }
};

// Runs of the models are made once.
inline const DistillRig& distill_rig() {
  static const DistillRig kRig;
  return kRig;
}

}  // namespace naru::train
