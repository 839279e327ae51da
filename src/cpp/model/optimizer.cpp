#include "model/optimizer.h"

#include <algorithm>

#include "kernels.h"
#include "sequence/pool.h"

namespace bptt {
namespace {

constexpr int64_t kThread = 1 << 16;  // elements that are worth a thread

std::vector<const char*> moment_names_of(const OptimizerConfig& config) {
  switch (config.algorithm) {
    case Algorithm::sgd:
      return config.momentum != 0 ? std::vector<const char*>{"momentum_buffer"}
                                  : std::vector<const char*>{};
    case Algorithm::adagrad:
      return {"sum"};
    default:
      return {"exp_avg", "exp_avg_sq"};
  }
}

template <class T>
auto update_of(const Kernels<T>& kernels, Algorithm algorithm) {
  return algorithm == Algorithm::sgd       ? kernels.update_sgd
         : algorithm == Algorithm::adagrad ? kernels.update_adagrad
                                           : kernels.update_adam;
}

}  // namespace

template <class T>
Optimizer<T>::Optimizer(const OptimizerConfig& config, Params<T>& params)
    : config_(config), params_(params), names_(moment_names_of(config)) {
  if (std::isnan(config_.eps)) config_.eps = config_.algorithm == Algorithm::adagrad ? 1e-10 : 1e-8;
  for (size_t i = 0; i < names_.size(); ++i) moments_.push_back(Buffer<T>::zeros(params.count()));
}

template <class T>
void Optimizer<T>::step(const T* gradient, double scale) {
  UpdateArgs<T> args{};
  args.scale = scale;
  args.lr = config_.lr;
  args.momentum = config_.momentum;
  args.beta1 = config_.beta1;
  args.beta2 = config_.beta2;
  args.eps = config_.eps;
  args.weight_decay = config_.weight_decay;
  args.first = steps_ == 0;
  ++steps_;
  args.correction1 = 1 - std::pow(config_.beta1, double(steps_));
  args.correction2 = 1 - std::pow(config_.beta2, double(steps_));
  const auto update = update_of(kernels_of<T>(*active_kernels()), config_.algorithm);
  T* const parameters = params_.change();
  run_team(params_.count() / kThread, [&](const Team& team) {
    const int64_t begin = team.begin(params_.count()), end = team.end(params_.count());
    for (const Param& tensor : params_.tensors()) {
      const int64_t first = std::max(begin, tensor.offset),
                    last = std::min(end, tensor.offset + tensor.count);
      if (tensor.frozen || first >= last) continue;
      UpdateArgs<T> part = args;
      part.parameter = parameters + first;
      part.gradient = gradient + first;
      if (!moments_.empty()) part.moment1 = moments_[0].data() + first;
      if (moments_.size() > 1) part.moment2 = moments_[1].data() + first;
      part.count = last - first;
      update(part);
    }
  });
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace bptt
