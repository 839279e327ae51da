// library.cpp: settings of the whole library, and functions and norms over plain arrays.
#include <cstdlib>

#include "base/pool.h"
#include "base/profile.h"
#include "capi/arrays.h"
#include "capi/environment.h"
#include "kernels/kernels.h"
#include "model/clip.h"

namespace bptt {
namespace {

[[noreturn]] void refuse_isa(const char* argument, const char* name) {
  std::string choices;
  int64_t count = 0;
  const char* const* names = available_kernels(&count);
  for (int64_t i = 0; i < count; ++i)
    choices += (choices.empty() ? "'" : ", '") + std::string(names[i]) + "'";
  fail(BPTT_ERR_ISA, argument, "one of " + choices, quoted(name));
}

int64_t threads_in_use() {
  const int64_t count = num_threads();
  if (count == 0) {
    fail(BPTT_ERR_ARGUMENT, "BPTT_NUM_THREADS", "an integer from 1 to " + text(kMostThreads),
         quoted(std::getenv("BPTT_NUM_THREADS")));
  }
  return count;
}

// A function of the cells: an activation, its derivative, or exp.
struct Mapped {
  int activation = -1;  // -1: exp
  bool slope = false;
};
Mapped mapped_function(const char* given) {
  std::string_view name = given;
  if (name == "exp") return {};
  const bool slope = name.ends_with('\'');
  if (slope) name.remove_suffix(1);
  std::string words;
  for (int i = 0; i < kActivationCount; ++i) {
    if (name == kActivationTable[i].word) return {i, slope};
    words += std::string(kActivationTable[i].word) + ", ";
  }
  fail(BPTT_ERR_NAME, "function", "one of " + words + "one of these followed by ', or exp",
       quoted(given));
}

// Computes the function of every element. A result may replace its own argument, but no other one.
template <class T>
void map(const Kernels<T>& kernels, const Mapped& function, const void* given, void* result,
         int64_t count) {
  const T* in = static_cast<const T*>(given);
  T* out = static_cast<T*>(result);
  Arrays arrays;
  arrays.flat("in", in, count, false);
  if (result != given) arrays.flat("out", out, count, true);
  if (function.activation < 0) return kernels.map_exp(in, out, count);
  const auto f = function.slope ? kernels.map_slope : kernels.map_activation;
  f(Activation(function.activation), in, out, count);
}

// Checks the arguments of a function on a gradient vector, then runs body(gradients) with their
// type. `norm` receives the norm, or is null.
template <class Pointer, class Body>
void on_gradients(int32_t dtype, Pointer* gradients, int64_t count, double* norm,
                  const Body& body) {
  check_environment();
  const Dtype type = dtype_argument(dtype, "dtype");
  if (count < 0) fail(BPTT_ERR_ARGUMENT, "count", "an integer >= 0", text(count));
  not_null(gradients, "gradients");
  const auto run = [&](auto* values) {
    Arrays arrays;
    arrays.flat("gradients", values, count, !std::is_const_v<Pointer>);
    arrays.result("norm", norm);
    body(values);
  };
  if (type == Dtype::float32) {
    run(static_cast<std::conditional_t<std::is_const_v<Pointer>, const float, float>*>(gradients));
  } else {
    run(static_cast<std::conditional_t<std::is_const_v<Pointer>, const double, double>*>(
        gradients));
  }
}

}  // namespace

const KernelTable& kernels_in_use() {
  const KernelTable* table = active_kernels();
  if (!table) refuse_isa("BPTT_ISA", std::getenv("BPTT_ISA"));
  return *table;
}

void check_environment() {
  kernels_in_use();
  threads_in_use();
}

}  // namespace bptt

using namespace bptt;

bptt_status bptt_isa(const char** name) {
  return guard("bptt_isa", [&] { *not_null(name, "name") = kernels_in_use().name; });
}

bptt_status bptt_available_isas(const char* const** names, int64_t* count) {
  return guard("bptt_available_isas", [&] {
    not_null(names, "names");
    not_null(count, "count");
    Arrays arrays;
    arrays.result("names", names);
    arrays.result("count", count);
    *names = available_kernels(count);
  });
}

bptt_status bptt_use_isa(const char* name) {
  return guard("bptt_use_isa", [&] {
    if (!use_kernels(name)) refuse_isa("name", name);
  });
}

bptt_status bptt_set_num_threads(int64_t count) {
  return guard("bptt_set_num_threads", [&] {
    if (count < 1 || count > kMostThreads)
      fail(BPTT_ERR_ARGUMENT, "count", "1 to " + text(kMostThreads) + " threads", text(count));
    set_num_threads(count);
  });
}

bptt_status bptt_get_num_threads(int64_t* count) {
  return guard("bptt_get_num_threads", [&] { *not_null(count, "count") = threads_in_use(); });
}

bptt_status bptt_set_flush_subnormals(int32_t flush) {
  return guard("bptt_set_flush_subnormals", [&] {
    flush_subnormals.store(flag_argument(flush, "flush"), std::memory_order_relaxed);
  });
}

bptt_status bptt_get_flush_subnormals(int32_t* flush) {
  return guard("bptt_get_flush_subnormals", [&] {
    *not_null(flush, "flush") = flush_subnormals.load(std::memory_order_relaxed);
  });
}

bptt_status bptt_set_cancel(bptt_cancel cancel, void* user) {
  set_cancel(cancel, user);  // not guarded, since it cannot fail
  return BPTT_OK;
}

bptt_status bptt_profile_start(void) {
  return guard("bptt_profile_start", [&] {
    if (!profile_start()) fail(BPTT_ERR_STATE, "", "", "a profile is already running");
  });
}

bptt_status bptt_profile_stop(void) {
  return guard("bptt_profile_stop", [&] { profile_stop(); });
}

bptt_status bptt_profile_read(bptt_phase phase, double* seconds) {
  return guard("bptt_profile_read", [&] {
    const int32_t value = raw(phase);
    if (value < BPTT_PACKING || value > BPTT_OTHER) {
      fail(BPTT_ERR_ARGUMENT, "phase", "a bptt_phase, 1 to " + text(int64_t(kPhases)),
           text(int64_t(value)));
    }
    *not_null(seconds, "seconds") = profile_seconds(Phase(value - BPTT_PACKING));
  });
}

bptt_status bptt_map(const char* function, bptt_dtype dtype, const void* in, void* out,
                     int64_t count) {
  return guard("bptt_map", [&] {
    const Mapped known = mapped_function(not_null(function, "function"));
    const Dtype type = dtype_argument(raw(dtype), "dtype");
    if (count < 0) fail(BPTT_ERR_ARGUMENT, "count", "an integer >= 0", text(count));
    not_null(in, "in");
    not_null(out, "out");
    if (type == Dtype::float32) {
      map(kernels_in_use().f32, known, in, out, count);
    } else {
      map(kernels_in_use().f64, known, in, out, count);
    }
  });
}

bptt_status bptt_clip_grad_norm(bptt_dtype dtype, void* gradients, int64_t count, double max_norm,
                                double eps, double* norm) {
  return guard("bptt_clip_grad_norm", [&] {
    if (!(max_norm >= 0)) fail(BPTT_ERR_ARGUMENT, "max_norm", "a number >= 0", text(max_norm));
    not_negative(eps, "eps");
    on_gradients(raw(dtype), gradients, count, norm, [&](auto* values) {
      const Norm before = gradient_norm(values, count);
      clip_norm(values, count, before, max_norm, eps);
      if (norm) *norm = before.value();
    });
  });
}

bptt_status bptt_clip_grad_value(bptt_dtype dtype, void* gradients, int64_t count, double value) {
  return guard("bptt_clip_grad_value", [&] {
    if (!(value >= 0)) fail(BPTT_ERR_ARGUMENT, "value", "a number >= 0", text(value));
    on_gradients(raw(dtype), gradients, count, nullptr,
                 [&](auto* values) { clip_value(values, count, value); });
  });
}

bptt_status bptt_grad_norm(bptt_dtype dtype, const void* gradients, int64_t count, double* norm) {
  return guard("bptt_grad_norm", [&] {
    not_null(norm, "norm");
    on_gradients(raw(dtype), gradients, count, norm,
                 [&](const auto* values) { *norm = gradient_norm(values, count).value(); });
  });
}
