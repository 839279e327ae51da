// init.h: initial parameters. The same seed gives the same bits on every platform.
#pragma once

#include "model/network.h"

namespace bptt {

// Fills all parameters of the network: layers according to their options, embedding.weight ~
// N(0, 1), and the readout ~ U(-1/sqrt(H), 1/sqrt(H)), as PyTorch's nn.Embedding and nn.Linear do.
// Each tensor has its own stream of random numbers, seeded with the hash of its name, so that a new
// tensor does not change the others.
template <class T>
void initialise(Network<T>& network);

}  // namespace bptt
