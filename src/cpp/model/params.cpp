// params.cpp: the list of tensors and the vector that holds their values.
#include "model/params.h"

#include <utility>

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

template class Params<float>;
template class Params<double>;

}  // namespace bptt
