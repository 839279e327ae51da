// method.h: methods that Python calls with arguments by name, read into a struct; in fewer instructions
// than a bound function of pybind11 takes.
#pragma once

#include <new>
#include <string>
#include <utility>
#include <vector>

#include "bindings/package.h"

namespace bindings {

// The arguments of a method: their names, and the members of the struct that they go to.
template <class Struct>
class Signature {
 public:
  // The first `required` arguments must be given, others are None if they are not. `text` says what is
  // expected, `object` of the object itself.
  Signature(const char* text, const char* object, size_t required,
            std::vector<Field<Struct, py::handle>> fields)
      : text_(text), object_(object), required_(required), fields_(std::move(fields)) {}

  // Before the first call.
  void prepare() {
    if (!names_.empty()) return;
    for (const auto& field : fields_) names_.push_back(PyUnicode_InternFromString(field.name));
  }

  [[noreturn]] void refuse_object() const {
    throw py::type_error(std::string(object_) + ", got an empty one");
  }
  Struct read(PyObject* const* values, Py_ssize_t count, PyObject* keywords) const {
    Struct into;
    const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    if (static_cast<size_t>(count) > fields_.size()) refuse();
    for (Py_ssize_t i = 0; i < count; ++i) into.*(fields_[size_t(i)].member) = values[i];
    for (Py_ssize_t i = 0; i < named; ++i) {
      py::handle& place = into.*(fields_[find(PyTuple_GET_ITEM(keywords, i))].member);
      if (place) refuse();
      place = values[count + i];
    }
    for (size_t i = 0; i < fields_.size(); ++i) {
      py::handle& place = into.*(fields_[i].member);
      if (place) continue;
      if (i < required_) refuse();
      place = Py_None;
    }
    return into;
  }

 private:
  size_t find(PyObject* name) const {
    for (size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == name) return i;
    }
    for (size_t i = 0; i < names_.size(); ++i) {
      if (PyUnicode_Compare(names_[i], name) == 0) return i;
    }
    refuse();
  }
  [[noreturn]] void refuse() const { throw py::type_error(std::string(text_) + ", got others"); }

  const char *text_, *object_;
  size_t required_;
  std::vector<Field<Struct, py::handle>> fields_;
  std::vector<PyObject*> names_;  // interned, as those of calls are
};

// The object of a class of this module's behind a Python object; null if it was never made.
template <class Class>
const Class* object_of(PyObject* self) {
  auto* instance = reinterpret_cast<py::detail::instance*>(self);
  return static_cast<const Class*>(instance->get_value_and_holder().value_ptr());
}

template <class Class, class Struct, Signature<Struct>* signature,
          py::object (*body)(const Class&, const Struct&)>
PyObject* call_method(PyObject* self, PyObject* const* values, Py_ssize_t count,
                      PyObject* keywords) {
  try {
    const Class* object = object_of<Class>(self);
    if (!object) signature->refuse_object();
    return body(*object, signature->read(values, count, keywords)).release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc&) { PyErr_NoMemory(); } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

// Adds such a method to a class.
template <class Class, class Struct, Signature<Struct>* signature,
          py::object (*body)(const Class&, const Struct&)>
void def_method(py::class_<Class>& type, const char* name, const char* doc = nullptr) {
  signature->prepare();
  const auto function = &call_method<Class, Struct, signature, body>;
  auto* method =
      new PyMethodDef{// lives as long as the class, which is never freed
                      name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
                      METH_FASTCALL | METH_KEYWORDS, doc};
  PyObject* made = PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(type.ptr()), method);
  if (!made) throw py::error_already_set();
  type.attr(name) = py::reinterpret_steal<py::object>(made);
}

}  // namespace bindings
