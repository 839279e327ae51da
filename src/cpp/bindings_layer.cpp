// bindings_layer.cpp: _core.Layer, _core.Tape, _core.Params.
#include "bindings.h"
#include "bindings_options.h"

namespace bindings {
namespace {

class Layer {
 public:
  Layer(const std::string& owner, const py::dict& options, bool batch_first) {
    bptt_layer_options layer;
    bptt_layer_options_init(&layer, sizeof layer);
    read_options(options, layer);
    net_.owner = owner;
    net_.batch_first = batch_first;
    net_.dtype = layer.dtype;
    net_.input = layer.input_size;
    net_.hidden = net_.output = layer.hidden_size;
    net_.layers = layer.num_layers;
    net_.lstm = layer.cell == BPTT_LSTM;
    bptt_status status;
    {
      const Released call;
      status = bptt_layer_create(&layer, handle_.put());
    }
    check(status, {net_.owner.c_str(), ""});
    net_.parameters = parameter_count(params_handle());
  }

  py::object call(py::handle x, py::handle state) const {
    return run_forward<bptt_layer>(net_, handle_.get(), bptt_layer_forward, x, state, false);
  }

  py::object forward(py::handle x, py::handle state) const {
    return run_forward<bptt_layer>(net_, handle_.get(), bptt_layer_forward, x, state, true);
  }

  py::object backward(const Tape& tape, py::handle dy, py::handle dstate, bool flow,
                      py::handle accumulate, bool input_gradient, double clip_step,
                      double clip_step_norm) const {
    return run_backward<bptt_layer>(
        net_, handle_.get(), bptt_layer_backward, tape, dy,
        {dstate, accumulate, flow, input_gradient, "dy", clip_step, clip_step_norm});
  }

  static Params params(const py::object& self) {
    const auto& layer = py::cast<const Layer&>(self);
    return {layer.params_handle(), self, layer.net_};
  }

 private:
  bptt_params* params_handle() const {
    bptt_params* params = nullptr;
    check(bptt_layer_params(handle_.get(), &params), {net_.owner.c_str(), ""});
    return params;
  }

  Owned<bptt_layer, bptt_layer_free> handle_;
  Net net_;
};

int64_t tape_bytes(const Tape& tape) {
  int64_t bytes = 0;
  check(bptt_tape_bytes(tape.handle.get(), &bytes), {"Tape", "nbytes"});
  return bytes;
}

// A list of (name, shape, offset, count, frozen).
py::list table(const Params& params) {
  int64_t tensors = 0;
  py::list rows;
  bptt_status status;
  {
    const Released call;
    status = bptt_params_count(params.handle, &tensors, nullptr);
  }
  check(status, {params.net.owner.c_str(), "parameters"});
  for (int64_t i = 0; i < tensors; ++i) {
    bptt_param_info info = {};
    {
      const Released call;
      status = bptt_params_info(params.handle, i, &info, sizeof info);
    }
    check(status, {params.net.owner.c_str(), "parameters"});
    py::tuple shape(static_cast<size_t>(info.rank));
    for (int64_t axis = 0; axis < info.rank; ++axis)
      shape[static_cast<size_t>(axis)] = info.shape[axis];
    rows.append(py::make_tuple(info.name, shape, info.offset, info.count, info.frozen != 0));
  }
  return rows;
}

py::object get_values(const Params& params) {
  const py::object values = new_array(params.net.type_number(), &params.net.parameters, 1);
  bptt_status status;
  {
    const Released call;
    status = bptt_params_get(params.handle, data_of(values));
  }
  check(status, {params.net.owner.c_str(), "state_dict"});
  return values;
}

void set_values(const Params& params, py::handle values) {
  const Where where = {params.net.owner.c_str(), "load_state_dict"};
  const Given given = take_vector(params.net, values, params.net.parameters, where, "values");
  bptt_status status;
  {
    const Released call;
    status = bptt_params_set(params.handle, given.data);
  }
  check(status, where);
}

void freeze(const Params& params, const std::string& name, bool frozen) {
  bptt_status status;
  {
    const Released call;
    status = bptt_params_freeze(params.handle, name.c_str(), frozen);
  }
  check(status, {params.net.owner.c_str(), frozen ? "freeze" : "unfreeze"});
}

}  // namespace

int64_t parameter_count(bptt_params* params) {
  int64_t count = 0;
  check(bptt_params_count(params, nullptr, &count), {"parameters", ""});
  return count;
}

void bind_layer(py::module_& module) {
  py::class_<Tape>(module, "Tape",
                   "What one forward call remembers for BPTT.\n\n"
                   "It holds copies, serves any number of backward calls of the layer or model "
                   "that made it, and is\n"
                   "refused (RuntimeError) after the parameters changed.")
      .def_property_readonly("nbytes", &tape_bytes, "The memory that it holds, in bytes.")
      .def_property_readonly(
          "steps", [](const Tape& tape) { return tape.extent.steps; },
          "The number of time steps T.")
      .def_property_readonly(
          "batch", [](const Tape& tape) { return tape.extent.batch; },
          "The number of sequences N.");
  py::class_<Params>(module, "Params")
      .def("table", &table)
      .def("get", &get_values)
      .def("set", &set_values, py::arg("values"))
      .def("freeze", &freeze, py::arg("name"), py::arg("frozen"));
  py::class_<Layer>(module, "Layer")
      .def(py::init<const std::string&, const py::dict&, bool>(), py::arg("owner"),
           py::arg("options"), py::arg("batch_first"))
      .def("call", &Layer::call, py::arg("x"), py::arg("state"))
      .def("forward", &Layer::forward, py::arg("x"), py::arg("state"))
      .def("backward", &Layer::backward, py::arg("tape"), py::arg("dy"), py::arg("dstate"),
           py::arg("flow"), py::arg("accumulate"), py::arg("input_gradient"), py::arg("clip_step"),
           py::arg("clip_step_norm"))
      .def("params", &Layer::params);
}

}  // namespace bindings
