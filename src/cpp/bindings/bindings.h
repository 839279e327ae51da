// bindings.h: conversion between NumPy arrays and Python exceptions, and bptt.h. Arrays are checked
// here; an array that can be converted without loss is converted by the package (package.h), which
// also words the refusals.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bindings/package.h"
#include "bptt_diagnostics.h"
#include "bptt_optimizer.h"

namespace bindings {

// The Python function that was called: "LSTM.forward".
struct Where {
  const char* owner;
  const char* method;
  std::string text() const { return *method ? std::string(owner) + "." + method : owner; }
};

// Raises the exception for a status. An OSError includes `filename` (or null).
void check(bptt_status status, const Where& where, const char* filename = nullptr);

// Releases the GIL during its lifetime. Every call that can wait for another thread needs one,
// because the other thread may need the GIL to finish.
class Released {
 public:
  Released() : state_(PyEval_SaveThread()) {}
  // While the interpreter shuts down, CPython ends a thread that requests the GIL. This must not
  // unwind the stack here, so the thread waits for the end of the process.
  ~Released() noexcept(false);
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;

 private:
  PyThreadState* state_;
};

// Marks a call that can take long: it runs without the GIL, and signals stop it on the main thread.
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

// Runs a call of bptt.h without the GIL, optionally as `Long`, and raises an exception for its
// status.
template <class Without = Released, class Call>
void run(const Call& call, const Where& where, const char* filename = nullptr) {
  bptt_status status;
  {
    const Without gil;
    status = call();
  }
  check(status, where, filename);
}

// The sizes and types of arrays that pass through a layer or model.
struct Net {
  std::string owner;  // "LSTM", "Model"
  bptt_dtype dtype = BPTT_FLOAT32;
  int64_t input = 0, hidden = 0, output = 0;  // output: number of features of y
  int64_t walks = 1, state = 0;               // L * D; R
  int64_t parameters = 0;
  bptt_cell_info cell = {};
  bool batch_first = false, tokens_only = false, last_only = false;

  int type_number() const { return dtype == BPTT_FLOAT32 ? 11 : 12; }  // NPY_FLOAT, NPY_DOUBLE
  int64_t element() const { return dtype == BPTT_FLOAT32 ? 4 : 8; }
  const char* dtype_name() const { return dtype == BPTT_FLOAT32 ? "float32" : "float64"; }
};

// The sizes of one call and the order of its axes; a tape keeps them for its backward passes.
struct Extent {
  int64_t steps = 0, batch = 0;
  bool tokens = false, unbatched = false;
  bool read = false;  // from an argument x
};

// Returns a weak reference to the array that owns the memory of `array`, which may be a view. While
// the reference exists, NumPy refuses to resize the owner, even with refcheck=False. Returns None
// for memory that NumPy does not resize.
py::object pin_of(py::handle array);

// An argument that is an array, and its memory. It keeps the array alive and prevents other threads
// from resizing it.
struct Given {
  py::object array, pin;
  const void* data = nullptr;
  int64_t stride_t = 0, stride_n = 0;
  void hold(py::object held);
};
// The same for an array that is written in place.
struct Flat {
  py::object array, pin;
  void* data = nullptr;
};
struct GivenStates {
  Given h, c;
};

// A batch of sequences, as passed from Python.
struct SequenceArguments {
  py::handle x, state, lengths, resets, draw, training, noise;
};
// Returns the names of these, for signatures of methods that take them.
std::vector<Field<SequenceArguments, py::handle>> sequence_fields();
// The same for bptt.h, with the arrays to which it points.
struct GivenSequence {
  Extent extent;
  bptt_sequence call = {};
  Given x, resets;
  GivenStates states;
  std::vector<int64_t> lengths;  // [N], a copy; empty: all steps
};

constexpr int kInt64 = 7;  // NPY_LONG: 64 bits on all supported platforms

// Returns an uninitialised array of shape `dims`. `type` is NumPy's type number.
py::object new_array(int type, const int64_t* dims, int rank);
void* data_of(const py::object& array);
// Returns a float64 array and sets `data` to its elements.
py::object new_doubles(std::initializer_list<int64_t> dims, double** data);

// Returns a copy; empty: all steps.
std::vector<int64_t> take_lengths(const Net& net, py::handle lengths, const Extent& extent,
                                  const Where& where);
// Without a draw, the draw of `call` is 0.
GivenSequence take_sequence(const Net& net, const SequenceArguments& in, const Where& where);
// Take dy or the values of targets ([..., features] per step or, with last_only, per sequence), and
// the classes of targets.
Given take_values(const Net& net, py::handle value, const Extent& extent, int64_t features,
                  const Where& where, const char* argument);
Given take_classes(const Net& net, py::handle value, const Extent& extent, const Where& where);
// Takes one number per target; None: no weights.
Given take_weights(const Net& net, py::handle value, const Extent& extent, const Where& where);
// Takes None, h or (h, c).
GivenStates take_states(const Net& net, py::handle state, const Extent& extent, const Where& where,
                        const char* argument);
// Takes a contiguous vector of `count` elements of the dtype.
Given take_vector(const Net& net, py::handle value, int64_t count, const Where& where,
                  const char* argument);
// Takes the values of one step of a stream.
const void* take_step(const Net& net, py::handle x, Given& given, const Where& where);
// Takes the array for the output of one step; refuses an array that would need a conversion.
void* take_out(const Net& net, py::handle out, const void* x, const Where& where);
// Takes a vector that is written in place; refuses an array that would need a conversion.
Flat take_flat(int type, py::handle value, int64_t count, const Where& where, const char* argument);

// The final states of one call.
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
// Returns a new array [T, N, features] in the caller's order of axes; with last_only [N, features].
Strided new_batch(const Net& net, const Extent& extent, int64_t features, bool last_only);
// Arrays for the gradient's flow. It must outlive the call that fills them.
struct Flow {
  bptt_flow to = {};
  bool wanted = false;
  const bptt_flow* get() const { return wanted ? &to : nullptr; }
  py::object h_array = py::none(), c_array = py::none(), a_array = py::none();
  py::object detail_arrays = py::none();  // a FlowDetail
};
// Creates the arrays that `wanted` selects, as nn.flow.flow_level takes it. `overlapping`: windows
// of truncation overlap, so that no flow exists.
void new_flow(const Net& net, const Extent& extent, py::handle wanted, bool overlapping,
              const Where& where, Flow& flow);

// Sets the members of `net` that depend on the options of a layer.
void describe(const bptt_layer_options& options, Net& net);

// A handle that is freed together with the object that holds it.
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

// The parameters of a layer or model. They keep it alive.
struct Params {
  bptt_params* handle;
  py::object parent;
  Net net;
};

void bind_options(py::module_& module);
void bind_layer(py::module_& module);
void bind_model(py::module_& module);
void bind_stream(py::module_& module);
void bind_optimizer(py::module_& module);

}  // namespace bindings
