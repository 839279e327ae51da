// bindings.h: NumPy arrays and Python exceptions on one side, bptt.h on the other. What an array
// has to be is checked here; one that is not, but can be made so without loss, is made so by the
// package (package.h), which also words the refusals.
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

// Runs a call of bptt.h without the GIL, as a `Long` one or not, and raises what its status says.
template <class Without = Released, class Call>
void run(const Call& call, const Where& where, const char* filename = nullptr) {
  bptt_status status;
  {
    const Without gil;
    status = call();
  }
  check(status, where, filename);
}

// What arrays that go through a layer or model look like.
struct Net {
  std::string owner;  // "LSTM", "Model"
  bptt_dtype dtype = BPTT_FLOAT32;
  int64_t input = 0, hidden = 0, output = 0;  // output: features of y
  int64_t walks = 1, state = 0;               // L * D; R
  int64_t parameters = 0;
  bptt_cell_info cell = {};
  bool batch_first = false, tokens_only = false, last_only = false;

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

// A batch of sequences, as Python gave it.
struct SequenceArguments {
  py::handle x, state, lengths, resets, draw, training;
};
// The names of these, for the signature of a method that takes them too.
std::vector<Field<SequenceArguments, py::handle>> sequence_fields();
// The same for bptt.h, with the arrays that it points to.
struct GivenSequence {
  Extent extent;
  bptt_sequence call = {};
  Given x, resets;
  GivenStates states;
  std::vector<int64_t> lengths;  // [N], a copy; empty: all steps
};

constexpr int kInt64 = 7;  // NPY_LONG: 64 bits on every platform that this is built for

// An array of `dims` that is not initialised. type: NumPy's number.
py::object new_array(int type, const int64_t* dims, int rank);
void* data_of(const py::object& array);
// A float64 array, and where its elements are.
py::object new_doubles(std::initializer_list<int64_t> dims, double** data);

// A copy; empty: all steps.
std::vector<int64_t> take_lengths(py::handle lengths, const Extent& extent, const Where& where);
// Without a draw that of `call` is 0.
GivenSequence take_sequence(const Net& net, const SequenceArguments& in, const Where& where);
// dy or MSE targets (features wide, per step or, with last_only, once); class targets.
Given take_values(const Net& net, py::handle value, const Extent& extent, int64_t features,
                  const Where& where, const char* argument);
Given take_classes(const Net& net, py::handle value, const Extent& extent, const Where& where);
// One number per target; None is none.
Given take_weights(const Net& net, py::handle value, const Extent& extent, const Where& where);
// None, h or (h, c).
GivenStates take_states(const Net& net, py::handle state, const Extent& extent, const Where& where,
                        const char* argument);
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
// Arrays for the gradient's flow. Lives as long as the call that fills them.
struct Flow {
  bptt_flow to = {};
  bool wanted = false;
  const bptt_flow* get() const { return wanted ? &to : nullptr; }
  py::object h_array = py::none(), c_array = py::none(), a_array = py::none();
  py::object detail_arrays = py::none();  // a FlowDetail
};
// Whether it is wanted, and what: as nn.flow.flow_level takes it. `overlapping`: windows of truncation
// overlap, so that there is none.
void new_flow(const Net& net, const Extent& extent, py::handle wanted, bool overlapping,
              const Where& where, Flow& flow);

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

void bind_options(py::module_& module);
void bind_layer(py::module_& module);
void bind_model(py::module_& module);
void bind_stream(py::module_& module);
void bind_optimizer(py::module_& module);

}  // namespace bindings
