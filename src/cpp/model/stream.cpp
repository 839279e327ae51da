// stream.cpp: the copies and packed weights of a stream, and its step.
#include "model/stream.h"

#include <algorithm>
#include <cstring>

#include "sequence/gather.h"
#include "sequence/products.h"

namespace bptt {

template <class T>
Stream<T>::Stream(const Model<T>& model, Weights weights, bool noise, uint64_t draw)
    : config_(model.network().config()),
      stack_(model.network().stack().config()),
      geometry_(stack_),
      weights_(model.network().packed_forward(weights)),
      kernels_(kernels_of<T>(*weights_->key.table, stack_.compute, weights)),
      stepper_(stack_, geometry_, kernels_),
      operands_(kernels_, 1, stack_.hidden, std::max(stack_.input, stack_.hidden)),
      noise_(stack_),
      noisy_(noise && noise_.on()),
      draw_(draw) {
  const Network<T>& network = model.network();
  const Params<T>& params = network.params();
  readout_ = network.packed_readout(Way::forth, weights);
  if (config_.embedding) {
    const Param& table = *params.find("embedding.weight");
    table_ = Buffer<T>(table.count);
    std::memcpy(table_.data(), params.data(table), size_t(table.count) * sizeof(T));
  }
  h_ = Buffer<T>::zeros(checked_count(2 * config_.layers, geometry_.state_row));
  if (stepper_.shape().has_c)
    c_ = Buffer<T>::zeros(checked_count(2 * config_.layers, geometry_.cell_row));
  if (config_.learn_initial_state) {
    h0_ = Buffer<T>(checked_count(config_.layers, config_.state()));
    if (c_.count()) c0_ = Buffer<T>(checked_count(config_.layers, config_.hidden));
    for (int64_t l = 0; l < config_.layers; ++l) {
      const LayerOffsets& at = network.stack().offsets()[size_t(l)];
      std::copy_n(params.data() + at.h0, config_.state(), h0_.data() + l * config_.state());
      if (c0_.count())
        std::copy_n(params.data() + at.c0, config_.hidden, c0_.data() + l * config_.hidden);
    }
  }
  begin();
  planes_ = Buffer<T>::zeros(geometry_.planes_row);
  if (config_.layer_norm) z_ = Buffer<T>::zeros(stepper_.z_row());
  keep_h_ = Buffer<T>(geometry_.cell_row);
  keep_c_ = Buffer<T>(geometry_.cell_row);
  std::fill_n(keep_h_.data(), keep_h_.count(), T(config_.zoneout));
  std::fill_n(keep_c_.data(), keep_c_.count(), T(config_.zoneout_c));
}

template <class T>
void Stream<T>::run(const T* x, int64_t token, T* y) {
  const CellShape& shape = stepper_.shape();
  const int64_t R = config_.state(), next = 1 - now_;
  for (int64_t l = 0; l < config_.layers; ++l) {
    const auto& weights = weights_->layers[size_t(l)];
    T* out = shape.planes ? planes_.data() : h(l, next);
    const T* const in = l ? h(l - 1, next) : x;
    StepForwardArgs<T> step = stepper_.begin(weights, 1);
    if (l == 0 && weights_->key.one_hot) {
      const int64_t row = shape.gates * geometry_.plane;
      std::memcpy(out, weights.token_rows.data() + token * row,
                  size_t(shape.planes ? row : config_.hidden) * sizeof(T));
      if (config_.layer_norm) stepper_.normalise_input(weights, out, 1);
    } else if (stepper_.extended()) {
      stepper_.input_part(weights, in, 0, l ? R : stack_.input, out, 0, 1, operands_.at(0));
    } else {
      step.x = in;
      step.x_depth = l ? R : stack_.input;
    }
    if (noisy_) { noise_.add(Masks(stack_.seed, draw_, MaskKind::noise, l), out, time_, 0); }
    step.rows = 1;
    step.scratch = operands_.at(0);
    step.input = step.h_previous = h(l, now_);
    step.h = h(l, next);
    if (shape.has_c) {
      step.c_previous = c(l, now_);
      step.c = c(l, next);
    }
    step.planes = planes_.data();
    StepExtras<T> extras;
    if (config_.zoneout > 0) extras.keep_h = keep_h_.data();
    if (config_.zoneout_c > 0) extras.keep_c = keep_c_.data();
    extras.z = z_.data();
    stepper_.forward(weights, step, extras);
  }
  now_ = next;
  ++time_;
  if (!y) return;
  ProductArgs<T> p =
      product_args<T>(kernels_, 1, R, config_.output, {h(config_.layers - 1, now_), 0},
                      readout_->weight.data(), {y, 0}, operands_.at(0));
  p.bias = readout_->bias.data();
  p.lone = !kernels_.pairs;  // as for the input (cell.h)
  kernels_.product(p);
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
  begin();
  time_ = 0;
  ++draw_;
}

template <class T>
void Stream<T>::begin() {
  const int64_t R = config_.state(), H = config_.hidden;
  for (int64_t l = 0; l < config_.layers; ++l) {
    put_state(h(l, now_), h0_.count() ? h0_.data() + l * R : nullptr, R);
    if (c_.count()) put_state(c(l, now_), c0_.count() ? c0_.data() + l * H : nullptr, H);
  }
}

template <class T>
void Stream<T>::get_state(T* h_out, T* c_out) const {
  for (int64_t l = 0; l < config_.layers; ++l) {
    const int64_t from = 2 * l + now_;
    if (h_out) {
      std::memcpy(h_out + l * config_.state(), h_.data() + from * geometry_.state_row,
                  size_t(config_.state()) * sizeof(T));
    }
    if (c_out && c_.count()) {
      std::memcpy(c_out + l * config_.hidden, c_.data() + from * geometry_.cell_row,
                  size_t(config_.hidden) * sizeof(T));
    }
  }
}

template <class T>
void Stream<T>::set_state(const T* h_in, const T* c_in) {
  for (int64_t l = 0; l < config_.layers; ++l) {
    if (h_in) {
      std::memcpy(h(l, now_), h_in + l * config_.state(), size_t(config_.state()) * sizeof(T));
    }
    if (c_in && c_.count())
      std::memcpy(c(l, now_), c_in + l * config_.hidden, size_t(config_.hidden) * sizeof(T));
  }
}

template class Stream<float>;
template class Stream<double>;

}  // namespace bptt
