// capi.h: what the files of the C API share: failures, options, locks, the objects behind handles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/float_mode.h"
#include "base/text.h"
#include "bptt_stream.h"
#include "capi/handles.h"
#include "capi/structs.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/params.h"
#include "model/stream.h"
#include "sequence/tape.h"

namespace bptt {

// ----------------------------------------------------------------------------------------------
// failures (errors.cpp)

// Called in a handler: turns the exception into a status and the thread's record. Allocates
// nothing.
bptt_status record_failure(const char* function) noexcept;

// Every entry of bptt.h runs inside one.
template <class Body>
bptt_status guard(const char* function, const Body& body) noexcept {
  const CallMode mode;
  try {
    body();
    return BPTT_OK;
  } catch (...) { return record_failure(function); }
}

[[noreturn]] void fail(bptt_status status, std::string argument, std::string expected,
                       std::string got);
std::string quoted(const char* value);  // 'value', cut where it is long; NULL

template <class Pointer>
Pointer* not_null(Pointer* pointer, const char* argument) {
  if (!pointer) fail(BPTT_ERR_ARGUMENT, argument, "a pointer", "NULL");
  return pointer;
}

// An enum as the integer that it is: the caller may have put anything there.
template <class Enum>
int32_t raw(const Enum& value) {
  static_assert(sizeof(Enum) == sizeof(int32_t));
  int32_t number;
  std::memcpy(&number, &value, sizeof number);
  return number;
}

int64_t size_argument(int64_t value, const char* argument);  // >= 1
bool flag_argument(int32_t value, const char* argument);     // 0 or 1
void not_negative(double value, const char* argument);       // finite and >= 0
Dtype dtype_argument(int32_t dtype, const char* argument);
bptt_dtype dtype_of(float);
bptt_dtype dtype_of(double);

// The kernels that calls use now; fails with BPTT_ERR_ISA where BPTT_ISA names none of this CPU's
// (library.cpp).
const KernelTable& kernels_in_use();
// The same, and fails with BPTT_ERR_ARGUMENT where BPTT_NUM_THREADS is no number of threads.
void check_environment();

// Refuses what this machine's memory cannot hold, before anything is touched.
void require_memory(int64_t count, size_t element);

// ----------------------------------------------------------------------------------------------
// options (options.cpp)

NetworkConfig layer_settings(const bptt_layer_options* options);
OptimizerConfig optimizer_settings(const bptt_optimizer_options* options, Dtype dtype);
// optimizer null: the defaults.
ModelConfig model_settings(const bptt_model_options* options, const bptt_layer_options* layer,
                           const bptt_optimizer_options* optimizer);
// The options of a backward pass.
void check_call(const bptt_layer_options& layer, const bptt_backward& backward);

// What has to be finite in T, in words.
template <class T>
std::string held_by(const char* product = "") {
  return std::string("a number >= 0 that") + product + " is finite in " +
         (sizeof(T) == sizeof(float) ? "float32" : "float64");
}

// ----------------------------------------------------------------------------------------------
// locks

// The parameters that the calling thread is inside of. A cancel callback that calls back into them
// is told so (BPTT_ERR_BUSY) instead of waiting for itself.
class Inside {
 public:
  explicit Inside(const Lock& lock);
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  const Lock* lock_;
  Inside* outer_;
};

struct Reading {
  explicit Reading(Lock& mutex) : inside(mutex), lock(mutex) {}
  Inside inside;
  std::shared_lock<Lock> lock;
};

struct Changing {
  explicit Changing(Lock& mutex) : inside(mutex), lock(mutex) {}
  Inside inside;
  std::unique_lock<Lock> lock;
};

// ----------------------------------------------------------------------------------------------
// the objects behind handles

template <template <class> class Thing>
using Either = std::variant<std::shared_ptr<Thing<float>>, std::shared_ptr<Thing<double>>>;

// body(const std::shared_ptr<Thing<T>>&) for the T that it is.
template <class Variant, class Body>
decltype(auto) on(const Variant& either, const Body& body) {
  return either.index() == 0 ? body(*std::get_if<0>(&either)) : body(*std::get_if<1>(&either));
}

struct LayerObject final : Object {
  Either<Network> network;
};

struct ModelObject final : Object {
  Either<Model> model;
};

// A tape keeps the network that made it alive: its memory goes back to that network's shelf, and no
// other may use it.
template <class T>
struct OwnedTape {
  std::shared_ptr<Network<T>> network;
  std::unique_ptr<Tape<T>> tape;
};
struct TapeObject final : Object {
  Either<OwnedTape> owned;
};

template <class T>
struct OwnedOptimizer {
  std::shared_ptr<Network<T>> network;
  Optimizer<T> optimizer;
};
struct OptimizerObject final : Object {
  Either<OwnedOptimizer> owned;
};

struct StreamObject final : Object {
  Either<Stream> stream;
};

template <class T>
std::shared_ptr<Network<T>> network_of(const std::shared_ptr<Network<T>>& network) {
  return network;
}
template <class T>
std::shared_ptr<Network<T>> network_of(const std::shared_ptr<Model<T>>& model) {
  return {model, &model->network()};
}

// body(std::shared_ptr<Network<T>>) for the network whose parameters the handle names.
template <class Body>
void with_params(bptt_params* params, const Body& body) {
  const Use use(params, {Tag::layer_params, Tag::model_params}, "params");
  if (use.tag() == Tag::layer_params) {
    on(use.as<LayerObject>().network, [&](const auto& network) { body(network_of(network)); });
  } else {
    on(use.as<ModelObject>().model, [&](const auto& model) { body(network_of(model)); });
  }
}

}  // namespace bptt
