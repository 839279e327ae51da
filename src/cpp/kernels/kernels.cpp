// kernels.cpp: the kernel table of one instruction set, compiled once per set. It exports nothing
// else.
#include "kernels/kernels.h"

#include "kernels/cells/gru.h"
#include "kernels/cells/lstm.h"
#include "kernels/cells/min_gru.h"
#include "kernels/cells/norm.h"
#include "kernels/cells/rnn.h"
#include "kernels/simd/bf16.h"
#include "kernels/simd/gemm.h"
#include "kernels/simd/narrow.h"
#include "kernels/simd/update.h"

#ifndef BPTT_KERNEL_ISA
#error "compile with -DBPTT_KERNEL_ISA=sse2, avx2, avx512 or neon"
#endif

#define BPTT_JOIN(a, b) a##b
#define BPTT_TABLE(isa) BPTT_JOIN(kernels_, isa)
#define BPTT_TEXT_OF(isa) #isa
#define BPTT_TEXT(isa) BPTT_TEXT_OF(isa)

namespace bptt {
namespace {

template <class T>
constexpr Kernels<T> table_of() {
  return {
      .lanes = kLanes<T>,
      .pairs = false,
      .weights = Weights::as_computed,
      .pack = pack<T>,
      .product = product<T>,
      .outer = outer<T>,
      .step_forward = {rnn_forward<T>, lstm_forward<T>, gru_forward<T>, min_gru_forward<T>},
      .step_backward = {rnn_backward<T>, lstm_backward<T>, gru_backward<T>, min_gru_backward<T>},
      .norm_forward = norm_forward<T>,
      .norm_backward = norm_backward<T>,
      .add_column_sums = add_column_sums<T>,
      .add_transposed = add_transposed<T>,
      .add = add<T>,
      .add_products = add_products<T>,
      .multiply = multiply<T>,
      .keep = keep<T>,
      .raise_to_zero = raise_to_zero<T>,
      .scale = scale<T>,
      .clamp = clamp_all<T>,
      .sum_squares = sum_squares<T>,
      .sum_magnitudes = sum_magnitudes<T>,
      .dot = dot<T>,
      .add_scaled = add_scaled<T>,
      .add_penalty = add_penalty<T>,
      .max_abs = max_abs<T>,
      .softmax_row = softmax_row<T>,
      .update = {update_sgd<T>, update_adagrad<T>, update_adam<T>, update_rmsprop<T>,
                 update_graves<T>, update_lion<T>},
      .map_activation = map_activation<T>,
      .map_slope = map_slope<T>,
      .map_exp = map_exp<T>};
}

constexpr Kernels<float> bf16_table() {
  Kernels<float> table = table_of<float>();
  set_bf16<rnn_forward<float>, lstm_forward<float>, gru_forward<float>, min_gru_forward<float>>(
      table);
  return table;
}

template <class W>
constexpr Kernels<float> narrow_table() {
  Kernels<float> table = table_of<float>();
  set_narrow<W, rnn_forward<float>, lstm_forward<float>, gru_forward<float>,
             min_gru_forward<float>>(table);
  return table;
}

}  // namespace

extern const KernelTable BPTT_TABLE(BPTT_KERNEL_ISA);
const KernelTable BPTT_TABLE(BPTT_KERNEL_ISA) = {.name = BPTT_TEXT(BPTT_KERNEL_ISA),
                                                 .f32 = table_of<float>(),
                                                 .f64 = table_of<double>(),
                                                 .bf16 = bf16_table(),
                                                 .bf16_weights = narrow_table<Halves>(),
                                                 .int8_weights = narrow_table<Bytes>()};

}  // namespace bptt
