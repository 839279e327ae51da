#include "model/optimizer.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/float_mode.h"
#include "base/pool.h"

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

[[noreturn]] void refuse_step(int64_t steps) {
  throw Error(BPTT_ERR_STATE, "", "counters of steps below " + std::to_string(kMostSteps),
              std::to_string(steps));
}

}  // namespace

std::vector<const char*> moment_names_of(const OptimizerConfig& config) {
  std::vector<const char*> names;
  for (const Moment& moment : moments_of(config)) names.push_back(moment.name);
  return names;
}

template <class T>
Optimizer<T>::Optimizer(const OptimizerConfig& config, Params<T>& params)
    : config_(config),
      params_(params),
      tensor_steps_(params.tensors().size()),
      groups_(params.tensors().size()),
      updates_(params.tensors().size()) {
  if (std::isnan(config_.eps)) config_.eps = own_eps(config_);
  if (config_.algorithm == Algorithm::rmsprop && std::isnan(config_.rmsprop_alpha))
    config_.rmsprop_alpha = config_.graves ? 0.95 : 0.99;
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
int64_t Optimizer<T>::first_impossible(size_t moment, const T* values) const {
  const bool squares = never_negative(moment);
  for (int64_t i = 0; i < params_.count(); ++i) {
    if (!std::isfinite(values[i]) || (squares && values[i] < 0)) return i;
  }
  return -1;
}

template <class T>
void Optimizer<T>::set_moment(size_t moment, const T* values) {
  std::copy_n(values, params_.count(), moments_[moment].data());
  bounded_ = 0;
}

template <class T>
void Optimizer<T>::set_steps(int64_t steps) {
  steps_ = steps;
  std::fill(tensor_steps_.begin(), tensor_steps_.end(), steps);
}

// An update is judged by what it would leave behind, and costs nothing to judge: moments and
// parameters cannot grow faster than a recursion over one bound for each, which takes the norm of the
// gradient, known already, in place of its elements. Only where these bounds do not exclude an
// overflow are they taken anew from the elements, and only where these do not either is the update
// tried on copies. (To judge the elements in the kernel would cost every step a pass over what it
// has written, and undoing a copy of everything.)
template <class T>
bool Optimizer<T>::step(const T* gradient, double largest, double scale) {
  prepare(scale);
  Bounds then;
  if (bounded_ != params_.version()) measure();
  bool safe = after_update(bounds_, largest * scale, then);
  if (!safe) {
    measure();
    const Kernels<T>& kernels = kernels_of<T>(*active_kernels());
    safe = after_update(bounds_, kernels.max_abs(gradient, params_.count()) * scale, then);
  }
  if (safe) {
    update(params_.change(), moments_, gradient);
    bounds_ = then;
    bounded_ = params_.version();
  } else if (!update_on_copies(gradient)) {
    return false;
  }
  ++steps_;
  for (size_t i = 0; i < tensor_steps_.size(); ++i)
    tensor_steps_[i] += !params_.tensors()[i].frozen;
  return true;
}

// Sets updates_.
template <class T>
void Optimizer<T>::prepare(double scale) {
  // The square root of no positive number is below this.
  const bool flush = flush_subnormals.load(std::memory_order_relaxed);
  const double least =
      sizeof(T) == sizeof(float) ? (flush ? 0x1p-63 : 0x1p-75) : (flush ? 0x1p-511 : 0x1p-537);
  if (steps_ >= kMostSteps) refuse_step(steps_);
  UpdateArgs<T> args{};
  args.scale = scale;
  args.momentum = config_.momentum;
  args.beta1 = config_.beta1;
  args.beta2 = config_.beta2;
  args.alpha = config_.rmsprop_alpha;
  args.eps = config_.eps;
  args.nesterov = config_.nesterov != 0;
  int64_t counted = -1;
  for (size_t i = 0; i < updates_.size(); ++i) {
    const Param& tensor = params_.tensors()[i];
    if (tensor.frozen) continue;
    if (tensor_steps_[i] >= kMostSteps) refuse_step(tensor_steps_[i]);
    if (tensor_steps_[i] != counted) {
      counted = tensor_steps_[i];
      args.first = counted == 0;
      args.correction1 = 1 - std::pow(config_.beta1, double(counted + 1));
      args.correction2 = 1 - std::pow(config_.beta2, double(counted + 1));
      const bool corrected = config_.algorithm == Algorithm::adam;  // the root that eps is added to
      if (T(config_.eps) == T(0))
        args.least = least / (corrected ? std::sqrt(args.correction2) : 1);
    }
    const bool decays = tensor.shape.size() > 1 || config_.decay_biases;
    args.lr = config_.lr * groups_[i].lr_scale;
    args.weight_decay = !std::isnan(groups_[i].weight_decay) ? groups_[i].weight_decay
                        : decays                             ? config_.weight_decay
                                                             : 0;
    updates_[i] = args;
  }
}

// Of finite elements: what is not finite may stay so.
template <class T>
void Optimizer<T>::measure() {
  const Kernels<T>& kernels = kernels_of<T>(*active_kernels());
  const auto largest = [&](const T* values) {
    double most = kernels.max_abs(values, params_.count());
    if (std::isfinite(most)) return most;
    most = 0;
    for (int64_t i = 0; i < params_.count(); ++i) {
      const double size = std::abs(double(values[i]));
      if (std::isfinite(size)) most = std::max(most, size);
    }
    return most;
  };
  bounds_ = {};
  bounds_.parameter = largest(std::as_const(params_).data());
  for (size_t k = 0; k < moments_.size(); ++k)
    bounds_.moments[slots_[k]] = largest(moments_[k].data());
  bounded_ = params_.version();
}

// Bounds after the update that updates_ describes, with gradients (scaled) up to `gradient`; whether
// nothing in it can overflow. The kernels in simd/update.h with an absolute value for every term;
// tensors share the bounds, so the largest factor of any of them counts.
template <class T>
bool Optimizer<T>::after_update(const Bounds& now, double gradient, Bounds& then) const {
  constexpr double kRoundings = 1 + 0x1p-16;  // more than all of one update's can add
  const auto in_use = [](double factor) { return std::abs(double(T(factor))); };
  double lr = 0, step = 0, decay = 0, keep = 1, divisor = 1;
  for (size_t i = 0; i < updates_.size(); ++i) {
    if (params_.tensors()[i].frozen) continue;
    const UpdateArgs<T>& args = updates_[i];
    lr = std::max(lr, in_use(args.lr));
    step = std::max(step, in_use(args.lr / args.correction1));
    decay = std::max(decay, in_use(args.weight_decay));
    keep = std::max(keep, in_use(1 - args.lr * args.weight_decay));
    divisor = std::min(divisor, std::max(in_use(args.eps), args.least));
  }
  const bool adam = config_.algorithm == Algorithm::adam;
  const double momentum = in_use(config_.momentum);
  const double alpha = in_use(config_.rmsprop_alpha), rest = in_use(1 - config_.rmsprop_alpha);
  const double g = gradient + (adam ? 0 : decay * now.parameter);
  double moved = 0;  // how far a parameter moves
  then = now;
  switch (config_.algorithm) {
    case Algorithm::sgd:
      then.moments[0] = momentum * now.moments[0] + g;
      moved = lr * (g + then.moments[0]);
      break;
    case Algorithm::adagrad:
      then.moments[0] = now.moments[0] + g * g;
      moved = lr * g / divisor;
      break;
    case Algorithm::adam:
      then.moments[0] = in_use(config_.beta1) * now.moments[0] + in_use(1 - config_.beta1) * g;
      then.moments[1] = in_use(config_.beta2) * now.moments[1] + in_use(1 - config_.beta2) * g * g;
      moved = step * then.moments[0] / divisor + (keep - 1) * now.parameter;
      break;
    case Algorithm::rmsprop:
      then.moments[0] = alpha * now.moments[0] + rest * g * g;
      then.moments[1] = alpha * now.moments[1] + rest * g;
      then.moments[2] = momentum * now.moments[2];
      if (config_.graves) {
        then.moments[2] += lr * g / std::max(std::sqrt(in_use(config_.eps)), divisor);
        moved = then.moments[2];
      } else {
        then.moments[2] += g / divisor;
        moved = lr * then.moments[2];
      }
      break;
  }
  then.parameter = now.parameter + moved;
  constexpr double kLimit = double(std::numeric_limits<T>::max()) / 4;
  bool safe = g * (1 + lr) < kLimit && (!adam || keep < kLimit);
  for (double* bound : {&then.parameter, &then.moments[0], &then.moments[1], &then.moments[2]}) {
    *bound *= kRoundings;
    safe = safe && *bound < kLimit;
  }
  return safe;
}

// Updates what it is given, as updates_ says.
template <class T>
void Optimizer<T>::update(T* parameters, std::vector<Buffer<T>>& moments, const T* gradient) const {
  const auto kernel = update_of(kernels_of<T>(*active_kernels()), config_);
  run_team(params_.count() / kThread, [&](const Team& team) {
    const int64_t begin = team.begin(params_.count()), end = team.end(params_.count());
    for (size_t i = 0; i < updates_.size(); ++i) {
      const Param& tensor = params_.tensors()[i];
      const int64_t first = std::max(begin, tensor.offset),
                    last = std::min(end, tensor.offset + tensor.count);
      if (tensor.frozen || first >= last) continue;
      UpdateArgs<T> part = updates_[i];
      part.parameter = parameters + first;
      part.gradient = gradient + first;
      for (size_t k = 0; k < moments.size(); ++k)
        part.moments[slots_[k]] = moments[k].data() + first;
      part.count = last - first;
      kernel(part);
    }
  });
}

// Updates copies, and keeps them unless a number that was finite no longer is; returns whether it did.
// What was not finite before may stay so: a weight of -infinity can be meant.
template <class T>
bool Optimizer<T>::update_on_copies(const T* gradient) {
  const int64_t count = params_.count();
  const auto copy = [count](const T* values) {
    Buffer<T> copied(count);
    std::copy_n(values, count, copied.data());
    return copied;
  };
  const T* const before = std::as_const(params_).data();
  Buffer<T> parameters = copy(before);
  std::vector<Buffer<T>> moments;
  for (const Buffer<T>& moment : moments_) moments.push_back(copy(moment.data()));
  update(parameters.data(), moments, gradient);
  const auto spoilt = [count](const T* old, const T* now) {
    for (int64_t i = 0; i < count; ++i) {
      if (!std::isfinite(now[i]) && std::isfinite(old[i])) return true;
    }
    return false;
  };
  if (spoilt(before, parameters.data())) return false;
  for (size_t k = 0; k < moments.size(); ++k) {
    if (spoilt(moments_[k].data(), moments[k].data())) return false;
  }
  std::copy_n(parameters.data(), count, params_.change());
  moments_ = std::move(moments);
  bounded_ = 0;
  return true;
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace bptt
