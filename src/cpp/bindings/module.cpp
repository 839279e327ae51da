// module.cpp: the module bptt_native._core, and the conversion of statuses to exceptions.
#include "bindings/bindings.h"
#include "bindings/package.h"
#include "bptt_library.h"
#include "bptt_options.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace bindings {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kBetweenSignals{10};

Clock::time_point last_look;  // when the main thread last handled signals

unsigned long main_thread = 0;  // its identity; in a forked child, the thread that forked
// nesting depth on the main thread; above one if a signal's handler makes such a call
int long_calls = 0;

bool on_main_thread() { return PyThread_get_thread_ident() == main_thread; }

bool interpreter_is_ending() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing();
#else
  return _Py_IsFinalizing();
#endif
}

void remember_main_thread() {
  main_thread =
      py::cast<unsigned long>(py::module_::import("threading").attr("main_thread")().attr("ident"));
  const auto in_child = py::cpp_function([] {
    if (!on_main_thread()) long_calls = 0;  // calls of a thread of the parent
    main_thread = PyThread_get_thread_ident();
  });
  py::module_::import("os").attr("register_at_fork")(py::arg("after_in_child") = in_child);
}

// The cancel callback, called once per block of time steps. Only the main thread handles signals.
int signal_arrived(void*) {
  const Clock::time_point now = Clock::now();
  if (now - last_look < kBetweenSignals) return 0;
  last_look = now;
  const PyGILState_STATE gil = PyGILState_Ensure();
  const bool stop = PyErr_CheckSignals() != 0;
  PyGILState_Release(gil);
  return stop;
}

// Returns Python's name of an argument of bptt.h that is not an option.
std::string python_name(const char* argument) {
  static const char* const names[][2] = {{"tokens", "x"},        {"token", "x"},
                                         {"h0", "state"},        {"c0", "state"},
                                         {"classes", "targets"}, {"target.values", "targets"},
                                         {"buffer", "data"},     {"model", "self"}};
  const char* dot = std::strrchr(argument, '.');
  const char* last = dot ? dot + 1 : argument;
  for (const auto& pair : names) {
    if (std::strcmp(last, pair[0]) == 0 || std::strcmp(argument, pair[0]) == 0) return pair[1];
  }
  return last;
}

PyObject* exception_of(bptt_status status) {
  switch (status) {
    case BPTT_ERR_TYPE:
      return PyExc_TypeError;
    case BPTT_ERR_RANGE:
      return PyExc_IndexError;
    case BPTT_ERR_MEMORY:
      return PyExc_MemoryError;
    case BPTT_ERR_IO:
      return PyExc_OSError;
    case BPTT_ERR_STATE:
    case BPTT_ERR_BUSY:
    case BPTT_ERR_INTERNAL:
    case BPTT_ERR_CALLBACK:
      return PyExc_RuntimeError;
    case BPTT_ERR_ISA:
      return PyExc_ImportError;
    case BPTT_ERR_NONFINITE:
      return PyExc_FloatingPointError;
    case BPTT_ERR_CANCELLED:
      return PyExc_KeyboardInterrupt;
    default:
      return PyExc_ValueError;
  }
}

py::list available_isas() {
  const char* const* names = nullptr;
  int64_t count = 0;
  check(bptt_available_isas(&names, &count), {"available_isas", ""});
  py::list list;
  for (int64_t i = 0; i < count; ++i) list.append(names[i]);
  return list;
}

const char* isa() {
  const char* name = nullptr;
  check(bptt_isa(&name), {"isa", ""});
  return name;
}

// Replaces bytes that are not UTF-8 with \\x...
std::string printable(const std::string& text) {
  const auto decoded = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<py::ssize_t>(text.size()), "backslashreplace"));
  if (!decoded) throw py::error_already_set();
  return py::cast<std::string>(decoded);
}

// Refuses values of BPTT_ISA and BPTT_NUM_THREADS that the engine refuses. Exceptions thrown here
// become ImportError.
void check_environment() {
  const char* name = nullptr;
  int64_t count = 0;
  if (bptt_isa(&name) == BPTT_OK && bptt_get_num_threads(&count) == BPTT_OK) return;
  bptt_error error = {};
  bptt_last_error(&error, sizeof error);
  throw std::runtime_error(printable(std::string("bptt_native: environment variable ") +
                                     error.argument + ": expected " + error.expected + ", got " +
                                     error.got));
}

void use_isa(const py::object& name) {
  const std::string text = name.is_none() ? "" : py::cast<std::string>(name);
  check(bptt_use_isa(name.is_none() ? nullptr : text.c_str()), {"use_isa", ""});
}

int64_t get_num_threads() {
  int64_t count = 0;
  check(bptt_get_num_threads(&count), {"get_num_threads", ""});
  return count;
}

void set_num_threads(int64_t count) {
  run([&] { return bptt_set_num_threads(count); }, {"set_num_threads", ""});
}

bool get_flush_subnormals() {
  int32_t flush = 0;
  check(bptt_get_flush_subnormals(&flush), {"get_flush_subnormals", ""});
  return flush != 0;
}

void set_flush_subnormals(bool flush) {
  check(bptt_set_flush_subnormals(flush), {"set_flush_subnormals", ""});
}

void profile_start() { check(bptt_profile_start(), {"profile", ""}); }

py::dict profile_stop() {
  check(bptt_profile_stop(), {"profile", ""});
  static constexpr const char* kNames[] = {
      "packing",         "input",   "recurrent", "pointwise", "weight_gradients",
      "input_gradients", "readout", "clip",      "optimizer", "other"};
  py::dict seconds;
  for (int i = 0; i < int(std::size(kNames)); ++i) {
    double value = 0;
    check(bptt_profile_read(static_cast<bptt_phase>(BPTT_PACKING + i), &value), {"profile", ""});
    seconds[kNames[i]] = value;
  }
  return seconds;
}

py::object map_function(const char* function, const py::array& values) {
  const bool single = values.dtype().num() == 11;
  const int64_t count = values.size();
  const py::object in = py::module_::import("numpy").attr("ascontiguousarray")(values);
  const py::object out = new_array(single ? 11 : 12, &count, 1);
  check(bptt_map(function, single ? BPTT_FLOAT32 : BPTT_FLOAT64, data_of(in), data_of(out), count),
        {"map_function", ""});
  return out;
}

}  // namespace

Released::~Released() noexcept(false) {
  while (interpreter_is_ending() && !on_main_thread()) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  PyEval_RestoreThread(state_);
}

Long::Long() : stoppable_(on_main_thread()) {
  if (stoppable_ && long_calls++ == 0) bptt_set_cancel(signal_arrived, nullptr);
}

Long::~Long() noexcept(false) {
  if (stoppable_ && --long_calls == 0) bptt_set_cancel(nullptr, nullptr);
}

void check(bptt_status status, const Where& where, const char* filename) {
  if (PyErr_Occurred()) throw py::error_already_set();  // raised by a signal's handler
  if (status == BPTT_OK) return;
  bptt_error error = {};
  bptt_last_error(&error, sizeof error);
  const std::string argument = error.argument;
  bptt_last_error_python(&error, sizeof error);
  std::string text = where.text() + ": ";
  if (!argument.empty()) {
    const bool worded = argument != error.argument;  // in Python's words already
    text += "argument '" + (worded ? error.argument : python_name(error.argument)) + "': ";
  }
  if (*error.expected) text += std::string("expected ") + error.expected + ", got ";
  text = printable(text + error.got);
  PyObject* type = exception_of(status);
  if (status == BPTT_ERR_IO && error.system_error != 0) {
    const py::object name =
        filename ? py::reinterpret_steal<py::object>(PyUnicode_DecodeFSDefault(filename))
                 : py::none();
    const py::object value =
        py::reinterpret_borrow<py::object>(type)(error.system_error, text, name);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(value.ptr())), value.ptr());
  } else {
    PyErr_SetString(type, text.c_str());
  }
  throw py::error_already_set();
}

}  // namespace bindings

PYBIND11_MODULE(_core, module) {
  using namespace bindings;
  module.doc() =
      "bptt.h for Python: the engine behind bptt_native. Use bptt_native's own names instead.";
  check_environment();
  remember_main_thread();
  py::dtype::of<double>();  // makes pybind11 import NumPy now, not later while another thread forks
  module.attr("__version__") = bptt_version();
  module.def("isa", &isa);
  module.def("available_isas", &available_isas);
  module.def("use_isa", &use_isa, py::arg("name"));
  module.def("get_num_threads", &get_num_threads);
  module.def("set_num_threads", &set_num_threads, py::arg("count"));
  module.def("get_flush_subnormals", &get_flush_subnormals);
  module.def("set_flush_subnormals", &set_flush_subnormals, py::arg("flush"));
  module.def("profile_start", &profile_start);
  module.def("profile_stop", &profile_stop);
  module.def("map_function", &map_function, py::arg("function"), py::arg("values"));
  module.def("pin_of", &pin_of, py::arg("array"));
  module.def("hand_over", &hand_over);
  bind_options(module);
  bind_layer(module);
  bind_model(module);
  bind_optimizer(module);
  bind_stream(module);
}
