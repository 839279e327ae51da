// diagnostics.cpp: arguments and arrays of seeds, Jacobians and spectra.
#include "bindings/diagnostics.h"

namespace bindings {
namespace {

// Takes an array of integers; None: no array.
Flat integers(py::handle values, int64_t count, const Where& where, const char* argument) {
  return values.is_none() ? Flat() : take_flat(kInt64, values, count, where, argument);
}

int64_t state_size(const Net& net) { return net.state + (net.cell.has_c ? net.hidden : 0); }

}  // namespace

Signature<SeedsArguments> seeds_arguments(
    "backward_seeds: expected arguments (tape, times, samples, outputs, dy, horizon, flow, where)",
    8,
    {{"tape", &SeedsArguments::tape},
     {"times", &SeedsArguments::times},
     {"samples", &SeedsArguments::samples},
     {"outputs", &SeedsArguments::outputs},
     {"dy", &SeedsArguments::dy},
     {"horizon", &SeedsArguments::horizon},
     {"flow", &SeedsArguments::flow},
     {"where", &SeedsArguments::where}});
Signature<JacobianArguments> jacobian_arguments(
    "jacobian: expected arguments (tape, index, sample, step, where)", 5,
    {{"tape", &JacobianArguments::tape},
     {"index", &JacobianArguments::index},
     {"sample", &JacobianArguments::sample},
     {"step", &JacobianArguments::step},
     {"where", &JacobianArguments::where}});
Signature<SpectrumArguments> spectrum_arguments(
    "spectrum: expected arguments (tape, index, sample, first, last, count, interval, discard, "
    "start, "
    "singular, extremes, where)",
    12,
    {{"tape", &SpectrumArguments::tape},
     {"index", &SpectrumArguments::index},
     {"sample", &SpectrumArguments::sample},
     {"first", &SpectrumArguments::first},
     {"last", &SpectrumArguments::last},
     {"count", &SpectrumArguments::count},
     {"interval", &SpectrumArguments::interval},
     {"discard", &SpectrumArguments::discard},
     {"start", &SpectrumArguments::start},
     {"singular", &SpectrumArguments::singular},
     {"extremes", &SpectrumArguments::extremes},
     {"where", &SpectrumArguments::where}});

SeedsCall::SeedsCall(const Net& net, const SeedsArguments& in)
    : function(py::cast<std::string>(in.where)),
      where{function.c_str(), ""},
      tape(take_tape(in.tape, where)) {
  const int64_t count = static_cast<int64_t>(py::len(in.times)), steps = tape.extent.steps;
  const bool flows = py::cast<bool>(in.flow);
  times = integers(in.times, count, where, "times");
  samples = integers(in.samples, count, where, "samples");
  outputs = integers(in.outputs, count, where, "outputs");
  if (!in.dy.is_none()) dy = take_flat(net.type_number(), in.dy, count * net.output, where, "dy");
  seeds.struct_size = sizeof seeds;
  seeds.count = count;
  seeds.times = static_cast<const int64_t*>(times.data);
  seeds.samples = static_cast<const int64_t*>(samples.data);
  seeds.outputs = static_cast<const int64_t*>(outputs.data);
  seeds.dy = dy.data;
  seeds.horizon = py::cast<int64_t>(in.horizon);
  dx_norms = new_doubles({count, steps}, &seeds.dx_norms);
  if (flows) flow = new_doubles({net.walks, count, steps}, &seeds.flow);
  if (flows && net.cell.has_c) flow_c = new_doubles({net.walks, count, steps}, &seeds.flow_c);
}

SpectrumCall::SpectrumCall(const Net& net, const SpectrumArguments& in)
    : function(py::cast<std::string>(in.where)),
      where{function.c_str(), ""},
      tape(take_tape(in.tape, where)) {
  spectrum.struct_size = sizeof spectrum;
  spectrum.index = py::cast<int64_t>(in.index);
  spectrum.sample = py::cast<int64_t>(in.sample);
  spectrum.first = py::cast<int64_t>(in.first);
  spectrum.last = py::cast<int64_t>(in.last);
  spectrum.count = py::cast<int64_t>(in.count);
  spectrum.interval = py::cast<int64_t>(in.interval);
  spectrum.discard = py::cast<int64_t>(in.discard);
  const int64_t size = state_size(net);
  const bool fits = spectrum.count > 0 && spectrum.count <= size;
  const int64_t rows = fits ? spectrum.count : size;  // the engine refuses other counts
  exponents = new_doubles({rows}, &spectrum.exponents);
  if (!in.start.is_none())
    start = take_flat(net.type_number(), in.start, rows * size, where, "start");
  spectrum.start = start.data;
  if (py::cast<bool>(in.singular))
    log_singular_values = new_doubles({size}, &spectrum.log_singular_values);
  if (py::cast<bool>(in.extremes))
    log_extremes = new_doubles({tape.extent.steps, 2}, &spectrum.log_extremes);
}

py::object new_jacobian(const Net& net) {
  const int64_t dims[2] = {state_size(net), state_size(net)};
  return new_array(net.type_number(), dims, 2);
}

}  // namespace bindings
