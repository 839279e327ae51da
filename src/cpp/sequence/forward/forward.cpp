// forward.cpp: the forward walk through time.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "sequence/forward/input.h"

namespace bptt {

template <class T>
std::unique_ptr<Tape<T>> new_tape(const Stack<T>& stack, const Sequence<T>& sequence, bool table,
                                  bool remember) {
  // With two directions, a layer reads both to their ends, so no step can be forgotten in between.
  const bool whole = remember || stack.config().bidirectional;
  return std::make_unique<Tape<T>>(stack.shelf(), stack.config(), stack.geometry(), sequence,
                                   !sequence.tokens || table, whole, remember || sequence.training);
}

namespace {

template <class T>
class ForwardWalk {
 public:
  ForwardWalk(const Stack<T>& stack, const ForwardCall<T>& call, Tape<T>& tape,
              const Packed<T>& packed)
      : in(stack, call, tape, packed),
        input_(in),
        blocks_(in.order.blocks(0, in.order.steps())),
        cuts_(tape.cuts()),
        direct_y_(in.order.uniform() && in.config.directions() == 1 && !in.stepper.extended()),
        even_(direct_y_ && !cuts_ && !tape.layer(0).recurrent_mask),
        first_of_top_((in.config.layers - 1) * in.config.directions()) {
    const StackConfig& config = in.config;
    const int64_t N = in.order.batch();
    if (cuts_ || tape.layer(0).recurrent_mask) {
      cut_h_ = Buffer<T>(checked_count(N, in.geometry.state_row));
      masked_ = Buffer<T>(cut_h_.count());
      if (in.stepper.shape().has_c) cut_c_ = Buffer<T>(checked_count(N, in.geometry.cell_row));
    }
    if (config.layer_norm) z_ = Buffer<T>(checked_count(N, in.stepper.z_row()));
    for (int64_t walk = 0; config.learn_initial_state && walk < config.walks(); ++walk) {
      const auto& layer = tape.layer(walk);
      const LayerOffsets& at = stack.offsets()[size_t(walk)];
      std::copy_n(call.parameters + at.h0, config.state(), layer.h0);
      if (layer.c0) std::copy_n(call.parameters + at.c0, config.hidden, layer.c0);
    }
    // Zoneout needs a row per sequence, or its expectation once.
    const int64_t kept = tape.training() ? N : 1;
    if (config.zoneout > 0) keep_h_ = filled(kept, config.zoneout);
    if (config.zoneout_c > 0) keep_c_ = filled(kept, config.zoneout_c);
  }

  bool stopped() const { return stop_.load() < kNever; }

  void run(const Team& team) {
    const Timed timed(Phase::other);
    const Share share = share_of(team);
    start(share);
    if (in.tape.tokens()) keep_tokens(team);
    if (in.call.y) clear_padding(share);
    if (in.config.directions() == 1) {
      run_one(team, share);
    } else {
      run_both(team, share);
    }
  }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // A member's share of the batch: sequences [n0, n1). If `apart`, the member walks them through
  // all blocks and layers without waiting for others. Otherwise the team shares the rows of a
  // block's input, then the rows of each step or, if `units`, each step's units [u0, u1).
  struct Share {
    int64_t n0, n1;
    bool apart, units;
    int64_t u0, u1;
  };

  // With sequences of different lengths, rows change their places among those alive. A member is
  // then not `apart` if anything uses a whole block (after_block, or a tape of one block), because
  // that needs the rows of all members.
  Share share_of(const Team& team) const {
    const int64_t N = in.order.batch(), size = team.size;
    Share share = {team.begin(N), team.end(N), false, false, 0, in.config.hidden};
    share.apart = size > 1 && N >= kFusedBatch && N >= size &&
                  (in.order.uniform() || (in.tape.whole() && !in.call.after_block));
    if (share.apart && !in.order.uniform()) {
      share.n0 = in.order.boundary(team.index, size);
      share.n1 = in.order.boundary(team.index + 1, size);
    }
    share.units = !share.apart && !cuts_ && !in.tape.layer(0).recurrent_mask &&
                  shares_units(team, in.config, in.kernels, N);
    if (share.units) {
      const int64_t width = 2 * in.kernels.lanes, panels = panel_count(in.kernels, share.u1);
      share.u0 = team.begin(panels) * width;
      share.u1 = std::min(team.end(panels) * width, share.u1);
    }
    return share;
  }

  void run_one(const Team& team, const Share& share) {
    for (int64_t i = 0; i < blocks_.count(); ++i) {
      const Block<T> block = block_of(i);
      for (int64_t l = 0; l < in.config.layers; ++l) {
        if (!walk_block(team, share, l, block, i)) return;
      }
      if (in.call.after_block) {
        if (share.apart) {
          team.wait();
          if (stop_.load() <= i) return;
        }
        Block<T> done = block;
        done.top = in.after(in.tape.layer(in.config.layers - 1).h, block, block.first, 0);
        in.call.after_block(team, done);
      }
      if (!in.tape.whole() && block.last < in.order.steps()) {
        const bool waits = !share.apart || in.call.after_block;
        if (waits) team.wait();
        carry_over(team, share, block);
        if (waits) team.wait();
      }
    }
  }

  void run_both(const Team& team, const Share& share) {
    const int64_t blocks = blocks_.count();
    for (int64_t i = 0; i < in.config.walks() * blocks; ++i) {
      if (!walk_block(team, share, i / blocks, block_of(i % blocks), i)) break;
    }
    for (int64_t i = 0; in.call.after_block && i < blocks; ++i) {
      Block<T> block = block_of(i);
      team.wait();
      if (stopped()) return;
      const int64_t r0 = team.begin(block.rows()), r1 = team.end(block.rows());
      in.gather.outputs(block, r0, r1, in.call.ends,
                        input_.scratch() + r0 * in.geometry.features_row);
      team.wait();
      block.top = input_.scratch();
      block.top_row_length = in.geometry.features_row;
      in.call.after_block(team, block);
    }
  }

  using Rows = typename ForwardInput<T>::Rows;

  Buffer<T> filled(int64_t rows, double value) const {
    Buffer<T> buffer(checked_count(rows, in.geometry.cell_row));
    std::fill_n(buffer.data(), buffer.count(), T(value));
    return buffer;
  }
  Block<T> block_of(int64_t i) const {
    return {&in.order,
            &in.order,
            blocks_.first(i),
            blocks_.last(i),
            0,
            nullptr,
            in.geometry.state_row,
            0,
            &in.order,
            Shard<T>{.end = in.order.batch()}};
  }

  // Walks one block of one layer in one direction, the `turn`th in order; returns false if the
  // caller's cancel callback stops the call. Members that do not wait for each other stop at the
  // same turn at the latest.
  bool walk_block(const Team& team, const Share& share, int64_t walk, const Block<T>& block,
                  int64_t turn) {
    const bool asks = (walk == 0 || in.config.bidirectional) && team.index == 0;
    if (asks && cancelled()) stop_.store(turn);
    StepForwardArgs<T> args = in.stepper.begin(in.packed.layers[size_t(walk)], in.order.batch());
    args.y_row = in.call.y_n;
    if (share.apart) {
      if (!(in.call.after_block && in.config.directions() == 1) && stop_.load() <= turn)
        return false;
      for (int64_t t = block.first; t < block.last; ++t) {
        const int64_t n1 = std::min(share.n1, in.order.live(t));
        if (share.n0 >= n1) break;
        const int64_t row = block.row(t);
        const Rows input = input_.make(walk, block, row + share.n0, row + n1,
                                       input_.scratch_of(share.n0), share.n0);
        if (input_.fuses(walk)) set_input(args, input, 0);
        step(walk, block, t, share, share.n0, n1, args);
      }
      return true;
    }
    const int64_t r0 = team.begin(block.rows()), r1 = team.end(block.rows());
    if (r0 < r1) input_.make(walk, block, r0, r1, nullptr, r0);
    team.wait();
    if (stop_.load() <= turn) return false;
    const int64_t live = in.order.live(block.first);
    const int64_t n0 = share.units ? 0 : team.begin(live), n1 = share.units ? live : team.end(live);
    if (share.units) {
      args.panel_begin = team.begin(args.panel_end);
      args.panel_end = team.end(args.panel_end);
    }
    const Rows input = input_.fuses(walk) ? input_.rows_of(walk, block, 0, nullptr) : Rows{};
    if (!even_ || share.units) {
      for (int64_t t = block.first; t < block.last; ++t) {
        if (input.rows) set_input(args, input, block.row(t) + n0);
        step(walk, block, t, share, n0, std::min(n1, in.order.live(t)), args);
        if (share.units) team.wait();
      }
    } else if (n0 < n1) {
      if (input.rows) set_input(args, input, n0);
      walk_evenly(walk, block, share, n0, n1, args);
    }
    team.wait();
    return true;
  }

  void start(const Share& share) const {
    for (int64_t walk = 0; walk < in.config.walks(); ++walk) {
      const auto& layer = in.tape.layer(walk);
      for (int64_t n = share.n0; n < share.n1; ++n) {
        const int64_t index = walk * in.order.batch() + in.order.sequence(n);
        const auto put = [index](T* row, const T* given, const T* learnt, int64_t count) {
          put_state(row, given ? given + index * count : learnt, count);
        };
        put(layer.h + n * in.geometry.state_row, in.sequence.h0, layer.h0, in.config.state());
        if (layer.c)
          put(layer.c + n * in.geometry.cell_row, in.sequence.c0, layer.c0, in.config.hidden);
      }
    }
  }

  void keep_tokens(const Team& team) const {
    for (int64_t t = team.begin(in.order.steps()); t < team.end(in.order.steps()); ++t) {
      for (int64_t n = 0; n < in.order.live(t); ++n)
        in.tape.token_ids()[in.order.first(t) + n] = input_.token(t, n);
    }
  }

  // Sets y beyond the ends of the sequences to zero.
  void clear_padding(const Share& share) const {
    for (int64_t n = share.n0; n < share.n1; ++n) {
      for (int64_t t = in.order.length(n); t < in.sequence.steps; ++t) {
        std::fill_n(in.call.y + t * in.call.y_t + in.order.sequence(n) * in.call.y_n,
                    in.config.features(), T(0));
      }
    }
  }

  void set_input(StepForwardArgs<T>& s, const Rows& input, int64_t first) const {
    s.x = input.rows + first * input.row;
    s.x_row = input.row;
    s.x_depth = input.depth;
  }

  bool puts_y(int64_t walk) const { return in.call.y && walk >= first_of_top_; }

  // Sets the arguments of step t for sequences [n0, n1).
  void set_step(int64_t walk, const Block<T>& block, int64_t t, int64_t n0, int64_t n1,
                StepForwardArgs<T>& s) const {
    const auto& layer = in.tape.layer(walk);
    s.rows = n1 - n0;
    s.scratch = input_.operands(n0);
    s.h_previous = in.before(layer.h, block, t, n0, in.geometry.state_row);
    s.h = in.after(layer.h, block, t, n0);
    if (layer.c) {
      s.c_previous = in.before(layer.c, block, t, n0, in.geometry.cell_row);
      s.c = in.after(layer.c, block, t, n0, in.geometry.cell_row);
    }
    if (layer.planes) s.planes = in.planes(layer, block, t, n0);
    if (puts_y(walk) && direct_y_)
      s.y = in.call.y + t * in.call.y_t + in.order.sequence(n0) * in.call.y_n;
    s.input = s.h_previous;
  }

  // Walks the steps of a block for sequences [n0, n1). From one step to the next, all arguments
  // move by the rows of a step.
  void walk_evenly(int64_t walk, const Block<T>& block, const Share& share, int64_t n0, int64_t n1,
                   StepForwardArgs<T>& s) const {
    set_step(walk, block, block.first, n0, n1, s);
    in.stepper.forward_steps(s, block.last - block.first, in.order.batch(), in.call.y_t);
    if (block.last == in.order.steps()) copy_ends(walk, block.last - 1, share, n0, n1, s);
  }

  // Walks one step for sequences [n0, n1).
  void step(int64_t walk, const Block<T>& block, int64_t t, const Share& share, int64_t n0,
            int64_t n1, StepForwardArgs<T>& s) {
    if (n0 >= n1) return;
    const auto& layer = in.tape.layer(walk);
    set_step(walk, block, t, n0, n1, s);
    if (cuts_) {
      cut(walk, t, n0, n1, s);
      s.input = s.h_previous;
    }
    if (layer.recurrent_mask) {
      T* masked = masked_.data() + n0 * in.geometry.state_row;
      in.gather.mask_recurrent(walk, n0, n1, s.h_previous, masked);
      s.input = masked;
    }
    StepExtras<T> extras;
    if (in.stepper.extended()) {
      if (keep_h_.count()) extras.keep_h = kept(MaskKind::zoneout, keep_h_, walk, t, n0, n1);
      if (keep_c_.count()) extras.keep_c = kept(MaskKind::zoneout_c, keep_c_, walk, t, n0, n1);
      extras.keep_row = in.tape.training() ? in.geometry.cell_row : 0;
      if (z_.count()) extras.z = z_.data() + n0 * in.stepper.z_row();
    }
    in.stepper.forward(in.packed.layers[size_t(walk)], s, extras);
    if (puts_y(walk) && !direct_y_) copy_outputs(walk, t, share, n0, n1, s.h);
    if (t + 1 == in.order.steps() || !in.order.uniform()) copy_ends(walk, t, share, n0, n1, s);
  }

  // Copies units [u0, u1) of `count`: all of them, or this member's.
  static void copy_units(const Share& share, T* to, const T* from, int64_t count) {
    const int64_t u0 = share.u0, u1 = share.units ? share.u1 : count;
    std::memcpy(to + u0, from + u0, size_t(u1 - u0) * sizeof(T));
  }

  void copy_outputs(int64_t walk, int64_t t, const Share& share, int64_t n0, int64_t n1,
                    const T* h) const {
    const int64_t d = walk % in.config.directions();
    for (int64_t n = n0; n < n1; ++n) {
      copy_units(share,
                 in.call.y + in.order.time(d, t, n) * in.call.y_t +
                     in.order.sequence(n) * in.call.y_n + d * in.config.state(),
                 h + (n - n0) * in.geometry.state_row, in.config.state());
    }
  }

  // Copies the final states of the sequences that end at this step.
  void copy_ends(int64_t walk, int64_t t, const Share& share, int64_t n0, int64_t n1,
                 const StepForwardArgs<T>& s) const {
    for (int64_t n = std::max(n0, in.order.live(t + 1)); n < n1; ++n) {
      const int64_t to = walk * in.order.batch() + in.order.sequence(n);
      if (in.call.hn) {
        copy_units(share, in.call.hn + to * in.config.state(),
                   s.h + (n - n0) * in.geometry.state_row, in.config.state());
      }
      if (in.call.cn && s.c) {
        copy_units(share, in.call.cn + to * in.config.hidden, s.c + (n - n0) * in.geometry.cell_row,
                   in.config.hidden);
      }
    }
  }

  // Replaces the states before step t by copies with initial ones if a reset cuts any of them.
  void cut(int64_t walk, int64_t t, int64_t n0, int64_t n1, StepForwardArgs<T>& rows) {
    if (!in.gather.any_cut(walk % in.config.directions(), t, n0, n1)) return;
    T* h = cut_h_.data() + n0 * in.geometry.state_row;
    in.gather.cut_h(walk, t, n0, n1, rows.h_previous, h);
    rows.h_previous = h;
    if (!rows.c_previous) return;
    T* c = cut_c_.data() + n0 * in.geometry.cell_row;
    in.gather.cut_c(walk, t, n0, n1, rows.c_previous, c);
    rows.c_previous = c;
  }

  const T* kept(MaskKind kind, Buffer<T>& rows, int64_t walk, int64_t t, int64_t n0, int64_t n1) {
    if (!in.tape.training()) return rows.data();
    T* first = rows.data() + n0 * in.geometry.cell_row;
    in.gather.zoneout(kind, walk, t, n0, n1, first);
    return first;
  }

  // Moves the states after the block's last step to the rows before the next block.
  void carry_over(const Team& team, const Share& share, const Block<T>& block) const {
    const int64_t live = in.order.live(block.last);
    const int64_t n0 = share.apart ? share.n0 : team.begin(live);
    const int64_t n1 = share.apart ? share.n1 : team.end(live);
    for (int64_t l = 0; l < in.config.layers; ++l) {
      const auto& layer = in.tape.layer(l);
      const auto copy = [&](T* states, int64_t row) {
        std::memcpy(states + n0 * row, in.after(states, block, block.last - 1, n0, row),
                    size_t((n1 - n0) * row) * sizeof(T));
      };
      copy(layer.h, in.geometry.state_row);
      if (layer.c) copy(layer.c, in.geometry.cell_row);
    }
  }

  const ForwardContext<T> in;
  const ForwardInput<T> input_;
  const Blocks blocks_;
  const bool cuts_;
  const bool direct_y_;                // the cell itself writes the caller's outputs
  const bool even_;                    // a step is the kernel of its cell and nothing else
  const int64_t first_of_top_;         // first walk of the top layer
  Buffer<T> cut_h_, cut_c_, masked_;   // [N, R | H]
  Buffer<T> keep_h_, keep_c_;          // [N or 1, H]
  Buffer<T> z_;                        // [N, gates, plane]
  std::atomic<int64_t> stop_{kNever};  // the first turn that is not walked
};

}  // namespace

template <class T>
void walk_forward(const Stack<T>& stack, const ForwardCall<T>& call, Tape<T>& tape) {
  const bool one_hot = call.sequence.tokens && !call.table;
  const auto packed = packed_forward(stack, call.parameters, call.version, one_hot);
  ForwardWalk<T> walk(stack, call, tape, *packed);
  run_team(stack.team_size(tape.order().block_rows()), [&](const Team& team) { walk.run(team); });
  if (walk.stopped()) stop_call();
}

#define BPTT_INSTANTIATE(T)                                                                    \
  template std::unique_ptr<Tape<T>> new_tape(const Stack<T>&, const Sequence<T>&, bool, bool); \
  template void walk_forward(const Stack<T>&, const ForwardCall<T>&, Tape<T>&);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
