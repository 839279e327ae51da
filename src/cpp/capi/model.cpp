// model.cpp: models: options, training, evaluation, passes.
#include "capi/passes.h"

namespace bptt {
namespace {

void* new_model(Either<Model> model) {
  auto object = std::make_unique<ModelObject>();
  object->model = std::move(model);
  return new_handle(Tag::model, std::move(object));
}

// Refuses results of a training step that overlap an input or each other. `step` is a copy of `to`,
// which receives them; gradients [count] are those of a step without an update.
template <class T>
FlowCall check_results(const ModelConfig& model, const Sequence<T>& sequence,
                       const Target<T>& target, const bptt_step& step, const bptt_step* to,
                       const T* gradients = nullptr, int64_t count = 0) {
  const NetworkConfig& config = model.network;
  lstm_only(config, step.cn, "cn");
  Arrays arrays;
  add_sequence(config, sequence, arrays);
  add_target(config, target, arrays);
  arrays.flat("hn", static_cast<const T*>(step.hn), h_count(config, sequence.batch), true);
  arrays.flat("cn", static_cast<const T*>(step.cn), c_count(config, sequence.batch), true);
  arrays.flat("gradients", gradients, count, true);
  arrays.result("step", to);
  return check_flow(config, sequence.steps, sequence.batch, step.flow, step.flow_c, step.flow_a,
                    step.detail, model.truncation_k2 > model.truncation_k1, arrays);
}

// Refuses outputs or a loss of an evaluation that overlap another array.
template <class T>
void check_apart(const NetworkConfig& config, const Sequence<T>& sequence, const Target<T>& target,
                 const Outputs<T>& outputs, const double* loss) {
  Arrays arrays;
  add_sequence(config, sequence, arrays);
  add_target(config, target, arrays);
  arrays.strided("y", outputs.y, target.steps, target.batch, config.output, outputs.y_t,
                 outputs.y_n, true);
  arrays.flat("hn", outputs.hn, h_count(config, sequence.batch), true);
  arrays.flat("cn", outputs.cn, c_count(config, sequence.batch), true);
  arrays.result("loss", loss);
}

// step null: not asked for.
void write_result(bptt_step* step, const StepResult& result, bool has_loss) {
  if (!step) return;
  if (has_loss) step->loss = result.loss;
  step->grad_norm = result.grad_norm;
  step->clipped = result.clipped;
  step->skipped = result.skipped;
  step->clipped_norm = result.clipped_norm;
  step->clip_angle = result.clip_angle;
  if (has_loss) step->omega = result.omega;
}

}  // namespace

template <>
bptt_step defaults_of<bptt_step>() {
  bptt_step step = {};
  step.struct_size = sizeof step;
  return step;
}
template <>
const char* struct_name<bptt_step>() {
  return "bptt_step";
}

}  // namespace bptt

using namespace bptt;

bptt_status bptt_model_create(const bptt_model_options* options, bptt_model** model) {
  return guard("bptt_model_create", [&] {
    not_null(model, "model");
    const ModelConfig config = model_settings(options);
    check_environment();
    *model = static_cast<bptt_model*>(config.layer.dtype == BPTT_FLOAT32
                                          ? new_model(std::make_shared<Model<float>>(config))
                                          : new_model(std::make_shared<Model<double>>(config)));
  });
}

bptt_status bptt_model_free(bptt_model* model) {
  return guard("bptt_model_free", [&] { free_handle(model, Tag::model, "model"); });
}

bptt_status bptt_model_get_options(bptt_model* model, bptt_model_options* options,
                                   size_t struct_size) {
  return guard("bptt_model_get_options", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&](const auto& it) {
      const Reading reading(it->network().params().lock);
      write_struct(options, struct_size, options_of(it->config(), it->optimizer().config()),
                   "options");
    });
  });
}

bptt_status bptt_model_params(bptt_model* model, bptt_params** params) {
  return guard("bptt_model_params", [&] {
    not_null(params, "params");
    const Use use(model, {Tag::model}, "model");
    *params = static_cast<bptt_params*>(view_handle(model, Tag::model_params));
  });
}

bptt_status bptt_model_optimizer(bptt_model* model, bptt_optimizer** optimizer) {
  return guard("bptt_model_optimizer", [&] {
    not_null(optimizer, "optimizer");
    const Use use(model, {Tag::model}, "model");
    *optimizer = static_cast<bptt_optimizer*>(view_handle(model, Tag::model_optimizer));
  });
}

bptt_status bptt_step_init(bptt_step* step, size_t struct_size) {
  return guard("bptt_step_init",
               [&] { write_struct(step, struct_size, defaults_of<bptt_step>(), "step"); });
}

bptt_status bptt_model_train_step(bptt_model* model, const bptt_sequence* sequence,
                                  const bptt_target* target, bptt_step* step) {
  return guard("bptt_model_train_step", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&]<class T>(const std::shared_ptr<Model<T>>& it) {
      const NetworkConfig& config = it->network().config();
      const bptt_step known = read_struct(step, "step");
      Sequence<T> in = check_sequence<T>(config, sequence);
      Target<T> aim = check_target(it->config(), in, target);
      Backward<T> backward;
      const FlowCall flow = check_results(it->config(), in, aim, known, step);
      put_flow(flow, backward);
      SequenceCopy own;
      TargetCopy<T> copy;
      own_sequence(config, in, own);
      own_target(it->config(), in, aim, copy);
      require_tape_memory(config, in, true);
      const Inside inside(it->network().params().lock);
      Outputs<T> states;
      states.hn = static_cast<T*>(known.hn);
      states.cn = static_cast<T*>(known.cn);
      write_result(step, it->train_step(in, aim, states, backward), true);
    });
  });
}

bptt_status bptt_model_gradients(bptt_model* model, const bptt_sequence* sequence,
                                 const bptt_target* target, bptt_step* step, void* gradients,
                                 int32_t accumulate) {
  return guard("bptt_model_gradients", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&]<class T>(const std::shared_ptr<Model<T>>& it) {
      const NetworkConfig& config = it->network().config();
      const bptt_step known = step ? read_struct(step, "step") : defaults_of<bptt_step>();
      Backward<T> backward;
      backward.gradients = static_cast<T*>(not_null(gradients, "gradients"));
      backward.accumulate = flag_argument(accumulate, "accumulate");
      Outputs<T> states;
      states.hn = static_cast<T*>(known.hn);
      states.cn = static_cast<T*>(known.cn);
      Sequence<T> in = check_sequence<T>(config, sequence);
      Target<T> aim = check_target(it->config(), in, target);
      const FlowCall flow = check_results(it->config(), in, aim, known, step, backward.gradients,
                                          it->network().params().count());
      put_flow(flow, backward);
      SequenceCopy own;
      TargetCopy<T> copy;
      own_sequence(config, in, own);
      own_target(it->config(), in, aim, copy);
      require_tape_memory(config, in, true);
      const Reading reading(it->network().params().lock);
      write_result(step, it->gradients(in, aim, states, backward), true);
    });
  });
}

bptt_status bptt_model_apply(bptt_model* model, const void* gradients, bptt_step* step) {
  return guard("bptt_model_apply", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&]<class T>(const std::shared_ptr<Model<T>>& it) {
      not_null(gradients, "gradients");
      if (step) read_struct(step, "step");
      Arrays arrays;
      arrays.flat("gradients", static_cast<const T*>(gradients), it->network().params().count(),
                  false);
      arrays.result("step", step);
      const Inside inside(it->network().params().lock);
      write_result(step, it->apply(static_cast<const T*>(gradients)), false);
    });
  });
}

bptt_status bptt_model_evaluate(bptt_model* model, const bptt_sequence* sequence,
                                const bptt_target* target, const bptt_outputs* outputs,
                                double* loss) {
  return guard("bptt_model_evaluate", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&]<class T>(const std::shared_ptr<Model<T>>& it) {
      not_null(loss, "loss");
      const NetworkConfig& config = it->network().config();
      Sequence<T> in = check_sequence<T>(config, sequence);
      Target<T> aim = check_target(it->config(), in, target);
      const Outputs<T> out = check_outputs(config, in, outputs);
      check_apart(config, in, aim, out, loss);
      SequenceCopy own;
      TargetCopy<T> copy;
      own_sequence(config, in, own);
      own_target(it->config(), in, aim, copy);
      require_tape_memory(config, in, false);
      const Reading reading(it->network().params().lock);
      *loss = it->evaluate(in, aim, out);
    });
  });
}

bptt_status bptt_model_forward(bptt_model* model, const bptt_sequence* sequence,
                               const bptt_outputs* outputs, bptt_tape** tape) {
  return guard("bptt_model_forward", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model,
       [&](const auto& it) { run_forward(network_of(it), sequence, outputs, tape); });
  });
}

bptt_status bptt_model_backward(bptt_model* model, bptt_tape* tape, const bptt_backward* backward) {
  return guard("bptt_model_backward", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model,
       [&](const auto& it) { run_backward(network_of(it), tape, backward); });
  });
}

bptt_status bptt_model_steps(bptt_model* model, int64_t* taken, int64_t* skipped) {
  return guard("bptt_model_steps", [&] {
    const Use use(model, {Tag::model}, "model");
    Arrays arrays;
    arrays.result("taken", taken);
    arrays.result("skipped", skipped);
    on(use.as<ModelObject>().model, [&](const auto& it) {
      const Reading reading(it->network().params().lock);
      if (taken) *taken = it->steps_taken;
      if (skipped) *skipped = it->steps_skipped;
    });
  });
}
