// diagnostics.h: what layers and models can be asked about their gradients
// (bptt_diagnostics.h).
#pragma once

#include "bindings/bindings.h"

namespace bindings {

template <class Type>
struct DiagnosticFunctions {
  bptt_status (*seeds)(Type*, bptt_tape*, const bptt_seeds*);
  bptt_status (*jacobian)(Type*, bptt_tape*, int64_t, int64_t, int64_t, void*);
  bptt_status (*spectrum)(Type*, bptt_tape*, const bptt_spectrum*);
};

// An array of integers; None is none.
inline Flat integers(py::handle values, int64_t count, const Where& where, const char* argument) {
  return values.is_none() ? Flat() : take_flat(kInt64, values, count, where, argument);
}

// (dx_norms, flow, flow_c), the last two None unless asked for.
template <class Type>
py::tuple run_seeds(const Net& net, Type* handle, const DiagnosticFunctions<Type>& functions,
                    const Tape& tape, py::handle times, py::handle samples, py::handle outputs,
                    py::handle dy, int64_t horizon, bool flow, const std::string& function) {
  const Where where = {function.c_str(), ""};
  const int64_t count = static_cast<int64_t>(py::len(times)), steps = tape.extent.steps;
  bptt_seeds seeds = {};
  seeds.struct_size = sizeof seeds;
  seeds.count = count;
  const Flat at = integers(times, count, where, "times");
  const Flat of = integers(samples, count, where, "samples");
  const Flat chosen = integers(outputs, count, where, "outputs");
  Flat given;
  if (!dy.is_none()) given = take_flat(net.type_number(), dy, count * net.output, where, "dy");
  seeds.times = static_cast<const int64_t*>(at.data);
  seeds.samples = static_cast<const int64_t*>(of.data);
  seeds.outputs = static_cast<const int64_t*>(chosen.data);
  seeds.dy = given.data;
  seeds.horizon = horizon;
  const py::object norms = new_doubles({count, steps}, &seeds.dx_norms);
  py::object flow_h = py::none(), flow_c = py::none();
  if (flow) flow_h = new_doubles({net.walks, count, steps}, &seeds.flow);
  if (flow && net.lstm) flow_c = new_doubles({net.walks, count, steps}, &seeds.flow_c);
  bptt_status status;
  {
    const Long call;
    status = functions.seeds(handle, tape.handle.get(), &seeds);
  }
  check(status, where);
  return py::make_tuple(norms, flow_h, flow_c);
}

inline int64_t state_size(const Net& net) { return net.state + (net.lstm ? net.hidden : 0); }

template <class Type>
py::object run_jacobian(const Net& net, Type* handle, const DiagnosticFunctions<Type>& functions,
                        const Tape& tape, int64_t index, int64_t sample, int64_t step,
                        const std::string& function) {
  const int64_t dims[2] = {state_size(net), state_size(net)};
  const py::object jacobian = new_array(net.type_number(), dims, 2);
  bptt_status status;
  {
    const Long call;
    status = functions.jacobian(handle, tape.handle.get(), index, sample, step, data_of(jacobian));
  }
  check(status, {function.c_str(), ""});
  return jacobian;
}

// (exponents, log_singular_values), the latter None unless asked for.
template <class Type>
py::tuple run_spectrum(const Net& net, Type* handle, const DiagnosticFunctions<Type>& functions,
                       const Tape& tape, int64_t index, int64_t sample, int64_t first, int64_t last,
                       int64_t count, int64_t interval, int64_t discard, py::handle start,
                       bool singular, bool extremes, const std::string& function) {
  bptt_spectrum spectrum = {};
  spectrum.struct_size = sizeof spectrum;
  spectrum.index = index;
  spectrum.sample = sample;
  spectrum.first = first;
  spectrum.last = last;
  spectrum.count = count;
  spectrum.interval = interval;
  spectrum.discard = discard;
  const Where where = {function.c_str(), ""};
  const int64_t size = state_size(net);
  const int64_t rows = count > 0 && count <= size ? count : size;  // others are refused below
  const py::object exponents = new_doubles({rows}, &spectrum.exponents);
  Flat given;
  if (!start.is_none()) given = take_flat(net.type_number(), start, rows * size, where, "start");
  spectrum.start = given.data;
  py::object values = py::none();
  if (singular) values = new_doubles({size}, &spectrum.log_singular_values);
  py::object bounds = py::none();
  if (extremes) bounds = new_doubles({tape.extent.steps, 2}, &spectrum.log_extremes);
  bptt_status status;
  {
    const Long call;
    status = functions.spectrum(handle, tape.handle.get(), &spectrum);
  }
  check(status, where);
  return py::make_tuple(exponents, values, bounds);
}

// The three as methods of a class that has net() and handle(). `where` is the function of Python's that
// was called.
template <class Class, class Type>
void bind_diagnostics(py::class_<Class>& type, const DiagnosticFunctions<Type>& functions) {
  type.def(
          "backward_seeds",
          [functions](const Class& self, const Tape& tape, py::handle times, py::handle samples,
                      py::handle outputs, py::handle dy, int64_t horizon, bool flow,
                      const std::string& where) {
            return run_seeds(self.net(), self.handle(), functions, tape, times, samples, outputs,
                             dy, horizon, flow, where);
          },
          py::arg("tape"), py::arg("times"), py::arg("samples"), py::arg("outputs"), py::arg("dy"),
          py::arg("horizon"), py::arg("flow"), py::arg("where"))
      .def(
          "jacobian",
          [functions](const Class& self, const Tape& tape, int64_t index, int64_t sample,
                      int64_t step, const std::string& where) {
            return run_jacobian(self.net(), self.handle(), functions, tape, index, sample, step,
                                where);
          },
          py::arg("tape"), py::arg("index"), py::arg("sample"), py::arg("step"), py::arg("where"))
      .def(
          "spectrum",
          [functions](const Class& self, const Tape& tape, int64_t index, int64_t sample,
                      int64_t first, int64_t last, int64_t count, int64_t interval, int64_t discard,
                      py::handle start, bool singular, bool extremes, const std::string& where) {
            return run_spectrum(self.net(), self.handle(), functions, tape, index, sample, first,
                                last, count, interval, discard, start, singular, extremes, where);
          },
          py::arg("tape"), py::arg("index"), py::arg("sample"), py::arg("first"), py::arg("last"),
          py::arg("count"), py::arg("interval"), py::arg("discard"), py::arg("start"),
          py::arg("singular"), py::arg("extremes"), py::arg("where"));
}

}  // namespace bindings
