// package.h: functions and classes that the Python package registers when it is imported: functions
// that word refusals and convert arrays, and the classes of results. With them, _core need not
// import the package.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

namespace bindings {

namespace py = pybind11;

// A struct member and its name in Python.
template <class Struct, class Value>
struct Field {
  const char* name;
  Value Struct::* member;
};

// A NamedTuple class of the package, and the struct from which its objects are made.
template <class Struct>
class Record {
 public:
  explicit Record(std::vector<Field<Struct, py::object>> fields) : fields_(std::move(fields)) {}

  // Refuses a class with other fields.
  void take(py::handle type) {
    const py::object names = type.attr("_fields");
    places_.clear();
    for (const auto& field : fields_)
      places_.push_back(py::cast<py::ssize_t>(names.attr("index")(field.name)));
    if (py::len(names) != fields_.size())
      throw py::type_error("hand_over: expected the fields of this result, got others");
    type_ = reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr());
  }

  // Members that are not set become None.
  py::object make(Struct&& values) const {
    PyObject* record = type_->tp_alloc(type_, static_cast<py::ssize_t>(places_.size()));
    if (!record) throw py::error_already_set();
    for (size_t i = 0; i < places_.size(); ++i) {
      py::object& value = values.*(fields_[i].member);
      if (!value) value = py::none();
      PyTuple_SET_ITEM(record, places_[i], value.release().ptr());
    }
    return py::reinterpret_steal<py::object>(record);
  }

 private:
  std::vector<Field<Struct, py::object>> fields_;
  std::vector<py::ssize_t> places_;  // index of each field in the tuple
  PyTypeObject* type_ = nullptr;
};

// nn.flow.FlowDetail
struct FlowDetail {
  py::object samples_h, samples_c, samples_a, units_h, units_c, units_a, share_ih, share_hh,
      weight_ih, weight_hh;
};
// nn.gradients.StepResult, UpdateResult
struct StepResult {
  py::object loss, grad_norm, clipped, skipped, state, flow, flow_c, flow_a, flow_detail, omega,
      clipped_norm, clip_angle, weight_penalty, activity_penalty;
};
struct UpdateResult {
  py::object grad_norm, clipped, skipped, clipped_norm, clip_angle;
};
// diagnostics.seeds.SeedNorms
struct SeedNorms {
  py::object x, h, c;
};

// diagnostics.jacobians.SpectrumArrays
struct SpectrumArrays {
  py::object exponents, log_singular_values, log_extremes;
};

// References to these are never released: they are needed until the process ends.
struct Package {
  PyObject* convert = nullptr;         // arguments.arrays.convert
  PyObject* describe = nullptr;        // arguments.values.describe
  PyObject* note = nullptr;            // arguments.readings.note
  PyObject* refuse = nullptr;          // arguments.values.refuse
  PyObject* refuse_type = nullptr;     // arguments.values.refuse_type
  PyObject* refuse_memory = nullptr;   // arguments.values.refuse_memory
  PyObject* flow_level = nullptr;      // nn.flow.flow_level
  PyObject* Gradients = nullptr;       // nn.gradients.Gradients
  PyObject* gradient_names = nullptr;  // names of its arguments after the first two
  Record<FlowDetail> flow_detail;
  Record<StepResult> step_result;
  Record<UpdateResult> update_result;
  Record<SeedNorms> seed_norms;
  Record<SpectrumArrays> spectrum_arrays;
  Package();
};
extern Package package;

// Registers functions and classes by name.
void hand_over(const py::kwargs& given);

}  // namespace bindings
