#include "sequence/tape.h"

namespace bptt {

template <class T>
Tape<T>::Tape(std::shared_ptr<Shelf> shelf, const StackConfig& config, int64_t steps, int64_t batch,
              int64_t window, bool dense, bool tokens)
    : shelf_(std::move(shelf)), steps_(steps), batch_(batch), window_(window) {
  const Geometry<T> geometry(config);
  const CellShape shape = cell_shape(config.cell);
  const int64_t rows = checked_count(window, batch);
  const int64_t states = checked_count(window + 1, batch, geometry.state_row, int64_t(sizeof(T)));
  const int64_t planes = checked_count(rows, geometry.planes_row, int64_t(sizeof(T)));
  const int64_t x = dense ? checked_count(rows, geometry.input_row, int64_t(sizeof(T))) : 0;
  const int64_t ids = tokens ? checked_count(steps, batch, int64_t(sizeof(int64_t))) : 0;
  auto lines = [](int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; };
  const int64_t per_layer = lines(states) * (shape.has_c ? 2 : 1) + lines(planes);
  // One line more at the end: a vector of units may be read past the end of the last row's plane.
  int64_t total = 0;
  if (__builtin_add_overflow(checked_count(per_layer, config.layers),
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
  for (int64_t l = 0; l < config.layers; ++l) {
    Layer layer{};
    layer.h = reinterpret_cast<T*>(carve(states));
    if (shape.has_c) layer.c = reinterpret_cast<T*>(carve(states));
    if (shape.planes) layer.planes = reinterpret_cast<T*>(carve(planes));
    layers_.push_back(layer);
  }
  if (dense) x_ = reinterpret_cast<T*>(carve(x));
  if (tokens) tokens_ = reinterpret_cast<int64_t*>(carve(ids));
}

template <class T>
Tape<T>::~Tape() {
  if (shelf_ && block_.count() > 0) shelf_->give_back(std::move(block_));
}

template class Tape<float>;
template class Tape<double>;

}  // namespace bptt
