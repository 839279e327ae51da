#include "model/stream.h"

#include <cstring>

namespace bptt {

template <class T>
Stream<T>::Stream(const Model<T>& model)
    : config_(model.network().config()), geometry_(model.network().stack().config()) {
  const Network<T>& network = model.network();
  const Params<T>& params = network.params();
  weights_ = network.stack().packed_forward(params.data(), params.version(), network.one_hot());
  readout_ = network.packed_readout();
  if (config_.embedding) {
    const Param& table = *params.find("embedding.weight");
    table_ = Buffer<T>(table.count);
    std::memcpy(table_.data(), params.data(table), size_t(table.count) * sizeof(T));
  }
  h_ = Buffer<T>::zeros(checked_count(2 * config_.layers, geometry_.state_row));
  if (cell_shape(config_.cell).has_c) c_ = Buffer<T>::zeros(h_.count());
  planes_ = Buffer<T>::zeros(geometry_.planes_row);
}

template <class T>
void Stream<T>::run(const T* x, int64_t token, T* y) {
  const Kernels<T>& kernels = kernels_of<T>(*weights_->table);
  const CellShape shape = cell_shape(config_.cell);
  const int64_t H = config_.hidden, G = shape.gates, plane = geometry_.plane, next = 1 - now_;
  for (int64_t l = 0; l < config_.layers; ++l) {
    const auto& weights = weights_->layers[size_t(l)];
    T* out = shape.planes ? planes_.data() : h(l, next);
    if (l == 0 && weights_->one_hot) {
      std::memcpy(out, weights.token_rows.data() + token * G * plane,
                  size_t(shape.planes ? G * plane : H) * sizeof(T));
    } else {
      ProductArgs<T> p{};
      p.a = l ? h(l - 1, next) : x;
      p.segments = 1;
      p.segment_length = l ? H : config_.embedding ? config_.embedding : config_.input;
      p.b = weights.input.data();
      p.rows = 1;
      p.units = H;
      p.groups = G;
      p.c = out;
      p.c_group = plane;
      p.bias = weights.bias.data();
      p.bias_group = plane;
      p.panel_end = panel_count(kernels, H);
      kernels.product(p);
    }
    StepForwardArgs<T> s{};
    s.weights = weights.recurrent.data();
    s.bias_hidden = weights.bias_hidden.data();
    s.h_previous = h(l, now_);
    s.h = h(l, next);
    if (shape.has_c) {
      s.c_previous = c(l, now_);
      s.c = c(l, next);
    }
    s.planes = planes_.data();
    s.plane_stride = plane;
    s.rows = 1;
    s.units = H;
    s.panel_end = panel_count(kernels, H);
    s.activation = config_.activation;
    kernels.step_forward[int(config_.cell)](s);
  }
  now_ = next;
  if (!y) return;
  ProductArgs<T> p{};
  p.a = h(config_.layers - 1, now_);
  p.segments = 1;
  p.segment_length = H;
  p.b = readout_->forward.data();
  p.rows = 1;
  p.units = config_.output;
  p.groups = 1;
  p.c = y;
  p.bias = readout_->bias.data();
  p.panel_end = panel_count(kernels, config_.output);
  kernels.product(p);
}

template <class T>
void Stream<T>::step(const T* x, T* y) {
  run(x, 0, y);
}

template <class T>
void Stream<T>::step_token(int64_t token, T* y) {
  run(config_.embedding ? table_.data() + token * config_.embedding : nullptr, token, y);
}

template <class T>
void Stream<T>::reset() {
  std::memset(h_.data(), 0, size_t(h_.count()) * sizeof(T));
  if (c_.count()) std::memset(c_.data(), 0, size_t(c_.count()) * sizeof(T));
}

template <class T>
void Stream<T>::get_state(T* h_out, T* c_out) const {
  const int64_t H = config_.hidden;
  for (int64_t l = 0; l < config_.layers; ++l) {
    const int64_t at = (2 * l + now_) * geometry_.state_row;
    if (h_out) std::memcpy(h_out + l * H, h_.data() + at, size_t(H) * sizeof(T));
    if (c_out && c_.count()) std::memcpy(c_out + l * H, c_.data() + at, size_t(H) * sizeof(T));
  }
}

template <class T>
void Stream<T>::set_state(const T* h_in, const T* c_in) {
  const size_t bytes = size_t(config_.hidden) * sizeof(T);
  for (int64_t l = 0; l < config_.layers; ++l) {
    if (h_in) std::memcpy(h(l, now_), h_in + l * config_.hidden, bytes);
    if (c_in && c_.count()) std::memcpy(c(l, now_), c_in + l * config_.hidden, bytes);
  }
}

template class Stream<float>;
template class Stream<double>;

}  // namespace bptt
