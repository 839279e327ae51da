// stream.h: inference on one sequence, one step at a time, with the weights at the time of
// creation, which may be rounded to fewer bits. A step allocates no memory and takes no lock.
#pragma once

#include <cstdint>

#include "model/model.h"
#include "sequence/forward/step.h"
#include "sequence/noise.h"

namespace bptt {

template <class T>
class Stream {
 public:
  // Copies and packs the weights. The caller holds the lock (shared). `noise`: add the noise of this
  // draw, and after each reset that of the next.
  Stream(const Model<T>& model, Weights weights, bool noise, uint64_t draw);

  void step(const T* x, T* y);  // x [I], y [O] or null
  void step_token(int64_t token, T* y);
  void reset();
  void get_state(T* h, T* c) const;  // [L, 1, H]
  void set_state(const T* h, const T* c);
  const NetworkConfig& config() const { return config_; }

 private:
  void run(const T* x, int64_t token, T* y);
  void begin();  // sets the initial states
  T* h(int64_t layer, int64_t which) {
    return h_.data() + (2 * layer + which) * geometry_.state_row;
  }
  T* c(int64_t layer, int64_t which) {
    return c_.data() + (2 * layer + which) * geometry_.cell_row;
  }

  const NetworkConfig config_;
  const StackConfig stack_;
  const Geometry<T> geometry_;
  std::shared_ptr<const Packed<T>> weights_;
  const Kernels<T>& kernels_;
  const Stepper<T> stepper_;
  const OperandRows<T> operands_;
  std::shared_ptr<const PackedReadout<T>> readout_;
  Buffer<T> table_;            // embedding.weight at the time of creation
  Buffer<T> h_, c_;            // [L, 2, H]: states before and after a step, alternating
  Buffer<T> planes_;           // the values that the cell saves, for one step
  Buffer<T> z_;                // [gates, plane], for layer normalisation
  Buffer<T> keep_h_, keep_c_;  // [H], for the expectation of zoneout
  int64_t now_ = 0;            // index of the current state, 0 or 1
  Buffer<T> h0_, c0_;          // [L, R], [L, H]: the learnt initial states; empty: zeros
  const Noise noise_;
  const bool noisy_;
  uint64_t draw_;
  int64_t time_ = 0;  // steps since the last reset
};

}  // namespace bptt
