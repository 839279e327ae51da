// model.cpp: the class _core.Model.
#include "bindings/model.h"

#include <algorithm>

#include "bindings/bindings.h"
#include "bindings/diagnostics.h"
#include "bindings/options.h"
#include "bptt_options.h"

namespace bindings {
namespace {

// Runs a call that creates a model.
template <class Call>
Owned<bptt_model, bptt_model_free> made(const Call& call, const Where& where,
                                        const char* filename = nullptr) {
  Owned<bptt_model, bptt_model_free> handle;
  run<Long>([&] { return call(handle.put()); }, where, filename);
  return handle;
}

}  // namespace

Model::Model(Owned<bptt_model, bptt_model_free> handle) : handle_(std::move(handle)) {
  const Options options = read();
  net_.owner = "Model";
  net_.batch_first = options.model.batch_first != 0;
  net_.tokens_only = options.model.vocab_size != 0;
  net_.input = net_.tokens_only ? options.model.vocab_size : options.layer.input_size;
  describe(options.layer, net_);
  net_.output = options.model.output_size;
  net_.last_only = options.model.targets != BPTT_EVERY_STEP;
  bptt_loss_info loss;
  check(bptt_describe_loss(options.model.loss, &loss, sizeof loss), {"Model", ""});
  classes_ = loss.classes != 0;
  overlapping_ = options.model.truncation_k2 > options.model.truncation_k1;
  check(bptt_model_params(handle_.get(), &params_), {"Model", ""});
  net_.parameters = parameter_count(params_);
}

Options Model::read() const {
  const Where where = {"Model", ""};
  Options options = {};
  bptt_optimizer* optimizer = nullptr;
  check(bptt_model_optimizer(handle_.get(), &optimizer), where);
  run([&] { return bptt_model_get_options(handle_.get(), &options.model, sizeof options.model); },
      where);
  run(
      [&] {
        return bptt_model_get_layer_options(handle_.get(), &options.layer, sizeof options.layer);
      },
      where);
  run(
      [&] {
        return bptt_optimizer_get_options(optimizer, &options.optimizer, sizeof options.optimizer);
      },
      where);
  return options;
}

std::unique_ptr<Model> Model::create(const py::dict& from) {
  Options options;
  bptt_model_options_init(&options.model, sizeof options.model);
  bptt_layer_options_init(&options.layer, sizeof options.layer);
  bptt_optimizer_options_init(&options.optimizer, sizeof options.optimizer);
  const OptionArrays arrays = read_options(from, options);
  return std::make_unique<Model>(made(
      [&](bptt_model** it) {
        return bptt_model_create(&options.model, &options.layer, &options.optimizer, it);
      },
      {"Model", ""}));
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
  run<Long>([&] { return bptt_model_save(handle_.get(), path.c_str()); }, {"Model", "save"},
            path.c_str());
}

py::bytes Model::serialize() const {
  const Where where = {"Model", "serialize"};
  size_t size = 0;
  run<Long>([&] { return bptt_model_serialize(handle_.get(), nullptr, 0, &size); }, where);
  for (;;) {  // another thread may change the model, and its size, between two calls
    const size_t capacity = size;
    PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(capacity));
    if (!bytes) throw py::error_already_set();
    auto owner = py::reinterpret_steal<py::bytes>(bytes);
    bool grown = false;
    run<Long>(
        [&] {
          const bptt_status status =
              bptt_model_serialize(handle_.get(), PyBytes_AS_STRING(bytes), capacity, &size);
          grown = status == BPTT_ERR_ARGUMENT && size > capacity;
          return grown ? BPTT_OK : status;
        },
        where);
    if (grown) continue;
    if (size == capacity) return owner;
    return {PyBytes_AS_STRING(bytes), size};
  }
}

bptt_target Model::take_target(py::handle targets, py::handle weights, const Extent& extent,
                               GivenTarget& given, const Where& where) const {
  bptt_target target = {};
  target.struct_size = sizeof target;
  given.target = classes_ ? take_classes(net_, targets, extent, where)
                          : take_values(net_, targets, extent, net_.output, where, "targets");
  if (classes_) {
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

GivenSequence Model::take_drawn(const SequenceArguments& in, bool draws, const Where& where) const {
  GivenSequence given = take_sequence(net_, in, where);
  if (draws && in.draw.is_none()) {
    int64_t taken = 0;
    run([&] { return bptt_model_steps(handle_.get(), &taken, nullptr); }, where);
    given.call.draw = static_cast<uint64_t>(taken);
  }
  return given;
}

// Runs call(sequence, target, outputs, flow, step). `flow` receives the arrays of the flow, which
// the result shares.
template <class Call>
StepResult Model::step(const Where& where, const StepArguments& in, const GivenSequence& sequence,
                       Flow& flow, const Call& call) const {
  const Extent& extent = sequence.extent;
  GivenTarget target_given;
  const bptt_target target = take_target(in.targets, in.weights, extent, target_given, where);
  const States after = new_states(net_, extent);
  new_flow(net_, extent, in.flow, overlapping_, where, flow);
  const bptt_outputs outputs = {sizeof outputs, nullptr, 0, 0, after.h_data, after.c_data};
  bptt_step step = {};
  step.struct_size = sizeof step;
  run<Long>([&] { return call(&sequence.call, &target, &outputs, flow.get(), &step); }, where);
  StepResult result;
  result.loss = py::float_(step.loss);
  result.grad_norm = py::float_(step.grad_norm);
  result.clipped = py::bool_(step.clipped != 0);
  result.skipped = py::bool_(step.skipped != 0);
  result.state = after.pack();
  result.flow = flow.h_array;
  result.flow_c = flow.c_array;
  result.flow_a = flow.a_array;
  result.flow_detail = flow.detail_arrays;
  result.omega = py::float_(step.omega);
  result.weight_penalty = py::float_(step.weight_penalty);
  result.activity_penalty = py::float_(step.activity_penalty);
  result.clipped_norm = py::float_(step.clipped_norm);
  result.clip_angle = py::float_(step.clip_angle);
  return result;
}

py::object Model::train_step(const StepArguments& in) const {
  const Where where = {"Model", "train_step"};
  Flow flow;
  return package.step_result.make(
      step(where, in, take_sequence(net_, in, where), flow,
           [&](const bptt_sequence* sequence, const bptt_target* target,
               const bptt_outputs* outputs, const bptt_flow* wishes, bptt_step* step) {
             return bptt_model_train_step(handle_.get(), sequence, target, outputs, wishes, step);
           }));
}

py::object Model::gradients(const StepArguments& in) const {
  const Where where = {"Model", "gradients"};
  py::object flat = py::reinterpret_borrow<py::object>(in.accumulate);
  const bool add = !flat.is_none();
  if (!add) flat = new_array(net_.type_number(), &net_.parameters, 1);
  const Flat given = take_flat(net_.type_number(), flat, net_.parameters, where, "accumulate");
  Flow flow;
  StepResult result =
      step(where, in, take_drawn(in, true, where), flow,
           [&](const bptt_sequence* sequence, const bptt_target* target,
               const bptt_outputs* outputs, const bptt_flow* wishes, bptt_step* step) {
             return bptt_model_gradients(handle_.get(), sequence, target, outputs, wishes,
                                         given.data, add, step);
           });
  const py::object gradients = new_gradients(flat, in.layout, py::none(), py::none(), flow,
                                             result.omega, result.activity_penalty);
  return py::make_tuple(package.step_result.make(std::move(result)), gradients);
}

py::object Model::apply(py::handle gradients) const {
  const Where where = {"Model", "apply"};
  const Given given = take_vector(net_, gradients, net_.parameters, where, "gradients");
  bptt_step step = {};
  step.struct_size = sizeof step;
  run([&] { return bptt_model_apply(handle_.get(), given.data, &step); }, where);
  UpdateResult result;
  result.grad_norm = py::float_(step.grad_norm);
  result.clipped = py::bool_(step.clipped != 0);
  result.skipped = py::bool_(step.skipped != 0);
  result.clipped_norm = py::float_(step.clipped_norm);
  result.clip_angle = py::float_(step.clip_angle);
  return package.update_result.make(std::move(result));
}

// Returns whether a pass without a tape uses random draws.
static bool draws(const SequenceArguments& in) {
  return in.training.ptr() == Py_True || in.noise.ptr() == Py_True;
}

py::object Model::eval_step(const StepArguments& in) const {
  const Where where = {"Model", "eval_step"};
  const GivenSequence given = take_drawn(in, draws(in), where);
  GivenTarget target_given;
  const bptt_target target = take_target(in.targets, in.weights, given.extent, target_given, where);
  const States after = new_states(net_, given.extent);
  const bool with_outputs = py::cast<bool>(in.outputs);
  Strided y;
  if (with_outputs) y = new_batch(net_, given.extent, net_.output, net_.last_only);
  const bptt_outputs outputs = {sizeof outputs, y.data,       y.stride_t,
                                y.stride_n,     after.h_data, after.c_data};
  double loss = 0;
  run<Long>(
      [&] { return bptt_model_evaluate(handle_.get(), &given.call, &target, &outputs, &loss); },
      where);
  if (with_outputs) return py::make_tuple(loss, after.pack(), y.array);
  return py::make_tuple(loss, after.pack());
}

// `outputs` is a new array of the model's dtype in C order: [T, N, O] or [N, O] in the caller's
// order of axes, or the same without N.
void Model::output_gradient(const py::array& outputs, py::handle targets, py::handle lengths,
                            py::handle weights) const {
  const Where where = {"Model", "output_gradient"};
  const int rank = static_cast<int>(outputs.ndim()), steps = net_.last_only ? 0 : 1;
  Extent extent;
  extent.unbatched = rank == steps + 1;
  const int time = net_.batch_first && !extent.unbatched ? 1 : 0;
  extent.steps = steps ? outputs.shape(time) : 1;
  extent.batch = extent.unbatched ? 1 : outputs.shape(steps ? 1 - time : 0);
  const std::vector<int64_t> steps_of = take_lengths(net_, lengths, extent, where);
  if (net_.last_only) {  // the number of steps does not follow from the outputs
    for (const int64_t length : steps_of) extent.steps = std::max(extent.steps, length);
  }
  GivenTarget target_given;
  const bptt_target target = take_target(targets, weights, extent, target_given, where);
  const Given values = take_values(net_, outputs, extent, net_.output, where, "outputs");
  bptt_sequence sequence = {};
  sequence.struct_size = sizeof sequence;
  sequence.time = extent.steps;
  sequence.batch = extent.batch;
  if (!steps_of.empty()) sequence.lengths = steps_of.data();
  const bptt_outputs y = {
      sizeof y, const_cast<void*>(values.data), values.stride_t, values.stride_n, nullptr, nullptr};
  run<Long>(
      [&] { return bptt_model_output_gradient(handle_.get(), &sequence, &target, &y, nullptr); },
      where);
}

py::object Model::call(const SequenceArguments& in) const {
  const Where where = {"Model", "__call__"};
  return run_forward(net_, handle_.get(), bptt_model_forward, take_drawn(in, draws(in), where),
                     where, false);
}

py::object Model::forward(const SequenceArguments& in) const {
  const Where where = {"Model", "forward"};
  return run_forward(net_, handle_.get(), bptt_model_forward, take_drawn(in, true, where), where,
                     true);
}

py::object Model::backward(const BackwardArguments& in) const {
  return run_backward(net_, handle_.get(), bptt_model_backward, in, "dout");
}

py::tuple Model::steps() const {
  int64_t taken = 0, skipped = 0;
  run([&] { return bptt_model_steps(handle_.get(), &taken, &skipped); }, {"Model", ""});
  return py::make_tuple(taken, skipped);
}

namespace {

// Returns the arguments of a step: those of its sequence, and its own.
std::vector<Field<StepArguments, py::handle>> step_fields() {
  std::vector<Field<StepArguments, py::handle>> fields = {
      {"targets", &StepArguments::targets}, {"weights", &StepArguments::weights},
      {"flow", &StepArguments::flow},       {"accumulate", &StepArguments::accumulate},
      {"layout", &StepArguments::layout},   {"outputs", &StepArguments::outputs}};
  for (const auto& field : sequence_fields()) fields.push_back({field.name, field.member});
  return fields;
}
Signature<StepArguments> step_arguments(
    "train_step, gradients, eval_step: expected arguments (targets, weights, flow, accumulate, "
    "layout, outputs, x, "
    "state, lengths, resets, draw, training, noise)",
    1, step_fields());

// Calls a member function of Model; methods are bound as free functions.
template <class Struct, py::object (Model::*body)(const Struct&) const>
py::object of_model(const Model& model, const Struct& in) {
  return (model.*body)(in);
}

}  // namespace

void bind_model(py::module_& module) {
  py::class_<Model> type(module, "Model");
  bind_diagnostics<Model, bptt_model_backward_seeds, bptt_model_jacobian, bptt_model_spectrum>(
      type);
  type.def(py::init(&Model::create), py::arg("options"))
      .def_static("load", &Model::load, py::arg("path"))
      .def_static("deserialize", &Model::deserialize, py::arg("data"))
      .def("save", &Model::save, py::arg("path"))
      .def("serialize", &Model::serialize)
      .def("options", [](const Model& model) { return write_options(model.read()); })
      .def("apply", &Model::apply, py::arg("gradients"))
      .def("output_gradient", &Model::output_gradient, py::arg("outputs"), py::arg("targets"),
           py::arg("lengths"), py::arg("weights"))
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
  def_method<Model, StepArguments, &step_arguments, of_model<StepArguments, &Model::train_step>>(
      type, "train_step");
  def_method<Model, StepArguments, &step_arguments, of_model<StepArguments, &Model::gradients>>(
      type, "gradients");
  def_method<Model, StepArguments, &step_arguments, of_model<StepArguments, &Model::eval_step>>(
      type, "eval_step");
  def_method<Model, SequenceArguments, &forward_arguments,
             of_model<SequenceArguments, &Model::call>>(type, "call");
  def_method<Model, SequenceArguments, &forward_arguments,
             of_model<SequenceArguments, &Model::forward>>(type, "forward");
  def_method<Model, BackwardArguments, &backward_arguments,
             of_model<BackwardArguments, &Model::backward>>(type, "backward");
}

}  // namespace bindings
