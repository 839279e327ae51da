// init.cpp: the initialisation schemes, and the tensors that each one fills.
#include "model/init.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/linalg.h"
#include "base/pace.h"
#include "base/random.h"
#include "model/spectral_radius.h"

namespace bptt {
namespace {

constexpr double kIdentityInputStd = 0.001;  // Le et al. 2015
constexpr int64_t kSparseEntries = 15;       // nonzero elements per row: Martens 2010

// The random numbers of one tensor; each call counts work, so that the caller can cancel.
struct Draw {
  RandomStream random;
  Pace& pace;

  double normal() {
    pace.did(100);
    return random.normal();
  }
  double uniform(double low, double high) {
    pace.did(50);
    return random.uniform(low, high);
  }
};

template <class T>
void fill_uniform(Draw& draw, double bound, T* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<T>(draw.uniform(-bound, bound));
}

template <class T>
void fill_normal(Draw& draw, double deviation, T* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<T>(deviation * draw.normal());
}

// Fills each gate's [H, columns] with orthonormal columns; columns <= H.
template <class T>
void fill_orthogonal(Draw& draw, double gain, int64_t gates, int64_t hidden, int64_t columns,
                     T* values) {
  const int64_t count = checked_count(hidden, columns);
  Buffer<double> block(count);
  for (int64_t gate = 0; gate < gates; ++gate) {
    for (int64_t i = 0; i < count; ++i) block[i] = draw.normal();
    orthogonal_factor(block, hidden, columns, draw.pace);
    for (int64_t i = 0; i < count; ++i) values[gate * count + i] = static_cast<T>(gain * block[i]);
  }
}

template <class T>
void fill_identity(double gain, int64_t gates, int64_t hidden, int64_t columns, T* values) {
  std::fill_n(values, gates * hidden * columns, T(0));
  for (int64_t row = 0; row < gates * hidden; ++row) {
    if (row % hidden < columns) values[row * columns + row % hidden] = static_cast<T>(gain);
  }
}

// Returns the factor that scales `block` to the spectral radius.
double factor_to(double radius, const Buffer<double>& block, int64_t hidden, Pace& pace) {
  const double found = spectral_radius(block, hidden, pace);
  return found > 0 ? radius / found : 1;
}

// Fills each gate's [H, H]: `entries` elements of N(0, 1) per row, at places drawn without
// replacement. Then rescales the matrix to the spectral radius.
template <class T>
void fill_rescaled(Draw& draw, double radius, int64_t entries, int64_t gates, int64_t hidden,
                   T* values) {
  const int64_t count = checked_count(hidden, hidden);
  Buffer<double> block(count);
  std::vector<int64_t> places(static_cast<size_t>(hidden));
  std::iota(places.begin(), places.end(), 0);
  for (int64_t gate = 0; gate < gates; ++gate) {
    std::fill_n(block.data(), count, 0.0);
    for (int64_t row = 0; row < hidden; ++row) {
      for (int64_t i = 0; i < entries; ++i) {
        if (entries < hidden) {
          const auto drawn = static_cast<int64_t>(draw.random.uniform() * double(hidden - i));
          std::swap(places[static_cast<size_t>(i)], places[static_cast<size_t>(i + drawn)]);
        }
        block[row * hidden + places[static_cast<size_t>(i)]] = draw.normal();
      }
    }
    const double factor = factor_to(radius, block, hidden, draw.pace);
    for (int64_t i = 0; i < count; ++i)
      values[gate * count + i] = static_cast<T>(factor * block[i]);
  }
}

// Draws biases b for the gates that keep the state for a time 1 + e^b, with e^b ~ U[1, time_scale -
// 1], and uses -b for the gates that admit the input (Tallec & Ollivier 2018). b_hh of these gates
// is 0.
template <class T>
void fill_chrono(Draw& draw, double time_scale, const CellShape& shape, bool hidden_bias,
                 int64_t hidden, T* values) {
  for (int64_t unit = 0; unit < hidden; ++unit) {
    const double keep = hidden_bias ? 0 : natural_logarithm(draw.uniform(1, time_scale - 1));
    for (int64_t g = 0; g < shape.gates; ++g) {
      const int sign = shape.gate[g].keeps;
      if (sign != 0) values[g * hidden + unit] = static_cast<T>(sign * keep);
    }
  }
}

// The shape of a tensor of a recurrent layer; `kind` is its name without prefix.
struct Tensor {
  std::string_view kind;
  int64_t gates, columns, count;
  bool is(std::string_view start) const { return kind.starts_with(start); }
};

template <class T>
void fill_weight_hh(const bptt_layer_options& config, const Tensor& tensor, int64_t H, Draw& draw,
                    double bound, T* values) {
  const int64_t gates = tensor.gates, columns = tensor.columns;
  switch (config.init) {
    case BPTT_INIT_ORTHOGONAL:
      return fill_orthogonal(draw, config.init_gain, gates, H, columns, values);
    case BPTT_INIT_KERAS:
      return fill_orthogonal(draw, 1.0, 1, gates * H, columns, values);
    case BPTT_INIT_IDENTITY:
      return fill_identity(config.init_gain, gates, H, columns, values);
    case BPTT_INIT_NORMAL:
      return fill_rescaled(draw, config.spectral_radius, H, gates, H, values);
    case BPTT_INIT_SPARSE:
      return fill_rescaled(draw, config.spectral_radius, std::min(H, kSparseEntries), gates, H,
                           values);
    case BPTT_INIT_XAVIER:
      return fill_uniform(draw, std::sqrt(6.0 / double(H + columns)), values, tensor.count);
    default:
      fill_uniform(draw, bound, values, tensor.count);
  }
}

// The spectral radius that `init` implies for a square W_hh: U(-b, b) has b sqrt(H / 3).
double radius_of(const bptt_layer_options& config) {
  switch (config.init) {
    case BPTT_INIT_ORTHOGONAL:
      return std::fabs(config.init_gain);
    case BPTT_INIT_NORMAL:
      return config.spectral_radius;
    case BPTT_INIT_XAVIER:
    case BPTT_INIT_KERAS:
      return 1;
    default:
      return std::sqrt(1 / 3.0);
  }
}

// Draws W_hh as without Dale's law, then rescales the effective matrix, |W_hh| with the signs of
// its columns, to the spectral radius that `init` implies. Before that, the inhibitory elements of
// each row are rescaled so that the row sums to 0; otherwise the mean of the elements adds an
// eigenvalue far outside the others (Rajan & Abbott 2006). If all units have the same sign, this
// eigenvalue remains and is the spectral radius.
template <class T>
void fill_weight_hh_of_dale(const LayerConfig& layer, const Tensor& tensor, Draw& draw,
                            double bound, T* values) {
  const int64_t H = layer.hidden, excite = excitatory_units(layer);
  if (layer.init == BPTT_INIT_NORMAL) {
    fill_normal(draw, 1.0, values, tensor.count);
  } else {
    bptt_layer_options start = layer;
    start.init_gain = 1;  // `factor` below sets the scale
    fill_weight_hh(start, tensor, H, draw, bound, values);
  }
  Buffer<double> acting(tensor.count);
  for (int64_t i = 0; i < H; ++i) {
    double* row = acting.data() + i * H;
    for (int64_t j = 0; j < H; ++j) row[j] = std::fabs(double(values[i * H + j]));
    const double more = std::accumulate(row, row + excite, 0.0),
                 less = std::accumulate(row + excite, row + H, 0.0);
    const double balance = more > 0 && less > 0 ? -more / less : -1;
    for (int64_t j = excite; j < H; ++j) row[j] *= balance;
  }
  const double factor = factor_to(radius_of(layer), acting, H, draw.pace);
  for (int64_t i = 0; i < tensor.count; ++i)
    values[i] = static_cast<T>(std::copysign(factor * acting[i], double(values[i])));
}

template <class T>
void fill_weight_ih(const bptt_layer_options& config, const Tensor& tensor, int64_t H, Draw& draw,
                    double bound, T* values) {
  switch (config.init) {
    case BPTT_INIT_IDENTITY:
      return fill_normal(draw, kIdentityInputStd, values, tensor.count);
    case BPTT_INIT_XAVIER:
      bound = std::sqrt(6.0 / double(H + tensor.columns));
      break;
    case BPTT_INIT_KERAS:
      bound = std::sqrt(6.0 / double(tensor.gates * H + tensor.columns));
      break;
    default:
      break;
  }
  fill_uniform(draw, bound, values, tensor.count);
}

template <class T>
void fill_bias(const LayerConfig& config, const Tensor& tensor, int64_t H, Draw& draw, double bound,
               T* values) {
  const bool hidden_bias = tensor.is("bias_hh");
  const CellShape shape = config.shape();
  if (config.init == BPTT_INIT_IDENTITY || config.init == BPTT_INIT_XAVIER ||
      config.init == BPTT_INIT_KERAS) {
    std::fill_n(values, tensor.count, T(0));
  } else {
    fill_uniform(draw, bound, values, tensor.count);
  }
  if (config.init == BPTT_INIT_CHRONO)
    fill_chrono(draw, config.time_scale, shape, hidden_bias, H, values);
  double forget = config.forget_bias;
  if (std::isnan(forget) && config.init == BPTT_INIT_KERAS) forget = 1;
  if (shape.forget_gate() >= 0 && !std::isnan(forget))
    std::fill_n(values + shape.forget_gate() * H, H, static_cast<T>(hidden_bias ? 0 : forget));
}

template <class T>
void fill_recurrent(const NetworkConfig& network, const Tensor& tensor, Draw& draw, double bound,
                    T* values) {
  if (tensor.is("weight_hh") && network.dale >= 0) {
    fill_weight_hh_of_dale(network, tensor, draw, bound, values);
  } else if (tensor.is("weight_hh")) {
    fill_weight_hh(network, tensor, network.hidden, draw, bound, values);
  } else if (tensor.is("weight_ih")) {
    fill_weight_ih(network, tensor, network.hidden, draw, bound, values);
  } else if (tensor.is("bias_ih") || tensor.is("bias_hh")) {
    fill_bias(network, tensor, network.hidden, draw, bound, values);
  } else if (tensor.is("weight_ln") || tensor.is("bias_ln")) {
    std::fill_n(values, tensor.count, tensor.is("weight_ln") ? T(1) : T(0));
  } else if (tensor.is("h0") || tensor.is("c0")) {
    std::fill_n(values, tensor.count, T(0));
  } else {
    fill_uniform(draw, bound, values, tensor.count);
  }
}

}  // namespace

template <class T>
void initialise(Network<T>& network) {
  Params<T>& params = network.params();
  const std::string& prefix = network.config().prefix;
  const double bound = 1 / std::sqrt(static_cast<double>(network.config().hidden));
  T* const data = params.change();
  Pace pace;
  for (const Param& tensor : params.tensors()) {
    Draw draw{RandomStream(network.config().seed, tensor.name), pace};
    T* values = data + tensor.offset;
    if (tensor.name == "embedding.weight") {
      fill_normal(draw, 1.0, values, tensor.count);
    } else if (tensor.name.starts_with("readout.")) {
      fill_uniform(draw, bound, values, tensor.count);
    } else {
      const int64_t columns = tensor.shape.size() > 1 ? tensor.shape[1] : 1;
      fill_recurrent(network.config(),
                     {std::string_view(tensor.name).substr(prefix.size()),
                      tensor.shape[0] / network.config().hidden, columns, tensor.count},
                     draw, bound, values);
    }
  }
}

template void initialise(Network<float>&);
template void initialise(Network<double>&);

}  // namespace bptt
