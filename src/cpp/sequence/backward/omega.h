// omega.h: the regulariser against vanishing gradients of Pascanu, Mikolov & Bengio (2013, eq. 9
// and 10), for the plain RNN. With delta = dL/da_{k+1} and u = W_hh^T delta,
//     Omega = mean over (k, n) of (|u f'(a_k)| / |delta| - 1)^2,
// where terms with |delta|^2 < 1e-20 are omitted. Only the immediate derivative is computed: delta
// and f'(a_k) are held constant, so the share of a term in dW_hh is
//     2 (ratio - 1) / (|delta| |u f'|)  delta (u f'^2)^T.
#pragma once

#include <cmath>

#include "sequence/backward/context.h"
#include "sequence/norms.h"

namespace bptt {

template <class T>
class OmegaTerms {
 public:
  explicit OmegaTerms(const BackwardContext<T>& context) : in(context) {
    if (in.call.settings.omega <= 0) return;
    const int64_t rows = in.block_rows;
    rows_ = Buffer<T>(checked_count(rows, in.geometry.state_row));
    panels_ = Buffer<T>(packed_size(in.kernels, rows, in.H, 1));
    gradient_ = Buffer<T>::zeros(checked_count(in.config.walks(), in.H, in.H));
    terms_ = Buffer<double>::zeros(rows);
    counts_ = std::vector<int64_t>(size_t(in.config.walks()));
    sums_ = std::vector<double>(size_t(in.config.walks()));
  }

  bool on() const { return rows_.count() > 0; }

  // Adds the term of step t: delta = dz of this row, u = dL/dh_{t-1} without dL/dy_{t-1}, h =
  // h_{t-1}.
  void step(const StepBackwardArgs<T>& args, int64_t walk, int64_t row, int64_t t, int64_t n,
            const T* delta, const T* u, const T* h) {
    T* out = rows_.data() + row * in.geometry.state_row;
    std::fill_n(out, in.H, T(0));
    terms_[row] = -1;
    if (t == 0 || in.tape.cut(walk % in.D, t, in.shard.place(n))) return;
    const double norm = row_norm(in.kernels, delta, in.H);
    if (!(norm * norm >= 1e-20)) return;
    // The cell's backward step multiplies by f'(a), here in place.
    std::copy_n(u, in.H, out);
    StepBackwardArgs<T> s = args;
    s.rows = 1;
    s.h = h;
    s.clip = 0;
    s.dh = s.dz = out;
    CellOptions<T> options{};
    if (in.extended) {  // f' is saved
      options = in.stepper.options(in.packed.layers[size_t(walk)]);
      s.options = &options;
      s.planes = in.planes(in.tape.layer(walk), t - 1, n);
    }
    in.kernels.step_backward[int(in.config.cell)](s);
    const double through = row_norm(in.kernels, out, in.H), ratio = through / norm;
    terms_[row] = (ratio - 1) * (ratio - 1);
    in.kernels.step_backward[int(in.config.cell)](s);
    const double factor = through > 0 ? 2 * (ratio - 1) / (norm * through) : 0;
    in.kernels.scale(out, in.H, factor);
  }

  // Packs the block's terms, after all of its steps and a barrier.
  void pack(const Team& team, const Block<T>& block) {
    const T* rows = rows_.data();
    pack_rows(
        in.kernels, team, block, true, [rows](int64_t) { return rows; }, in.geometry.state_row,
        in.H, panels_.data());
  }
  void add(const Team& team, int64_t walk, const Block<T>& block, const T* dz) {
    const int64_t m0 = team.begin(in.H), m1 = team.end(in.H);
    if (m0 < m1) {
      in.kernels.outer(OuterArgs<T>{dz + m0, in.geometry.dz_row, block.rows(), panels_.data(), 0, 0,
                                    0, m1 - m0, in.H, gradient_.data() + (walk * in.H + m0) * in.H,
                                    in.H});
    }
    if (team.index != 0) return;
    for (int64_t row = 0; row < block.rows(); ++row) {
      if (terms_[row] < 0) continue;
      sums_[size_t(walk)] += terms_[row];
      ++counts_[size_t(walk)];
    }
  }

  int64_t count(int64_t walk) const { return counts_[size_t(walk)]; }
  double sum(int64_t walk) const { return sums_[size_t(walk)]; }
  const T* gradient(int64_t walk) const { return gradient_.data() + walk * in.H * in.H; }

 private:
  const BackwardContext<T>& in;
  Buffer<T> rows_, panels_;  // of a block: the right-hand factors of delta
  Buffer<T> gradient_;       // [L * D, H, H]: sum of the shares
  Buffer<double> terms_;     // of a block; negative: none
  std::vector<int64_t> counts_;
  std::vector<double> sums_;
};

}  // namespace bptt
