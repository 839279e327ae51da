// passes.cpp: the arguments that forward and backward passes share.
#include "bindings/passes.h"

namespace bindings {

Signature<SequenceArguments> forward_arguments(
    "forward: expected arguments (x, state, lengths, resets, draw, training, noise)", 1,
    sequence_fields());
Signature<BackwardArguments> backward_arguments(
    "backward: expected arguments (tape, dy, dstate, flow, accumulate, layout, input_gradient, "
    "settings)",
    8,
    {{"tape", &BackwardArguments::tape},
     {"dy", &BackwardArguments::dy},
     {"dstate", &BackwardArguments::dstate},
     {"flow", &BackwardArguments::flow},
     {"accumulate", &BackwardArguments::accumulate},
     {"layout", &BackwardArguments::layout},
     {"input_gradient", &BackwardArguments::input_gradient},
     {"settings", &BackwardArguments::settings}});

const Tape& take_tape(py::handle tape, const Where& where) {
  py::detail::make_caster<Tape> caster;
  if (!caster.load(tape, false)) {
    py::handle(package.refuse_type)(tape, where.text(), "tape", "a tape of forward");
  }
  return py::detail::cast_op<const Tape&>(caster);
}

void read_settings(py::handle settings, bptt_backward& call) {
  if (settings.is_none()) return;
  const auto given = py::cast<py::dict>(settings);
  const auto read = [&given]<class Value>(const char* name, Value& value) {
    value = py::cast<Value>(given[name]);
  };
  read("clip_step", call.clip_step);
  read("clip_step_norm", call.clip_step_norm);
  read("truncation_k1", call.truncation_k1);
  read("truncation_k2", call.truncation_k2);
  read("omega", call.omega);
  read("activity_l1", call.activity_l1);
  read("activity_l2", call.activity_l2);
}

py::object new_gradients(py::handle flat, py::handle layout, py::handle x, py::handle state,
                         const Flow& flow, py::handle omega, py::handle activity_penalty) {
  PyObject* const values[] = {flat.ptr(),
                              layout.ptr(),
                              x.ptr(),
                              state.ptr(),
                              flow.h_array.ptr(),
                              flow.c_array.ptr(),
                              flow.a_array.ptr(),
                              flow.detail_arrays.ptr(),
                              omega.ptr(),
                              activity_penalty.ptr()};
  PyObject* made = PyObject_Vectorcall(package.Gradients, values, 2, package.gradient_names);
  if (!made) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

}  // namespace bindings
