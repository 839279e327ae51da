// optimizer.cpp: optimisers of models, and optimisers created separately.
#include <algorithm>
#include <cmath>

#include "capi/arrays.h"
#include "capi/environment.h"
#include "capi/locks.h"
#include "capi/objects.h"
#include "capi/options.h"
#include "model/clip.h"

namespace bptt {
namespace {

// Runs body(Optimizer<T>&, Params<T>&) for the optimiser of a handle.
template <class Body>
void with_optimizer(bptt_optimizer* optimizer, const Body& body) {
  const Use use(optimizer, {Tag::optimizer, Tag::model_optimizer}, "optimizer");
  if (use.tag() == Tag::optimizer) {
    on(use.as<OptimizerObject>().owned,
       [&](const auto& owned) { body(owned->optimizer, owned->network->params()); });
  } else {
    on(use.as<ModelObject>().model,
       [&](const auto& model) { body(model->optimizer(), model->network().params()); });
  }
}

template <class T>
size_t moment_of(const Optimizer<T>& optimizer, int64_t moment) {
  const int64_t count = int64_t(optimizer.moments().size());
  if (moment < 0 || moment >= count) {
    fail(BPTT_ERR_RANGE, "moment",
         count ? "an integer from 0 to " + text(count - 1) : "an optimiser that has moments",
         text(moment));
  }
  return size_t(moment);
}

// Returns the index of the tensor with this name.
template <class T>
size_t tensor_of(const Params<T>& params, const char* name) {
  const Param* tensor = params.find(name);
  if (!tensor) fail(BPTT_ERR_NAME, "name", "the name of a parameter tensor", quoted(name));
  return static_cast<size_t>(tensor - params.tensors().data());
}

void check_steps(int64_t steps) {
  if (steps >= 0 && steps <= kMostSteps) return;
  fail(BPTT_ERR_ARGUMENT, "steps", "an integer from 0 to " + text(kMostSteps), text(steps));
}

}  // namespace
}  // namespace bptt

using namespace bptt;

bptt_status bptt_optimizer_create(const bptt_optimizer_options* options, bptt_params* params,
                                  bptt_optimizer** optimizer) {
  return guard("bptt_optimizer_create", [&] {
    not_null(optimizer, "optimizer");
    with_params(params, [&]<class T>(const std::shared_ptr<Network<T>>& network) {
      const OptimizerConfig config = optimizer_settings(options, dtype_of(network->config().dtype));
      check_environment();
      auto object = std::make_unique<OptimizerObject>();
      object->owned = std::shared_ptr<OwnedOptimizer<T>>(
          new OwnedOptimizer<T>{network, Optimizer<T>(config, network->params())});
      *optimizer = static_cast<bptt_optimizer*>(new_handle(Tag::optimizer, std::move(object)));
    });
  });
}

bptt_status bptt_optimizer_free(bptt_optimizer* optimizer) {
  return guard("bptt_optimizer_free", [&] {
    if (optimizer && Use(optimizer, {Tag::optimizer, Tag::model_optimizer}, "optimizer").tag() ==
                         Tag::model_optimizer) {
      fail(BPTT_ERR_STATE, "optimizer", "an optimizer of bptt_optimizer_create",
           "the optimizer of a model, which is freed with the model");
    }
    free_handle(optimizer, Tag::optimizer, "optimizer");
  });
}

bptt_status bptt_optimizer_get_options(bptt_optimizer* optimizer, bptt_optimizer_options* options,
                                       size_t struct_size) {
  return guard("bptt_optimizer_get_options", [&] {
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Reading reading(params.lock);
      const bptt_optimizer_options& kept = rule.config();
      write_struct(options, struct_size, kept, "options");
    });
  });
}

bptt_status bptt_optimizer_step(bptt_optimizer* optimizer, const void* gradients,
                                int32_t* skipped) {
  return guard("bptt_optimizer_step", [&] {
    not_null(gradients, "gradients");
    with_optimizer(optimizer, [&]<class T>(Optimizer<T>& rule, Params<T>& params) {
      const T* values = static_cast<const T*>(gradients);
      Arrays arrays;
      arrays.flat("gradients", values, params.count(), false);
      arrays.result("skipped", skipped);
      const Changing changing(params.lock);
      const Norm norm = gradient_norm(values, params.count());
      const bool made = norm.finite() && rule.step(values, norm.value());
      if (skipped) *skipped = !made;
    });
  });
}

bptt_status bptt_optimizer_set_lr(bptt_optimizer* optimizer, double lr) {
  return guard("bptt_optimizer_set_lr", [&] {
    not_negative(lr, "lr");
    with_optimizer(optimizer, [&]<class T>(Optimizer<T>& rule, Params<T>& params) {
      const Changing changing(params.lock);
      double scale = 1;
      for (const ParamGroup& group : rule.groups()) scale = std::max(scale, group.lr_scale);
      if (!fits<T>(lr * scale))
        fail(BPTT_ERR_ARGUMENT, "lr", held_by<T>(" times the lr_scale of every group"), text(lr));
      rule.set_lr(lr);
    });
  });
}

bptt_status bptt_optimizer_get_lr(bptt_optimizer* optimizer, double* lr) {
  return guard("bptt_optimizer_get_lr", [&] {
    not_null(lr, "lr");
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Reading reading(params.lock);
      *lr = rule.lr();
    });
  });
}

bptt_status bptt_optimizer_set_group(bptt_optimizer* optimizer, const char* name, double lr_scale,
                                     double weight_decay) {
  return guard("bptt_optimizer_set_group", [&] {
    not_null(name, "name");
    not_negative(lr_scale, "lr_scale");
    if (!std::isnan(weight_decay)) not_negative(weight_decay, "weight_decay");
    with_optimizer(optimizer, [&]<class T>(Optimizer<T>& rule, Params<T>& params) {
      const Changing changing(params.lock);
      if (!fits<T>(lr_scale * rule.lr()))
        fail(BPTT_ERR_ARGUMENT, "lr_scale", held_by<T>(" times lr"), text(lr_scale));
      if (!std::isnan(weight_decay) && !fits<T>(weight_decay))
        fail(BPTT_ERR_ARGUMENT, "weight_decay", held_by<T>(), text(weight_decay));
      rule.groups()[tensor_of(params, name)] = {lr_scale, weight_decay};
    });
  });
}

bptt_status bptt_optimizer_get_group(bptt_optimizer* optimizer, const char* name, double* lr_scale,
                                     double* weight_decay) {
  return guard("bptt_optimizer_get_group", [&] {
    not_null(name, "name");
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Reading reading(params.lock);
      const ParamGroup& group = rule.groups()[tensor_of(params, name)];
      Arrays arrays;
      arrays.result("lr_scale", lr_scale);
      arrays.result("weight_decay", weight_decay);
      if (lr_scale) *lr_scale = group.lr_scale;
      if (weight_decay) *weight_decay = group.weight_decay;
    });
  });
}

bptt_status bptt_optimizer_moments(bptt_optimizer* optimizer, int64_t* count,
                                   const char* const** names) {
  return guard("bptt_optimizer_moments", [&] {
    not_null(count, "count");
    with_optimizer(optimizer, [&](auto& rule, auto&) {
      Arrays arrays;
      arrays.result("count", count);
      arrays.result("names", names);
      *count = int64_t(rule.moment_names().size());
      if (names) *names = rule.moment_names().data();
    });
  });
}

bptt_status bptt_optimizer_get_state(bptt_optimizer* optimizer, int64_t moment, void* values) {
  return guard("bptt_optimizer_get_state", [&] {
    not_null(values, "values");
    with_optimizer(optimizer, [&]<class T>(Optimizer<T>& rule, Params<T>& params) {
      const Reading reading(params.lock);
      const Buffer<T>& kept = rule.moments()[moment_of(rule, moment)];
      std::copy_n(kept.data(), params.count(), static_cast<T*>(values));
    });
  });
}

bptt_status bptt_optimizer_set_state(bptt_optimizer* optimizer, int64_t moment,
                                     const void* values) {
  return guard("bptt_optimizer_set_state", [&] {
    not_null(values, "values");
    with_optimizer(optimizer, [&]<class T>(Optimizer<T>& rule, Params<T>& params) {
      const Changing changing(params.lock);
      const size_t at = moment_of(rule, moment);
      const T* given = static_cast<const T*>(values);
      const int64_t bad = rule.first_impossible(at, given);
      if (bad >= 0) {
        fail(BPTT_ERR_ARGUMENT, "values",
             rule.never_negative(at) ? "finite numbers >= 0" : "finite numbers",
             text(double{given[bad]}) + " at " + text(bad));
      }
      rule.set_moment(at, given);
    });
  });
}

bptt_status bptt_optimizer_get_steps(bptt_optimizer* optimizer, int64_t* steps) {
  return guard("bptt_optimizer_get_steps", [&] {
    not_null(steps, "steps");
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Reading reading(params.lock);
      *steps = rule.steps();
    });
  });
}

bptt_status bptt_optimizer_set_steps(bptt_optimizer* optimizer, int64_t steps) {
  return guard("bptt_optimizer_set_steps", [&] {
    check_steps(steps);
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Changing changing(params.lock);
      rule.set_steps(steps);
    });
  });
}

bptt_status bptt_optimizer_get_tensor_steps(bptt_optimizer* optimizer, const char* name,
                                            int64_t* steps) {
  return guard("bptt_optimizer_get_tensor_steps", [&] {
    not_null(name, "name");
    not_null(steps, "steps");
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Reading reading(params.lock);
      *steps = rule.tensor_steps()[tensor_of(params, name)];
    });
  });
}

bptt_status bptt_optimizer_set_tensor_steps(bptt_optimizer* optimizer, const char* name,
                                            int64_t steps) {
  return guard("bptt_optimizer_set_tensor_steps", [&] {
    not_null(name, "name");
    check_steps(steps);
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Changing changing(params.lock);
      rule.set_tensor_steps(tensor_of(params, name), steps);
    });
  });
}
