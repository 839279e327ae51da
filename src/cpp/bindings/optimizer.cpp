// optimizer.cpp: optimisers; gradient clipping; the user's text and arrays in a model file.
#include <cstring>
#include <vector>

#include "bindings/model.h"
#include "bindings/options.h"

namespace bindings {
namespace {

int type_number(bptt_dtype dtype) {
  return dtype == BPTT_FLOAT32 ? 11 : dtype == BPTT_FLOAT64 ? 12 : kInt64;
}

// An optimiser that was created over the parameters of a layer or model, or the one of a model.
class Optimizer {
 public:
  Optimizer(const std::string& owner, const py::dict& options, const py::object& params)
      : owner_(owner), parent_(params), net_(py::cast<const Params&>(params).net) {
    bptt_optimizer_options settings;
    bptt_optimizer_options_init(&settings, sizeof settings);
    read_options(options, settings);
    bptt_params* handle = py::cast<const Params&>(params).handle;
    run([&] { return bptt_optimizer_create(&settings, handle, owned_.put()); },
        {owner_.c_str(), ""});
    handle_ = owned_.get();
  }
  Optimizer(const std::string& owner, const py::object& model)
      : owner_(owner), parent_(model), net_(py::cast<const Model&>(model).net()) {
    check(bptt_model_optimizer(py::cast<const Model&>(model).handle(), &handle_),
          {"Model", "optimizer"});
  }

  // Returns whether the update was made.
  bool step(py::handle gradients) const {
    const Where where = {owner_.c_str(), "step"};
    const Given given = take_vector(net_, gradients, net_.parameters, where, "gradients");
    int32_t skipped = 0;
    run([&] { return bptt_optimizer_step(handle_, given.data, &skipped); }, where);
    return skipped == 0;
  }

  double get_lr() const {
    double lr = 0;
    run([&] { return bptt_optimizer_get_lr(handle_, &lr); }, {owner_.c_str(), "lr"});
    return lr;
  }
  void set_lr(double lr) const {
    run([&] { return bptt_optimizer_set_lr(handle_, lr); }, {owner_.c_str(), "lr"});
  }
  int64_t get_steps() const {
    int64_t steps = 0;
    run([&] { return bptt_optimizer_get_steps(handle_, &steps); }, {owner_.c_str(), "steps"});
    return steps;
  }
  void set_steps(int64_t steps) const {
    run([&] { return bptt_optimizer_set_steps(handle_, steps); },
        {owner_.c_str(), "load_state_dict"});
  }

  int64_t get_tensor_steps(const std::string& name) const {
    int64_t steps = 0;
    run([&] { return bptt_optimizer_get_tensor_steps(handle_, name.c_str(), &steps); },
        {owner_.c_str(), "tensor_steps"});
    return steps;
  }
  void set_tensor_steps(const std::string& name, int64_t steps) const {
    run([&] { return bptt_optimizer_set_tensor_steps(handle_, name.c_str(), steps); },
        {owner_.c_str(), "load_state_dict"});
  }

  void set_group(const std::string& name, double lr_scale, double weight_decay) const {
    run([&] { return bptt_optimizer_set_group(handle_, name.c_str(), lr_scale, weight_decay); },
        {owner_.c_str(), "set_group"});
  }
  // Returns the factor of the learning rate, and the weight decay (NaN: the optimiser's).
  py::tuple get_group(const std::string& name) const {
    double lr_scale = 0, weight_decay = 0;
    run([&] { return bptt_optimizer_get_group(handle_, name.c_str(), &lr_scale, &weight_decay); },
        {owner_.c_str(), "groups"});
    return py::make_tuple(lr_scale, weight_decay);
  }

  py::dict moments() const {
    const Where where = {owner_.c_str(), "state_dict"};
    int64_t count = 0;
    const char* const* names = nullptr;
    check(bptt_optimizer_moments(handle_, &count, &names), where);
    py::dict moments;
    for (int64_t i = 0; i < count; ++i) {
      const py::object values = new_array(net_.type_number(), &net_.parameters, 1);
      void* data = data_of(values);
      run([&] { return bptt_optimizer_get_state(handle_, i, data); }, where);
      moments[names[i]] = values;
    }
    return moments;
  }
  void set_moment(int64_t index, py::handle values) const {
    const Where where = {owner_.c_str(), "load_state_dict"};
    const Given given = take_vector(net_, values, net_.parameters, where, "state");
    run([&] { return bptt_optimizer_set_state(handle_, index, given.data); }, where);
  }

 private:
  std::string owner_;
  py::object parent_;
  Net net_;
  Owned<bptt_optimizer, bptt_optimizer_free> owned_;
  bptt_optimizer* handle_ = nullptr;
};

// A gradient vector that is changed in place.
struct Vector {
  bptt_dtype dtype;
  int64_t count;
  Flat flat;
  Vector(const py::array& gradients, const char* function)
      : dtype(gradients.dtype().num() == 11 ? BPTT_FLOAT32 : BPTT_FLOAT64),
        count(gradients.size()),
        flat(take_flat(dtype == BPTT_FLOAT32 ? 11 : 12, gradients, count, {function, ""},
                       "gradients")) {}
};

double clip_grad_norm(const py::array& gradients, double max_norm, double eps) {
  const Vector g(gradients, "clip_grad_norm_");
  double norm = 0;
  run([&] { return bptt_clip_grad_norm(g.dtype, g.flat.data, g.count, max_norm, eps, &norm); },
      {"clip_grad_norm_", ""});
  return norm;
}

void clip_grad_value(const py::array& gradients, double value) {
  const Vector g(gradients, "clip_grad_value_");
  run([&] { return bptt_clip_grad_value(g.dtype, g.flat.data, g.count, value); },
      {"clip_grad_value_", ""});
}

double grad_norm(const py::array& gradients) {
  const Vector g(gradients, "Gradients.norm");
  double norm = 0;
  run([&] { return bptt_grad_norm(g.dtype, g.flat.data, g.count, &norm); }, {"Gradients", "norm"});
  return norm;
}

}  // namespace

// Pointers to the model's metadata and tensors are valid until the next set, so the values are
// copied before another thread can set one.
py::dict Model::metadata() const {
  std::vector<std::pair<std::string, std::string>> found;
  run(
      [&] {
        const auto turn = extras_.access();
        for (int64_t i = 0;; ++i) {
          const char* key = nullptr;
          const char* value = nullptr;
          bptt_status status = bptt_model_metadata_key(handle_.get(), i, &key);
          if (status == BPTT_ERR_RANGE) return BPTT_OK;  // no further entry
          if (status == BPTT_OK) status = bptt_model_get_metadata(handle_.get(), key, &value);
          if (status != BPTT_OK) return status;
          found.emplace_back(key, value);
        }
      },
      {"Model", "metadata"});
  py::dict all;
  for (const auto& [key, value] : found) all[py::str(key)] = py::str(value);
  return all;
}

void Model::set_metadata(const std::string& key, const py::object& value) const {
  const std::string text = value.is_none() ? "" : py::cast<std::string>(value);
  const char* given = value.is_none() ? nullptr : text.c_str();
  run(
      [&] {
        const auto turn = extras_.access();
        return bptt_model_set_metadata(handle_.get(), key.c_str(), given);
      },
      {"Model", "metadata"});
}

py::dict Model::tensors() const {
  struct Found {
    std::string name;
    bptt_extra_info info;
    std::vector<char> bytes;
  };
  std::vector<Found> found;
  run(
      [&] {
        const auto turn = extras_.access();
        for (int64_t i = 0;; ++i) {
          bptt_extra_info info = {};
          const bptt_status status = bptt_model_extra(handle_.get(), i, &info, sizeof info);
          if (status == BPTT_ERR_RANGE) return BPTT_OK;  // no further entry
          if (status != BPTT_OK) return status;
          int64_t size = info.dtype == BPTT_FLOAT32 ? 4 : 8;
          for (int64_t axis = 0; axis < info.rank; ++axis) size *= info.shape[axis];
          const char* bytes = static_cast<const char*>(info.values);
          found.push_back({info.name, info, {bytes, bytes + size}});
        }
      },
      {"Model", "tensors"});
  py::dict all;
  for (const auto& [name, info, bytes] : found) {
    const py::object array =
        new_array(type_number(info.dtype), info.shape, static_cast<int>(info.rank));
    if (!bytes.empty()) std::memcpy(data_of(array), bytes.data(), bytes.size());
    all[py::str(name)] = array;
  }
  return all;
}

void Model::set_tensor(const std::string& name, const py::object& array) const {
  bptt_dtype dtype = BPTT_FLOAT32;
  int64_t rank = 0, shape[8] = {};
  Given given;
  if (!array.is_none()) {
    const py::array values = py::cast<py::array>(array);
    const int type = values.dtype().num();
    dtype = type == 11 ? BPTT_FLOAT32 : type == 12 ? BPTT_FLOAT64 : BPTT_INT64;
    rank = values.ndim();
    for (int64_t axis = 0; axis < rank; ++axis) shape[axis] = values.shape(axis);
    given.hold(values);
  }
  run(
      [&] {
        const auto turn = extras_.access();
        return bptt_model_set_extra(handle_.get(), name.c_str(), dtype, rank, shape, given.data);
      },
      {"Model", "tensors"});
}

void bind_optimizer(py::module_& module) {
  py::class_<Optimizer>(module, "Optimizer")
      .def(py::init<const std::string&, const py::dict&, const py::object&>(), py::arg("owner"),
           py::arg("options"), py::arg("params"))
      .def(py::init<const std::string&, const py::object&>(), py::arg("owner"), py::arg("model"))
      .def("step", &Optimizer::step, py::arg("gradients"))
      .def_property("lr", &Optimizer::get_lr, &Optimizer::set_lr)
      .def_property("steps", &Optimizer::get_steps, &Optimizer::set_steps)
      .def("get_tensor_steps", &Optimizer::get_tensor_steps, py::arg("name"))
      .def("set_tensor_steps", &Optimizer::set_tensor_steps, py::arg("name"), py::arg("steps"))
      .def("set_group", &Optimizer::set_group, py::arg("name"), py::arg("lr_scale"),
           py::arg("weight_decay"))
      .def("get_group", &Optimizer::get_group, py::arg("name"))
      .def("moments", &Optimizer::moments)
      .def("set_moment", &Optimizer::set_moment, py::arg("index"), py::arg("values"));
  module.def("clip_grad_norm", &clip_grad_norm, py::arg("gradients"), py::arg("max_norm"),
             py::arg("eps"));
  module.def("clip_grad_value", &clip_grad_value, py::arg("gradients"), py::arg("value"));
  module.def("grad_norm", &grad_norm, py::arg("gradients"));
}

}  // namespace bindings
