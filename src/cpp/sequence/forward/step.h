// step.h: one forward time step of one layer and direction for some rows: the sequence of kernels
// that the cell and its options need. Walks and streams use it.
#pragma once

#include <cstdint>

#include "base/profile.h"
#include "kernels/kernels.h"
#include "sequence/packed.h"
#include "sequence/products.h"
#include "sequence/tape.h"

namespace bptt {

// The arguments of a step with options beyond StepForwardArgs.
template <class T>
struct StepExtras {
  const T* keep_h = nullptr;  // zoneout (kernels.h: CellOptions)
  const T* keep_c = nullptr;
  int64_t keep_row = 0;
  T* z = nullptr;  // scratch of layer normalisation [rows, gates, plane]
};

template <class T>
class Stepper {
 public:
  Stepper(const StackConfig& config, const Geometry<T>& geometry, const Kernels<T>& kernels)
      : config_(config),
        geometry_(geometry),
        shape_(geometry.shape),
        extended_(config.extended()),
        kernels_(kernels),
        panels_(panel_count(kernels, config.hidden)) {}

  const CellShape& shape() const { return shape_; }
  bool extended() const { return extended_; }
  int64_t z_row() const { return padded_row<T>(shape_.gates * geometry_.plane); }

  // Returns the options that forward and backward steps share.
  CellOptions<T> options(const typename Packed<T>::Layer& weights) const {
    CellOptions<T> o{};
    o.coupled = config_.coupled;
    o.reset_before = !config_.reset_after;
    o.alpha = T(config_.alpha);
    o.alphas = config_.alphas.empty() ? nullptr : weights.alphas.data();
    o.peephole = config_.peephole ? weights.peephole.data() : nullptr;
    o.peephole_sums = shape_.peephole;
    o.gain_c_sums = shape_.gain_c;
    o.norm = config_.layer_norm;
    if (o.norm && shape_.has_c) {
      o.gain_c = weights.gains.data() + 2 * shape_.gates * geometry_.plane;
      o.bias_c = o.gain_c + geometry_.plane;
    }
    return o;
  }

  // Applies layer normalisation to W_ih x, in place, to form the input part of the pre-activations.
  void normalise_input(const typename Packed<T>::Layer& weights, T* planes, int64_t rows) const {
    NormArgs<T> a = norm(planes, weights.gains.data(), rows, shape_.norm, 0);
    a.z = planes;
    a.z_row = geometry_.planes_row;
    a.bias = weights.bias.data();
    kernels_.norm_forward(a);
  }

  // Computes the input part. in: [rows, depth], in_row apart. out: planes or (plain RNN) h.
  // scratch: for the product.
  void input_part(const typename Packed<T>::Layer& weights, const T* in, int64_t in_row,
                  int64_t depth, T* out, int64_t out_row, int64_t rows, T* scratch) const {
    ProductArgs<T> p = product_args(kernels_, rows, depth, config_.hidden, {in, in_row},
                                    weights.input.data(), {out, out_row}, scratch);
    p.groups = shape_.gates;
    p.c_group = geometry_.plane;
    p.bias = config_.layer_norm ? nullptr : weights.bias.data();
    p.bias_group = geometry_.plane;
    kernels_.product(p);
    if (config_.layer_norm) normalise_input(weights, out, rows);
  }

  // Returns the arguments common to all steps of a layer's direction, for a batch of `batch`
  // sequences. For each step, the caller sets rows, input, scratch, h_previous, h, c_previous, c
  // and planes.
  StepForwardArgs<T> begin(const typename Packed<T>::Layer& weights, int64_t batch) const {
    StepForwardArgs<T> s{};
    s.lone = batch == 1;
    s.weights = weights.recurrent.data();
    s.bias_hidden = weights.bias_hidden.data();
    s.input_weights = weights.input.data();
    s.bias = weights.bias.data();
    s.input_row = geometry_.state_row;
    s.depth = shape_.recurrent() ? config_.state() : 0;
    s.h_row = geometry_.state_row;
    s.state_row = geometry_.cell_row;
    s.planes_row = geometry_.planes_row;
    s.plane_stride = geometry_.plane;
    s.units = config_.hidden;
    s.panel_end = panels_;
    s.activation = config_.activation;
    return s;
  }

  void forward(const typename Packed<T>::Layer& weights, StepForwardArgs<T>& s,
               const StepExtras<T>& extras) const {
    counted(s, [&] {
      if (extended_) return forward_extended(weights, s, extras);
      kernels_.step_forward[int(config_.cell)](s);
    });
  }

  // Runs `steps` steps of a plain cell. The arguments are those of the first step, whose rows are
  // part of `batch` rows, and on return those of the last; y_t: the distance between steps of y.
  void forward_steps(StepForwardArgs<T>& s, int64_t steps, int64_t batch, int64_t y_t) const {
    const auto kernel = kernels_.step_forward[int(config_.cell)];
    const int64_t h = batch * s.h_row, c = s.c ? batch * s.state_row : 0,
                  planes = s.planes ? batch * s.planes_row : 0, x = s.x ? batch * s.x_row : 0,
                  y = s.y ? y_t : 0;
    counted(s, [&] {
      for (; kernel(s), --steps > 0;) {
        s.h_previous += h;
        s.input += h;
        s.h += h;
        s.c_previous += c;
        s.c += c;
        s.planes += planes;
        s.x += x;
        s.y += y;
      }
    });
  }

  // Returns arguments for the layer normalisation of saved planes; backward, of `gates` dz planes.
  NormArgs<T> norm(T* planes, const T* gain, int64_t rows, int64_t hats, int64_t which) const {
    NormArgs<T> a{};
    a.gain = gain;
    a.hat = planes + hats * geometry_.plane;
    a.inverse = planes + (shape_.norm + 2 * shape_.gates) * geometry_.plane + which;
    a.hat_row = geometry_.planes_row;
    a.rows = rows;
    a.gates = shape_.gates;
    a.units = config_.hidden;
    a.plane_stride = geometry_.plane;
    return a;
  }

 private:
  // Calls run, whose kernels count the times of their parts if profiling is on.
  template <class Run>
  static void counted(StepForwardArgs<T>& s, const Run& run) {
    const Timed timed(Phase::recurrent);
    if (!profiling()) return run();
    uint64_t ticks[2]{};
    s.ticks = ticks;
    run();
    s.ticks = nullptr;
    profile_move(Phase::recurrent, Phase::input, ticks[0]);
    profile_move(Phase::recurrent, Phase::pointwise, ticks[1]);
  }

  void forward_extended(const typename Packed<T>::Layer& weights, StepForwardArgs<T> s,
                        const StepExtras<T>& extras) const {
    T* const h = s.h;
    CellOptions<T> o = options(weights);
    o.keep_h = extras.keep_h;
    o.keep_c = extras.keep_c;
    o.keep_row = extras.keep_row;
    s.options = &o;
    if (o.norm) {
      normalised_product(weights, s, extras.z);
      o.z = extras.z;
      o.z_row = z_row();
    }
    if (config_.projection) {
      s.h = s.planes + shape_.projected * geometry_.plane;
      s.h_row = geometry_.planes_row;
    }
    kernels_.step_forward[int(config_.cell)](s);
    if (o.reset_before) {
      o.stage = 1;
      s.weights = weights.recurrent_n.data();
      s.input = s.planes + 3 * geometry_.plane;  // r h
      s.input_row = geometry_.planes_row;
      kernels_.step_forward[int(config_.cell)](s);
    }
    if (config_.projection) project(weights, s, h);
  }

  void normalised_product(const typename Packed<T>::Layer& weights, const StepForwardArgs<T>& s,
                          T* z) const {
    ProductArgs<T> p = product_args(kernels_, s.rows, config_.state(), config_.hidden,
                                    {s.input, geometry_.state_row}, weights.recurrent.data(),
                                    {z, z_row()}, s.scratch);
    p.groups = shape_.gates;
    p.c_group = geometry_.plane;
    kernels_.product(p);
    NormArgs<T> a = norm(s.planes, weights.gains.data() + shape_.gates * geometry_.plane, s.rows,
                         shape_.norm + shape_.gates, 1);
    a.z = z;
    a.z_row = z_row();
    kernels_.norm_forward(a);
  }

  void project(const typename Packed<T>::Layer& weights, const StepForwardArgs<T>& s, T* h) const {
    kernels_.product(product_args(kernels_, s.rows, config_.hidden, config_.projection,
                                  {s.h, geometry_.planes_row}, weights.projection.data(),
                                  {h, geometry_.state_row}, s.scratch));
  }

  const StackConfig& config_;
  const Geometry<T>& geometry_;
  const CellShape& shape_;
  const bool extended_;
  const Kernels<T>& kernels_;
  const int64_t panels_;
};

}  // namespace bptt
