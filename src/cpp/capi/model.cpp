// model.cpp: models: options, training, evaluation, passes.
#include "capi/environment.h"
#include "capi/options.h"
#include "capi/passes.h"

namespace bptt {
namespace {

void* new_model(Either<Model> model) {
  auto object = std::make_unique<ModelObject>();
  object->model = std::move(model);
  return new_handle(Tag::model, std::move(object));
}

// A batch and its targets, checked.
template <class T>
struct Lesson {
  Arrays arrays;
  ForwardCall<T> call;
  Target<T> target;
  SequenceCopy sequence_copy;
  TargetCopy<T> target_copy;

  Lesson(const ModelConfig& model, const bptt_sequence* sequence, const bptt_target* given) {
    call.sequence = check_sequence<T>(model.network, sequence, arrays);
    target = check_target(model, call.sequence, given, arrays);
  }
  // Copies the caller's arrays (arrays.h). Call it last, when no other check can fail.
  void own(const ModelConfig& model, bool remember) {
    own_sequence(model.network, call.sequence, sequence_copy);
    own_target(model, call.sequence, target, target_copy);
    require_tape_memory(model.network, call.sequence, remember);
  }
};

// Checks the outputs of a training step. `step` may be null; `known` is a copy of it. `backward`
// names the array of gradients, of `count` elements.
template <class T>
void check_step(const ModelConfig& model, const bptt_outputs* outputs, const bptt_flow* flow,
                const bptt_step* step, const bptt_step& known, int64_t count, Lesson<T>& lesson,
                BackwardCall<T>& backward) {
  const Sequence<T>& sequence = lesson.call.sequence;
  check_outputs(model.network, outputs, lesson.call, lesson.arrays);
  lesson.arrays.flat("gradients", backward.gradients, count, true);
  lesson.arrays.known("step", step, known);
  backward.flow = check_flow<T>(model.network, flow, sequence.steps, sequence.batch,
                                model.truncation_k2 > model.truncation_k1, lesson.arrays);
}

// Writes the result to `step`, unless it is null. `known` is an earlier copy of `step`.
void write_result(bptt_step* step, bptt_step known, const StepResult& result, bool has_loss) {
  if (!step) return;
  if (has_loss) known.loss = result.loss;
  if (has_loss) known.omega = result.omega;
  if (has_loss) known.weight_penalty = result.weight_penalty;
  if (has_loss) known.activity_penalty = result.activity_penalty;
  known.grad_norm = result.grad_norm;
  known.clipped_norm = result.clipped_norm;
  known.clip_angle = result.clip_angle;
  known.clipped = result.clipped;
  known.skipped = result.skipped;
  write_back(step, known);
}

}  // namespace
}  // namespace bptt

using namespace bptt;

bptt_status bptt_model_create(const bptt_model_options* options, const bptt_layer_options* layer,
                              const bptt_optimizer_options* optimizer, bptt_model** model) {
  return guard("bptt_model_create", [&] {
    not_null(model, "model");
    const ModelConfig config = model_settings(options, layer, optimizer);
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
      const bptt_model_options& kept = options_of(it->config(), it->optimizer().config());
      write_struct(options, struct_size, kept, "options");
    });
  });
}

bptt_status bptt_model_get_layer_options(bptt_model* model, bptt_layer_options* options,
                                         size_t struct_size) {
  return guard("bptt_model_get_layer_options", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&](const auto& it) {
      write_struct(options, struct_size, it->config().network.options(), "options");
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
                                  const bptt_target* target, const bptt_outputs* outputs,
                                  const bptt_flow* flow, bptt_step* step) {
  return guard("bptt_model_train_step", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&]<class T>(const std::shared_ptr<Model<T>>& it) {
      const ModelConfig& config = it->config();
      const bptt_step known = read_struct(step, "step");
      Lesson<T> lesson(config, sequence, target);
      BackwardCall<T> backward;
      check_step(config, outputs, flow, step, known, 0, lesson, backward);
      lesson.own(config, true);
      const Inside inside(it->network().params().lock);
      write_result(step, known, it->train_step(lesson.call, lesson.target, backward.flow), true);
    });
  });
}

bptt_status bptt_model_gradients(bptt_model* model, const bptt_sequence* sequence,
                                 const bptt_target* target, const bptt_outputs* outputs,
                                 const bptt_flow* flow, void* gradients, int32_t accumulate,
                                 bptt_step* step) {
  return guard("bptt_model_gradients", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&]<class T>(const std::shared_ptr<Model<T>>& it) {
      const ModelConfig& config = it->config();
      const bptt_step known = step ? read_struct(step, "step") : defaults_of<bptt_step>();
      BackwardCall<T> backward;
      backward.gradients = static_cast<T*>(not_null(gradients, "gradients"));
      backward.accumulate = flag_argument(accumulate, "accumulate");
      Lesson<T> lesson(config, sequence, target);
      const int64_t count = it->network().params().count();
      check_step(config, outputs, flow, step, known, count, lesson, backward);
      lesson.own(config, true);
      const Reading reading(it->network().params().lock);
      write_result(step, known, it->gradients(lesson.call, lesson.target, backward), true);
    });
  });
}

bptt_status bptt_model_apply(bptt_model* model, const void* gradients, bptt_step* step) {
  return guard("bptt_model_apply", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&]<class T>(const std::shared_ptr<Model<T>>& it) {
      not_null(gradients, "gradients");
      const bptt_step known = step ? read_struct(step, "step") : defaults_of<bptt_step>();
      Arrays arrays;
      arrays.flat("gradients", static_cast<const T*>(gradients), it->network().params().count(),
                  false);
      arrays.known("step", step, known);
      const Inside inside(it->network().params().lock);
      write_result(step, known, it->apply(static_cast<const T*>(gradients)), false);
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
      const ModelConfig& config = it->config();
      Lesson<T> lesson(config, sequence, target);
      check_outputs(config.network, outputs, lesson.call, lesson.arrays);
      lesson.arrays.result("loss", loss);
      lesson.own(config, false);
      const Reading reading(it->network().params().lock);
      *loss = it->evaluate(lesson.call, lesson.target);
    });
  });
}

bptt_status bptt_model_output_gradient(bptt_model* model, const bptt_sequence* sequence,
                                       const bptt_target* target, const bptt_outputs* outputs,
                                       double* loss) {
  return guard("bptt_model_output_gradient", [&] {
    const Use use(model, {Tag::model}, "model");
    on(use.as<ModelObject>().model, [&]<class T>(const std::shared_ptr<Model<T>>& it) {
      const ModelConfig& config = it->config();
      Arrays arrays;
      ForwardCall<T> call;
      call.sequence = check_extent<T>(sequence, arrays);
      Target<T> aim = check_target(config, call.sequence, target, arrays);
      bptt_outputs y = read_struct(outputs, "outputs");
      y.struct_size = sizeof y;
      y.hn = y.cn = nullptr;
      check_outputs(config.network, &y, call, arrays);
      not_null(call.y, "y");
      arrays.result("loss", loss);
      SequenceCopy sequence_copy;
      TargetCopy<T> target_copy;
      own_sequence(config.network, call.sequence, sequence_copy);
      own_target(config, call.sequence, aim, target_copy);
      const double value = it->output_gradient(call, aim);
      if (loss) *loss = value;
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
