// passes.h: forward and backward passes of a layer or model.
#pragma once

#include <memory>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/method.h"

namespace bindings {

// The functions of bptt.h for one pass; those of layers and models differ only in the type of the
// first argument.
template <class Type>
using ForwardFunction = bptt_status (*)(Type*, const bptt_sequence*, const bptt_outputs*,
                                        bptt_tape**);
template <class Type>
using BackwardFunction = bptt_status (*)(Type*, bptt_tape*, const bptt_backward*);

// The arguments of a backward pass of Layer and Model.
struct BackwardArguments {
  py::handle tape, dy, dstate, flow, accumulate, layout, input_gradient, settings;
};
extern Signature<SequenceArguments> forward_arguments;
extern Signature<BackwardArguments> backward_arguments;

// Returns (y, state), or with `remember` (y, state, tape).
template <class Type>
py::object run_forward(const Net& net, Type* handle, ForwardFunction<Type> function,
                       GivenSequence in, const Where& where, bool remember) {
  const Extent& extent = in.extent;
  const Strided y = new_batch(net, extent, net.output, net.last_only);
  const States after = new_states(net, extent);
  const bptt_outputs outputs = {sizeof outputs, y.data,       y.stride_t,
                                y.stride_n,     after.h_data, after.c_data};
  auto tape = remember ? std::make_unique<Tape>() : nullptr;
  run<Long>(
      [&] { return function(handle, &in.call, &outputs, remember ? tape->handle.put() : nullptr); },
      where);
  if (!remember) return py::make_tuple(y.array, after.pack());
  tape->extent = extent;
  tape->net = net;
  tape->draw = in.call.draw;
  tape->lengths = std::move(in.lengths);
  if (tape->lengths.empty()) tape->lengths.assign(size_t(extent.batch), extent.steps);
  return py::make_tuple(y.array, after.pack(), py::cast(std::move(tape)));
}

// Returns the tape that was passed.
const Tape& take_tape(py::handle tape, const Where& where);
// Reads the result of nn.parameters.backward_settings; None: no settings.
void read_settings(py::handle settings, bptt_backward& call);
// Returns an object of the package's class Gradients with these values by name.
py::object new_gradients(py::handle flat, py::handle layout, py::handle x, py::handle state,
                         const Flow& flow, py::handle omega, py::handle activity_penalty);

// `name` is the output's gradient: dy or dout.
template <class Type>
py::object run_backward(const Net& net, Type* handle, BackwardFunction<Type> function,
                        const BackwardArguments& in, const char* name) {
  const Where where = {net.owner.c_str(), "backward"};
  const Tape& tape = take_tape(in.tape, where);
  const Extent& extent = tape.extent;
  double omega = 0, activity = 0;
  bptt_backward call = {};
  call.struct_size = sizeof call;
  call.omega_value = &omega;
  call.activity_penalty = &activity;
  read_settings(in.settings, call);
  Given dy;
  if (!in.dy.is_none()) dy = take_values(net, in.dy, extent, net.output, where, name);
  const GivenStates dstate = take_states(net, in.dstate, extent, where, "dstate");
  py::object flat = py::reinterpret_borrow<py::object>(in.accumulate);
  const bool accumulate = !flat.is_none();
  if (!accumulate) flat = new_array(net.type_number(), &net.parameters, 1);
  Strided dx;
  if (!extent.tokens && py::cast<bool>(in.input_gradient))
    dx = new_batch(net, extent, net.input, false);
  const States before = new_states(net, extent);
  const Flat gradients = take_flat(net.type_number(), flat, net.parameters, where, "accumulate");
  Flow flow;
  new_flow(net, extent, in.flow, call.truncation_k2 > call.truncation_k1, where, flow);
  call.dy = dy.data;
  call.dy_stride_t = dy.stride_t;
  call.dy_stride_n = dy.stride_n;
  call.dhn = dstate.h.data;
  call.dcn = dstate.c.data;
  call.gradients = gradients.data;
  call.accumulate = accumulate;
  call.dx = dx.data;
  call.dx_stride_t = dx.stride_t;
  call.dx_stride_n = dx.stride_n;
  call.dh0 = before.h_data;
  call.dc0 = before.c_data;
  call.flow = flow.get();
  run<Long>([&] { return function(handle, tape.handle.get(), &call); }, where);
  return new_gradients(flat, in.layout, dx.data ? dx.array : py::none(), before.pack(), flow,
                       py::float_(omega), py::float_(activity));
}

}  // namespace bindings
