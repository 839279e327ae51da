/* ours.c: the worker for bptt_native's C API, to measure a step without Python. It does the same
 * work as ours.py: a forward pass with y, a backward pass with the gradients of weights, input and
 * state, and clipping. */
#include <bptt_library.h>
#include <bptt_optimizer.h>
#include <bptt_stream.h>
#include <math.h>

#include "protocol.h"

static struct {
  Item item;
  size_t width; /* bytes of an element */
  void* data;   /* all of Item.flat */
  char *x, *dy, *h0, *c0, *weights[2];
  void *y, *gradients, *dx, *dh0, *dc0;
  int current;
  bptt_layer* layer;
  bptt_params* params;
  bptt_model* model;
  bptt_stream* stream;
  bptt_sequence sequence;
  bptt_outputs outputs;
  bptt_backward backward;
} w;

static void must(bptt_status status) {
  if (status != BPTT_OK) {
    bptt_error error;
    bptt_last_error(&error, sizeof error);
    fprintf(stderr, "%s\n", error.text);
    exit(1);
  }
}

static void release(void) {
  must(bptt_stream_free(w.stream));
  must(bptt_model_free(w.model));
  must(bptt_layer_free(w.layer));
  free(w.data);
  free(w.y);
  free(w.gradients);
  free(w.dx);
  free(w.dh0);
  free(w.dc0);
  memset(&w, 0, sizeof w);
}

static int is_lstm(void) { return w.item.gates == 4; }
static int trains(void) { return !strncmp(w.item.job, "train", 5); }
static int64_t states(void) { return w.item.L * w.item.N * w.item.H; }

static void* room(int64_t count) { return calloc((size_t)count, w.width); }

static void make_stream(bptt_layer_options layer) {
  bptt_model_options options;
  bptt_params* params;
  int64_t tensors, elements;
  void* values;
  must(bptt_model_options_init(&options, sizeof options));
  options.output_size = 1;
  options.loss = BPTT_MSE;
  must(bptt_model_create(&options, &layer, NULL, &w.model));
  must(bptt_model_params(w.model, &params));
  must(bptt_params_count(params, &tensors, &elements));
  values = room(elements);
  must(bptt_params_get(params, values));
  memcpy(values, w.weights[0], w.item.parameters * w.width); /* the readout follows */
  must(bptt_params_set(params, values));
  free(values);
  must(bptt_stream_create(w.model, NULL, &w.stream));
}

static void make_layer(bptt_layer_options options) {
  const Item* item = &w.item;
  must(bptt_layer_create(&options, &w.layer));
  must(bptt_layer_params(w.layer, &w.params));
  must(bptt_params_set(w.params, w.weights[0]));
  w.y = room(item->T * item->N * item->H);
  must(bptt_sequence_init(&w.sequence, sizeof w.sequence));
  w.sequence.time = item->T;
  w.sequence.batch = item->N;
  w.sequence.x = w.x;
  w.sequence.x_stride_t = item->N * item->I;
  w.sequence.x_stride_n = item->I;
  w.sequence.h0 = w.h0;
  w.sequence.c0 = is_lstm() ? w.c0 : NULL;
  must(bptt_outputs_init(&w.outputs, sizeof w.outputs));
  w.outputs.y = w.y;
  w.outputs.y_stride_t = item->N * item->H;
  w.outputs.y_stride_n = item->H;
  if (!trains()) return;
  w.gradients = room((int64_t)item->parameters);
  w.dx = room(item->T * item->N * item->I);
  w.dh0 = room(states());
  w.dc0 = room(states());
  must(bptt_backward_init(&w.backward, sizeof w.backward));
  w.backward.dy = w.dy;
  w.backward.dy_stride_t = item->N * item->H;
  w.backward.dy_stride_n = item->H;
  w.backward.gradients = w.gradients;
  w.backward.dx = w.dx;
  w.backward.dx_stride_t = item->N * item->I;
  w.backward.dx_stride_n = item->I;
  w.backward.dh0 = w.dh0;
  w.backward.dc0 = is_lstm() ? w.dc0 : NULL;
}

static const char* worker_setup(const Item* item, const void* data) {
  const Parts parts = parts_of(item);
  bptt_layer_options options;
  release();
  w.item = *item;
  w.width = strcmp(item->dtype, "float64") ? sizeof(float) : sizeof(double);
  w.data = malloc(parts.end * w.width);
  if (!w.data) return "out of memory";
  memcpy(w.data, data, parts.end * w.width);
  w.x = (char*)w.data + parts.x * w.width;
  w.dy = (char*)w.data + parts.dy * w.width;
  w.h0 = (char*)w.data + parts.h0 * w.width;
  w.c0 = (char*)w.data + parts.c0 * w.width;
  w.weights[0] = (char*)w.data + parts.weights[0] * w.width;
  w.weights[1] = (char*)w.data + parts.weights[1] * w.width;
  must(bptt_layer_options_init(&options, sizeof options));
  options.cell = item->gates == 1 ? BPTT_RNN : item->gates == 4 ? BPTT_LSTM : BPTT_GRU;
  options.dtype = w.width == sizeof(float) ? BPTT_FLOAT32 : BPTT_FLOAT64;
  options.input_size = item->I;
  options.hidden_size = item->H;
  options.num_layers = item->L;
  if (!strcmp(item->job, "step")) {
    make_stream(options);
  } else {
    make_layer(options);
  }
  return NULL;
}

static void worker_change(void) {
  w.current = 1 - w.current;
  must(bptt_params_set(w.params, w.weights[w.current]));
}

static void worker_run(void) {
  bptt_tape* tape = NULL;
  double norm;
  long t;
  if (w.stream) {
    char y[sizeof(double)];
    for (t = 0; t < w.item.T; ++t) {
      must(bptt_stream_step(w.stream, w.x + (size_t)(t * w.item.I) * w.width, y));
    }
    return;
  }
  must(bptt_layer_forward(w.layer, &w.sequence, &w.outputs, trains() ? &tape : NULL));
  if (!tape) return;
  must(bptt_layer_backward(w.layer, tape, &w.backward));
  must(bptt_tape_free(tape));
  must(bptt_clip_grad_norm(w.width == sizeof(float) ? BPTT_FLOAT32 : BPTT_FLOAT64, w.gradients,
                           (int64_t)w.item.parameters, 1.0, 1e-6, &norm));
}

static int write_all(FILE* file, const void* values, int64_t count) {
  int64_t i;
  for (i = 0; i < count; ++i) {
    const double v =
        w.width == sizeof(float) ? (double)((const float*)values)[i] : ((const double*)values)[i];
    if (fwrite(&v, sizeof v, 1, file) != 1) return 0;
  }
  return 1;
}

static int worker_result(FILE* file) {
  const Item* item = &w.item;
  if (w.stream) {
    void* h = room(states());
    int written;
    must(bptt_stream_set_state(w.stream, w.h0, is_lstm() ? w.c0 : NULL));
    worker_run();
    must(bptt_stream_get_state(w.stream, h, NULL));
    written = write_all(file, h, states());
    free(h);
    return written;
  }
  must(bptt_params_set(w.params, w.weights[0]));
  w.current = 0;
  worker_run();
  if (!trains()) return write_all(file, w.y, item->T * item->N * item->H);
  return write_all(file, w.gradients, (int64_t)item->parameters) &&
         write_all(file, w.dx, item->T * item->N * item->I) && write_all(file, w.dh0, states()) &&
         (!is_lstm() || write_all(file, w.dc0, states()));
}

int main(void) {
  char version[64];
  const char* isa;
  must(bptt_isa(&isa));
  snprintf(version, sizeof version, "%s (%s)", bptt_version(), isa);
  return worker_main(version);
}
