// params.cpp: access to the parameters of a layer or model.
#include <algorithm>
#include <cmath>

#include "capi/arrays.h"
#include "capi/locks.h"
#include "capi/objects.h"

using namespace bptt;

// Returns the tensor with this name.
template <class T>
static Param& tensor_named(Params<T>& params, const char* name) {
  std::string names;
  for (Param& tensor : params.tensors()) {
    if (tensor.name == name) return tensor;
    names += (names.empty() ? "" : ", ") + tensor.name;
  }
  fail(BPTT_ERR_NAME, "name", "one of " + names, quoted(name));
}

bptt_status bptt_params_count(bptt_params* params, int64_t* tensors, int64_t* elements) {
  return guard("bptt_params_count", [&] {
    with_params(params, [&](const auto& network) {
      Arrays arrays;
      arrays.result("tensors", tensors);
      arrays.result("elements", elements);
      if (tensors) *tensors = int64_t(network->params().tensors().size());
      if (elements) *elements = network->params().count();
    });
  });
}

bptt_status bptt_params_info(bptt_params* params, int64_t index, bptt_param_info* info,
                             size_t struct_size) {
  return guard("bptt_params_info", [&] {
    with_params(params, [&]<class T>(const std::shared_ptr<Network<T>>& network) {
      const Reading reading(network->params().lock);
      const auto& tensors = network->params().tensors();
      if (index < 0 || index >= int64_t(tensors.size())) {
        fail(BPTT_ERR_RANGE, "index", "an integer from 0 to " + text(int64_t(tensors.size()) - 1),
             text(index));
      }
      const Param& tensor = tensors[size_t(index)];
      const int64_t rank = int64_t(tensor.shape.size());
      write_struct(info, struct_size,
                   {struct_size,
                    tensor.name.c_str(),
                    rank,
                    {tensor.shape[0], rank > 1 ? tensor.shape[1] : 1},
                    tensor.offset,
                    tensor.count,
                    dtype_of(T()),
                    tensor.frozen,
                    !tensor.mask.empty(),
                    tensor.nonnegative},
                   "info");
    });
  });
}

bptt_status bptt_params_dtype(bptt_params* params, bptt_dtype* dtype) {
  return guard("bptt_params_dtype", [&] {
    not_null(dtype, "dtype");
    with_params(params,
                [&]<class T>(const std::shared_ptr<Network<T>>&) { *dtype = dtype_of(T()); });
  });
}

bptt_status bptt_params_data(bptt_params* params, const void** data) {
  return guard("bptt_params_data", [&] {
    not_null(data, "data");
    with_params(params,
                [&](const auto& network) { *data = std::as_const(*network).params().data(); });
  });
}

bptt_status bptt_params_get(bptt_params* params, void* values) {
  return guard("bptt_params_get", [&] {
    not_null(values, "values");
    with_params(params, [&]<class T>(const std::shared_ptr<Network<T>>& network) {
      const Reading reading(network->params().lock);
      std::copy_n(std::as_const(*network).params().data(), network->params().count(),
                  static_cast<T*>(values));
    });
  });
}

bptt_status bptt_params_set(bptt_params* params, const void* values) {
  return guard("bptt_params_set", [&] {
    not_null(values, "values");
    with_params(params, [&]<class T>(const std::shared_ptr<Network<T>>& network) {
      const Changing changing(network->params().lock);
      Params<T>& all = network->params();
      T* const to = all.change();
      std::copy_n(static_cast<const T*>(values), all.count(), to);
      all.constrain(to);
    });
  });
}

bptt_status bptt_params_freeze(bptt_params* params, const char* name, int32_t frozen) {
  return guard("bptt_params_freeze", [&] {
    not_null(name, "name");
    const bool on_or_off = flag_argument(frozen, "frozen");
    with_params(params, [&](const auto& network) {
      const Changing changing(network->params().lock);
      tensor_named(network->params(), name).frozen = on_or_off;
    });
  });
}

bptt_status bptt_params_set_mask(bptt_params* params, const char* name, const uint8_t* mask) {
  return guard("bptt_params_set_mask", [&] {
    not_null(name, "name");
    with_params(params, [&]<class T>(const std::shared_ptr<Network<T>>& network) {
      Params<T>& all = network->params();
      const Changing changing(all.lock);
      Param& tensor = tensor_named(all, name);
      std::vector<uint8_t> kept;
      if (mask) kept.assign(mask, mask + tensor.count);
      const auto bad = std::find_if(kept.begin(), kept.end(), [](uint8_t k) { return k > 1; });
      if (bad != kept.end()) {
        fail(BPTT_ERR_ARGUMENT, "mask", "0 or 1 for each element",
             text(int64_t{*bad}) + " at " + text(int64_t(bad - kept.begin())));
      }
      T* const values = all.change() + tensor.offset;
      tensor.mask = std::move(kept);
      all.constrain(tensor, 0, tensor.count, values);
    });
  });
}

bptt_status bptt_params_get_mask(bptt_params* params, const char* name, uint8_t* mask) {
  return guard("bptt_params_get_mask", [&] {
    not_null(name, "name");
    not_null(mask, "mask");
    with_params(params, [&](const auto& network) {
      const Reading reading(network->params().lock);
      const Param& tensor = tensor_named(network->params(), name);
      if (tensor.mask.empty()) {
        std::fill_n(mask, tensor.count, uint8_t{1});
      } else {
        std::copy(tensor.mask.begin(), tensor.mask.end(), mask);
      }
    });
  });
}

bptt_status bptt_params_set_nonnegative(bptt_params* params, const char* name,
                                        int32_t nonnegative) {
  return guard("bptt_params_set_nonnegative", [&] {
    not_null(name, "name");
    const bool on_or_off = flag_argument(nonnegative, "nonnegative");
    with_params(params, [&]<class T>(const std::shared_ptr<Network<T>>& network) {
      Params<T>& all = network->params();
      const Changing changing(all.lock);
      Param& tensor = tensor_named(all, name);
      T* const values = all.change() + tensor.offset;
      tensor.nonnegative = on_or_off;
      all.constrain(tensor, 0, tensor.count, values);
    });
  });
}

bptt_status bptt_params_finite(bptt_params* params, const char* name, int32_t* finite) {
  return guard("bptt_params_finite", [&] {
    not_null(finite, "finite");
    with_params(params, [&]<class T>(const std::shared_ptr<Network<T>>& network) {
      const Params<T>& all = network->params();
      const Reading reading(all.lock);
      const Param* tensor = name ? all.find(name) : nullptr;
      if (name && !tensor)
        fail(BPTT_ERR_NAME, "name", "the name of a parameter tensor, or NULL", quoted(name));
      const T* values = tensor ? all.data(*tensor) : all.data();
      *finite = std::all_of(values, values + (tensor ? tensor->count : all.count()),
                            [](T value) { return std::isfinite(value); });
    });
  });
}
