// method.h: methods whose arguments Python passes by name, read into a struct with fewer
// instructions than a function bound by pybind11 needs.
#pragma once

#include <new>
#include <string>
#include <utility>
#include <vector>

#include "bindings/package.h"

namespace bindings {

// The names of a method's arguments, and the struct members that receive them.
template <class Struct>
class Signature {
 public:
  // The first `required` arguments must be passed; the others default to None. `text` is the start
  // of an error about the arguments: the method, ": expected ...".
  Signature(const char* text, size_t required, std::vector<Field<Struct, py::handle>> fields)
      : text_(text), required_(required), fields_(std::move(fields)) {}

  // Must run before the first call.
  void prepare() {
    if (!names_.empty()) return;
    for (const auto& field : fields_) names_.push_back(PyUnicode_InternFromString(field.name));
  }

  [[noreturn]] void refuse_object() const {
    const std::string method = std::string(text_).substr(0, std::string(text_).find(':'));
    throw py::type_error(method + ": the object is empty, because its constructor did not run");
  }
  Struct read(PyObject* const* values, Py_ssize_t count, PyObject* keywords) const {
    Struct into;
    const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    if (static_cast<size_t>(count) > fields_.size()) refuse(std::to_string(count) + " arguments");
    for (Py_ssize_t i = 0; i < count; ++i) into.*(fields_[size_t(i)].member) = values[i];
    for (Py_ssize_t i = 0; i < named; ++i) {
      const Field<Struct, py::handle>& field = fields_[find(PyTuple_GET_ITEM(keywords, i))];
      py::handle& place = into.*(field.member);
      if (place) refuse("'" + std::string(field.name) + "' twice");
      place = values[count + i];
    }
    for (size_t i = 0; i < fields_.size(); ++i) {
      py::handle& place = into.*(fields_[i].member);
      if (place) continue;
      if (i < required_) refuse("no '" + std::string(fields_[i].name) + "'");
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
    refuse("'" + py::cast<std::string>(name) + "'");
  }
  [[noreturn]] void refuse(const std::string& got) const {
    throw py::type_error(std::string(text_) + ", got " + got);
  }

  const char* text_;
  size_t required_;
  std::vector<Field<Struct, py::handle>> fields_;
  std::vector<PyObject*> names_;  // interned, like the names in calls
};

// Returns the C++ object of a Python object of this module's classes; null if __init__ did not run.
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
