// init.h: initial parameters, the same bits on every platform for the same seed.
#pragma once

#include "model/network.h"

namespace bptt {

// Fills all parameters of the network: layers as its options say, embedding.weight ~ N(0, 1) and readout
// U(-1/sqrt(H), 1/sqrt(H)) as PyTorch's nn.Embedding and nn.Linear. Each tensor has its own stream
// of random numbers (the hash of its name), so that adding one does not change the others.
template <class T>
void initialise(Network<T>& network);

}  // namespace bptt
