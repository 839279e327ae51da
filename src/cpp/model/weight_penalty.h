// weight_penalty.h: the regularisers of the weights, options weight_l1 and weight_l2.
#pragma once

#include "bptt.h"
#include "model/params.h"

namespace bptt {

// Returns l1 sum |w| + l2 sum w^2 over the matrices that are not frozen, and adds its gradient to
// `gradients` [P]. The caller holds the lock (shared).
template <class T>
double add_weight_penalty(const bptt_model_options& options, const Params<T>& params, T* gradients);

}  // namespace bptt
