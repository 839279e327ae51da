// forward.cpp: the walk through time, forward.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "error.h"
#include "sequence/layer.h"

namespace bptt {

template <class T>
std::unique_ptr<Tape<T>> Stack<T>::new_tape(const Sequence<T>& sequence, bool table,
                                            bool remember) const {
  const int64_t block = std::min(sequence.steps, block_steps(sequence.batch));
  const int64_t window = remember ? sequence.steps : block;
  const bool tokens = sequence.tokens != nullptr;
  return std::make_unique<Tape<T>>(shelf_, config_, sequence.steps, sequence.batch, window,
                                   !tokens || table, tokens && remember);
}

namespace {

template <class T>
class ForwardWalk {
 public:
  ForwardWalk(const StackConfig& config, const Geometry<T>& geometry, const ForwardCall<T>& call,
              Tape<T>& tape, const Packed<T>& packed)
      : config_(config),
        geometry_(geometry),
        shape_(cell_shape(config.cell)),
        call_(call),
        in_(*call.sequence),
        tape_(tape),
        packed_(packed),
        kernels_(kernels_of<T>(*packed.table)),
        panels_(panel_count(kernels_, config.hidden)) {}

  bool stopped() const { return stop_.load(); }

  void run(const Team& team) {
    const int64_t T_ = in_.steps, N = in_.batch, per_block = block_steps(N);
    const int64_t n0 = team.begin(N), n1 = team.end(N);  // this member's sequences
    start(n0, n1);
    if (tape_.tokens()) keep_tokens(team);
    for (int64_t first = 0; first < T_; first += per_block) {
      const int64_t last = std::min(first + per_block, T_);
      const int64_t rows = (last - first) * N;
      for (int64_t l = 0; l < config_.layers; ++l) {
        input_part(l, first, team.begin(rows), team.end(rows));
        if (l == 0 && team.index == 0 && cancelled()) stop_.store(true);
        team.wait();
        if (stopped()) return;
        for (int64_t t = first; t < last; ++t) step(l, t, n0, n1);
        team.wait();
      }
      if (call_.after_block)
        call_.after_block(
            team, Block<T>{first, last, rows, state_after(tape_.layer(config_.layers - 1).h, first),
                           Shard<T>{0, 0, N, nullptr, nullptr, nullptr, nullptr}});
      if (tape_.window() < T_ && last < T_) {
        team.wait();
        for (int64_t l = 0; l < config_.layers; ++l) carry_over(tape_.layer(l), last - 1, n0, n1);
        team.wait();
      }
    }
    finish(n0, n1);
  }

 private:
  // Rows of all sequences. Where the window is one block, its slots are used by every block in
  // turn: the state before a block's first step is in slot 0, the state after its last step in slot
  // window.
  int64_t slot(int64_t t) const { return tape_.window() == in_.steps ? t : t % tape_.window(); }
  T* planes(T* base, int64_t t) const { return base + slot(t) * in_.batch * geometry_.planes_row; }
  T* x(int64_t t) const { return tape_.x() + slot(t) * in_.batch * geometry_.input_row; }
  T* state_before(T* base, int64_t t) const {
    return base + slot(t) * in_.batch * geometry_.state_row;
  }
  T* state_after(T* base, int64_t t) const {
    return base + (slot(t) + 1) * in_.batch * geometry_.state_row;
  }

  void start(int64_t n0, int64_t n1) const {
    for (int64_t l = 0; l < config_.layers; ++l) {
      const auto& layer = tape_.layer(l);
      for (int64_t n = n0; n < n1; ++n) {
        set_row(layer.h + n * geometry_.state_row, in_.h0, l * in_.batch + n);
        if (layer.c) set_row(layer.c + n * geometry_.state_row, in_.c0, l * in_.batch + n);
      }
    }
  }

  void set_row(T* row, const T* initial, int64_t index) const {
    const size_t bytes = size_t(config_.hidden) * sizeof(T);
    if (initial) {
      std::memcpy(row, initial + index * config_.hidden, bytes);
    } else {
      std::memset(row, 0, bytes);
    }
  }

  void keep_tokens(const Team& team) const {
    const int64_t N = in_.batch;
    for (int64_t t = team.begin(in_.steps); t < team.end(in_.steps); ++t) {
      for (int64_t n = 0; n < N; ++n) tape_.token_ids()[t * N + n] = token(t, n);
    }
  }

  int64_t token(int64_t t, int64_t n) const {
    return in_.tokens[t * in_.tokens_t + n * in_.tokens_n];
  }

  // W_ih x_t + bias for rows [r0, r1) of the block that starts at `first`, to where the step finds
  // it.
  void input_part(int64_t l, int64_t first, int64_t r0, int64_t r1) const {
    if (r0 == r1) return;
    const int64_t N = in_.batch, G = shape_.gates, H = config_.hidden, plane = geometry_.plane;
    const auto& layer = tape_.layer(l);
    const auto& weights = packed_.layers[size_t(l)];
    T* out = shape_.planes ? planes(layer.planes, first) : state_after(layer.h, first);
    const int64_t out_row = shape_.planes ? geometry_.planes_row : geometry_.state_row;
    if (l == 0 && packed_.one_hot) {
      const size_t bytes = size_t(shape_.planes ? G * plane : H) * sizeof(T);
      for (int64_t r = r0; r < r1; ++r) {
        std::memcpy(out + r * out_row,
                    weights.token_rows.data() + token(first + r / N, r % N) * G * plane, bytes);
      }
      return;
    }
    const int64_t I = l ? H : config_.input, row = l ? geometry_.state_row : geometry_.input_row;
    const T* in = nullptr;
    if (l == 0) {
      T* copy = x(first);
      for (int64_t r = r0; r < r1; ++r) {
        const int64_t t = first + r / N, n = r % N;
        const T* from =
            in_.tokens ? call_.table + token(t, n) * I : in_.x + t * in_.x_t + n * in_.x_n;
        std::memcpy(copy + r * row, from, size_t(I) * sizeof(T));
      }
      in = copy;
    } else {
      in = state_after(tape_.layer(l - 1).h, first);
    }
    ProductArgs<T> p{};
    p.a = in + r0 * row;
    p.a_row = row;
    p.segments = 1;
    p.segment_length = I;
    p.b = weights.input.data();
    p.rows = r1 - r0;
    p.units = H;
    p.groups = G;
    p.c = out + r0 * out_row;
    p.c_row = out_row;
    p.c_group = plane;
    p.bias = weights.bias.data();
    p.bias_group = plane;
    p.panel_end = panels_;
    kernels_.product(p);
  }

  void step(int64_t l, int64_t t, int64_t n0, int64_t n1) const {
    if (n0 == n1) return;
    const auto& layer = tape_.layer(l);
    const auto& weights = packed_.layers[size_t(l)];
    const int64_t row = geometry_.state_row;
    StepForwardArgs<T> s{};
    s.weights = weights.recurrent.data();
    s.bias_hidden = weights.bias_hidden.data();
    s.h_previous = state_before(layer.h, t) + n0 * row;
    s.h = state_after(layer.h, t) + n0 * row;
    if (layer.c) {
      s.c_previous = state_before(layer.c, t) + n0 * row;
      s.c = state_after(layer.c, t) + n0 * row;
    }
    if (layer.planes) s.planes = planes(layer.planes, t) + n0 * geometry_.planes_row;
    s.state_row = row;
    s.planes_row = geometry_.planes_row;
    s.plane_stride = geometry_.plane;
    s.rows = n1 - n0;
    s.units = config_.hidden;
    s.panel_end = panels_;
    s.activation = config_.activation;
    kernels_.step_forward[int(config_.cell)](s);
    if (call_.y && l == config_.layers - 1) {
      for (int64_t n = n0; n < n1; ++n) {
        std::memcpy(call_.y + t * call_.y_t + n * call_.y_n, s.h + (n - n0) * row,
                    size_t(config_.hidden) * sizeof(T));
      }
    }
  }

  // The state after step t becomes the first of the window.
  void carry_over(const typename Tape<T>::Layer& layer, int64_t t, int64_t n0, int64_t n1) const {
    const int64_t row = geometry_.state_row;
    const size_t bytes = size_t((n1 - n0) * row) * sizeof(T);
    std::memcpy(layer.h + n0 * row, state_after(layer.h, t) + n0 * row, bytes);
    if (layer.c) std::memcpy(layer.c + n0 * row, state_after(layer.c, t) + n0 * row, bytes);
  }

  void finish(int64_t n0, int64_t n1) const {
    const size_t bytes = size_t(config_.hidden) * sizeof(T);
    for (int64_t l = 0; l < config_.layers; ++l) {
      const auto& layer = tape_.layer(l);
      for (int64_t n = n0; n < n1; ++n) {
        const int64_t from = n * geometry_.state_row, to = (l * in_.batch + n) * config_.hidden;
        if (call_.hn) std::memcpy(call_.hn + to, state_after(layer.h, in_.steps - 1) + from, bytes);
        if (call_.cn && layer.c)
          std::memcpy(call_.cn + to, state_after(layer.c, in_.steps - 1) + from, bytes);
      }
    }
  }

  const StackConfig& config_;
  const Geometry<T>& geometry_;
  const CellShape shape_;
  const ForwardCall<T>& call_;
  const Sequence<T>& in_;
  Tape<T>& tape_;
  const Packed<T>& packed_;
  const Kernels<T>& kernels_;
  const int64_t panels_;
  std::atomic<bool> stop_{false};
};

}  // namespace

template <class T>
void Stack<T>::forward(const ForwardCall<T>& call, Tape<T>& tape) const {
  const bool one_hot = call.sequence->tokens && !call.table;
  const auto packed = packed_forward(call.parameters, call.version, one_hot);
  ForwardWalk<T> walk(config_, geometry_, call, tape, *packed);
  const int64_t rows =
      std::min(call.sequence->steps, block_steps(call.sequence->batch)) * call.sequence->batch;
  run_team(team_size(rows), [&](const Team& team) { walk.run(team); });
  if (walk.stopped()) throw Error(BPTT_ERR_CANCELLED, "", "", "");
}

template std::unique_ptr<Tape<float>> Stack<float>::new_tape(const Sequence<float>&, bool,
                                                             bool) const;
template std::unique_ptr<Tape<double>> Stack<double>::new_tape(const Sequence<double>&, bool,
                                                               bool) const;
template void Stack<float>::forward(const ForwardCall<float>&, Tape<float>&) const;
template void Stack<double>::forward(const ForwardCall<double>&, Tape<double>&) const;

}  // namespace bptt
