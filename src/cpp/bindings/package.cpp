// package.cpp: the functions and result classes that the Python package registered.
#include "bindings/package.h"

#include <string>

namespace bindings {

Package::Package()
    : flow_detail({{"samples_h", &FlowDetail::samples_h},
                   {"samples_c", &FlowDetail::samples_c},
                   {"samples_a", &FlowDetail::samples_a},
                   {"units_h", &FlowDetail::units_h},
                   {"units_c", &FlowDetail::units_c},
                   {"units_a", &FlowDetail::units_a},
                   {"share_ih", &FlowDetail::share_ih},
                   {"share_hh", &FlowDetail::share_hh},
                   {"weight_ih", &FlowDetail::weight_ih},
                   {"weight_hh", &FlowDetail::weight_hh}}),
      step_result({{"loss", &StepResult::loss},
                   {"grad_norm", &StepResult::grad_norm},
                   {"clipped", &StepResult::clipped},
                   {"skipped", &StepResult::skipped},
                   {"state", &StepResult::state},
                   {"flow", &StepResult::flow},
                   {"flow_c", &StepResult::flow_c},
                   {"flow_a", &StepResult::flow_a},
                   {"flow_detail", &StepResult::flow_detail},
                   {"omega", &StepResult::omega},
                   {"weight_penalty", &StepResult::weight_penalty},
                   {"activity_penalty", &StepResult::activity_penalty},
                   {"clipped_norm", &StepResult::clipped_norm},
                   {"clip_angle", &StepResult::clip_angle}}),
      update_result({{"grad_norm", &UpdateResult::grad_norm},
                     {"clipped", &UpdateResult::clipped},
                     {"skipped", &UpdateResult::skipped},
                     {"clipped_norm", &UpdateResult::clipped_norm},
                     {"clip_angle", &UpdateResult::clip_angle}}),
      seed_norms({{"x", &SeedNorms::x}, {"h", &SeedNorms::h}, {"c", &SeedNorms::c}}),
      spectrum_arrays({{"exponents", &SpectrumArrays::exponents},
                       {"log_singular_values", &SpectrumArrays::log_singular_values},
                       {"log_extremes", &SpectrumArrays::log_extremes}}) {}

Package package;

void hand_over(const py::kwargs& given) {
  const Field<Package, PyObject*> functions[] = {{"convert", &Package::convert},
                                                 {"describe", &Package::describe},
                                                 {"note", &Package::note},
                                                 {"refuse", &Package::refuse},
                                                 {"refuse_type", &Package::refuse_type},
                                                 {"refuse_memory", &Package::refuse_memory},
                                                 {"flow_level", &Package::flow_level},
                                                 {"Gradients", &Package::Gradients}};
  if (!package.gradient_names) {
    py::tuple names(8);
    size_t place = 0;
    for (const char* name :
         {"x", "state", "flow", "flow_c", "flow_a", "flow_detail", "omega", "activity_penalty"})
      names[place++] = py::reinterpret_steal<py::str>(PyUnicode_InternFromString(name));
    package.gradient_names = names.release().ptr();
  }
  for (const auto& [key, value] : given) {
    const std::string name = py::cast<std::string>(key);
    bool known = false;
    for (const auto& function : functions) {
      if (name != function.name) continue;
      package.*(function.member) = py::handle(value).inc_ref().ptr();
      known = true;
    }
    const auto take = [&, &value = value](const char* record, auto& into) {
      if (name != record) return;
      into.take(value);
      known = true;
    };
    take("FlowDetail", package.flow_detail);
    take("StepResult", package.step_result);
    take("UpdateResult", package.update_result);
    take("SeedNorms", package.seed_norms);
    take("SpectrumArrays", package.spectrum_arrays);
    if (!known) throw py::type_error("hand_over: expected a name that is used, got " + name);
  }
}

}  // namespace bindings
