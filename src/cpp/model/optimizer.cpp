// optimizer.cpp: the update rules, and detection of updates that would overflow.
#include "model/optimizer.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/float_mode.h"
#include "base/pool.h"
#include "model/option_table.h"

namespace bptt {
namespace {

// The factors of an update as the kernel uses them: absolute values, the largest over all tensors
// (for `divisor` the smallest).
struct Factors {
  double lr = 0, step = 0;  // step: lr / correction1
  double divisor = 1, momentum = 0, alpha = 0, rest_alpha = 0;
  double beta1 = 0, rest1 = 0, beta2 = 0, rest2 = 0, eps = 0;
};

// A vector, one element per parameter, that the optimiser keeps between updates.
struct Moment {
  const char* name = nullptr;
  int slot = 0;          // its index in UpdateArgs::moments
  bool squares = false;  // a mean or sum of squares: never negative, since its root is taken
  bool (*kept)(const OptimizerConfig&) = nullptr;
};

bool always(const OptimizerConfig&) { return true; }
bool with_momentum(const OptimizerConfig& config) { return config.momentum != 0; }
bool with_amsgrad(const OptimizerConfig& config) { return config.amsgrad; }
bool if_centered(const OptimizerConfig& config) { return config.centered; }

// Elements of a tensor with constraints that are updated at a time: whole vectors, and with their
// moments and masks a part of the caches.
constexpr int64_t kCachedPart = 1024;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// An update rule. `move` mirrors its kernel (simd/update.h) with absolute values of all terms: it
// sets the bounds of the moments after an update with gradients up to g, and returns the farthest
// that a parameter can move, without decoupled weight decay.
struct Rule {
  Update update;
  double lr = 1e-3, momentum = 0;                   // the defaults of `options_of`
  double eps = 1e-8, alpha = kNone, beta2 = 0.999;  // those, and the ones that NaN selects
  // weight decay shrinks the parameters; otherwise it is added to the gradient
  bool decoupled = false;
  bool corrected = false;  // eps is added to the root after its division by sqrt(1 - beta2^t)
  Moment moments[3];
  double (*move)(const Factors& f, const UpdateBounds& now, double g, UpdateBounds& then);
};

// In the order of `Update`.
constexpr Rule kRules[] = {
    {.update = Update::sgd,
     .moments = {{"momentum_buffer", 0, false, with_momentum}},
     .move =
         [](const Factors& f, const UpdateBounds& now, double g, UpdateBounds& then) {
           then.moments[0] = f.momentum * now.moments[0] + g;
           return f.lr * (g + then.moments[0]);
         }},
    {.update = Update::adagrad,
     .lr = 1e-2,
     .eps = 1e-10,
     .moments = {{"sum", 0, true, always}},
     .move =
         [](const Factors& f, const UpdateBounds& now, double g, UpdateBounds& then) {
           then.moments[0] = now.moments[0] + g * g;
           return f.lr * g / f.divisor;
         }},
    {.update = Update::adam,
     .decoupled = true,
     .corrected = true,
     .moments = {{"exp_avg", 0, false, always},
                 {"exp_avg_sq", 1, true, always},
                 {"max_exp_avg_sq", 2, true, with_amsgrad}},
     .move =
         [](const Factors& f, const UpdateBounds& now, double g, UpdateBounds& then) {
           then.moments[0] = f.beta1 * now.moments[0] + f.rest1 * g;
           then.moments[1] = f.beta2 * now.moments[1] + f.rest2 * g * g;
           return f.step * then.moments[0] / f.divisor;
         }},
    {.update = Update::rmsprop,
     .lr = 1e-2,
     .alpha = 0.99,
     .moments = {{"square_avg", 0, true, always},
                 {"grad_avg", 1, false, if_centered},
                 {"momentum_buffer", 2, false, with_momentum}},
     .move =
         [](const Factors& f, const UpdateBounds& now, double g, UpdateBounds& then) {
           then.moments[0] = f.alpha * now.moments[0] + f.rest_alpha * g * g;
           then.moments[1] = f.alpha * now.moments[1] + f.rest_alpha * g;
           then.moments[2] = f.momentum * now.moments[2] + g / f.divisor;
           return f.lr * then.moments[2];
         }},
    {.update = Update::graves,
     .lr = 1e-4,
     .momentum = 0.9,
     .eps = 1e-4,
     .alpha = 0.95,
     .moments = {{"square_avg", 0, true, always},
                 {"grad_avg", 1, false, always},
                 {"momentum_buffer", 2, false, always}},
     .move =
         [](const Factors& f, const UpdateBounds& now, double g, UpdateBounds& then) {
           then.moments[0] = f.alpha * now.moments[0] + f.rest_alpha * g * g;
           then.moments[1] = f.alpha * now.moments[1] + f.rest_alpha * g;
           then.moments[2] =
               f.momentum * now.moments[2] + f.lr * g / std::max(std::sqrt(f.eps), f.divisor);
           return then.moments[2];
         }},
    {.update = Update::lion,
     .lr = 1e-4,
     .beta2 = 0.99,
     .decoupled = true,
     .moments = {{"exp_avg", 0, false, always}},
     .move =
         [](const Factors& f, const UpdateBounds& now, double g, UpdateBounds& then) {
           then.moments[0] = f.beta2 * now.moments[0] + f.rest2 * g;
           return f.lr;
         }},
};

const Rule& rule_of(const OptimizerConfig& config) {
  constexpr Update kUpdateOf[] = {Update::sgd, Update::adagrad, Update::adam, Update::rmsprop,
                                  Update::lion};
  const Update update = config.graves ? Update::graves : kUpdateOf[size_t(config.algorithm)];
  return kRules[size_t(update)];
}

// Calls body(moment) for each moment that is kept.
template <class Body>
void for_moments(const OptimizerConfig& config, const Body& body) {
  for (const Moment& moment : rule_of(config).moments) {
    if (moment.name && moment.kept(config)) body(moment);
  }
}

}  // namespace

void refuse_step() {
  throw Error(BPTT_ERR_STATE, "", "",
              "a step counter has reached its limit, " + std::to_string(kMostSteps));
}

bptt_optimizer_options options_of(bptt_algorithm algorithm, bptt_rmsprop_form form) {
  bptt_optimizer_options options = default_optimizer_options();
  options.algorithm = algorithm;
  options.rmsprop_form = form;
  const Rule& rule = rule_of(options);
  options.lr = rule.lr;
  options.momentum = rule.momentum;
  options.beta2 = rule.beta2;
  options.eps = rule.eps;
  options.rmsprop_alpha = rule.alpha;
  return options;
}

std::vector<const char*> moment_names_of(const OptimizerConfig& config) {
  std::vector<const char*> names;
  for_moments(config, [&](const Moment& moment) { names.push_back(moment.name); });
  return names;
}

template <class T>
Optimizer<T>::Optimizer(const OptimizerConfig& config, Params<T>& params)
    : config_(config),
      params_(params),
      tensor_steps_(params.tensors().size()),
      groups_(params.tensors().size()),
      updates_(params.tensors().size()) {
  const Rule& rule = rule_of(config_);
  if (std::isnan(config_.eps)) config_.eps = rule.eps;
  if (std::isnan(config_.rmsprop_alpha)) config_.rmsprop_alpha = rule.alpha;
  if (std::isnan(config_.beta2)) config_.beta2 = rule.beta2;
  for_moments(config_, [&](const Moment& moment) {
    names_.push_back(moment.name);
    slots_.push_back(moment.slot);
    squares_.push_back(moment.squares);
    moments_.push_back(Buffer<T>::zeros(params.count()));
  });
}

template <class T>
int64_t Optimizer<T>::first_impossible(size_t moment, const T* values) const {
  const bool squares = squares_[moment];
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

// An update that would overflow is detected in advance, at no cost in the usual case. Parameters
// and moments grow no faster than one bound for each, which a recursion computes from the norm of
// the gradient (already known) instead of its elements. If these bounds allow an overflow, they are
// computed again from the elements; if the new ones do too, the update is tried on copies. (A check
// of the elements in the kernel would add to every step a pass over the written data, and undoing
// would need a copy of everything.)
template <class T>
bool Optimizer<T>::step(const T* gradient, double largest, double scale) {
  prepare(scale);
  UpdateBounds then;
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

// Fills updates_ for this step.
template <class T>
void Optimizer<T>::prepare(double scale) {
  // Lower bound of the square root of any positive number.
  const bool flush = flush_subnormals.load(std::memory_order_relaxed);
  const double least =
      sizeof(T) == sizeof(float) ? (flush ? 0x1p-63 : 0x1p-75) : (flush ? 0x1p-511 : 0x1p-537);
  if (steps_ >= kMostSteps) refuse_step();
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
    if (tensor_steps_[i] >= kMostSteps) refuse_step();
    if (tensor_steps_[i] != counted) {
      counted = tensor_steps_[i];
      args.first = counted == 0;
      args.correction1 = 1 - std::pow(config_.beta1, double(counted + 1));
      args.correction2 = 1 - std::pow(config_.beta2, double(counted + 1));
      if (T(config_.eps) == T(0))
        args.least = least / (rule_of(config_).corrected ? std::sqrt(args.correction2) : 1);
    }
    const bool decays = tensor.is_matrix() || config_.decay_biases;
    args.lr = config_.lr * groups_[i].lr_scale;
    args.weight_decay = !std::isnan(groups_[i].weight_decay) ? groups_[i].weight_decay
                        : decays                             ? config_.weight_decay
                                                             : 0;
    updates_[i] = args;
  }
}

// Sets the bounds from the finite elements. Elements that are not finite may stay so.
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

// Computes the bounds after the update that updates_ describes, for scaled gradients up to
// `gradient`; returns whether no operation can overflow. All tensors share the bounds, so that the
// largest factor of any tensor counts.
template <class T>
bool Optimizer<T>::after_update(const UpdateBounds& now, double gradient,
                                UpdateBounds& then) const {
  constexpr double kRoundings = 1 + 0x1p-16;  // exceeds all rounding errors of one update
  const auto in_use = [](double factor) { return std::abs(double(T(factor))); };
  Factors factors;
  double decay = 0, keep = 1;  // keep: 1 - lr weight_decay
  for (size_t i = 0; i < updates_.size(); ++i) {
    if (params_.tensors()[i].frozen) continue;
    const UpdateArgs<T>& args = updates_[i];
    factors.lr = std::max(factors.lr, in_use(args.lr));
    factors.step = std::max(factors.step, in_use(args.lr / args.correction1));
    decay = std::max(decay, in_use(args.weight_decay));
    keep = std::max(keep, in_use(1 - args.lr * args.weight_decay));
    factors.divisor = std::min(factors.divisor, std::max(in_use(args.eps), args.least));
  }
  factors.momentum = in_use(config_.momentum);
  factors.alpha = in_use(config_.rmsprop_alpha);
  factors.rest_alpha = in_use(1 - config_.rmsprop_alpha);
  factors.beta1 = in_use(config_.beta1);
  factors.rest1 = in_use(1 - config_.beta1);
  factors.beta2 = in_use(config_.beta2);
  factors.rest2 = in_use(1 - config_.beta2);
  factors.eps = in_use(config_.eps);
  const Rule& rule = rule_of(config_);
  const double g = gradient + (rule.decoupled ? 0 : decay * now.parameter);
  then = now;
  double moved = rule.move(factors, now, g, then);
  if (rule.decoupled) moved += (keep - 1) * now.parameter;
  then.parameter = now.parameter + moved;
  constexpr double kLimit = double(std::numeric_limits<T>::max()) / 4;
  bool safe = g * (1 + factors.lr) < kLimit && (!rule.decoupled || keep < kLimit);
  for (double* bound : {&then.parameter, &then.moments[0], &then.moments[1], &then.moments[2]}) {
    *bound *= kRoundings;
    safe = safe && *bound < kLimit;
  }
  return safe;
}

// Updates the given arrays as updates_ describes.
template <class T>
void Optimizer<T>::update(T* parameters, std::vector<Buffer<T>>& moments, const T* gradient) const {
  const auto kernel = kernels_of<T>(*active_kernels()).update[size_t(rule_of(config_).update)];
  run_team(params_.count() / kElementsPerThread, [&](const Team& team) {
    const int64_t begin = team.begin(params_.count()), end = team.end(params_.count());
    for (size_t i = 0; i < updates_.size(); ++i) {
      const Param& tensor = params_.tensors()[i];
      const int64_t first = std::max(begin, tensor.offset),
                    last = std::min(end, tensor.offset + tensor.count);
      if (tensor.frozen || first >= last) continue;
      // The constraints read each part again while it is in the caches.
      const int64_t most = tensor.constrained() ? kCachedPart : last - first;
      for (int64_t at = first; at < last; at += most) {
        UpdateArgs<T> part = updates_[i];
        part.parameter = parameters + at;
        part.gradient = gradient + at;
        for (size_t k = 0; k < moments.size(); ++k)
          part.moments[slots_[k]] = moments[k].data() + at;
        part.count = std::min(most, last - at);
        kernel(part);
        params_.constrain(tensor, at - tensor.offset, part.count, part.parameter);
        for (Buffer<T>& moment : moments)
          params_.mask(tensor, at - tensor.offset, part.count, moment.data() + at);
      }
    }
  });
}

// Updates copies, and keeps them unless a finite number has become non-finite; returns whether it
// kept them. Numbers that were not finite before may stay so: a weight of -infinity can be
// intentional.
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
