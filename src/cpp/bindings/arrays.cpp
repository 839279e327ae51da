// arrays.cpp: NumPy arrays as the arrays of bptt.h: checks, conversions and new arrays.
#include "bindings/bindings.h"
#include "bindings/package.h"

namespace bindings {
namespace {

namespace npy = py::detail;

npy::PyArray_Proxy* proxy(py::handle array) { return npy::array_proxy(array.ptr()); }

bool has_flag(py::handle array, int flag) { return (proxy(array)->flags & flag) != 0; }

std::string text(int64_t value) { return std::to_string(value); }

// Returns whether the value is an aligned ndarray of this type in native byte order.
bool is_plain(py::handle value, int type) {
  if (Py_TYPE(value.ptr()) != npy::npy_api::get().PyArray_Type_) return false;
  const auto* descr = npy::array_descriptor1_proxy(proxy(value)->descr);
  return descr->type_num == type && descr->byteorder != '>' &&
         has_flag(value, npy::npy_api::NPY_ARRAY_ALIGNED_);
}

bool is_plain_int64(py::handle value) { return is_plain(value, kInt64); }

// Returns whether all strides are multiples of the element size.
bool has_steps(py::handle array, int64_t element) {
  const auto* a = proxy(array);
  for (int i = 0; i < a->nd; ++i) {
    if (a->dimensions[i] > 1 && a->strides[i] % element != 0) return false;
  }
  return true;
}

// Returns whether, in addition, the last axis is contiguous.
bool has_rows(py::handle array, int64_t element) {
  const auto* a = proxy(array);
  return has_steps(array, element) &&
         (a->nd < 1 || a->dimensions[a->nd - 1] <= 1 || a->strides[a->nd - 1] == element);
}

// A text that a function computes when it is needed. The function must outlive the object.
class Text {
 public:
  template <class Make>
  Text(const Make& make)
      : make_(&make),
        call_([](const void* it) -> std::string { return (*static_cast<const Make*>(it))(); }) {}
  std::string operator()() const { return call_(make_); }

 private:
  const void* make_;
  std::string (*call_)(const void*);
};

// The shape of an argument that depends on the input, and how the input was read: see
// arguments/readings.py.
struct Reading {
  const Net& net;
  const Extent& extent;
  const int64_t* shape;
  int rank;
  bool classes = false;

  // None if there is no input.
  py::object pack() const {
    if (!extent.read) return py::none();
    py::tuple sizes(static_cast<size_t>(rank));
    for (int i = 0; i < rank; ++i) sizes[static_cast<size_t>(i)] = shape[i];
    const py::object sequences =
        extent.unbatched ? py::object(py::none()) : py::object(py::int_(extent.batch));
    const py::object features =
        extent.tokens ? py::object(py::none()) : py::object(py::int_(net.input));
    return py::make_tuple(sizes, classes, extent.steps, sequences, features, net.batch_first);
  }
};

// An argument and the expected value.
struct Argument {
  const Where& where;
  const char* name;
  Text expected;
  const char* part = "";             // the part of it that is meant: " as c"
  bool index = true;                 // integers beyond int64 raise IndexError; otherwise ValueError
  const Reading* reading = nullptr;  // for notes in errors
};

[[noreturn]] void refuse(py::handle value, const Argument& argument, const char* got = nullptr) {
  std::string text =
      got ? got : py::cast<std::string>(py::handle(package.describe)(value)) + argument.part;
  if (argument.reading && argument.reading->extent.read)
    text += py::cast<std::string>(
        py::handle(package.note)(value, argument.name, argument.reading->pack()));
  py::handle(package.refuse)(value, argument.where.text(), argument.name, argument.expected(),
                             text);
  throw py::error_already_set();  // not reached: `refuse` raises
}

// The shapes that arrays of each dtype can have: see arguments/arrays.py.
using Forms = std::vector<std::pair<const char*, std::vector<std::vector<int64_t>>>>;
constexpr int64_t kAny = -1;

// Returns the value as arguments/arrays.py converts it, or raises.
py::object convert(py::handle value, const Forms& forms, const Argument& argument) {
  py::dict allowed;
  for (const auto& [dtype, shapes] : forms) {
    py::list list;
    for (const std::vector<int64_t>& shape : shapes) {
      py::list sizes;
      for (const int64_t size : shape)
        sizes.append(size == kAny ? py::object(py::none()) : py::int_(size));
      list.append(py::tuple(sizes));
    }
    allowed[dtype] = list;
  }
  const py::object reading = argument.reading ? argument.reading->pack() : py::object(py::none());
  return py::handle(package.convert)(
      value, allowed, argument.where.text(), argument.name, argument.expected(), argument.part,
      py::handle(argument.index ? PyExc_IndexError : PyExc_ValueError), reading);
}

// Returns whether the array has this shape.
bool has_shape(py::handle array, const int64_t* shape, int rank) {
  const auto* a = proxy(array);
  bool same = a->nd == rank;
  for (int i = 0; same && i < rank; ++i) same = a->dimensions[i] == shape[i];
  return same;
}

std::string shape_text(const int64_t* shape, int rank) {
  std::string list = "[";
  for (int i = 0; i < rank; ++i) {
    if (i) list += ", ";
    list += text(shape[i]);
  }
  return list += ']';
}

// Takes an array of exactly this shape. The last axis must be contiguous; with `dense`, the whole
// array.
Given take_exact(py::handle value, const Net& net, const int64_t* shape, int rank, bool dense,
                 const Argument& argument) {
  const bool usable = is_plain(value, net.type_number()) && has_rows(value, net.element()) &&
                      (!dense || has_flag(value, npy::npy_api::NPY_ARRAY_C_CONTIGUOUS_));
  Given given;
  if (usable) {
    if (!has_shape(value, shape, rank)) refuse(value, argument);
    given.hold(py::reinterpret_borrow<py::object>(value));
  } else {
    given.hold(convert(value, {{net.dtype_name(), {{shape, shape + rank}}}}, argument));
  }
  return given;
}

std::string array_text(const Net& net, const std::string& shape) {
  return std::string("a ") + net.dtype_name() + " array of shape " + shape;
}

// Reads the strides of T and N, in elements, of an array with the axes [T, N, ...], [N, T, ...] or,
// unbatched, [T, ...].
void read_strides(const Net& net, const Extent& extent, int64_t element, Given& given) {
  const auto* a = proxy(given.array);
  const int time = net.batch_first && !extent.unbatched ? 1 : 0;
  given.stride_t = extent.steps > 1 ? a->strides[time] / element : 0;
  given.stride_n = !extent.unbatched && extent.batch > 1 ? a->strides[1 - time] / element : 0;
}

// Writes the sizes of T and N in the caller's order of axes, without T if last_only; returns their
// number.
int target_shape(const Net& net, const Extent& extent, int64_t* shape) {
  int rank = 0;
  if (!extent.unbatched && net.batch_first) shape[rank++] = extent.batch;
  if (!net.last_only) shape[rank++] = extent.steps;
  if (!extent.unbatched && !net.batch_first) shape[rank++] = extent.batch;
  return rank;
}

// Takes one number per target, [T, N] or with last_only [N], of NumPy's `type`; converts arrays of
// other types from one of `dtypes`.
Given take_per_target(const Net& net, py::handle value, const Extent& extent, int type,
                      std::initializer_list<const char*> dtypes, const Where& where,
                      const char* name, const Text& kind, const Text& range, bool classes = false) {
  int64_t shape[2];
  const int rank = target_shape(net, extent, shape);
  const auto expected = [&] { return kind() + " of shape " + shape_text(shape, rank) + range(); };
  const Reading reading = {net, extent, shape, rank, classes};
  const Argument argument = {where, name, expected, "", true, &reading};
  const int64_t element = type == 11 ? 4 : 8;
  Given given;
  if (is_plain(value, type) && has_steps(value, element)) {
    if (!has_shape(value, shape, rank)) refuse(value, argument);
    given.hold(py::reinterpret_borrow<py::object>(value));
  } else {
    Forms forms;
    for (const char* dtype : dtypes) forms.push_back({dtype, {{shape, shape + rank}}});
    given.hold(convert(value, forms, argument));
  }
  if (net.last_only) {
    given.stride_n = extent.batch > 1 ? proxy(given.array)->strides[0] / element : 0;
  } else {
    read_strides(net, extent, element, given);
  }
  return given;
}

// Returns the data of a vector that is written in place, and refuses arrays that would need a
// conversion.
void* flat_data(int type, py::handle value, int64_t count, const Where& where,
                const char* argument) {
  if (!(is_plain(value, type) && has_shape(value, &count, 1) &&
        has_flag(value, npy::npy_api::NPY_ARRAY_C_CONTIGUOUS_) &&
        has_flag(value, npy::npy_api::NPY_ARRAY_WRITEABLE_))) {
    const char* const dtype = type == kInt64 ? "int64" : type == 11 ? "float32" : "float64";
    const std::string expected =
        std::string("a writable contiguous ") + dtype + " array of shape [" + text(count) + "]";
    py::handle(package.refuse_memory)(value, dtype, where.text(), argument, expected);
  }
  return proxy(value)->data;
}

std::string input_text(const Net& net) {
  const std::string axes = net.batch_first ? "[N, T" : "[T, N";
  const std::string tokens =
      "of shape " + axes + "] or [T], tokens from 0 to " + text(net.input - 1);
  const std::string least = ", with at least one step and one sequence";
  if (net.tokens_only) return "integers " + tokens + least;
  return array_text(net, axes + ", " + text(net.input) + "] or [T, " + text(net.input) +
                             "], or integers " + tokens) +
         least;
}

// Takes x: values or tokens. Fills `extent`.
Given take_input(const Net& net, py::handle x, Extent& extent, const Where& where) {
  const auto expected = [&] { return input_text(net); };
  Given given;
  const bool values =
      !net.tokens_only && is_plain(x, net.type_number()) && has_rows(x, net.element());
  if (values || (is_plain_int64(x) && proxy(x)->nd <= 2 && has_steps(x, 8))) {
    given.hold(py::reinterpret_borrow<py::object>(x));
  } else {
    Forms forms;
    if (!net.tokens_only)
      forms.push_back({net.dtype_name(), {{kAny, kAny, net.input}, {kAny, net.input}}});
    forms.push_back({"int64", {{kAny, kAny}, {kAny}}});
    given.hold(convert(x, forms, {where, "x", expected}));
  }
  const auto* a = proxy(given.array);
  extent.tokens = is_plain_int64(given.array);
  extent.read = true;
  const int batched = extent.tokens ? 2 : 3;
  extent.unbatched = a->nd == batched - 1;
  bool fits = a->nd == batched || extent.unbatched;
  if (fits) {
    const int time = net.batch_first && !extent.unbatched ? 1 : 0;
    extent.steps = a->dimensions[time];
    extent.batch = extent.unbatched ? 1 : a->dimensions[1 - time];
    fits = extent.steps > 0 && extent.batch > 0 &&
           (extent.tokens || a->dimensions[a->nd - 1] == net.input);
  }
  if (!fits) refuse(x, {where, "x", expected});
  read_strides(net, extent, extent.tokens ? 8 : net.element(), given);
  return given;
}

}  // namespace

py::object new_array(int type, const int64_t* dims, int rank) {
  auto& api = npy::npy_api::get();
  PyObject* descr = api.PyArray_DescrFromType_(type);
  PyObject* array = api.PyArray_NewFromDescr_(
      api.PyArray_Type_, descr, rank, const_cast<py::ssize_t*>(dims), nullptr, nullptr, 0, nullptr);
  if (!array) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(array);
}

py::object pin_of(py::handle array) {
  PyObject* owner = array.ptr();
  for (;;) {
    PyObject* base = nullptr;
    if (py::isinstance<py::array>(owner)) {
      base = proxy(owner)->base;
      if (!base) break;
    } else if (PyMemoryView_Check(owner)) {
      base = PyMemoryView_GET_BASE(owner);
    }
    if (!base) return py::none();  // NumPy cannot resize this memory
    owner = base;
  }
  PyObject* pin = PyWeakref_NewRef(owner, nullptr);
  if (!pin) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(pin);
}

void Given::hold(py::object held) {
  array = std::move(held);
  pin = pin_of(array);
  data = proxy(array)->data;
}

void* data_of(const py::object& array) { return proxy(array)->data; }

py::object new_doubles(std::initializer_list<int64_t> dims, double** data) {
  py::object array = new_array(12, dims.begin(), static_cast<int>(dims.size()));
  *data = static_cast<double*>(data_of(array));
  return array;
}

Given take_values(const Net& net, py::handle value, const Extent& extent, int64_t features,
                  const Where& where, const char* argument) {
  int64_t shape[3];
  int rank = target_shape(net, extent, shape);
  shape[rank++] = features;
  const auto expected = [&] { return array_text(net, shape_text(shape, rank)); };
  const Reading reading = {net, extent, shape, rank};
  Given given =
      take_exact(value, net, shape, rank, false, {where, argument, expected, "", true, &reading});
  if (net.last_only) {
    given.stride_n = extent.batch > 1 ? proxy(given.array)->strides[0] / net.element() : 0;
  } else {
    read_strides(net, extent, net.element(), given);
  }
  return given;
}

Given take_classes(const Net& net, py::handle value, const Extent& extent, const Where& where) {
  const auto kind = [] { return "integers"; };
  const auto range = [&] { return ", classes from 0 to " + text(net.output - 1); };
  return take_per_target(net, value, extent, kInt64, {"int64"}, where, "targets", kind, range,
                         true);
}

Given take_weights(const Net& net, py::handle value, const Extent& extent, const Where& where) {
  if (value.is_none()) return {};
  const auto kind = [&] { return std::string("a ") + net.dtype_name() + " array"; };
  const auto range = [] { return ", numbers >= 0"; };
  return take_per_target(net, value, extent, net.type_number(), {net.dtype_name(), "bool"}, where,
                         "weights", kind, range);
}

GivenStates take_states(const Net& net, py::handle state, const Extent& extent, const Where& where,
                        const char* argument) {
  GivenStates given;
  if (state.is_none()) return given;
  const auto shape_of = [&](int64_t units, int64_t (&shape)[3]) {
    const int rank = extent.unbatched ? 2 : 3;
    shape[0] = net.walks;
    shape[1] = extent.batch;
    shape[rank - 1] = units;
    return rank;
  };
  int64_t h_shape[3], c_shape[3];
  const int rank = shape_of(net.state, h_shape);
  shape_of(net.hidden, c_shape);
  const auto what = [&] { return array_text(net, shape_text(h_shape, rank)); };
  const Reading reading = {net, extent, h_shape, rank};
  if (!net.cell.has_c) {
    given.h =
        take_exact(state, net, h_shape, rank, true, {where, argument, what, "", true, &reading});
    return given;
  }
  const auto pair = [&] {
    if (net.state == net.hidden) return "None or (h, c), each " + what();
    return "None or (h, c), " + what() + " and of shape " + shape_text(c_shape, rank);
  };
  PyObject* items = state.ptr();
  if (!(PyTuple_Check(items) || PyList_Check(items)) || PySequence_Fast_GET_SIZE(items) != 2) {
    refuse(state, {where, argument, pair});
  }
  const auto h = py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(items, 0));
  const auto c = py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(items, 1));
  given.h =
      take_exact(h, net, h_shape, rank, true, {where, argument, pair, " as h", true, &reading});
  given.c =
      take_exact(c, net, c_shape, rank, true, {where, argument, pair, " as c", true, &reading});
  return given;
}

Given take_vector(const Net& net, py::handle value, int64_t count, const Where& where,
                  const char* argument) {
  const auto expected = [&] { return array_text(net, "[" + text(count) + "]"); };
  return take_exact(value, net, &count, 1, true, {where, argument, expected});
}

const void* take_step(const Net& net, py::handle x, Given& given, const Where& where) {
  if (is_plain(x, net.type_number()) && has_rows(x, net.element()) && has_shape(x, &net.input, 1))
    return proxy(x)->data;
  if (net.tokens_only) {
    const std::string token = "an integer from 0 to " + text(net.input - 1);
    py::handle(package.refuse_type)(x, where.text(), "x", token);
  }
  const auto expected = [&] { return array_text(net, "[" + text(net.input) + "]"); };
  given = take_exact(x, net, &net.input, 1, true, {where, "x", expected});
  return given.data;
}

void* take_out(const Net& net, py::handle out, const void* x, const Where& where) {
  char* data = static_cast<char*>(flat_data(net.type_number(), out, net.output, where, "out"));
  const char* in = static_cast<const char*>(x);
  if (in && in < data + net.output * net.element() && data < in + net.input * net.element()) {
    const auto expected = [] { return "an array that does not overlap argument 'x'"; };
    refuse(out, {where, "out", expected}, "one that does");
  }
  return data;
}

Flat take_flat(int type, py::handle value, int64_t count, const Where& where,
               const char* argument) {
  Flat flat;
  flat.data = flat_data(type, value, count, where, argument);
  flat.array = py::reinterpret_borrow<py::object>(value);
  flat.pin = pin_of(value);
  return flat;
}

py::object States::pack() const { return c_data ? py::object(py::make_tuple(h, c)) : h; }

States new_states(const Net& net, const Extent& extent) {
  const auto make = [&](int64_t units) {
    const int64_t batched[3] = {net.walks, extent.batch, units}, single[2] = {net.walks, units};
    return extent.unbatched ? new_array(net.type_number(), single, 2)
                            : new_array(net.type_number(), batched, 3);
  };
  States states;
  states.h = make(net.state);
  states.h_data = data_of(states.h);
  if (net.cell.has_c) {
    states.c = make(net.hidden);
    states.c_data = data_of(states.c);
  }
  return states;
}

Strided new_batch(const Net& net, const Extent& extent, int64_t features, bool last_only) {
  Strided batch;
  int64_t dims[3];
  int rank = 0;
  const bool time_second = net.batch_first && !extent.unbatched;
  if (time_second) dims[rank++] = extent.batch;
  if (!last_only) dims[rank++] = extent.steps;
  if (!time_second && !extent.unbatched) dims[rank++] = extent.batch;
  dims[rank++] = features;
  batch.array = new_array(net.type_number(), dims, rank);
  batch.data = data_of(batch.array);
  batch.stride_t = time_second ? features : features * extent.batch;
  batch.stride_n = time_second && !last_only ? features * extent.steps : features;
  return batch;
}

void describe(const bptt_layer_options& options, Net& net) {
  net.dtype = options.dtype;
  net.hidden = options.hidden_size;
  net.state = options.proj_size ? options.proj_size : options.hidden_size;
  const int64_t directions = options.bidirectional ? 2 : 1;
  net.walks = options.num_layers * directions;
  net.output = directions * net.state;
  net.cell.struct_size = sizeof net.cell;
  check(bptt_describe_cell(&options, &net.cell, sizeof net.cell), {net.owner.c_str(), ""});
}

std::vector<Field<SequenceArguments, py::handle>> sequence_fields() {
  return {{"x", &SequenceArguments::x},
          {"state", &SequenceArguments::state},
          {"lengths", &SequenceArguments::lengths},
          {"resets", &SequenceArguments::resets},
          {"draw", &SequenceArguments::draw},
          {"training", &SequenceArguments::training},
          {"noise", &SequenceArguments::noise}};
}

std::vector<int64_t> take_lengths(const Net& net, py::handle lengths, const Extent& extent,
                                  const Where& where) {
  if (lengths.is_none()) return {};
  const auto expected = [&] {
    return "integers of shape [" + text(extent.batch) + "], steps from 1 to " + text(extent.steps);
  };
  const Reading reading = {net, extent, &extent.batch, 1};
  const py::object array = convert(lengths, {{"int64", {{extent.batch}}}},
                                   {where, "lengths", expected, "", false, &reading});
  const int64_t* data = static_cast<const int64_t*>(data_of(array));
  return {data, data + extent.batch};
}

GivenSequence take_sequence(const Net& net, const SequenceArguments& in, const Where& where) {
  GivenSequence given;
  Extent& extent = given.extent;
  given.x = take_input(net, in.x, extent, where);
  given.states = take_states(net, in.state, extent, where, "state");
  given.lengths = take_lengths(net, in.lengths, extent, where);
  if (!in.resets.is_none()) {
    std::vector<int64_t> shape = {extent.steps};
    if (!extent.unbatched)
      shape.insert(net.batch_first ? shape.begin() : shape.end(), extent.batch);
    const auto expected = [&] {
      return "a bool array of shape " + shape_text(shape.data(), static_cast<int>(shape.size()));
    };
    given.resets.hold(convert(in.resets, {{"bool", {shape}}}, {where, "resets", expected}));
    read_strides(net, extent, 1, given.resets);
  }
  bptt_sequence& call = given.call;
  call.struct_size = sizeof call;
  call.time = extent.steps;
  call.batch = extent.batch;
  if (extent.tokens) {
    call.tokens = static_cast<const int64_t*>(given.x.data);
    call.tokens_stride_t = given.x.stride_t;
    call.tokens_stride_n = given.x.stride_n;
  } else {
    call.x = given.x.data;
    call.x_stride_t = given.x.stride_t;
    call.x_stride_n = given.x.stride_n;
  }
  call.h0 = given.states.h.data;
  call.c0 = given.states.c.data;
  call.lengths = given.lengths.empty() ? nullptr : given.lengths.data();
  call.resets = static_cast<const uint8_t*>(given.resets.data);
  call.resets_stride_t = given.resets.stride_t;
  call.resets_stride_n = given.resets.stride_n;
  if (!in.draw.is_none()) call.draw = PyLong_AsUnsignedLongLong(in.draw.ptr());
  call.training = in.training.ptr() == Py_True;
  call.noise = in.noise.ptr() == Py_True;
  return given;
}

}  // namespace bindings
