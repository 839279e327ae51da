// diagnostics.h: methods of layers and models that examine their gradients (bptt_diagnostics.h).
#pragma once

#include <string>

#include "bindings/passes.h"

namespace bindings {

// `where` is the Python function that was called.
struct SeedsArguments {
  py::handle tape, times, samples, outputs, dy, horizon, flow, where;
};
struct JacobianArguments {
  py::handle tape, index, sample, step, where;
};
struct SpectrumArguments {
  py::handle tape, index, sample, first, last, count, interval, discard, start, singular, extremes,
      where;
};
extern Signature<SeedsArguments> seeds_arguments;
extern Signature<JacobianArguments> jacobian_arguments;
extern Signature<SpectrumArguments> spectrum_arguments;

// The structs of bptt_diagnostics.h, with the arrays to which they point.
struct SeedsCall {
  SeedsCall(const Net& net, const SeedsArguments& in);
  std::string function;
  Where where;
  const Tape& tape;
  Flat times, samples, outputs, dy;
  py::object dx_norms, flow, flow_c;
  bptt_seeds seeds = {};
};
struct SpectrumCall {
  SpectrumCall(const Net& net, const SpectrumArguments& in);
  std::string function;
  Where where;
  const Tape& tape;
  Flat start;
  py::object exponents, log_singular_values, log_extremes;
  bptt_spectrum spectrum = {};
};
py::object new_jacobian(const Net& net);

template <class Class, auto function>
py::object backward_seeds(const Class& self, const SeedsArguments& in) {
  SeedsCall call(self.net(), in);
  run<Long>([&] { return function(self.handle(), call.tape.handle.get(), &call.seeds); },
            call.where);
  return package.seed_norms.make({call.dx_norms, call.flow, call.flow_c});
}

template <class Class, auto function>
py::object jacobian(const Class& self, const JacobianArguments& in) {
  const std::string name = py::cast<std::string>(in.where);
  const Where where = {name.c_str(), ""};
  const Tape& tape = take_tape(in.tape, where);
  const py::object values = new_jacobian(self.net());
  const int64_t index = py::cast<int64_t>(in.index), sample = py::cast<int64_t>(in.sample),
                step = py::cast<int64_t>(in.step);
  run<Long>(
      [&] {
        return function(self.handle(), tape.handle.get(), index, sample, step, data_of(values));
      },
      where);
  return values;
}

template <class Class, auto function>
py::object spectrum(const Class& self, const SpectrumArguments& in) {
  SpectrumCall call(self.net(), in);
  run<Long>([&] { return function(self.handle(), call.tape.handle.get(), &call.spectrum); },
            call.where);
  return package.spectrum_arrays.make(
      {call.exponents, call.log_singular_values, call.log_extremes});
}

// The three methods, for a class that has net() and handle().
template <class Class, auto of_seeds, auto of_jacobian, auto of_spectrum>
void bind_diagnostics(py::class_<Class>& type) {
  def_method<Class, SeedsArguments, &seeds_arguments, backward_seeds<Class, of_seeds>>(
      type, "backward_seeds");
  def_method<Class, JacobianArguments, &jacobian_arguments, jacobian<Class, of_jacobian>>(
      type, "jacobian");
  def_method<Class, SpectrumArguments, &spectrum_arguments, spectrum<Class, of_spectrum>>(
      type, "spectrum");
}

}  // namespace bindings
