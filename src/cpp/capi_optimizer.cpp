// capi_optimizer.cpp: optimisers, a model's own and others.
#include <algorithm>
#include <cmath>

#include "capi.h"
#include "model/clip.h"

namespace bptt {
namespace {

// body(Optimizer<T>&, Params<T>&) for the optimiser that the handle names.
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
Buffer<T>& moment_of(Optimizer<T>& optimizer, int64_t moment) {
  const int64_t count = int64_t(optimizer.moments().size());
  if (moment < 0 || moment >= count) {
    fail(BPTT_ERR_RANGE, "moment",
         count ? "an integer from 0 to " + text(count - 1) : "an optimiser that has moments",
         text(moment));
  }
  return optimizer.moments()[size_t(moment)];
}

// The group of the tensor of that name.
template <class T>
ParamGroup& group_of(Optimizer<T>& optimizer, const Params<T>& params, const char* name) {
  const Param* tensor = params.find(name);
  if (!tensor) fail(BPTT_ERR_NAME, "name", "the name of a parameter tensor", quoted(name));
  return optimizer.groups()[static_cast<size_t>(tensor - params.tensors().data())];
}

}  // namespace
}  // namespace bptt

using namespace bptt;

bptt_status bptt_optimizer_create(const bptt_optimizer_options* options, bptt_params* params,
                                  bptt_optimizer** optimizer) {
  return guard("bptt_optimizer_create", [&] {
    not_null(optimizer, "optimizer");
    const OptimizerConfig config = optimizer_settings(options, "");
    kernels_in_use();
    with_params(params, [&]<class T>(const std::shared_ptr<Network<T>>& network) {
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
      fail(BPTT_ERR_STATE, "optimizer", "one of bptt_optimizer_create",
           "a model's own, which goes with its model");
    }
    free_handle(optimizer, Tag::optimizer, "optimizer");
  });
}

bptt_status bptt_optimizer_step(bptt_optimizer* optimizer, const void* gradients,
                                int32_t* skipped) {
  return guard("bptt_optimizer_step", [&] {
    not_null(gradients, "gradients");
    with_optimizer(optimizer, [&]<class T>(Optimizer<T>& rule, Params<T>& params) {
      const Changing changing(params.lock);
      const T* values = static_cast<const T*>(gradients);
      const bool finite = std::isfinite(gradient_norm(values, params.count()));
      if (finite) rule.step(values);
      if (skipped) *skipped = !finite;
    });
  });
}

bptt_status bptt_optimizer_set_lr(bptt_optimizer* optimizer, double lr) {
  return guard("bptt_optimizer_set_lr", [&] {
    not_negative(lr, "lr");
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Changing changing(params.lock);
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
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Changing changing(params.lock);
      group_of(rule, params, name) = {lr_scale, weight_decay};
    });
  });
}

bptt_status bptt_optimizer_get_group(bptt_optimizer* optimizer, const char* name, double* lr_scale,
                                     double* weight_decay) {
  return guard("bptt_optimizer_get_group", [&] {
    not_null(name, "name");
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Reading reading(params.lock);
      const ParamGroup& group = group_of(rule, params, name);
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
      std::copy_n(moment_of(rule, moment).data(), params.count(), static_cast<T*>(values));
    });
  });
}

bptt_status bptt_optimizer_set_state(bptt_optimizer* optimizer, int64_t moment,
                                     const void* values) {
  return guard("bptt_optimizer_set_state", [&] {
    not_null(values, "values");
    with_optimizer(optimizer, [&]<class T>(Optimizer<T>& rule, Params<T>& params) {
      const Changing changing(params.lock);
      Buffer<T>& target = moment_of(rule, moment);
      const bool squares = rule.never_negative(static_cast<size_t>(moment));
      const T* given = static_cast<const T*>(values);
      for (int64_t i = 0; i < params.count(); ++i) {
        if (std::isfinite(given[i]) && !(squares && given[i] < 0)) continue;
        fail(BPTT_ERR_ARGUMENT, "values", squares ? "finite numbers >= 0" : "finite numbers",
             text(double{given[i]}) + " at " + text(i));
      }
      std::copy_n(given, params.count(), target.data());
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
    if (steps < 0) fail(BPTT_ERR_ARGUMENT, "steps", "an integer >= 0", text(steps));
    with_optimizer(optimizer, [&](auto& rule, auto& params) {
      const Changing changing(params.lock);
      rule.set_steps(steps);
    });
  });
}
