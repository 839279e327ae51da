/* structs.h: structs of calls, filled for contiguous arrays [T, N, F]. */
#ifndef STRUCTS_H
#define STRUCTS_H

#include "check.h"

static inline bptt_sequence values_over(int64_t time, int64_t batch, const void* x,
                                        int64_t features) {
  bptt_sequence made;
  OK(bptt_sequence_init(&made, sizeof made));
  made.time = time;
  made.batch = batch;
  made.x = x;
  made.x_stride_t = batch * features;
  made.x_stride_n = features;
  return made;
}

static inline bptt_sequence tokens_over(int64_t time, int64_t batch, const int64_t* tokens) {
  bptt_sequence made;
  OK(bptt_sequence_init(&made, sizeof made));
  made.time = time;
  made.batch = batch;
  made.tokens = tokens;
  made.tokens_stride_t = batch;
  made.tokens_stride_n = 1;
  return made;
}

static inline bptt_outputs outputs_to(void* y, int64_t batch, int64_t features) {
  bptt_outputs made;
  OK(bptt_outputs_init(&made, sizeof made));
  made.y = y;
  made.y_stride_t = batch * features;
  made.y_stride_n = features;
  return made;
}

static inline bptt_backward backward_from(const void* dy, int64_t batch, int64_t features,
                                          void* gradients) {
  bptt_backward made;
  OK(bptt_backward_init(&made, sizeof made));
  made.dy = dy;
  made.dy_stride_t = batch * features;
  made.dy_stride_n = features;
  made.gradients = gradients;
  return made;
}

static inline bptt_target values_at(const void* values, int64_t batch, int64_t features) {
  bptt_target made;
  OK(bptt_target_init(&made, sizeof made));
  made.values = values;
  made.stride_t = batch * features;
  made.stride_n = features;
  return made;
}

static inline bptt_target classes_at(const int64_t* classes, int64_t batch) {
  bptt_target made;
  OK(bptt_target_init(&made, sizeof made));
  made.classes = classes;
  made.stride_t = batch;
  made.stride_n = 1;
  return made;
}

static inline bptt_step new_step(void) {
  bptt_step made;
  OK(bptt_step_init(&made, sizeof made));
  return made;
}

static inline bptt_layer_options layer_of(bptt_cell cell, bptt_dtype dtype, int64_t inputs,
                                          int64_t hidden) {
  bptt_layer_options made;
  OK(bptt_layer_options_init(&made, sizeof made));
  made.cell = cell;
  made.dtype = dtype;
  made.input_size = inputs;
  made.hidden_size = hidden;
  return made;
}

/* Return the options of a model of values with the mean squared error. */
static inline bptt_model_options regressor_of(int64_t outputs) {
  bptt_model_options made;
  OK(bptt_model_options_init(&made, sizeof made));
  made.output_size = outputs;
  made.loss = BPTT_MSE;
  return made;
}

#endif
