// forward.cpp: the walk through time, forward.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "error.h"
#include "sequence/gather.h"
#include "sequence/layer.h"
#include "sequence/step.h"

namespace bptt {

template <class T>
std::unique_ptr<Tape<T>> Stack<T>::new_tape(const Sequence<T>& sequence, bool table,
                                            bool remember) const {
  // Two directions: a layer reads both to their ends, so nothing can be forgotten in between.
  const bool whole = remember || config_.bidirectional;
  return std::make_unique<Tape<T>>(shelf_, config_, geometry_, sequence, !sequence.tokens || table,
                                   whole, remember);
}

namespace {

// From so many sequences on, a step's tiles are high enough to multiply its input as well: the input
// part then never leaves the first-level cache. With fewer, a block's rows make better tiles. The
// sums are the same.
constexpr int64_t kFusedBatch = 8;

template <class T>
class ForwardWalk {
 public:
  ForwardWalk(const StackConfig& config, const Geometry<T>& geometry, const ForwardCall<T>& call,
              Tape<T>& tape, const Packed<T>& packed)
      : config_(config),
        geometry_(geometry),
        call_(call),
        in_(*call.sequence),
        tape_(tape),
        order_(tape.order()),
        packed_(packed),
        kernels_(kernels_of<T>(*packed.table, config.compute)),
        stepper_(config, geometry, kernels_),
        gather_(config, geometry, kernels_, tape),
        blocks_(order_.blocks(0, order_.steps())),
        cuts_(tape.cuts()),
        direct_y_(order_.uniform() && config.directions() == 1 && !stepper_.extended()),
        first_of_top_((config.layers - 1) * config.directions()),
        operands_(kernels_, order_.block_rows(), config.hidden, widest_row()) {
    const int64_t N = order_.batch(), rows = order_.block_rows();
    if (gather_.copies_input()) inputs_ = Buffer<T>(checked_count(rows, widest_row()));
    if (tape.cuts() || tape.layer(0).recurrent_mask) {
      cut_h_ = Buffer<T>(checked_count(N, geometry.state_row));
      masked_ = Buffer<T>(cut_h_.count());
      if (stepper_.shape().has_c) cut_c_ = Buffer<T>(checked_count(N, geometry.cell_row));
    }
    if (config.layer_norm) z_ = Buffer<T>(checked_count(N, stepper_.z_row()));
    // Zoneout: a row per sequence, or its expectation once.
    const int64_t kept = tape.training() ? N : 1;
    if (config.zoneout > 0) keep_h_ = filled(kept, config.zoneout);
    if (config.zoneout_c > 0) keep_c_ = filled(kept, config.zoneout_c);
  }

  bool stopped() const { return stop_.load(); }

  void run(const Team& team) {
    const Timed timed(Phase::other);
    const int64_t N = order_.batch(), D = config_.directions();
    start(team.begin(N), team.end(N));
    if (tape_.tokens()) keep_tokens(team);
    if (call_.y) clear_padding(team);
    if (D == 1) {
      for (int64_t i = 0; i < blocks_.count(); ++i) {
        const Block<T> block = block_of(i);
        for (int64_t l = 0; l < config_.layers; ++l) {
          if (!walk_block(team, l, block)) return;
        }
        if (call_.after_block) {
          Block<T> done = block;
          done.top = after(tape_.layer(config_.layers - 1).h, block, block.first, 0);
          call_.after_block(team, done);
        }
        if (!tape_.whole() && block.last < order_.steps()) {
          team.wait();
          carry_over(team, block);
          team.wait();
        }
      }
      return;
    }
    for (int64_t walk = 0; walk < config_.walks(); ++walk) {
      for (int64_t i = 0; i < blocks_.count(); ++i) {
        if (!walk_block(team, walk, block_of(i))) return;
      }
    }
    for (int64_t i = 0; call_.after_block && i < blocks_.count(); ++i) {
      Block<T> block = block_of(i);
      team.wait();
      const int64_t r0 = team.begin(block.rows()), r1 = team.end(block.rows());
      gather_.outputs(block, r0, r1, inputs_.data() + r0 * geometry_.features_row);
      team.wait();
      block.top = inputs_.data();
      block.top_row = geometry_.features_row;
      call_.after_block(team, block);
    }
  }

 private:
  int64_t widest_row() const { return std::max(geometry_.input_row, geometry_.features_row); }
  Buffer<T> filled(int64_t rows, double value) const {
    Buffer<T> buffer(checked_count(rows, geometry_.cell_row));
    std::fill_n(buffer.data(), buffer.count(), T(value));
    return buffer;
  }
  Block<T> block_of(int64_t i) const {
    return {&order_,
            &order_,
            blocks_.first(i),
            blocks_.last(i),
            0,
            nullptr,
            geometry_.state_row,
            0,
            &order_,
            Shard<T>{0, 0, order_.batch(), nullptr, nullptr, nullptr, nullptr}};
  }

  // Where rows are. Where the tape is not whole, every block in turn uses the same ones.
  int64_t at(const Block<T>& block, int64_t t) const {
    return tape_.whole() ? order_.first(t) : block.row(t);
  }
  T* planes(const typename Tape<T>::Layer& layer, const Block<T>& block, int64_t t,
            int64_t n) const {
    return layer.planes + (at(block, t) + n) * geometry_.planes_row;
  }
  T* after(T* states, const Block<T>& block, int64_t t, int64_t n, int64_t row) const {
    return states + (order_.batch() + at(block, t) + n) * row;
  }
  T* after(T* h, const Block<T>& block, int64_t t, int64_t n) const {
    return after(h, block, t, n, geometry_.state_row);
  }
  T* before(T* states, const Block<T>& block, int64_t t, int64_t n, int64_t row) const {
    const bool first = tape_.whole() ? t == 0 : t == block.first;
    return first ? states + n * row : after(states, block, t - 1, n, row);
  }

  // One block of one layer in one direction; false if the caller's cancel callback says so.
  bool walk_block(const Team& team, int64_t walk, const Block<T>& block) {
    input_part(walk, block, team.begin(block.rows()), team.end(block.rows()));
    if ((walk == 0 || config_.bidirectional) && team.index == 0 && cancelled()) stop_.store(true);
    team.wait();
    if (stopped()) return false;
    const int64_t live = order_.live(block.first), n0 = team.begin(live), n1 = team.end(live);
    StepForwardArgs<T> args = stepper_.begin(packed_.layers[size_t(walk)], order_.batch());
    Input input{};
    if (fuses(walk)) input = input_of(walk, block);
    args.x_row = input.row;
    args.x_depth = input.depth;
    args.y_row = call_.y_n;
    for (int64_t t = block.first; t < block.last; ++t) {
      if (input.rows) args.x = input.rows + (block.row(t) + n0) * input.row;
      step(walk, block, t, n0, order_.uniform() ? n1 : std::min(n1, order_.live(t)), args);
    }
    team.wait();
    return true;
  }

  void start(int64_t n0, int64_t n1) const {
    for (int64_t walk = 0; walk < config_.walks(); ++walk) {
      const auto& layer = tape_.layer(walk);
      for (int64_t n = n0; n < n1; ++n) {
        const int64_t index = walk * order_.batch() + order_.sequence(n);
        set_row(layer.h + n * geometry_.state_row, in_.h0, index, config_.state());
        if (layer.c) set_row(layer.c + n * geometry_.cell_row, in_.c0, index, config_.hidden);
      }
    }
  }

  static void set_row(T* row, const T* initial, int64_t index, int64_t count) {
    const size_t bytes = size_t(count) * sizeof(T);
    if (initial) {
      std::memcpy(row, initial + index * count, bytes);
    } else {
      std::memset(row, 0, bytes);
    }
  }

  void keep_tokens(const Team& team) const {
    for (int64_t t = team.begin(order_.steps()); t < team.end(order_.steps()); ++t) {
      for (int64_t n = 0; n < order_.live(t); ++n)
        tape_.token_ids()[order_.first(t) + n] = token(t, n);
    }
  }

  // y beyond the sequences' ends.
  void clear_padding(const Team& team) const {
    for (int64_t n = team.begin(order_.batch()); n < team.end(order_.batch()); ++n) {
      for (int64_t t = order_.length(n); t < in_.steps; ++t) {
        std::fill_n(call_.y + t * call_.y_t + order_.sequence(n) * call_.y_n, config_.features(),
                    T(0));
      }
    }
  }

  int64_t token(int64_t t, int64_t n) const {
    return in_.tokens[t * in_.tokens_t + order_.sequence(n) * in_.tokens_n];
  }

  // What a walk reads in a block.
  struct Input {
    const T* rows;
    int64_t row, depth;
  };
  Input input_of(int64_t walk, const Block<T>& block) const {
    const int64_t l = walk / config_.directions(), d = walk % config_.directions();
    if (l == 0) {
      // In the caller's time it is the tape's copy.
      const int64_t row = geometry_.input_row;
      const T* rows = d == 0 ? tape_.x() + at(block, block.first) * row : inputs_.data();
      return {rows, row, config_.input};
    }
    if (gather_.copies_input()) return {inputs_.data(), geometry_.features_row, config_.features()};
    return {after(tape_.layer(walk - 1).h, block, block.first, 0), geometry_.state_row,
            config_.features()};
  }

  // Puts rows [r0, r1) of that together where they do not lie so.
  void gather_input(int64_t walk, const Block<T>& block, const Input& input, int64_t r0,
                    int64_t r1) const {
    const int64_t l = walk / config_.directions(), d = walk % config_.directions();
    T* copy = const_cast<T*>(input.rows) + r0 * input.row;
    if (l > 0) {
      if (gather_.copies_input()) gather_.inputs(l, d, block, r0, r1, copy);
      return;
    }
    for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t n) {
      const int64_t t = order_.time(d, s, n);
      const T* from = in_.tokens ? call_.table + token(t, n) * config_.input
                                 : in_.x + t * in_.x_t + order_.sequence(n) * in_.x_n;
      std::memcpy(copy + (r - r0) * input.row, from, size_t(config_.input) * sizeof(T));
    });
  }

  bool one_hot(int64_t walk) const { return walk < config_.directions() && packed_.one_hot; }

  // Whether steps multiply their input too, rather than a block's at once.
  bool fuses(int64_t walk) const {
    return !stepper_.extended() && order_.batch() >= kFusedBatch && !one_hot(walk);
  }

  // For rows [r0, r1) of the block: the input, and unless the steps do that W_ih x_t + bias, to where
  // the step finds it.
  void input_part(int64_t walk, const Block<T>& block, int64_t r0, int64_t r1) const {
    if (r0 == r1) return;
    const Timed timed(Phase::input);
    const int64_t d = walk % config_.directions();
    const CellShape& shape = stepper_.shape();
    const auto& layer = tape_.layer(walk);
    const auto& weights = packed_.layers[size_t(walk)];
    const int64_t out_row = shape.planes ? geometry_.planes_row : geometry_.state_row;
    T* out = (shape.planes ? planes(layer, block, block.first, 0)
                           : after(layer.h, block, block.first, 0)) +
             r0 * out_row;
    if (one_hot(walk)) {
      const int64_t row = shape.gates * geometry_.plane;
      const size_t bytes = size_t(shape.planes ? row : config_.hidden) * sizeof(T);
      for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t n) {
        const T* from = weights.token_rows.data() + token(order_.time(d, s, n), n) * row;
        std::memcpy(out + (r - r0) * out_row, from, bytes);
      });
      if (config_.layer_norm) stepper_.normalise_input(weights, out, r1 - r0);
    } else {
      const Input input = input_of(walk, block);
      gather_input(walk, block, input, r0, r1);
      if (fuses(walk)) return;
      stepper_.input_part(weights, input.rows + r0 * input.row, input.row, input.depth, out,
                          out_row, r1 - r0, operands_.at(r0));
    }
    if (config_.noise > 0 && tape_.training()) {
      const Masks noise = tape_.masks(MaskKind::noise, walk);
      const double scale = std::sqrt(2 / config_.alpha) * config_.noise;
      for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t n) {
        noise.add_noise(out + (r - r0) * out_row, config_.hidden, order_.time(d, s, n),
                        order_.sequence(n), scale);
      });
    }
  }

  // One step for sequences [n0, n1).
  void step(int64_t walk, const Block<T>& block, int64_t t, int64_t n0, int64_t n1,
            StepForwardArgs<T>& s) {
    if (n0 >= n1) return;
    const auto& layer = tape_.layer(walk);
    s.rows = n1 - n0;
    s.scratch = operands_.at(n0);
    s.h_previous = before(layer.h, block, t, n0, geometry_.state_row);
    s.h = after(layer.h, block, t, n0);
    if (layer.c) {
      s.c_previous = before(layer.c, block, t, n0, geometry_.cell_row);
      s.c = after(layer.c, block, t, n0, geometry_.cell_row);
    }
    if (layer.planes) s.planes = planes(layer, block, t, n0);
    const bool puts_y = call_.y && walk >= first_of_top_;
    if (puts_y && direct_y_) s.y = call_.y + t * call_.y_t + order_.sequence(n0) * call_.y_n;
    if (cuts_) cut(walk % config_.directions(), t, n0, n1, s);
    s.input = s.h_previous;
    if (layer.recurrent_mask) {
      T* masked = masked_.data() + n0 * geometry_.state_row;
      gather_.mask_recurrent(walk, n0, n1, s.h_previous, masked);
      s.input = masked;
    }
    StepExtras<T> extras;
    if (stepper_.extended()) {
      if (keep_h_.count()) extras.keep_h = kept(MaskKind::zoneout, keep_h_, walk, t, n0, n1);
      if (keep_c_.count()) extras.keep_c = kept(MaskKind::zoneout_c, keep_c_, walk, t, n0, n1);
      extras.keep_row = tape_.training() ? geometry_.cell_row : 0;
      if (z_.count()) extras.z = z_.data() + n0 * stepper_.z_row();
    }
    stepper_.forward(packed_.layers[size_t(walk)], s, extras);
    if (puts_y && !direct_y_) copy_outputs(walk, t, n0, n1, s.h);
    if (t + 1 == order_.steps() || !order_.uniform()) copy_ends(walk, t, n0, n1, s);
  }

  void copy_outputs(int64_t walk, int64_t t, int64_t n0, int64_t n1, const T* h) const {
    const int64_t d = walk % config_.directions();
    for (int64_t n = n0; n < n1; ++n) {
      std::memcpy(call_.y + order_.time(d, t, n) * call_.y_t + order_.sequence(n) * call_.y_n +
                      d * config_.state(),
                  h + (n - n0) * geometry_.state_row, size_t(config_.state()) * sizeof(T));
    }
  }

  // States of the sequences that end here.
  void copy_ends(int64_t walk, int64_t t, int64_t n0, int64_t n1,
                 const StepForwardArgs<T>& s) const {
    for (int64_t n = std::max(n0, order_.live(t + 1)); n < n1; ++n) {
      const int64_t to = walk * order_.batch() + order_.sequence(n);
      if (call_.hn) {
        std::memcpy(call_.hn + to * config_.state(), s.h + (n - n0) * geometry_.state_row,
                    size_t(config_.state()) * sizeof(T));
      }
      if (call_.cn && s.c) {
        std::memcpy(call_.cn + to * config_.hidden, s.c + (n - n0) * geometry_.cell_row,
                    size_t(config_.hidden) * sizeof(T));
      }
    }
  }

  // The states before step t, with zeros where a reset cuts.
  void cut(int64_t d, int64_t t, int64_t n0, int64_t n1, StepForwardArgs<T>& rows) {
    if (!gather_.any_cut(d, t, n0, n1)) return;
    T* h = cut_h_.data() + n0 * geometry_.state_row;
    gather_.cut_rows(d, t, n0, n1, rows.h_previous, geometry_.state_row, config_.state(), h);
    rows.h_previous = h;
    if (!rows.c_previous) return;
    T* c = cut_c_.data() + n0 * geometry_.cell_row;
    gather_.cut_rows(d, t, n0, n1, rows.c_previous, geometry_.cell_row, config_.hidden, c);
    rows.c_previous = c;
  }

  const T* kept(MaskKind kind, Buffer<T>& rows, int64_t walk, int64_t t, int64_t n0, int64_t n1) {
    if (!tape_.training()) return rows.data();
    T* first = rows.data() + n0 * geometry_.cell_row;
    gather_.zoneout(kind, walk, t, n0, n1, first);
    return first;
  }

  // The states after the block's last step become those before the next one.
  void carry_over(const Team& team, const Block<T>& block) const {
    const int64_t live = order_.live(block.last), n0 = team.begin(live), n1 = team.end(live);
    for (int64_t l = 0; l < config_.layers; ++l) {
      const auto& layer = tape_.layer(l);
      const auto copy = [&](T* states, int64_t row) {
        std::memcpy(states + n0 * row, after(states, block, block.last - 1, n0, row),
                    size_t((n1 - n0) * row) * sizeof(T));
      };
      copy(layer.h, geometry_.state_row);
      if (layer.c) copy(layer.c, geometry_.cell_row);
    }
  }

  const StackConfig& config_;
  const Geometry<T>& geometry_;
  const ForwardCall<T>& call_;
  const Sequence<T>& in_;
  Tape<T>& tape_;
  const Order& order_;
  const Packed<T>& packed_;
  const Kernels<T>& kernels_;
  const Stepper<T> stepper_;
  const Gather<T> gather_;
  const Blocks blocks_;
  const bool cuts_;
  const bool direct_y_;               // the cell itself writes the caller's outputs
  const int64_t first_of_top_;        // walk of the top layer
  const OperandRows<T> operands_;     // of a block
  mutable Buffer<T> inputs_;          // [rows of a block, I or D*R]
  Buffer<T> cut_h_, cut_c_, masked_;  // [N, R | H]
  Buffer<T> keep_h_, keep_c_;         // [N or 1, H]
  Buffer<T> z_;                       // [N, gates, plane]
  std::atomic<bool> stop_{false};
};

}  // namespace

template <class T>
void Stack<T>::forward(const ForwardCall<T>& call, Tape<T>& tape) const {
  const bool one_hot = call.sequence->tokens && !call.table;
  const auto packed = packed_forward(call.parameters, call.version, one_hot);
  ForwardWalk<T> walk(config_, geometry_, call, tape, *packed);
  run_team(team_size(tape.order().block_rows()), [&](const Team& team) { walk.run(team); });
  if (walk.stopped()) throw Error(BPTT_ERR_CANCELLED, "", "", "");
}

template std::unique_ptr<Tape<float>> Stack<float>::new_tape(const Sequence<float>&, bool,
                                                             bool) const;
template std::unique_ptr<Tape<double>> Stack<double>::new_tape(const Sequence<double>&, bool,
                                                               bool) const;
template void Stack<float>::forward(const ForwardCall<float>&, Tape<float>&) const;
template void Stack<double>::forward(const ForwardCall<double>&, Tape<double>&) const;

}  // namespace bptt
