#include "model/init.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "model/linalg.h"
#include "model/random.h"

namespace bptt {
namespace {

constexpr double kIdentityInputStd = 0.001;  // Le et al. 2015

template <class T>
void fill_uniform(RandomStream& random, double bound, T* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<T>(random.uniform(-bound, bound));
}

template <class T>
void fill_normal(RandomStream& random, double deviation, T* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<T>(deviation * random.normal());
}

// Each gate's [H, H].
template <class T>
void fill_orthogonal(RandomStream& random, double gain, int64_t gates, int64_t hidden, T* values) {
  const int64_t count = checked_count(hidden, hidden);
  Buffer<double> block(count);
  for (int64_t gate = 0; gate < gates; ++gate) {
    for (int64_t i = 0; i < count; ++i) block[i] = random.normal();
    orthogonal_factor(block, hidden);
    for (int64_t i = 0; i < count; ++i) values[gate * count + i] = static_cast<T>(gain * block[i]);
  }
}

template <class T>
void fill_identity(double gain, int64_t gates, int64_t hidden, T* values) {
  std::fill_n(values, gates * hidden * hidden, T(0));
  for (int64_t row = 0; row < gates * hidden; ++row)
    values[row * hidden + row % hidden] = static_cast<T>(gain);
}

// A tensor of a recurrent layer; `kind` is its name without prefix.
template <class T>
void fill_recurrent(const NetworkConfig& network, const InitConfig& config, std::string_view kind,
                    RandomStream& random, double bound, T* values, int64_t count) {
  const int64_t gates = network.shape().gates, H = network.hidden;
  if (kind.starts_with("weight_hh") && config.weights == WeightInit::orthogonal) {
    fill_orthogonal(random, config.gain, gates, H, values);
  } else if (kind.starts_with("weight_hh") && config.weights == WeightInit::identity) {
    fill_identity(config.gain, gates, H, values);
  } else if (kind.starts_with("weight_ih") && config.weights == WeightInit::identity) {
    fill_normal(random, kIdentityInputStd, values, count);
  } else if (kind.starts_with("bias") && config.weights == WeightInit::identity) {
    std::fill_n(values, count, T(0));
  } else {
    fill_uniform(random, bound, values, count);
  }
  if (network.cell == Cell::lstm && kind.starts_with("bias") && !std::isnan(config.forget_bias)) {
    std::fill_n(
        values + H, H,
        kind.starts_with("bias_ih") ? static_cast<T>(config.forget_bias) : T(0));  // gates i f g o
  }
}

}  // namespace

template <class T>
void initialise(Network<T>& network, const InitConfig& config) {
  if (config.given) return;
  Params<T>& params = network.params();
  const std::string& prefix = network.config().prefix;
  const double bound = 1 / std::sqrt(static_cast<double>(network.config().hidden));
  T* const data = params.change();
  for (const Param& tensor : params.tensors()) {
    RandomStream random(config.seed, tensor.name);
    T* values = data + tensor.offset;
    if (tensor.name == "embedding.weight") {
      fill_normal(random, 1.0, values, tensor.count);
    } else if (tensor.name.starts_with("readout.")) {
      fill_uniform(random, bound, values, tensor.count);
    } else {
      fill_recurrent(network.config(), config, std::string_view(tensor.name).substr(prefix.size()),
                     random, bound, values, tensor.count);
    }
  }
}

template void initialise(Network<float>&, const InitConfig&);
template void initialise(Network<double>&, const InitConfig&);

}  // namespace bptt
