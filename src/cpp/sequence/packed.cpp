// packed.cpp: weights in the order in which the kernels read them.
#include <algorithm>
#include <cmath>
#include <vector>

#include "sequence/stack.h"

namespace bptt {
namespace {

// All panels of a packing, shared by a team.
template <class T>
void pack_shared(const Team& team, const Kernels<T>& kernels, PackArgs<T> args) {
  const int64_t panels = panel_count(kernels, args.units);
  args.panel_begin = team.begin(panels);
  args.panel_end = team.end(panels);
  kernels.pack(args);
}

// W_hh as it acts: with the signs of Dale's law, then in `scratch`.
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

// Peepholes and gains, in planes.
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
    if (shape.product_gates < G) layer.recurrent_n.reserve(packed_size(kernels, H, H, 1));
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
      const bool apart = config.cell == Cell::gru && g == 2;  // b_hn stands inside r * (...)
      for (int64_t u = 0; u < plane; ++u) {
        const bool real = u < H && at.bias_ih >= 0;
        const T b_ih = real ? parameters[at.bias_ih + g * H + u] : T(0);
        const T b_hh = real ? parameters[at.bias_hh + g * H + u] : T(0);
        layer.bias[g * plane + u] = apart ? b_ih : b_ih + b_hh;
        if (apart) layer.bias_hidden[u] = b_hh;
      }
    }
    pack_vectors(stack, parameters, at, layer);
    acting(config, parameters + at.weight_hh, signs[w]);
  }
  run_team(stack.team_size(kBlockRows), [&](const Team& team) {
    for (size_t w = 0; w < offsets.size(); ++w) {
      auto& layer = packed.layers[w];
      const LayerOffsets& at = offsets[w];
      const int64_t I = stack.input_size(w), first = shape.product_gates;
      const T* w_ih = parameters + at.weight_ih;
      const T* w_hh = signs[w].count() ? signs[w].data() : parameters + at.weight_hh;
      pack_shared(team, kernels,
                  PackArgs<T>{w_hh, 1, R, H * R, H, first, R, 0, R, 0, 0, layer.recurrent.data()});
      if (first < G) {
        pack_shared(team, kernels,
                    PackArgs<T>{w_hh + first * H * H, 1, H, H * H, H, 1, H, 0, H, 0, 0,
                                layer.recurrent_n.data()});
      }
      if (config.projection) {
        pack_shared(team, kernels,
                    PackArgs<T>{parameters + at.weight_hr, 1, H, H * R, R, 1, H, 0, H, 0, 0,
                                layer.projection.data()});
      }
      if (!stack.reads_input(w) || !one_hot) {
        pack_shared(team, kernels,
                    PackArgs<T>{w_ih, 1, I, H * I, H, G, I, 0, I, 0, 0, layer.input.data()});
        continue;
      }
      for (int64_t token = team.begin(I); token < team.end(I); ++token) {
        for (int64_t g = 0; g < G; ++g) {
          T* row = layer.token_rows.data() + (token * G + g) * plane;
          for (int64_t u = 0; u < H; ++u) {
            row[u] = w_ih[(g * H + u) * I + token];
            if (!config.layer_norm) row[u] += layer.bias[g * plane + u];
          }
        }
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
  const int64_t first = shape.product_gates;
  packed.layers.resize(offsets.size());
  std::vector<Buffer<T>> signs(offsets.size());
  for (size_t w = 0; w < offsets.size(); ++w) {
    auto& layer = packed.layers[w];
    layer.recurrent.reserve(packed_size(kernels, first * H, R, 1));
    if (first < G) layer.recurrent_n.reserve(packed_size(kernels, H, H, 1));
    if (config.projection) layer.projection.reserve(packed_size(kernels, R, H, 1));
    layer.input.reserve(packed_size(kernels, G * H, stack.input_size(w), 1));
    pack_vectors(stack, parameters, offsets[w], layer);
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
      pack_shared(team, kernels,
                  PackArgs<T>{w_hh, R, 1, 0, R, 1, K, 0, K, 0, 0, layer.recurrent.data()});
      if (first < G) {
        pack_shared(
            team, kernels,
            PackArgs<T>{w_hh + K * H, H, 1, 0, H, 1, H, 0, H, 0, 0, layer.recurrent_n.data()});
      }
      if (config.projection) {
        pack_shared(team, kernels,
                    PackArgs<T>{parameters + at.weight_hr, H, 1, 0, H, 1, R, 0, R, 0, 0,
                                layer.projection.data()});
      }
      for (int64_t p = 0; p < G; ++p) {  // in the order of the dz planes
        const T* gate = w_ih + shape.dz_input[p] * H * I;
        pack_shared(team, kernels,
                    PackArgs<T>{gate, I, 1, 0, I, 1, G * H, p * H, H, 0, 0, layer.input.data()});
      }
    }
  });
}

}  // namespace

template <class T>
std::shared_ptr<const Packed<T>> packed_forward(const Stack<T>& stack, const T* parameters,
                                                uint64_t version, bool one_hot) {
  const KernelTable* table = active_kernels();
  return stack.forward_weights().get({version, table, one_hot}, [&](Packed<T>& packed) {
    pack_forward(stack, parameters, one_hot, kernels_of<T>(*table, stack.config().compute), packed);
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
  // One thread does about 2 * 10^6 multiply-adds in the time that waking another and two barriers
  // cost with a good margin.
  const double work = double(rows) * double(geometry_.shape.gates) * double(config_.hidden) *
                      double(config_.hidden + config_.input);
  const double worth = work / 1e6;
  return worth < 2 ? 1 : worth > 256 ? 256 : int64_t(worth);
}

#define BPTT_INSTANTIATE(T)                                                                       \
  template std::shared_ptr<const Packed<T>> packed_forward(const Stack<T>&, const T*, uint64_t,   \
                                                           bool);                                 \
  template std::shared_ptr<const Packed<T>> packed_backward(const Stack<T>&, const T*, uint64_t); \
  template int64_t Stack<T>::team_size(int64_t) const;
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
