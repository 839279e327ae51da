// walk.h: the backward walk through time of a part of the batch.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "sequence/backward/activity.h"
#include "sequence/backward/initial.h"
#include "sequence/backward/norms.h"
#include "sequence/backward/omega.h"
#include "sequence/backward/step.h"
#include "sequence/backward/weights.h"
#include "sequence/products.h"

namespace bptt {

// Walks one shard. Rows of a block are numbered by time, then by sequence. One thread walks a
// shard, or a team shares its rows; each element of a weight gradient then belongs to one member.
//
// With one direction, it goes block by block, each through all layers. With two, it goes layer by
// layer, each direction through all blocks; dL/dy and dL/dx of the layers between are then kept for
// all steps, in the caller's time.
template <class T>
class BackwardWalk {
 public:
  BackwardWalk(const Stack<T>& stack, const BackwardCall<T>& call, const Tape<T>& tape,
               const Packed<T>& packed, const Shard<T>& shard, std::atomic<bool>& stop)
      : in(stack, call, tape, packed, shard),
        weights_(in),
        omega_(in),
        activity_(in),
        steps_(in),
        initial_(in),
        norms_(in),
        stop_(stop) {
    const int64_t rows = in.block_rows, L = in.config.layers;
    const Geometry<T>& geometry = in.geometry;
    const bool both = in.D == 2;
    const int64_t kept = both ? in.own.rows() : rows;  // rows of dL/dy and dL/dx
    for (Buffer<T>& dx : dx_) {
      if (L > 1) dx = Buffer<T>(checked_count(kept, geometry.features_row));
    }
    block_dx_ = Buffer<T>(checked_count(rows, std::max(geometry.input_row, geometry.features_row)));
    if (call.before_block) {
      dy_ = Buffer<T>(checked_count(kept, geometry.features_row));
      if (both) top_ = Buffer<T>(checked_count(rows, geometry.features_row));
    }
    for (int64_t w = 0; w < window_count(); ++w) {
      const Window own = window(w);
      blocks_.push_back(in.own.blocks(own.begin, own.end));
    }
    direct_dy_ = !both && in.own.uniform() && !in.extended && !shard.record && !call.seeds &&
                 !omega_.on() && !activity_.on();
    even_ = direct_dy_ && !in.cuts && !tape.layer(0).recurrent_mask &&
            !(call.settings.clip_step_norm > 0) && (in.shape.gates == 1 || !norms_.of_a());
    direct_dx_ = !both && in.own.uniform() && !in.truncated() && call.dx && !shard.table_gradient;
  }

  const OmegaTerms<T>& omega() const { return omega_; }
  const ActivityTerms<T>& activity() const { return activity_; }

  // `asks`: this thread calls the caller's cancel callback.
  void run(const Team& team, bool asks) {
    const Timed timed(Phase::other);
    clear_results(team);
    const bool done = in.D == 2 ? run_both(team, asks) : run_one(team, asks);
    if (!done || !in.shard.gradients) return;
    team.wait();  // for all scattered rows and column sums
    weights_.finish(team);
    initial_.finish(team);
  }

 private:
  // A window of truncated BPTT: the losses of k1 steps go back k2 steps. Without truncation, one
  // window.
  struct Window {
    int64_t begin, end;
    int64_t counted;  // the first step whose losses go back in this window
  };
  // With two directions, seeds are walked to the end: one direction must not miss a row that the
  // other has finished.
  int64_t first_step() const { return in.call.seeds && in.D == 1 ? in.call.seeds->begin : 0; }
  int64_t window_steps() const { return in.truncated() ? in.call.settings.k1 : in.tape.steps(); }
  // Losses beyond the longest sequence belong to no window.
  int64_t window_count() const { return (in.own.steps() - 1) / window_steps() + 1; }
  Window window(int64_t i) const {
    const int64_t counted = i * window_steps(), longest = in.own.steps();
    const int64_t end = counted + std::min(window_steps(), longest - counted);
    const int64_t begin =
        in.truncated() ? std::max(int64_t(0), counted - (in.call.settings.k2 - in.call.settings.k1))
                       : first_step();
    return {begin, end, counted};
  }

  Block<T> block_of(int64_t first, int64_t last, int64_t counted) const {
    return {&in.own,        &in.all, first,   last, counted, nullptr, in.geometry.state_row,
            in.shard.begin, &in.all, in.shard};
  }

  bool run_one(const Team& team, bool asks) {
    int turn = 0;
    for (int64_t w = window_count(); w-- > 0;) {
      const Window own = window(w);
      const Blocks& blocks = blocks_[size_t(w)];
      for (int64_t i = blocks.count(); i-- > 0; turn = !turn) {
        Block<T> block = block_of(blocks.first(i), blocks.last(i), own.counted);
        const int64_t top = in.config.layers - 1;
        block.top = in.tape.layer(top).h +
                    (in.all.batch() + in.all.first(block.first)) * in.geometry.state_row;
        if (asks && cancelled()) stop_.store(true);
        bool dy = in.call.dy || in.call.seeds;
        if (in.call.before_block) {
          dy = in.call.before_block(team, block, dy_.data());
          team.wait();
        }
        for (int64_t l = top; l >= 0; --l) {
          if (!walk_block(team, l, block, own.end, turn, dy || l < top)) return false;
        }
      }
      if (own.begin == 0) {
        for (int64_t l = 0; l < in.config.layers; ++l) put_initial(team, l);
      }
      team.wait();  // before the carries are reused
    }
    return true;
  }

  bool run_both(const Team& team, bool asks) {
    const Blocks& blocks = blocks_[0];
    for (int64_t i = 0; in.call.before_block && i < blocks.count(); ++i) {
      Block<T> block = block_of(blocks.first(i), blocks.last(i), 0);
      const int64_t r0 = team.begin(block.rows()), r1 = team.end(block.rows());
      team.wait();
      in.gather.outputs(block, r0, r1, in.call.ends, top_.data() + r0 * in.geometry.features_row);
      team.wait();
      block.top = top_.data();
      block.top_row_length = in.geometry.features_row;
      block.top_order = &in.own;
      block.top_begin = 0;
      T* dy = dy_.data() + in.own.first(block.first) * in.geometry.features_row;
      if (!in.call.before_block(team, block, dy) && team.index == 0)
        std::fill_n(dy, block.rows() * in.geometry.features_row, T(0));
    }
    team.wait();
    const bool dy = in.call.dy || in.call.before_block || in.call.seeds;
    int turn = 0;
    for (int64_t l = in.config.layers - 1; l >= 0; --l) {
      // The last direction first: its data are still in the caches.
      for (int64_t walk = (l + 1) * in.D; walk-- > l * in.D;) {
        for (int64_t i = blocks.count(); i-- > 0; turn = !turn) {
          if (asks && cancelled()) stop_.store(true);
          const Block<T> block = block_of(blocks.first(i), blocks.last(i), 0);
          const bool has_dy = dy || l < in.config.layers - 1;
          if (!walk_block(team, walk, block, in.own.steps(), turn, has_dy)) return false;
        }
        put_initial(team, walk);
        if (team.index == 0) norms_.record(walk, block_of(0, in.own.steps(), 0));
        team.wait();
      }
    }
    norms_.put_dx();
    return true;
  }

  // Walks one block of one layer in one direction; returns false if the caller's cancel callback
  // stops the call.
  bool walk_block(const Team& team, int64_t walk, const Block<T>& block, int64_t end, int turn,
                  bool has_dy) {
    const int64_t live = in.own.live(block.first), n0 = team.begin(live), n1 = team.end(live);
    const bool shares = !in.cuts && !in.tape.layer(0).recurrent_mask &&
                        shares_units(team, in.config, in.kernels, in.count);
    typename BackwardSteps<T>::Common common = steps_.begin(walk);
    if (!even_ || shares) {
      for (int64_t t = block.last; t-- > block.first;) {
        const int64_t own = in.own.uniform() ? n1 : std::min(n1, in.own.live(t));
        step(common, walk, block, t, end, n0, own, has_dy, shares ? &team : nullptr);
      }
    } else if (n0 < n1) {
      walk_evenly(common, walk, block, end, n0, n1, has_dy);
    }
    const bool tokens = walk < in.D && in.tape.tokens();
    if (tokens && team.index == 0 && (in.shard.gradients || in.shard.table_gradient))
      weights_.sort_tokens(walk % in.D, block, turn);
    if (omega_.on()) {
      team.wait();
      omega_.pack(team, block);
    }
    typename WeightGradients<T>::Operands of;
    if (in.shard.gradients) {
      const Timed timed(Phase::weight_gradients);
      of = weights_.operands(team, walk, block);
    }
    team.wait();
    if (stop_.load()) return false;
    if (in.shard.gradients) {
      const Timed timed(Phase::weight_gradients);
      weights_.add(team, walk, block, turn, of, steps_.dz(), steps_.totals());
    }
    if (omega_.on()) omega_.add(team, walk, block, steps_.dz());
    const bool first_layer = walk < in.D;
    if (!first_layer || in.call.dx || in.shard.table_gradient || norms_.of_dx())
      input_gradient(team, walk, block);
    if (in.D == 1 && team.index == 0) norms_.record(walk, block);
    team.wait();
    if (first_layer && in.shard.table_gradient)
      weights_.scatter_to_table(team, turn, block_dx_.data(), in.geometry.input_row);
    return true;
  }

  // Sets to zero the outputs that no step writes or that are only added to.
  void clear_results(const Team& team) {
    for (int64_t n = team.begin(in.count); n < team.end(in.count); ++n) {
      const int64_t from = in.truncated() ? 0 : in.own.length(n);
      for (int64_t t = from; in.call.dx && t < in.tape.steps(); ++t)
        std::fill_n(user_dx(t, n), in.config.input, T(0));
      for (int64_t walk = 0; in.truncated() && walk < in.config.walks(); ++walk) {
        const int64_t at = walk * in.all.batch() + in.sequence(n);
        if (in.call.dh0) std::fill_n(in.call.dh0 + at * in.R, in.R, T(0));
        if (in.call.dc0) std::fill_n(in.call.dc0 + at * in.H, in.H, T(0));
      }
    }
  }
  T* user_dx(int64_t t, int64_t n) const {
    return in.call.dx + t * in.call.dx_t + in.sequence(n) * in.call.dx_n;
  }

  // Sets the gradient that flows into step t from later steps, for sequences whose walk begins
  // here.
  void enter(int64_t walk, const Block<T>& block, int64_t t, int64_t end, int64_t n0, int64_t n1) {
    for (int64_t n = std::max(n0, t == end - 1 ? 0 : in.own.live(t + 1)); n < n1; ++n) {
      const bool final = in.own.length(n) - 1 == t && t >= block.counted;
      const int64_t index = walk * in.all.batch() + in.sequence(n);
      const auto set = [&](T* row, const T* from, int64_t count) {
        if (from && final) {
          std::memcpy(row, from + index * count, size_t(count) * sizeof(T));
        } else {
          std::memset(row, 0, size_t(count) * sizeof(T));
        }
      };
      set(steps_.dh(walk, n), in.call.dhn, in.R);
      if (in.shape.has_c) set(steps_.dc(walk, n), in.call.dcn, in.H);
    }
  }

  // Walks one step for sequences [n0, n1): computes the total dL/dh_t, then dz_t, then dL/dh_{t-1}.
  // A team may share the product of the latter.
  void step(typename BackwardSteps<T>::Common& common, int64_t walk, const Block<T>& block,
            int64_t t, int64_t end, int64_t n0, int64_t n1, bool has_dy, const Team* sharers) {
    if (n0 >= n1 && !sharers) return;
    const int64_t d = walk % in.D, row = in.geometry.state_row, at = block.row(t) + n0;
    const bool top = walk / in.D == in.config.layers - 1;
    if (t == end - 1 || !in.own.uniform()) enter(walk, block, t, end, n0, n1);
    T* const total = steps_.dh(walk, n0);
    const bool adds_dy = has_dy && (!top || t >= block.counted);
    StepBackwardArgs<T>& s = common.step;
    s.dy = nullptr;
    if (adds_dy && direct_dy_ && n0 < n1) {
      s.dy = dy_row(walk, block, t, n0);
      s.dy_row = top && in.call.dy ? in.call.dy_n : in.geometry.features_row;
    }
    for (int64_t n = n0; !direct_dy_ && n < n1; ++n) {
      T* own = total + (n - n0) * row;
      if (adds_dy &&
          (!top || !in.call.seeds || in.call.seeds->times[in.seed(n)] == output_time(d, t, n)))
        in.kernels.add(own, dy_row(walk, block, t, n), in.R);
      if (activity_.on() && t >= block.counted)
        activity_.add(walk, n, in.after(in.tape.layer(walk).h, t, n, row), own);
      norms_.put_h(walk, block, t, n, own);
      if (in.shard.record) in.shard.record->put_h(walk, in.tape_row(t, n), in.geometry, own);
    }
    const bool noted = direct_dy_ && in.shape.gates == 1;  // the cell computes the norms of dL/da
    steps_.run(common, walk, block, t, n0, n1, direct_dy_ ? norms_.cell_h(at) : nullptr,
               norms_.step_c(n0), noted ? norms_.cell_a(at) : nullptr, sharers);
    for (int64_t n = n0; n < n1 && !noted && (norms_.of_a() || in.shard.record); ++n) {
      const T* dz = s.dz + (n - n0) * in.geometry.dz_row;
      norms_.put_a(walk, block, t, n, dz);
      if (in.shard.record) in.shard.record->put_dz(walk, in.tape_row(t, n), in.geometry, dz);
    }
    norms_.put_c(walk, block, t, n0, n1);
    for (int64_t n = n0; omega_.on() && n < n1; ++n) {
      const int64_t own = n - n0;
      omega_.step(s, walk, at + own, t, n, s.dz + own * s.dz_row, total + own * row,
                  s.h_previous + own * row);
    }
    steps_.finish(walk, t, n0, n1, [&](int64_t n, const T* dh, const T* dc) {
      initial_.add_reset(walk, n, dh, dc);
    });
  }

  // Walks the steps of a block for sequences [n0, n1): those whose losses count, then those before.
  void walk_evenly(typename BackwardSteps<T>::Common& common, int64_t walk, const Block<T>& block,
                   int64_t end, int64_t n0, int64_t n1, bool has_dy) {
    const bool top = walk == in.config.walks() - 1;
    if (block.last == end) enter(walk, block, end - 1, end, n0, n1);
    const bool given = top && in.call.dy;
    const int64_t dy_n = given ? in.call.dy_n : in.geometry.features_row;
    const int64_t dy_t = given ? in.call.dy_t : in.count * dy_n;
    const int64_t without = !has_dy ? block.last
                            : top   ? std::clamp(block.counted, block.first, block.last)
                                    : block.first;
    const auto run = [&](int64_t first, int64_t last, bool adds_dy) {
      if (first == last) return;
      const int64_t at = block.row(last - 1) + n0;
      steps_.run_evenly(common, walk, block, first, last, n0, n1,
                        adds_dy ? dy_row(walk, block, last - 1, n0) : nullptr, dy_t, dy_n,
                        norms_.cell_h(at), norms_.cell_c(at), norms_.cell_a(at));
    };
    run(without, block.last, true);
    run(block.first, without, false);
  }

  // Returns the time of the output that reads h of the top layer after step s of a walk.
  int64_t output_time(int64_t d, int64_t s, int64_t n) const {
    return in.call.ends ? s : in.own.time(d, s, n);
  }

  const T* dy_row(int64_t walk, const Block<T>& block, int64_t s, int64_t n) const {
    const int64_t l = walk / in.D, d = walk % in.D;
    const bool top = l == in.config.layers - 1;
    const int64_t t = top ? output_time(d, s, n) : in.own.time(d, s, n);
    if (top && in.call.seeds)
      return in.call.seeds->dy + int64_t(in.seed(n)) * in.D * in.R + d * in.R;
    if (top && in.call.dy)
      return in.call.dy + t * in.call.dy_t + in.sequence(n) * in.call.dy_n + d * in.R;
    const int64_t row = in.D == 2 ? in.own.first(t) + n : block.row(s) + n;
    const Buffer<T>& from = top ? dy_ : dx_[(l + 1) % 2];
    return from.data() + row * in.geometry.features_row + d * in.R;
  }

  // Computes dx of this member's rows of the block, for the layer below or the caller.
  void input_gradient(const Team& team, int64_t walk, const Block<T>& block) {
    const int64_t r0 = team.begin(block.rows()), r1 = team.end(block.rows());
    if (r0 == r1) return;
    const Timed timed(Phase::input_gradients);
    const int64_t l = walk / in.D, d = walk % in.D, I = in.input_size(walk),
                  row = in.input_row(walk);
    T* const out = (l > 0 && in.D == 1 ? dx_[l % 2].data() : block_dx_.data()) + r0 * row;
    const T* dz = steps_.dz() + r0 * in.geometry.dz_row + in.shape.norm_input * in.geometry.plane;
    ProductArgs<T> p =
        product_args(in.kernels, r1 - r0, in.H, I, {dz, in.geometry.dz_row},
                     in.packed.layers[size_t(walk)].input.data(), {out, row}, in.operands.at(r0));
    p.segments = in.shape.gates;
    p.segment_stride = in.geometry.plane;
    if (l == 0 && direct_dx_) return put_dx(block, r0, r1, p);
    in.kernels.product(p);
    if (l > 0) in.gather.drop_inputs(l, d, block, r0, r1, out);
    if (l == 0 && norms_.of_dx() && in.D == 1) return norms_.put_dx(block, out);
    if (l > 0 ? in.D == 1 : !in.call.dx && !norms_.of_dx()) return;
    for_rows(block, r0, r1, [&](int64_t r, int64_t s, int64_t n) {
      const int64_t t = in.own.time(d, s, n), at = in.own.first(t) + n;
      T* to = l > 0            ? dx_[l % 2].data() + at * row
              : norms_.of_dx() ? norms_.dx_row(at)
                               : user_dx(t, n);
      const T* from = out + (r - r0) * row;
      if (d + 1 < in.D || in.truncated()) {
        in.kernels.add(to, from, I);
      } else {
        std::memcpy(to, from, size_t(I) * sizeof(T));
      }
    });
  }

  // Computes the product of input_gradient directly into the caller's dx: all rows at once, or step
  // by step.
  void put_dx(const Block<T>& block, int64_t r0, int64_t r1, ProductArgs<T> p) const {
    const int64_t row = in.count == 1 ? in.call.dx_t : in.call.dx_n;
    const bool at_once = in.joined && in.call.dx_t == in.count * row;
    const T* const first = p.a;
    p.c_row = row;
    for (int64_t r = r0; r < r1; r += p.rows) {
      const int64_t t = block.first + r / in.count, n = r % in.count;
      p.rows = at_once ? r1 - r : std::min(r1 - r, in.count - n);
      p.a = first + (r - r0) * in.geometry.dz_row;
      p.c = user_dx(t, n);
      in.kernels.product(p);
    }
  }

  // Stores dh0 and dc0, which are also shares in the gradients of learnt initial states.
  void put_initial(const Team& team, int64_t walk) {
    for (int64_t n = team.begin(in.count); n < team.end(in.count); ++n) {
      const int64_t at = walk * in.all.batch() + in.sequence(n);
      const auto put = [&](T* to, const T* from, int64_t count) {
        if (in.truncated()) {
          in.kernels.add(to, from, count);
        } else {
          std::memcpy(to, from, size_t(count) * sizeof(T));
        }
      };
      if (in.call.dh0) put(in.call.dh0 + at * in.R, steps_.dh(walk, n), in.R);
      T* const dc = in.shape.has_c ? steps_.dc(walk, n) : nullptr;
      if (in.call.dc0 && dc) put(in.call.dc0 + at * in.H, dc, in.H);
      initial_.add_start(walk, n, steps_.dh(walk, n), dc);
    }
  }

  const BackwardContext<T> in;
  WeightGradients<T> weights_;
  OmegaTerms<T> omega_;
  ActivityTerms<T> activity_;
  BackwardSteps<T> steps_;
  InitialGradients<T> initial_;
  BackwardNorms<T> norms_;
  std::atomic<bool>& stop_;
  std::vector<Blocks> blocks_;  // of each window; made in advance, because a walk must not throw
  Buffer<T> dx_[2], dy_;        // [rows, D * R]: dL/dx of the layers between; dL/dy of the outputs
  Buffer<T> block_dx_;          // [rows of a block, I or D * R]
  Buffer<T> top_;               // [rows of a block, D * R]
  bool even_;  // a step is the kernel of its cell, the product with W_hh and nothing else
  bool direct_dy_, direct_dx_;  // the cell reads dL/dy itself; the product writes the caller's dx
};

}  // namespace bptt
