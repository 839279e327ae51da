// tape.cpp: memory of a tape for a sequence, its release, and copies of its parts.
#include "sequence/tape.h"

#include <algorithm>
#include <cstring>

namespace bptt {

template <class T>
Tape<T>::Tape(std::shared_ptr<Shelf> shelf, const StackConfig& config, const Geometry<T>& geometry,
              const Sequence<T>& sequence, bool dense, bool whole, bool training)
    : shelf_(std::move(shelf)),
      config_(config),
      steps_(sequence.steps),
      order_(sequence.steps, sequence.batch, sequence.lengths),
      whole_(whole),
      training_(training),
      noisy_(training || sequence.noise),
      given_h0_(sequence.h0 != nullptr),
      given_c0_(sequence.c0 != nullptr),
      seed_(config.seed),
      draw_(sequence.draw) {
  const CellShape& shape = geometry.shape;
  const int64_t size = int64_t(sizeof(T)), batch = sequence.batch;
  checked_count(sequence.steps, batch);
  const int64_t rows = whole ? order_.rows() : order_.block_rows();
  const int64_t h = checked_count(rows + batch, geometry.state_row, size);
  const int64_t c = checked_count(rows + batch, geometry.cell_row, size);
  const int64_t planes = checked_count(rows, geometry.planes_row, size);
  const int64_t x = dense ? checked_count(rows, geometry.input_row, size) : 0;
  const int64_t ids = sequence.tokens && whole ? checked_count(rows, int64_t(sizeof(int64_t))) : 0;
  const bool masked = training && config.recurrent_dropout > 0;
  const int64_t mask = masked ? checked_count(batch, geometry.state_row, size) : 0;
  const bool learnt = config.learn_initial_state;
  const int64_t h0 = learnt ? checked_count(geometry.state_row, size) : 0;
  const int64_t c0 = learnt && shape.has_c ? checked_count(geometry.cell_row, size) : 0;
  auto lines = [](int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; };
  const int64_t per_layer =
      lines(h) + (shape.has_c ? lines(c) : 0) + lines(planes) + lines(mask) + lines(h0) + lines(c0);
  // Add one line at the end: a vector of units may be read past the end of the last row's plane.
  int64_t total = 0;
  if (__builtin_add_overflow(checked_count(per_layer, config.walks()),
                             lines(x) + lines(ids) + kAlignment, &total)) {
    throw std::bad_alloc();
  }
  block_ = shelf_->take(total);
  bytes_ = total;

  std::byte* next = block_.data();
  auto carve = [&next, &lines](int64_t bytes) {
    std::byte* here = next;
    next += lines(bytes);
    return here;
  };
  for (int64_t w = 0; w < config.walks(); ++w) {
    Layer layer{};
    layer.h = reinterpret_cast<T*>(carve(h));
    if (shape.has_c) layer.c = reinterpret_cast<T*>(carve(c));
    if (shape.planes) layer.planes = reinterpret_cast<T*>(carve(planes));
    if (masked) {
      layer.recurrent_mask = reinterpret_cast<T*>(carve(mask));
      const Masks masks = this->masks(MaskKind::recurrent_dropout, w);
      for (int64_t n = 0; n < batch; ++n) {
        masks.dropout(layer.recurrent_mask + n * geometry.state_row, config.state(), 0,
                      order_.sequence(n), config.recurrent_dropout);
      }
    }
    if (h0) layer.h0 = reinterpret_cast<T*>(carve(h0));
    if (c0) layer.c0 = reinterpret_cast<T*>(carve(c0));
    layers_.push_back(layer);
  }
  if (dense) x_ = reinterpret_cast<T*>(carve(x));
  if (ids) tokens_ = reinterpret_cast<int64_t*>(carve(ids));
  if (sequence.resets) read_resets(sequence);
}

template <class T>
void Tape<T>::read_resets(const Sequence<T>& sequence) {
  resets_.resize(size_t(order_.rows()));
  for (int64_t t = 0; t < order_.steps(); ++t) {
    for (int64_t n = 0; n < order_.live(t); ++n) {
      resets_[size_t(order_.first(t) + n)] =
          sequence.resets[t * sequence.resets_t + order_.sequence(n) * sequence.resets_n];
    }
  }
  if (std::all_of(resets_.begin(), resets_.end(), [](uint8_t r) { return r == 0; }))
    resets_.clear();
}

template <class T>
bool Tape<T>::renew(const Sequence<T>& sequence) {
  const bool plain = order_.uniform() && !sequence.lengths && resets_.empty() && !sequence.resets &&
                     !layers_[0].recurrent_mask;
  if (!plain || steps_ != sequence.steps || batch() != sequence.batch ||
      tokens() != (sequence.tokens != nullptr)) {
    return false;
  }
  draw_ = sequence.draw;
  given_h0_ = sequence.h0 != nullptr;
  given_c0_ = sequence.c0 != nullptr;
  return true;
}

template <class T>
Tape<T>::~Tape() {
  if (shelf_ && block_.count() > 0) shelf_->give_back(std::move(block_));
}

template <class T>
void read_tape(const Tape<T>& tape, TapePart part, int64_t index, int64_t gate, T* values) {
  const StackConfig& config = tape.config();
  const Geometry<T> geometry(config);
  const Order& order = tape.order();
  const auto& layer = tape.layer(index);
  const bool is_gate = part == TapePart::gate;
  const T* rows = part == TapePart::h ? layer.h : is_gate ? layer.planes : layer.c;
  const int64_t row = part == TapePart::h ? geometry.state_row
                      : is_gate           ? geometry.planes_row
                                          : geometry.cell_row;
  const int64_t count = part == TapePart::h ? config.state() : config.hidden;
  rows += is_gate ? gate * geometry.plane : order.batch() * row;
  std::fill_n(values, tape.steps() * order.batch() * count, T(0));
  for (int64_t s = 0; s < order.steps(); ++s) {
    for (int64_t n = 0; n < order.live(s); ++n) {
      const int64_t t = order.time(index % config.directions(), s, n);
      std::memcpy(values + (t * order.batch() + order.sequence(n)) * count,
                  rows + (order.first(s) + n) * row, size_t(count) * sizeof(T));
    }
  }
}

template class Tape<float>;
template class Tape<double>;
template void read_tape(const Tape<float>&, TapePart, int64_t, int64_t, float*);
template void read_tape(const Tape<double>&, TapePart, int64_t, int64_t, double*);

}  // namespace bptt
