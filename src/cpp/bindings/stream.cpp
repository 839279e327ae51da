// stream.cpp: the class _core.Stream. Its step keeps the GIL, because a step is shorter than
// releasing the GIL.
#include "bindings/method.h"
#include "bindings/model.h"

namespace bindings {
namespace {

struct Stream {
  Stream(const Model& model, int weights, bool noise, uint64_t draw) : net(model.net()) {
    const bptt_stream_options options = {sizeof options, bptt_weights(weights), noise, draw};
    run([&] { return bptt_stream_create(model.handle(), &options, handle.put()); },
        {"Model", "stream"});
    net.owner = "Stream";
  }
  Owned<bptt_stream, bptt_stream_free> handle;
  Net net;
};

const Extent kOneSequence = {1, 1, false, false};

void reset(const Stream& stream) {
  check(bptt_stream_reset(stream.handle.get()), {"Stream", "reset"});
}

py::object get_state(const Stream& stream) {
  const States states = new_states(stream.net, kOneSequence);
  check(bptt_stream_get_state(stream.handle.get(), states.h_data, states.c_data),
        {"Stream", "state"});
  return states.pack();
}

void set_state(const Stream& stream, py::handle state) {
  if (state.is_none()) return reset(stream);
  const GivenStates given =
      take_states(stream.net, state, kOneSequence, {"Stream", "state"}, "state");
  check(bptt_stream_set_state(stream.handle.get(), given.h.data, given.c.data),
        {"Stream", "state"});
}

// Returns whether x is an int or a NumPy integer of rank 0.
bool is_token(py::handle x) {
  if (PyLong_CheckExact(x.ptr())) return true;
  return !PyBool_Check(x.ptr()) && PyIndex_Check(x.ptr()) &&
         !(py::isinstance<py::array>(x) && py::cast<py::array>(x).ndim() > 0);
}

py::object run_step(const Stream& stream, py::handle x, py::handle out) {
  const Where where = {"Stream", "step"};
  const Net& net = stream.net;
  py::object result = py::reinterpret_borrow<py::object>(out);
  if (out.is_none()) result = new_array(net.type_number(), &net.output, 1);
  if (net.tokens_only && is_token(x)) {
    const py::ssize_t token =
        PyNumber_AsSsize_t(x.ptr(), nullptr);  // a value that does not fit is out of range, too
    if (token == -1 && PyErr_Occurred()) throw py::error_already_set();
    void* y = take_out(net, result, nullptr, where);
    check(bptt_stream_step_token(stream.handle.get(), token, y), where);
    return result;
  }
  Given given;
  const void* values = take_step(net, x, given, where);
  void* y = take_out(net, result, values, where);
  check(bptt_stream_step(stream.handle.get(), values, y), where);
  return result;
}

struct StreamStepArguments {
  py::handle x, out;
};
Signature<StreamStepArguments> stream_step_arguments(
    "Stream.step: expected arguments (x, out=None)", 1,
    {{"x", &StreamStepArguments::x}, {"out", &StreamStepArguments::out}});
py::object step(const Stream& stream, const StreamStepArguments& in) {
  return run_step(stream, in.x, in.out);
}

constexpr const char* kStepDoc = R"(step($self, x, out=None)
--

Advance by one time step.

Parameters
----------
x : ndarray [I] of the model's dtype, or int
    The input of this step; a token if the model has a vocabulary.
out : ndarray [O], optional
    Where to write the output; without it a new array is made.

Returns
-------
ndarray [O]
    The model's output (logits or values) after this step; `out` if it was given.

Raises
------
TypeError, ValueError
    If an array has another dtype or shape, or `out` overlaps `x`.
IndexError
    If a token is out of range.
)";

}  // namespace

void bind_stream(py::module_& module) {
  py::class_<Stream> type(module, "Stream");
  type.def(py::init<const Model&, int, bool, uint64_t>(), py::arg("model"), py::arg("weights"),
           py::arg("noise"), py::arg("draw"))
      .def("reset", &reset)
      .def("get_state", &get_state)
      .def("set_state", &set_state, py::arg("state"));
  def_method<Stream, StreamStepArguments, &stream_step_arguments, step>(type, "step", kStepDoc);
}

}  // namespace bindings
