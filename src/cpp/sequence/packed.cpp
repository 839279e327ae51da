// packed.cpp: weights in the order in which the kernels read them.
#include "sequence/layer.h"

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

}  // namespace

template <class T>
void Stack<T>::pack_forward(const T* parameters, Packed<T>& packed, const Kernels<T>& kernels) const {
  const CellShape shape = cell_shape(config_.cell);
  const int64_t H = config_.hidden, G = shape.gates, plane = geometry_.plane;
  packed.layers.resize(offsets_.size());
  for (size_t l = 0; l < offsets_.size(); ++l) {
    auto& layer = packed.layers[l];
    const int64_t I = l ? H : config_.input;
    layer.recurrent.reserve(packed_size(kernels, H, H, G));
    layer.bias.reserve(G * plane);
    layer.bias_hidden.reserve(plane);
    if (l == 0 && packed.one_hot) {
      layer.token_rows.reserve(checked_count(I, G, plane));
    } else {
      layer.input.reserve(packed_size(kernels, I, H, G));
    }
  }
  for (size_t l = 0; l < offsets_.size(); ++l) {
    auto& layer = packed.layers[l];
    const LayerOffsets& at = offsets_[l];
    for (int64_t g = 0; g < G; ++g) {
      const bool apart = config_.cell == Cell::gru && g == 2;  // b_hn stands inside r * (...)
      for (int64_t u = 0; u < plane; ++u) {
        const bool real = u < H && at.bias_ih >= 0;
        const T b_ih = real ? parameters[at.bias_ih + g * H + u] : T(0);
        const T b_hh = real ? parameters[at.bias_hh + g * H + u] : T(0);
        layer.bias[g * plane + u] = apart ? b_ih : b_ih + b_hh;
        if (apart) layer.bias_hidden[u] = b_hh;
      }
    }
  }
  run_team(team_size(kBlockRows), [&](const Team& team) {
    for (size_t l = 0; l < offsets_.size(); ++l) {
      auto& layer = packed.layers[l];
      const int64_t I = l ? H : config_.input;
      const T* w_ih = parameters + offsets_[l].weight_ih;
      const T* w_hh = parameters + offsets_[l].weight_hh;
      pack_shared(team, kernels, PackArgs<T>{w_hh, 1, H, H * H, H, G, H, 0, H, 0, 0, layer.recurrent.data()});
      if (l > 0 || !packed.one_hot) {
        pack_shared(team, kernels, PackArgs<T>{w_ih, 1, I, H * I, H, G, I, 0, I, 0, 0, layer.input.data()});
      } else {
        for (int64_t token = team.begin(I); token < team.end(I); ++token) {
          for (int64_t g = 0; g < G; ++g) {
            T* row = layer.token_rows.data() + (token * G + g) * plane;
            for (int64_t u = 0; u < H; ++u) row[u] = w_ih[(g * H + u) * I + token] + layer.bias[g * plane + u];
          }
        }
      }
    }
  });
}

template <class T>
void Stack<T>::pack_backward(const T* parameters, Packed<T>& packed, const Kernels<T>& kernels) const {
  const CellShape shape = cell_shape(config_.cell);
  const int64_t H = config_.hidden, G = shape.gates;
  packed.layers.resize(offsets_.size());
  for (size_t l = 0; l < offsets_.size(); ++l) {
    packed.layers[l].recurrent.reserve(packed_size(kernels, G * H, H, 1));
    packed.layers[l].input.reserve(packed_size(kernels, G * H, l ? H : config_.input, 1));
  }
  run_team(team_size(kBlockRows), [&](const Team& team) {
    for (size_t l = 0; l < offsets_.size(); ++l) {
      auto& layer = packed.layers[l];
      const int64_t I = l ? H : config_.input;
      const T* w_ih = parameters + offsets_[l].weight_ih;
      const T* w_hh = parameters + offsets_[l].weight_hh;
      pack_shared(team, kernels, PackArgs<T>{w_hh, H, 1, 0, H, 1, G * H, 0, G * H, 0, 0, layer.recurrent.data()});
      for (int64_t p = 0; p < G; ++p) {  // in the order of the dz planes
        const T* gate = w_ih + shape.dz_input[p] * H * I;
        pack_shared(team, kernels, PackArgs<T>{gate, I, 1, 0, I, 1, G * H, p * H, H, 0, 0, layer.input.data()});
      }
    }
  });
}

template <class T>
std::shared_ptr<const Packed<T>> Stack<T>::packed_forward(const T* parameters, uint64_t version, bool one_hot) const {
  const KernelTable* table = active_kernels(nullptr);
  const std::lock_guard<std::mutex> guard(mutex_);
  if (forward_ && forward_->version == version && forward_->table == table && forward_->one_hot == one_hot) return forward_;
  auto packed = forward_ && forward_.use_count() == 1 && forward_->table == table ? std::move(forward_) : std::make_shared<Packed<T>>();
  forward_.reset();
  packed->one_hot = one_hot;
  pack_forward(parameters, *packed, kernels_of<T>(*table));
  packed->version = version;
  packed->table = table;
  forward_ = packed;
  return packed;
}

template <class T>
std::shared_ptr<const Packed<T>> Stack<T>::packed_backward(const T* parameters, uint64_t version) const {
  const KernelTable* table = active_kernels(nullptr);
  const std::lock_guard<std::mutex> guard(mutex_);
  if (backward_ && backward_->version == version && backward_->table == table) return backward_;
  auto packed =
      backward_ && backward_.use_count() == 1 && backward_->table == table ? std::move(backward_) : std::make_shared<Packed<T>>();
  backward_.reset();
  pack_backward(parameters, *packed, kernels_of<T>(*table));
  packed->version = version;
  packed->table = table;
  backward_ = packed;
  return packed;
}

template <class T>
int64_t Stack<T>::team_size(int64_t rows) const {
  // One thread does about 2 * 10^6 multiply-adds in the time that waking another and two barriers cost with a good margin.
  const double work = double(rows) * double(cell_shape(config_.cell).gates) * double(config_.hidden) *
                      double(config_.hidden + config_.input);
  const double worth = work / 1e6;
  return worth < 2 ? 1 : worth > 256 ? 256 : int64_t(worth);
}

#define BPTT_INSTANTIATE(T)                                                                                              \
  template void Stack<T>::pack_forward(const T*, Packed<T>&, const Kernels<T>&) const;                                   \
  template void Stack<T>::pack_backward(const T*, Packed<T>&, const Kernels<T>&) const;                                  \
  template std::shared_ptr<const Packed<T>> Stack<T>::packed_forward(const T*, uint64_t, bool) const;                    \
  template std::shared_ptr<const Packed<T>> Stack<T>::packed_backward(const T*, uint64_t) const;                         \
  template int64_t Stack<T>::team_size(int64_t) const;
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
