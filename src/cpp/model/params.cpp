// params.cpp: the list of tensors and the vector that holds their values.
#include "model/params.h"

#include <algorithm>
#include <utility>

#include "base/pool.h"
#include "kernels/kernels.h"

namespace bptt {

template <class T>
void Params<T>::add(std::string name, std::vector<int64_t> shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count = checked_count(count, size);
  checked_bytes(count_ + count, sizeof(T));
  tensors_.push_back({std::move(name), std::move(shape), count_, count});
  count_ += count;
}

template <class T>
void Params<T>::allocate() {
  data_ = Buffer<T>::zeros(count_);
}

template <class T>
const Param* Params<T>::find(const std::string& name) const {
  for (const Param& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

template <class T>
void Params<T>::mask(const Param& tensor, int64_t from, int64_t count, T* values) const {
  if (tensor.mask.empty()) return;
  kernels_of<T>(*active_kernels()).keep(values, tensor.mask.data() + from, count);
}

template <class T>
void Params<T>::constrain(const Param& tensor, int64_t from, int64_t count, T* values) const {
  mask(tensor, from, count, values);
  if (tensor.nonnegative) kernels_of<T>(*active_kernels()).raise_to_zero(values, count);
}

template <class T>
void Params<T>::constrain(T* values) const {
  for (const Param& tensor : tensors_) constrain(tensor, 0, tensor.count, values + tensor.offset);
}

template <class T>
void Params<T>::restrict_gradient(T* gradient) const {
  for (const Param& tensor : tensors_) {
    T* const part = gradient + tensor.offset;
    if (tensor.frozen) {
      std::fill_n(part, tensor.count, T(0));
    } else if (!tensor.mask.empty()) {
      run_team(tensor.count / kElementsPerThread, [&](const Team& team) {
        const int64_t from = team.begin(tensor.count), to = team.end(tensor.count);
        mask(tensor, from, to - from, part + from);
      });
    }
  }
}

template class Params<float>;
template class Params<double>;

}  // namespace bptt
