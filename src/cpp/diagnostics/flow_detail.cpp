// flow_detail.cpp: norms of the gradient per sample and per unit, and the weights' gradients per
// step.
#include "diagnostics/flow_detail.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "sequence/gather.h"
#include "sequence/norms.h"

namespace bptt {
namespace {

// The detail of one walk: one direction of one layer.
template <class T>
class WalkDetail {
 public:
  WalkDetail(const FlowDetail& detail, const FlowRecord<T>& record, const Tape<T>& tape,
             const Geometry<T>& geometry, int64_t walk)
      : config_(tape.config()),
        geometry_(geometry),
        shape_(geometry.shape),
        kernels_(kernels_of<T>(*active_kernels())),
        doubles_(kernels_of<double>(*active_kernels())),
        tape_(tape),
        order_(tape.order()),
        gather_(config_, geometry, kernels_, tape),
        record_(record.walks[size_t(walk)]),
        walk_(walk),
        detail_(detail),
        H_(config_.hidden),
        R_(config_.state()),
        I_(walk < config_.directions() ? config_.input : config_.features()) {
    const int64_t N = order_.batch();
    if (detail.share[0] || detail.weight[0])
      inputs_ = Buffer<T>(checked_count(N, std::max(geometry.input_row, geometry.features_row)));
    if (detail.share[1] || detail.weight[1])
      for (Buffer<T>& states : states_) states = Buffer<T>(checked_count(N, geometry.state_row));
    if (detail.weight[0] || detail.weight[1]) {
      left_ = Buffer<double>(checked_count(N, shape_.gates * H_));
      right_ = Buffer<double>(checked_count(N, std::max(I_, R_)));
    }
  }

  void run() {
    for (int64_t t = 0; t < order_.steps(); ++t) {
      const int64_t live = order_.live(t);
      norms(t, live);
      units(t, live);
      if (detail_.share[0] || detail_.weight[0]) weight(t, live, 0, read_inputs(t, live));
      if (detail_.share[1] || detail_.weight[1]) weight(t, live, 1, read_states(t, live));
    }
  }

 private:
  const T* h(int64_t row) const { return record_.h.data() + row * geometry_.state_row; }
  const T* c(int64_t row) const { return record_.c.data() + row * geometry_.cell_row; }
  const T* dz(int64_t row) const { return record_.dz.data() + row * geometry_.dz_row; }
  // Returns the step of the walk at the caller's time t.
  int64_t step(int64_t t, int64_t n) const {
    return order_.time(walk_ % config_.directions(), t, n);
  }
  int64_t row(int64_t t, int64_t n) const { return order_.first(step(t, n)) + n; }
  // Returns an index into [L * D, T, N].
  int64_t sample_at(int64_t t, int64_t n) const {
    return (walk_ * tape_.steps() + t) * order_.batch() + order_.sequence(n);
  }
  // Calls f(s, n0, n1) for each range of sequences that are at the same step s.
  template <class F>
  void for_steps(int64_t t, int64_t live, const F& f) const {
    for (int64_t n0 = 0, n1; n0 < live; n0 = n1) {
      for (n1 = n0 + 1; n1 < live && step(t, n1) == step(t, n0);) ++n1;
      f(step(t, n0), n0, n1);
    }
  }

  void norms(int64_t t, int64_t live) const {
    for (int64_t n = 0; n < live; ++n) {
      const int64_t from = row(t, n), at = sample_at(t, n);
      if (detail_.samples[0]) detail_.samples[0][at] = row_norm(kernels_, h(from), R_);
      if (detail_.samples[1]) detail_.samples[1][at] = row_norm(kernels_, c(from), H_);
      if (detail_.samples[2])
        detail_.samples[2][at] = planes_norm(kernels_, geometry_, H_, dz(from));
    }
  }

  void units(int64_t t, int64_t live) const {
    const auto add = [](double* sums, const T* row, int64_t count) {
      for (int64_t i = 0; i < count; ++i) sums[i] = std::hypot(sums[i], double(row[i]));
    };
    for (int64_t n = 0; n < live; ++n) {
      const int64_t from = row(t, n), at = walk_ * tape_.steps() + t;
      if (detail_.units[0]) add(detail_.units[0] + at * R_, h(from), R_);
      if (detail_.units[1]) add(detail_.units[1] + at * H_, c(from), H_);
      for (int64_t p = 0; detail_.units[2] && p < shape_.gates; ++p) {
        double* sums = detail_.units[2] + (at * shape_.gates + shape_.dz_input[p]) * H_;
        add(sums, dz(from) + p * geometry_.plane, H_);
      }
    }
  }

  // The rows that multiply W_ih or W_hh at a step, one per sample; null: one-hot tokens.
  struct Operand {
    const T* rows;
    int64_t row, length;
  };
  Operand read_inputs(int64_t t, int64_t live) {
    const int64_t D = config_.directions(), l = walk_ / D;
    if (l == 0 && !tape_.dense()) return {nullptr, 0, I_};
    if (l > 0) {
      const int64_t row = geometry_.features_row;
      const Shard<T> all{.end = order_.batch()};
      for_steps(t, live, [&](int64_t s, int64_t n0, int64_t n1) {
        const Block<T> block{&order_, &order_, s, s + 1, 0, nullptr, 0, 0, &order_, all};
        gather_.inputs(l, walk_ % D, block, n0, n1, inputs_.data() + n0 * row);
      });
      return {inputs_.data(), row, I_};
    }
    for (int64_t n = 0; n < live; ++n) {
      const T* from = tape_.x() + (order_.first(t) + n) * geometry_.input_row;
      std::memcpy(inputs_.data() + n * geometry_.input_row, from, size_t(I_) * sizeof(T));
    }
    return {inputs_.data(), geometry_.input_row, I_};
  }
  Operand read_states(int64_t t, int64_t live) {
    const int64_t row = geometry_.state_row;
    const bool masked = tape_.layer(walk_).recurrent_mask != nullptr;
    for_steps(t, live, [&](int64_t s, int64_t n0, int64_t n1) {
      const int64_t first = s == 0 ? 0 : order_.batch() + order_.first(s - 1);
      T* own = states_[0].data() + n0 * row;
      gather_.cut_h(walk_, s, n0, n1, tape_.layer(walk_).h + (first + n0) * row, own);
      if (masked) gather_.mask_recurrent(walk_, n0, n1, own, states_[1].data() + n0 * row);
    });
    return {states_[masked].data(), row, R_};
  }

  // Returns the planes of dz, in `row`, that belong to W_ih (0) or W_hh (1).
  const T* planes(int64_t row, int which) const {
    const bool norm = config_.layer_norm;
    const int64_t first =
        which ? (norm ? shape_.norm_hidden : shape_.dz_hidden) : shape_.norm_input;
    return dz(row) + first * geometry_.plane;
  }

  void weight(int64_t t, int64_t live, int which, const Operand& of) {
    for (int64_t n = 0; detail_.share[which] && n < live; ++n) {
      const double read = of.rows ? row_norm(kernels_, of.rows + n * of.row, of.length) : 1;
      const double da = planes_norm(kernels_, geometry_, H_, planes(row(t, n), which));
      detail_.share[which][sample_at(t, n)] = da * read;
    }
    if (detail_.weight[which])
      detail_.weight[which][walk_ * tape_.steps() + t] = batch_norm(t, live, which, of);
  }

  // Returns || sum_n dz_n x_n^T ||_F, computed from sum_{n,m} (dz_n . dz_m) (x_n . x_m).
  double batch_norm(int64_t t, int64_t live, int which, const Operand& of) {
    const int64_t G = shape_.gates, length = G * H_;
    double largest = 0;
    for (int64_t n = 0; n < live; ++n) {
      for (int64_t g = 0; g < G; ++g) {
        const T* plane = planes(row(t, n), which) + g * geometry_.plane;
        for (int64_t i = 0; i < H_; ++i) {
          left_[n * length + g * H_ + i] = double(plane[i]);
          if (std::isnan(plane[i])) return double(plane[i]);
          largest = std::max(largest, std::fabs(double(plane[i])));
        }
      }
      for (int64_t i = 0; of.rows && i < of.length; ++i)
        right_[n * of.length + i] = double(of.rows[n * of.row + i]);
    }
    if (!(largest > 0) || std::isinf(largest)) return largest;
    for (int64_t i = 0; i < live * length; ++i) left_[i] /= largest;
    double sum = 0;
    for (int64_t n = 0; n < live; ++n) {
      for (int64_t m = 0; m <= n; ++m) {
        const double x = of.rows ? doubles_.dot(right_.data() + n * of.length,
                                                right_.data() + m * of.length, of.length)
                                 : double(token(t, n) == token(t, m));
        if (x == 0) continue;
        const double a = doubles_.dot(left_.data() + n * length, left_.data() + m * length, length);
        sum += (n == m ? 1 : 2) * a * x;
      }
    }
    return largest * std::sqrt(std::max(sum, 0.0));
  }
  int64_t token(int64_t t, int64_t n) const { return tape_.token_ids()[order_.first(t) + n]; }

  const StackConfig& config_;
  const Geometry<T>& geometry_;
  const CellShape& shape_;
  const Kernels<T>& kernels_;
  const Kernels<double>& doubles_;
  const Tape<T>& tape_;
  const Order& order_;
  const Gather<T> gather_;
  const typename FlowRecord<T>::Walk& record_;
  const int64_t walk_;
  const FlowDetail& detail_;
  const int64_t H_, R_, I_;
  Buffer<T> inputs_, states_[2];  // of the current step
  Buffer<double> left_, right_;
};

}  // namespace

template <class T>
void write_flow_detail(const FlowDetail& detail, const FlowRecord<T>& record, const Tape<T>& tape) {
  const StackConfig& config = tape.config();
  const Geometry<T> geometry(config);
  const int64_t walks = config.walks(), steps = tape.steps();
  const int64_t widths[3] = {config.state(), config.hidden, geometry.shape.gates * config.hidden};
  const auto clear = [](double* values, int64_t count) {
    if (values) std::fill_n(values, count, 0.0);
  };
  for (int k = 0; k < 3; ++k) {
    clear(detail.samples[k], walks * steps * tape.batch());
    clear(detail.units[k], walks * steps * widths[k]);
  }
  for (int k = 0; k < 2; ++k) {
    clear(detail.share[k], walks * steps * tape.batch());
    clear(detail.weight[k], walks * steps);
  }
  for (int64_t walk = 0; walk < walks; ++walk)
    WalkDetail<T>(detail, record, tape, geometry, walk).run();
}

template void write_flow_detail(const FlowDetail&, const FlowRecord<float>&, const Tape<float>&);
template void write_flow_detail(const FlowDetail&, const FlowRecord<double>&, const Tape<double>&);

}  // namespace bptt
