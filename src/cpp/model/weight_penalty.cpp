// weight_penalty.cpp: the value and gradient of the regularisers of the weights.
#include "model/weight_penalty.h"

#include "kernels/kernels.h"
#include "model/chunks.h"

namespace bptt {

template <class T>
double add_weight_penalty(const bptt_model_options& options, const Params<T>& params,
                          T* gradients) {
  const double l1 = options.weight_l1, l2 = options.weight_l2;
  if (l1 == 0 && l2 == 0) return 0;
  const Kernels<T>& kernels = kernels_of<T>(*active_kernels());
  double penalty = 0;
  for (const Param& tensor : params.tensors()) {
    if (!tensor.is_matrix() || tensor.frozen) continue;
    const T* const weights = params.data(tensor);
    T* const gradient = gradients + tensor.offset;
    penalty += sum_of_chunks(tensor.count, [&](int64_t offset, int64_t length) {
      const T* const w = weights + offset;
      kernels.add_penalty(gradient + offset, w, length, l1, l2);
      return (l1 != 0 ? l1 * kernels.sum_magnitudes(w, length) : 0) +
             (l2 != 0 ? l2 * kernels.sum_squares(w, length) : 0);
    });
  }
  return penalty;
}

template double add_weight_penalty(const bptt_model_options&, const Params<float>&, float*);
template double add_weight_penalty(const bptt_model_options&, const Params<double>&, double*);

}  // namespace bptt
