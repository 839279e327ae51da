// noise.h: the noise of the pre-activations of an RNN.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "sequence/layer_config.h"
#include "sequence/masks.h"

namespace bptt {

// The factors of the random numbers N(0, 1) that are added to a_t: sqrt(2 / alpha) sigma.
class Noise {
 public:
  explicit Noise(const LayerConfig& config) : units_(config.hidden) {
    if (!(config.noise > 0)) return;
    for (const double alpha : config.alphas) scales_.push_back(std::sqrt(2 / alpha) * config.noise);
    if (scales_.empty()) scales_.push_back(std::sqrt(2 / config.alpha) * config.noise);
  }

  bool on() const { return !scales_.empty(); }
  // Adds the noise of time t and sequence n to the units of a row.
  template <class T>
  void add(const Masks& masks, T* row, int64_t t, int64_t n) const {
    masks.add_noise(row, units_, t, n, scales_.data(), scales_.size() > 1);
  }

 private:
  int64_t units_;
  std::vector<double> scales_;  // of all units, or of each
};

}  // namespace bptt
