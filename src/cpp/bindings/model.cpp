// model.cpp: _core.Model.
#include "bindings/model.h"
#include "bindings/bindings.h"
#include "bindings/diagnostics.h"
#include "bindings/options.h"

namespace bindings {
namespace {

// Runs a call that makes a model.
template <class Call>
Owned<bptt_model, bptt_model_free> made(const Call& call, const Where& where,
                                        const char* filename = nullptr) {
  Owned<bptt_model, bptt_model_free> handle;
  bptt_status status;
  {
    const Long running;
    status = call(handle.put());
  }
  check(status, where, filename);
  return handle;
}

}  // namespace

Model::Model(Owned<bptt_model, bptt_model_free> handle) : handle_(std::move(handle)) {
  const bptt_model_options options = read();
  net_.owner = "Model";
  net_.batch_first = options.batch_first != 0;
  net_.tokens_only = options.vocab_size != 0;
  net_.input = net_.tokens_only ? options.vocab_size : options.layer.input_size;
  describe(options.layer, net_);
  net_.output = options.output_size;
  net_.last_only = options.targets != BPTT_EVERY_STEP;
  entropy_ = options.loss == BPTT_CROSS_ENTROPY;
  overlapping_ = options.truncation_k2 > options.truncation_k1;
  check(bptt_model_params(handle_.get(), &params_), {"Model", ""});
  net_.parameters = parameter_count(params_);
}

bptt_model_options Model::read() const {
  bptt_model_options options = {};
  bptt_status status;
  {
    const Released call;
    status = bptt_model_get_options(handle_.get(), &options, sizeof options);
  }
  check(status, {"Model", ""});
  return options;
}

std::unique_ptr<Model> Model::create(const py::dict& options) {
  bptt_model_options model;
  bptt_model_options_init(&model, sizeof model);
  const Flat class_weights = read_options(options, model);
  return std::make_unique<Model>(
      made([&](bptt_model** it) { return bptt_model_create(&model, it); }, {"Model", ""}));
}

std::unique_ptr<Model> Model::load(const std::string& path) {
  return std::make_unique<Model>(
      made([&](bptt_model** it) { return bptt_model_load(path.c_str(), it); }, {"load", ""},
           path.c_str()));
}

std::unique_ptr<Model> Model::deserialize(const py::bytes& bytes) {
  const char* data = PyBytes_AS_STRING(bytes.ptr());
  const size_t size = static_cast<size_t>(PyBytes_GET_SIZE(bytes.ptr()));
  return std::make_unique<Model>(
      made([&](bptt_model** it) { return bptt_model_deserialize(data, size, it); },
           {"Model", "deserialize"}));
}

void Model::save(const std::string& path) const {
  bptt_status status;
  {
    const Long call;
    status = bptt_model_save(handle_.get(), path.c_str());
  }
  check(status, {"Model", "save"}, path.c_str());
}

py::bytes Model::serialize() const {
  const Where where = {"Model", "serialize"};
  size_t size = 0;
  bptt_status status;
  {
    const Long call;
    status = bptt_model_serialize(handle_.get(), nullptr, 0, &size);
  }
  check(status, where);
  const auto bytes = py::reinterpret_steal<py::bytes>(
      PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(size)));
  if (!bytes) throw py::error_already_set();
  {
    const Long call;
    status = bptt_model_serialize(handle_.get(), PyBytes_AS_STRING(bytes.ptr()), size, &size);
  }
  check(status, where);
  return bytes;
}

bptt_target Model::take_target(py::handle targets, py::handle weights, const Extent& extent,
                               GivenTarget& given, const Where& where) const {
  bptt_target target = {};
  target.struct_size = sizeof target;
  given.target = entropy_ ? take_classes(net_, targets, extent, where)
                          : take_values(net_, targets, extent, net_.output, where, "targets");
  if (entropy_) {
    target.classes = static_cast<const int64_t*>(given.target.data);
  } else {
    target.values = given.target.data;
  }
  target.stride_t = given.target.stride_t;
  target.stride_n = given.target.stride_n;
  given.weights = take_weights(net_, weights, extent, where);
  target.weights = given.weights.data;
  target.weights_stride_t = given.weights.stride_t;
  target.weights_stride_n = given.weights.stride_n;
  return target;
}

// The fields of a StepResult of call(sequence, target, step).
template <class Call>
py::tuple Model::step(const Where& where, py::handle x, py::handle targets, py::handle weights,
                      const Companions& companions, int flow, const Call& call) const {
  Extent extent;
  GivenTarget target_given;
  const Given in = take_input(net_, x, extent, where);
  const GivenCompanions given = take_companions(net_, companions, extent, where);
  const bptt_target target = take_target(targets, weights, extent, target_given, where);
  const bptt_sequence sequence = sequence_of(in, given, extent);
  const States after = new_states(net_, extent);
  bptt_step step = {};
  step.struct_size = sizeof step;
  step.hn = after.h_data;
  step.cn = after.c_data;
  Flow wishes;
  if (!overlapping_) new_flow(net_, extent, flow, wishes);
  step.flow = wishes.h;
  step.flow_c = wishes.c;
  step.flow_a = wishes.a;
  if (wishes.has_detail) step.detail = &wishes.detail;
  bptt_status status;
  {
    const Long running;
    status = call(&sequence, &target, &step);
  }
  check(status, where);
  return py::make_tuple(step.loss, step.grad_norm, step.clipped != 0, step.skipped != 0,
                        after.pack(), wishes.h_array, wishes.c_array, wishes.a_array,
                        wishes.detail_arrays, step.omega, step.clipped_norm, step.clip_angle);
}

py::object Model::train_step(py::handle x, py::handle targets, py::handle state, py::handle weights,
                             int flow, py::handle lengths, py::handle resets) const {
  return step({"Model", "train_step"}, x, targets, weights, {state, lengths, resets}, flow,
              [&](const bptt_sequence* sequence, const bptt_target* target, bptt_step* step) {
                return bptt_model_train_step(handle_.get(), sequence, target, step);
              });
}

py::object Model::gradients(py::handle x, py::handle targets, py::handle state, py::handle weights,
                            int flow, py::handle accumulate, py::handle lengths, py::handle resets,
                            uint64_t draw) const {
  const Where where = {"Model", "gradients"};
  py::object flat = py::reinterpret_borrow<py::object>(accumulate);
  const bool add = !flat.is_none();
  if (!add) flat = new_array(net_.type_number(), &net_.parameters, 1);
  const Flat given = take_flat(net_.type_number(), flat, net_.parameters, where, "accumulate");
  const py::tuple result =
      step(where, x, targets, weights, {state, lengths, resets, draw}, flow,
           [&](const bptt_sequence* sequence, const bptt_target* target, bptt_step* step) {
             return bptt_model_gradients(handle_.get(), sequence, target, step, given.data, add);
           });
  return py::make_tuple(result, flat);
}

py::object Model::apply(py::handle gradients) const {
  const Where where = {"Model", "apply"};
  const Given given = take_vector(net_, gradients, net_.parameters, where, "gradients");
  bptt_step step = {};
  step.struct_size = sizeof step;
  bptt_status status;
  {
    const Released call;
    status = bptt_model_apply(handle_.get(), given.data, &step);
  }
  check(status, where);
  return py::make_tuple(step.grad_norm, step.clipped != 0, step.skipped != 0, step.clipped_norm,
                        step.clip_angle);
}

py::object Model::evaluate(py::handle x, py::handle targets, py::handle state, py::handle weights,
                           py::handle lengths, py::handle resets) const {
  const Where where = {"Model", "evaluate"};
  Extent extent;
  GivenTarget target_given;
  const Given in = take_input(net_, x, extent, where);
  const GivenCompanions given = take_companions(net_, {state, lengths, resets}, extent, where);
  const bptt_target target = take_target(targets, weights, extent, target_given, where);
  const bptt_sequence sequence = sequence_of(in, given, extent);
  const States after = new_states(net_, extent);
  const bptt_outputs outputs = {sizeof outputs, nullptr, 0, 0, after.h_data, after.c_data};
  double loss = 0;
  bptt_status status;
  {
    const Long call;
    status = bptt_model_evaluate(handle_.get(), &sequence, &target, &outputs, &loss);
  }
  check(status, where);
  return py::make_tuple(loss, after.pack());
}

py::object Model::call(py::handle x, py::handle state, py::handle lengths,
                       py::handle resets) const {
  return run_forward<bptt_model>(net_, handle_.get(), bptt_model_forward, x,
                                 {state, lengths, resets}, false);
}

py::object Model::forward(py::handle x, py::handle state, py::handle lengths, py::handle resets,
                          uint64_t draw) const {
  return run_forward<bptt_model>(net_, handle_.get(), bptt_model_forward, x,
                                 {state, lengths, resets, draw}, true);
}

py::object Model::backward(const Tape& tape, py::handle dout, py::handle dstate, int flow,
                           py::handle accumulate, bool input_gradient, double clip_step,
                           double clip_step_norm, int64_t k1, int64_t k2, double omega) const {
  return run_backward<bptt_model>(
      net_, handle_.get(), bptt_model_backward, tape, dout,
      {dstate, accumulate, flow, input_gradient, "dout", clip_step, clip_step_norm, k1, k2, omega});
}

py::tuple Model::steps() const {
  int64_t taken = 0, skipped = 0;
  bptt_status status;
  {
    const Released call;
    status = bptt_model_steps(handle_.get(), &taken, &skipped);
  }
  check(status, {"Model", ""});
  return py::make_tuple(taken, skipped);
}

void bind_model(py::module_& module) {
  py::class_<Model> model(module, "Model");
  bind_diagnostics<Model, bptt_model>(
      model, {bptt_model_backward_seeds, bptt_model_jacobian, bptt_model_spectrum});
  model.def(py::init(&Model::create), py::arg("options"))
      .def_static("load", &Model::load, py::arg("path"))
      .def_static("deserialize", &Model::deserialize, py::arg("data"))
      .def("save", &Model::save, py::arg("path"))
      .def("serialize", &Model::serialize)
      .def("options", [](const Model& model) { return write_options(model.read()); })
      .def("train_step", &Model::train_step, py::arg("x"), py::arg("targets"), py::arg("state"),
           py::arg("weights"), py::arg("flow"), py::arg("lengths"), py::arg("resets"))
      .def("gradients", &Model::gradients, py::arg("x"), py::arg("targets"), py::arg("state"),
           py::arg("weights"), py::arg("flow"), py::arg("accumulate"), py::arg("lengths"),
           py::arg("resets"), py::arg("draw"))
      .def("apply", &Model::apply, py::arg("gradients"))
      .def("evaluate", &Model::evaluate, py::arg("x"), py::arg("targets"), py::arg("state"),
           py::arg("weights"), py::arg("lengths"), py::arg("resets"))
      .def("call", &Model::call, py::arg("x"), py::arg("state"), py::arg("lengths"),
           py::arg("resets"))
      .def("forward", &Model::forward, py::arg("x"), py::arg("state"), py::arg("lengths"),
           py::arg("resets"), py::arg("draw"))
      .def("backward", &Model::backward, py::arg("tape"), py::arg("dout"), py::arg("dstate"),
           py::arg("flow"), py::arg("accumulate"), py::arg("input_gradient"), py::arg("clip_step"),
           py::arg("clip_step_norm"), py::arg("k1"), py::arg("k2"), py::arg("omega"))
      .def("params",
           [](const py::object& self) {
             const auto& model = py::cast<const Model&>(self);
             return Params{model.params(), self, model.net()};
           })
      .def("steps", &Model::steps)
      .def("metadata", &Model::metadata)
      .def("set_metadata", &Model::set_metadata, py::arg("key"), py::arg("value"))
      .def("tensors", &Model::tensors)
      .def("set_tensor", &Model::set_tensor, py::arg("name"), py::arg("array"));
}

}  // namespace bindings
