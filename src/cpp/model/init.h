// init.h: initial parameters, the same bits on every platform for the same seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "model/network.h"

namespace bptt {

// In the order of bptt_weight_init, which says what they are.
enum class WeightInit { uniform, orthogonal, identity, xavier, normal, sparse, chrono, keras };

struct InitConfig {
  WeightInit weights = WeightInit::uniform;
  double gain = 1;
  double forget_bias = std::numeric_limits<double>::quiet_NaN();  // NaN: leave
  double spectral_radius = 0.95;                                  // normal, sparse
  double time_scale = std::numeric_limits<double>::quiet_NaN();   // chrono
  uint64_t seed = 0;
  bool given = false;  // the values come from elsewhere (a file): fill nothing
};

// Fills all parameters of the network: layers by `config`, embedding.weight ~ N(0, 1) and readout
// U(-1/sqrt(H), 1/sqrt(H)) as PyTorch's nn.Embedding and nn.Linear. Each tensor has its own stream
// of random numbers (the hash of its name), so that adding one does not change the others.
template <class T>
void initialise(Network<T>& network, const InitConfig& config);

}  // namespace bptt
