#include "model/optimizer.h"

#include <algorithm>
#include <string_view>

#include "kernels.h"
#include "sequence/pool.h"

namespace bptt {
namespace {

constexpr int64_t kThread = 1 << 16;  // elements that are worth a thread

// One flat vector that an update keeps, and its place among UpdateArgs::moments.
struct Moment {
  const char* name;
  int slot;
};

std::vector<Moment> moments_of(const OptimizerConfig& config) {
  std::vector<Moment> moments;
  switch (config.algorithm) {
    case Algorithm::sgd:
      if (config.momentum != 0) moments.push_back({"momentum_buffer", 0});
      break;
    case Algorithm::adagrad:
      moments.push_back({"sum", 0});
      break;
    case Algorithm::adam:
      moments = {{"exp_avg", 0}, {"exp_avg_sq", 1}};
      if (config.amsgrad) moments.push_back({"max_exp_avg_sq", 2});
      break;
    case Algorithm::rmsprop:
      moments.push_back({"square_avg", 0});
      if (config.centered || config.graves) moments.push_back({"grad_avg", 1});
      if (config.momentum != 0 || config.graves) moments.push_back({"momentum_buffer", 2});
      break;
  }
  return moments;
}

template <class T>
auto update_of(const Kernels<T>& kernels, const OptimizerConfig& config) {
  switch (config.algorithm) {
    case Algorithm::sgd:
      return kernels.update_sgd;
    case Algorithm::adagrad:
      return kernels.update_adagrad;
    case Algorithm::rmsprop:
      return config.graves ? kernels.update_graves : kernels.update_rmsprop;
    default:
      return kernels.update_adam;
  }
}

double own_eps(const OptimizerConfig& config) {
  if (config.algorithm == Algorithm::adagrad) return 1e-10;
  return config.algorithm == Algorithm::rmsprop && config.graves ? 1e-4 : 1e-8;
}

}  // namespace

std::vector<const char*> moment_names_of(const OptimizerConfig& config) {
  std::vector<const char*> names;
  for (const Moment& moment : moments_of(config)) names.push_back(moment.name);
  return names;
}

template <class T>
Optimizer<T>::Optimizer(const OptimizerConfig& config, Params<T>& params)
    : config_(config), params_(params), groups_(params.tensors().size()) {
  if (std::isnan(config_.eps)) config_.eps = own_eps(config_);
  if (config_.algorithm == Algorithm::rmsprop && std::isnan(config_.alpha))
    config_.alpha = config_.graves ? 0.95 : 0.99;
  for (const Moment& moment : moments_of(config_)) {
    names_.push_back(moment.name);
    slots_.push_back(moment.slot);
    moments_.push_back(Buffer<T>::zeros(params.count()));
  }
}

template <class T>
bool Optimizer<T>::never_negative(size_t moment) const {
  const std::string_view name = names_[moment];
  return name == "sum" || name == "exp_avg_sq" || name == "max_exp_avg_sq" || name == "square_avg";
}

template <class T>
void Optimizer<T>::step(const T* gradient, double scale) {
  UpdateArgs<T> args{};
  args.scale = scale;
  args.momentum = config_.momentum;
  args.beta1 = config_.beta1;
  args.beta2 = config_.beta2;
  args.alpha = config_.alpha;
  args.eps = config_.eps;
  args.nesterov = config_.nesterov;
  args.first = steps_ == 0;
  ++steps_;
  args.correction1 = 1 - std::pow(config_.beta1, double(steps_));
  args.correction2 = 1 - std::pow(config_.beta2, double(steps_));
  const auto update = update_of(kernels_of<T>(*active_kernels()), config_);
  T* const parameters = params_.change();
  run_team(params_.count() / kThread, [&](const Team& team) {
    const int64_t begin = team.begin(params_.count()), end = team.end(params_.count());
    for (size_t i = 0; i < groups_.size(); ++i) {
      const Param& tensor = params_.tensors()[i];
      const int64_t first = std::max(begin, tensor.offset),
                    last = std::min(end, tensor.offset + tensor.count);
      if (tensor.frozen || first >= last) continue;
      const bool decays = tensor.shape.size() > 1 || config_.decay_biases;
      UpdateArgs<T> part = args;
      part.lr = config_.lr * groups_[i].lr_scale;
      part.weight_decay = !std::isnan(groups_[i].weight_decay) ? groups_[i].weight_decay
                          : decays                             ? config_.weight_decay
                                                               : 0;
      part.parameter = parameters + first;
      part.gradient = gradient + first;
      for (size_t k = 0; k < moments_.size(); ++k)
        part.moments[slots_[k]] = moments_[k].data() + first;
      part.count = last - first;
      update(part);
    }
  });
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace bptt
