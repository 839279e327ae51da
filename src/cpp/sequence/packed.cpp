// packed.cpp: the packing of weights for the kernels.
#include <algorithm>
#include <cmath>
#include <vector>

#include "sequence/stack.h"

namespace bptt {
namespace {

// Returns the effective W_hh: w_hh itself or, under Dale's law, a copy in `scratch` with signs
// applied.
template <class T>
const T* acting(const StackConfig& config, const T* w_hh, Buffer<T>& scratch) {
  if (!config.dales_law()) return w_hh;
  const int64_t H = config.hidden, excitatory = excitatory_units(config);
  scratch.reserve(checked_count(H, H));
  for (int64_t i = 0; i < H * H; ++i) {
    const T strength = std::abs(w_hh[i]);
    scratch[i] = i % H < excitatory ? strength : -strength;
  }
  return scratch.data();
}

template <class T>
void pack_slopes(const StackConfig& config, const T* w_hh, typename Packed<T>::Layer& layer) {
  if (!config.dales_law()) return;
  const int64_t H = config.hidden, excitatory = excitatory_units(config);
  layer.slopes.reserve(checked_count(H, H));
  for (int64_t i = 0; i < H; ++i) {
    for (int64_t j = 0; j < H; ++j) {
      const T weight = w_hh[i * H + j];
      const int8_t sign = int8_t((weight > 0) - (weight < 0));
      layer.slopes[i * H + j] = j < excitatory ? sign : int8_t(-sign);
    }
  }
}

// Packs peepholes, gains and alphas in planes.
template <class T>
void pack_vectors(const Stack<T>& stack, const T* parameters, const LayerOffsets& at,
                  typename Packed<T>::Layer& layer) {
  const StackConfig& config = stack.config();
  const Geometry<T>& geometry = stack.geometry();
  const CellShape& shape = geometry.shape;
  const int64_t H = config.hidden, G = shape.gates, plane = geometry.plane;
  auto copy = [&](T* to, int64_t from, int64_t planes) {
    for (int64_t p = 0; p < planes && from >= 0; ++p) {
      std::copy_n(parameters + from + p * H, H, to + p * plane);
      std::fill(to + p * plane + H, to + (p + 1) * plane, T(0));
    }
  };
  layer.peephole.reserve(shape.peepholes * plane);
  copy(layer.peephole.data(), at.peephole, shape.peepholes);
  if (!config.alphas.empty()) {
    layer.alphas.reserve(plane);
    std::fill_n(layer.alphas.data(), plane, T(1));
    std::copy(config.alphas.begin(), config.alphas.end(), layer.alphas.data());
  }
  if (!config.layer_norm) return;
  layer.gains.reserve((2 * G + 2) * plane);
  T* gains = layer.gains.data();
  copy(gains, at.ln_ih, G);
  copy(gains + G * plane, at.ln_hh, G);
  copy(gains + 2 * G * plane, at.ln_c, 1);
  copy(gains + (2 * G + 1) * plane, at.bias_ln_c, 1);
}

template <class T>
void pack_forward(const Stack<T>& stack, const T* parameters, bool one_hot,
                  const Kernels<T>& kernels, Packed<T>& packed) {
  const StackConfig& config = stack.config();
  const std::vector<LayerOffsets>& offsets = stack.offsets();
  const CellShape& shape = stack.geometry().shape;
  const int64_t H = config.hidden, R = config.state(), G = shape.gates,
                plane = stack.geometry().plane;
  packed.layers.resize(offsets.size());
  std::vector<Buffer<T>> signs(offsets.size());
  for (size_t w = 0; w < offsets.size(); ++w) {
    auto& layer = packed.layers[w];
    const int64_t I = stack.input_size(w);
    layer.recurrent.reserve(packed_size(kernels, R, H, shape.product_gates));
    if (shape.late_gates) layer.recurrent_n.reserve(packed_size(kernels, H, H, shape.late_gates));
    if (config.projection) layer.projection.reserve(packed_size(kernels, H, R, 1));
    layer.bias.reserve(G * plane);
    layer.bias_hidden.reserve(plane);
    if (stack.reads_input(w) && one_hot) {
      layer.token_rows.reserve(checked_count(I, G, plane));
    } else {
      layer.input.reserve(packed_size(kernels, I, H, G));
    }
  }
  for (size_t w = 0; w < offsets.size(); ++w) {
    auto& layer = packed.layers[w];
    const LayerOffsets& at = offsets[w];
    for (int64_t g = 0; g < G; ++g) {
      const bool apart = g == shape.apart;  // b_hn belongs inside r * (...)
      const auto bias = [&](int64_t from, int64_t u) {
        return u < H && from >= 0 ? parameters[from + g * H + u] : T(0);
      };
      for (int64_t u = 0; u < plane; ++u) {
        const T b_ih = bias(at.bias_ih, u), b_hh = bias(at.bias_hh, u);
        layer.bias[g * plane + u] = apart ? b_ih : b_ih + b_hh;
        if (apart) layer.bias_hidden[u] = b_hh;
      }
    }
    pack_vectors(stack, parameters, at, layer);
    if (shape.recurrent()) acting(config, parameters + at.weight_hh, signs[w]);
  }
  run_team(stack.team_size(kBlockRows), [&](const Team& team) {
    for (size_t w = 0; w < offsets.size(); ++w) {
      auto& layer = packed.layers[w];
      const LayerOffsets& at = offsets[w];
      const int64_t I = stack.input_size(w), first = shape.product_gates, late = shape.late_gates;
      const T* w_ih = parameters + at.weight_ih;
      const T* w_hh = signs[w].count() ? signs[w].data() : parameters + at.weight_hh;
      const auto pack = [&](const T* weight, int64_t depth, int64_t units, int64_t groups,
                            Buffer<T>& to) {
        pack_share(team, kernels,
                   transposed_packing(kernels, weight, depth, units, groups, to.data()));
      };
      if (first) pack(w_hh, R, H, first, layer.recurrent);
      if (late) pack(w_hh + first * H * H, H, H, late, layer.recurrent_n);
      if (config.projection) pack(parameters + at.weight_hr, H, R, 1, layer.projection);
      if (!stack.reads_input(w) || !one_hot) {
        pack(w_ih, I, H, G, layer.input);
        continue;
      }
      const int64_t begin = team.begin(I), end = team.end(I), row = G * plane;
      for (int64_t token = begin; token < end; ++token) {
        T* const to = layer.token_rows.data() + token * row;
        if (config.layer_norm) {
          std::fill_n(to, row, T(0));
        } else {
          std::copy_n(layer.bias.data(), row, to);
        }
      }
      for (int64_t g = 0; g < G; ++g) {
        kernels.add_transposed(w_ih + g * H * I + begin, I, H, end - begin,
                               layer.token_rows.data() + begin * row + g * plane, row);
      }
    }
  });
}

template <class T>
void pack_backward(const Stack<T>& stack, const T* parameters, const Kernels<T>& kernels,
                   Packed<T>& packed) {
  const StackConfig& config = stack.config();
  const std::vector<LayerOffsets>& offsets = stack.offsets();
  const CellShape& shape = stack.geometry().shape;
  const int64_t H = config.hidden, R = config.state(), G = shape.gates;
  const int64_t first = shape.product_gates, late = shape.late_gates;
  packed.layers.resize(offsets.size());
  std::vector<Buffer<T>> signs(offsets.size());
  for (size_t w = 0; w < offsets.size(); ++w) {
    auto& layer = packed.layers[w];
    layer.recurrent.reserve(packed_size(kernels, first * H, R, 1));
    if (late) layer.recurrent_n.reserve(packed_size(kernels, late * H, H, 1));
    if (config.projection) layer.projection.reserve(packed_size(kernels, R, H, 1));
    layer.input.reserve(packed_size(kernels, G * H, stack.input_size(w), 1));
    pack_vectors(stack, parameters, offsets[w], layer);
    if (!shape.recurrent()) continue;
    acting(config, parameters + offsets[w].weight_hh, signs[w]);
    pack_slopes(config, parameters + offsets[w].weight_hh, layer);
  }
  run_team(stack.team_size(kBlockRows), [&](const Team& team) {
    for (size_t w = 0; w < offsets.size(); ++w) {
      auto& layer = packed.layers[w];
      const LayerOffsets& at = offsets[w];
      const int64_t I = stack.input_size(w), K = first * H;
      const T* w_ih = parameters + at.weight_ih;
      const T* w_hh = signs[w].count() ? signs[w].data() : parameters + at.weight_hh;
      const auto pack = [&](const T* weight, int64_t depth, int64_t units, Buffer<T>& to) {
        pack_share(team, kernels, packing(kernels, {weight, units}, depth, units, to.data()));
      };
      if (first) pack(w_hh, K, R, layer.recurrent);
      if (late) pack(w_hh + K * H, late * H, H, layer.recurrent_n);
      if (config.projection) pack(parameters + at.weight_hr, R, H, layer.projection);
      for (int64_t p = 0; p < G; ++p) {  // in the order of the dz planes
        const T* gate = w_ih + shape.dz_input[p] * H * I;
        PackArgs<T> args = packing(kernels, {gate, I}, G * H, I, layer.input.data());
        args.k_begin = p * H;
        args.k_count = H;
        pack_share(team, kernels, args);
      }
    }
  });
}

}  // namespace

template <class T>
std::shared_ptr<const Packed<T>> packed_forward(const Stack<T>& stack, const T* parameters,
                                                uint64_t version, bool one_hot, Weights weights) {
  const KernelTable* table = active_kernels();
  PackCache<Packed<T>>& cache =
      weights == Weights::as_computed ? stack.forward_weights() : stack.narrow_weights();
  return cache.get({version, table, one_hot, weights}, [&](Packed<T>& packed) {
    pack_forward(stack, parameters, one_hot, kernels_of<T>(*table, stack.config().compute, weights),
                 packed);
  });
}

template <class T>
std::shared_ptr<const Packed<T>> packed_backward(const Stack<T>& stack, const T* parameters,
                                                 uint64_t version) {
  const KernelTable* table = active_kernels();
  return stack.backward_weights().get({version, table}, [&](Packed<T>& packed) {
    pack_backward(stack, parameters, kernels_of<T>(*table, stack.config().compute), packed);
  });
}

template <class T>
int64_t Stack<T>::team_size(int64_t rows) const {
  // In the time that waking another thread and two barriers cost, with a good margin, one thread
  // does about 2 * 10^6 multiply-adds.
  const double work = double(rows) * double(geometry_.shape.gates) * double(config_.hidden) *
                      double(config_.hidden + config_.input);
  const double worth = work / 1e6;
  return worth < 2 ? 1 : worth > 256 ? 256 : int64_t(worth);
}

#define BPTT_INSTANTIATE(T)                                                                       \
  template std::shared_ptr<const Packed<T>> packed_forward(const Stack<T>&, const T*, uint64_t,   \
                                                           bool, Weights);                        \
  template std::shared_ptr<const Packed<T>> packed_backward(const Stack<T>&, const T*, uint64_t); \
  template int64_t Stack<T>::team_size(int64_t) const;
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
