// bindings.h: NumPy arrays and Python exceptions on one side, bptt.h on the other. What an array
// has to be is checked here; one that is not, but can be made so without loss, is made so by
// bptt_native.arrays, which also words the refusals.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bptt_diagnostics.h"

namespace bindings {

namespace py = pybind11;

// "LSTM.forward": the function of Python's that was called.
struct Where {
  const char* owner;
  const char* method;
  std::string text() const { return *method ? std::string(owner) + "." + method : owner; }
};

// Raises the exception that belongs to a status. `filename` (or null) goes into an OSError.
void check(bptt_status status, const Where& where, const char* filename = nullptr);

// Without the GIL. Every call that may wait for another thread is made inside one: the other may
// need the GIL to finish.
class Released {
 public:
  Released() : state_(PyEval_SaveThread()) {}
  // When the interpreter is ending, a thread that asks for the GIL is ended by CPython; that must
  // not unwind through here, so it waits for the end of the process instead.
  ~Released() noexcept(false);
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;

 private:
  PyThreadState* state_;
};

// A call that may take long: without the GIL, and on the main thread stopped by signals.
class Long {
 public:
  Long();
  ~Long() noexcept(false);
  Long(const Long&) = delete;
  Long& operator=(const Long&) = delete;

 private:
  bool stoppable_;
  Released released_;
};

// What arrays that go through a layer or model look like.
struct Net {
  std::string owner;  // "LSTM", "Model"
  bptt_dtype dtype = BPTT_FLOAT32;
  int64_t input = 0, hidden = 0, output = 0;  // output: features of y
  int64_t walks = 1, state = 0, gates = 1;    // L * D; R; G
  int64_t parameters = 0;
  bptt_cell cell = BPTT_LSTM;
  bool coupled = false;
  bool lstm = false, reset_before = false, batch_first = false, tokens_only = false,
       last_only = false;

  int type_number() const { return dtype == BPTT_FLOAT32 ? 11 : 12; }  // NPY_FLOAT, NPY_DOUBLE
  int64_t element() const { return dtype == BPTT_FLOAT32 ? 4 : 8; }
  const char* dtype_name() const { return dtype == BPTT_FLOAT32 ? "float32" : "float64"; }
};

// How the axes of one call are laid out; a tape keeps it for its backward passes.
struct Extent {
  int64_t steps = 0, batch = 0;
  bool tokens = false, unbatched = false;
};

// A weak reference to the array that owns an array's memory, which may be a view: as long as there
// is one, NumPy refuses to resize that array, even with refcheck=False. None of what NumPy does not
// resize.
py::object pin_of(py::handle array);

// An array that was given, with its place in memory. As long as this lives, so does the array, and
// no other thread resizes it.
struct Given {
  py::object array, pin;
  const void* data = nullptr;
  int64_t stride_t = 0, stride_n = 0;
  void hold(py::object held);
};
// The same of one that is written in place.
struct Flat {
  py::object array, pin;
  void* data = nullptr;
};
struct GivenStates {
  Given h, c;
};

// What goes with an input, as Python gave it.
struct Companions {
  py::handle state, lengths, resets;
  uint64_t draw = 0;
};
struct GivenCompanions {
  GivenStates states;
  Given resets;
  std::vector<int64_t> lengths;  // [N], a copy; empty: all steps
  uint64_t draw = 0;
};

constexpr int kInt64 = 7;  // NPY_LONG: 64 bits on every platform that this is built for

// An array of `dims` that is not initialised. type: NumPy's number.
py::object new_array(int type, const int64_t* dims, int rank);
void* data_of(const py::object& array);
// A float64 array, and where its elements are.
py::object new_doubles(std::initializer_list<int64_t> dims, double** data);

// x: values or tokens. Fills extent.
Given take_input(const Net& net, py::handle x, Extent& extent, const Where& where);
// dy or MSE targets (features wide, per step or, with last_only, once); class targets.
Given take_values(const Net& net, py::handle value, const Extent& extent, int64_t features,
                  const Where& where, const char* argument);
Given take_classes(const Net& net, py::handle value, const Extent& extent, const Where& where);
// One number per target; None is none.
Given take_weights(const Net& net, py::handle value, const Extent& extent, const Where& where);
// None, h or (h, c).
GivenStates take_states(const Net& net, py::handle state, const Extent& extent, const Where& where,
                        const char* argument);
GivenCompanions take_companions(const Net& net, const Companions& companions, const Extent& extent,
                                const Where& where);
// A contiguous vector of `count` elements of the dtype.
Given take_vector(const Net& net, py::handle value, int64_t count, const Where& where,
                  const char* argument);
// One step's values for a stream.
const void* take_step(const Net& net, py::handle x, Given& given, const Where& where);
// An array to write one step's output into: refused unless it is exactly right.
void* take_out(const Net& net, py::handle out, const void* x, const Where& where);
// A vector that is written in place: refused unless it is exactly right.
Flat take_flat(int type, py::handle value, int64_t count, const Where& where, const char* argument);

// Results of one call.
struct States {
  py::object h, c;
  void* h_data = nullptr;
  void* c_data = nullptr;
  py::object pack() const;  // h or (h, c)
};
States new_states(const Net& net, const Extent& extent);
struct Strided {
  py::object array;
  void* data = nullptr;
  int64_t stride_t = 0, stride_n = 0;
};
// [T, N, features] in the caller's order of axes; with last_only [N, features].
Strided new_batch(const Net& net, const Extent& extent, int64_t features, bool last_only);
// Arrays for the gradient's flow: `detail` 0 for none, 1 for h, c, a over time, or more: kSamples,
// kUnits, kWeights added. Lives as long as the call that fills them.
constexpr int kSamples = 2, kUnits = 4, kWeights = 8;
struct Flow {
  double *h = nullptr, *c = nullptr, *a = nullptr;
  bptt_flow detail = {};
  bool has_detail = false;
  py::object h_array = py::none(), c_array = py::none(), a_array = py::none();
  py::object detail_arrays = py::none();  // a dict by the names of bptt_flow
};
void new_flow(const Net& net, const Extent& extent, int detail, Flow& flow);

bptt_sequence sequence_of(const Given& x, const GivenCompanions& companions, const Extent& extent);
// Fills in what the options of a layer say of its arrays.
void describe(const bptt_layer_options& options, Net& net);

// A handle that is freed with the object that holds it.
template <class Type, bptt_status (*release)(Type*)>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Type* handle) : handle_(handle) {}
  Owned(Owned&& other) noexcept : handle_(other.handle_) { other.handle_ = nullptr; }
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() { release(handle_); }
  Type* get() const { return handle_; }
  Type** put() { return &handle_; }

 private:
  Type* handle_ = nullptr;
};

struct Tape {
  Owned<bptt_tape, bptt_tape_free> handle;
  Extent extent;
  Net net;
  uint64_t draw = 0;
  std::vector<int64_t> lengths;  // [N]
};

// The parameters of a layer or model, which they keep alive.
struct Params {
  bptt_params* handle;
  py::object parent;
  Net net;
};

// One pass of a layer or model: the functions of bptt.h differ in their first argument only.
template <class Type>
using ForwardFunction = bptt_status (*)(Type*, const bptt_sequence*, const bptt_outputs*,
                                        bptt_tape**);
template <class Type>
using BackwardFunction = bptt_status (*)(Type*, bptt_tape*, const bptt_backward*);

// (y, state) or (y, state, tape).
template <class Type>
py::object run_forward(const Net& net, Type* handle, ForwardFunction<Type> function, py::handle x,
                       const Companions& companions, bool remember) {
  const Where where = {net.owner.c_str(), remember ? "forward" : "__call__"};
  Extent extent;
  const Given in = take_input(net, x, extent, where);
  const GivenCompanions given = take_companions(net, companions, extent, where);
  const Strided y = new_batch(net, extent, net.output, net.last_only);
  const States after = new_states(net, extent);
  const bptt_sequence sequence = sequence_of(in, given, extent);
  const bptt_outputs outputs = {sizeof outputs, y.data,       y.stride_t,
                                y.stride_n,     after.h_data, after.c_data};
  auto tape = remember ? std::make_unique<Tape>() : nullptr;
  bptt_status status;
  {
    const Long call;
    status = function(handle, &sequence, &outputs, remember ? tape->handle.put() : nullptr);
  }
  check(status, where);
  if (!remember) return py::make_tuple(y.array, after.pack());
  tape->extent = extent;
  tape->net = net;
  tape->draw = companions.draw;
  tape->lengths = given.lengths;
  if (given.lengths.empty()) tape->lengths.assign(size_t(extent.batch), extent.steps);
  return py::make_tuple(y.array, after.pack(), py::cast(std::move(tape)));
}

struct BackwardOptions {
  py::handle dstate, accumulate;
  int flow;
  bool input_gradient;
  const char* name;  // of the output's gradient: dy or dout
  double clip_step, clip_step_norm;
  int64_t k1, k2;  // truncation
  double omega;
};

// (flat, dx, dstate, flow, flow_c, flow_a, detail, omega).
template <class Type>
py::object run_backward(const Net& net, Type* handle, BackwardFunction<Type> function,
                        const Tape& tape, py::handle dy, const BackwardOptions& options) {
  const Where where = {net.owner.c_str(), "backward"};
  const Extent& extent = tape.extent;
  Given dy_given;
  if (!dy.is_none()) dy_given = take_values(net, dy, extent, net.output, where, options.name);
  const GivenStates dstate = take_states(net, options.dstate, extent, where, "dstate");
  py::object flat = py::reinterpret_borrow<py::object>(options.accumulate);
  const bool accumulate = !flat.is_none();
  if (!accumulate) flat = new_array(net.type_number(), &net.parameters, 1);
  Strided dx;
  if (!extent.tokens && options.input_gradient) dx = new_batch(net, extent, net.input, false);
  const States before = new_states(net, extent);
  bptt_backward call = {};
  call.struct_size = sizeof call;
  call.dy = dy_given.data;
  call.dy_stride_t = dy_given.stride_t;
  call.dy_stride_n = dy_given.stride_n;
  call.dhn = dstate.h.data;
  call.dcn = dstate.c.data;
  call.clip_step = options.clip_step;
  call.clip_step_norm = options.clip_step_norm;
  double omega = 0;
  call.truncation_k1 = options.k1;
  call.truncation_k2 = options.k2;
  call.omega = options.omega;
  call.omega_value = &omega;
  const Flat gradients = take_flat(net.type_number(), flat, net.parameters, where, "accumulate");
  call.gradients = gradients.data;
  call.accumulate = accumulate;
  call.dx = dx.data;
  call.dx_stride_t = dx.stride_t;
  call.dx_stride_n = dx.stride_n;
  call.dh0 = before.h_data;
  call.dc0 = before.c_data;
  Flow flow;
  if (options.k2 <= options.k1) new_flow(net, extent, options.flow, flow);
  call.flow = flow.h;
  call.flow_c = flow.c;
  call.flow_a = flow.a;
  if (flow.has_detail) call.detail = &flow.detail;
  bptt_status status;
  {
    const Long running;
    status = function(handle, tape.handle.get(), &call);
  }
  check(status, where);
  return py::make_tuple(flat, dx.data ? dx.array : py::none(), before.pack(), flow.h_array,
                        flow.c_array, flow.a_array, flow.detail_arrays, omega);
}

void bind_layer(py::module_& module);
void bind_model(py::module_& module);
void bind_stream(py::module_& module);
void bind_optimizer(py::module_& module);

}  // namespace bindings
