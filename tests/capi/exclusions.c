/* exclusions.c: options that exclude each other: the error names both. */
#include "check.h"

enum { I = 3, H = 5 };

static void excludes(bptt_status status, const char* first, const char* second) {
  bptt_error error;
  OK(bptt_last_error(&error, sizeof error));
  REQUIRE(status == BPTT_ERR_ARGUMENT && error.status == BPTT_ERR_ARGUMENT);
  if (strcmp(error.argument, first) != 0 || !strstr(error.expected, second)) {
    fprintf(stderr, "%s and %s: the record says: %s\n", first, second, error.text);
    exit(1);
  }
  ++refusals;
}

int main(void) {
  bptt_layer_options l;
  bptt_model_options m;
  bptt_layer* layer;
  bptt_model* model;
  bptt_stream* stream;
#define LAYER(cell_, set, first, second)                    \
  do {                                                      \
    OK(bptt_layer_options_init(&l, sizeof l));              \
    l.cell = cell_;                                         \
    l.input_size = I;                                       \
    l.hidden_size = H;                                      \
    set;                                                    \
    excludes(bptt_layer_create(&l, &layer), first, second); \
  } while (0)
#define MODEL(cell_, set, first, second)                              \
  do {                                                                \
    OK(bptt_model_options_init(&m, sizeof m));                        \
    OK(bptt_layer_options_init(&l, sizeof l));                        \
    l.cell = cell_;                                                   \
    l.input_size = I;                                                 \
    l.hidden_size = H;                                                \
    m.output_size = 2;                                                \
    set;                                                              \
    excludes(bptt_model_create(&m, &l, NULL, &model), first, second); \
  } while (0)
  LAYER(BPTT_GRU, (l.layer_norm = 1, l.reset_before = 1), "layer_norm", "reset_before");
  LAYER(BPTT_LSTM, (l.zoneout = 0.1, l.proj_size = 2), "zoneout", "proj_size");
  LAYER(BPTT_LSTM, (l.zoneout_c = 0.1, l.proj_size = 2), "zoneout_c", "proj_size");
  LAYER(BPTT_LSTM, (l.forget_bias = 1, l.coupled = 1), "forget_bias", "coupled");
  LAYER(BPTT_LSTM, (l.init = BPTT_INIT_NORMAL, l.proj_size = 2), "init", "proj_size");
  LAYER(BPTT_LSTM, (l.init = BPTT_INIT_SPARSE, l.proj_size = 2), "init", "proj_size");
  LAYER(BPTT_LSTM, l.proj_size = H, "proj_size", "hidden_size");
  LAYER(BPTT_GRU, l.proj_size = 2, "proj_size", "BPTT_LSTM");
  LAYER(BPTT_GRU, l.peephole = 1, "peephole", "BPTT_LSTM");
  LAYER(BPTT_RNN, l.coupled = 1, "coupled", "BPTT_LSTM");
  LAYER(BPTT_RNN, l.zoneout_c = 0.5, "zoneout_c", "BPTT_LSTM");
  LAYER(BPTT_LSTM, l.reset_before = 1, "reset_before", "BPTT_GRU");
  LAYER(BPTT_LSTM, l.alpha = 0.5, "alpha", "BPTT_RNN");
  LAYER(BPTT_GRU, l.noise = 0.5, "noise", "BPTT_RNN");
  LAYER(BPTT_GRU, l.dale = 0.5, "dale", "BPTT_RNN");
  LAYER(BPTT_LSTM, l.nonlinearity = BPTT_ELU, "nonlinearity", "BPTT_RNN");
  MODEL(BPTT_GRU, m.omega = 1, "omega", "BPTT_RNN");
  MODEL(BPTT_RNN, (m.omega = 1, l.layer_norm = 1), "omega", "layer_norm");
  MODEL(BPTT_RNN, (m.omega = 1, l.alpha = 0.5), "omega", "alpha");
  MODEL(BPTT_RNN, (m.omega = 1, l.zoneout = 0.5), "omega", "zoneout");
  MODEL(BPTT_RNN, (m.omega = 1, l.recurrent_dropout = 0.5), "omega", "recurrent_dropout");
  MODEL(BPTT_RNN, (m.omega = 1, l.dale = 0.5), "omega", "dale");
  MODEL(BPTT_RNN, (m.omega = 1, l.noise = 0.5), "omega", "noise");
  MODEL(BPTT_RNN, (m.omega = 1, m.clip_step = 1), "omega", "clip_step");
  MODEL(BPTT_RNN, (m.omega = 1, m.clip_step_norm = 1), "omega", "clip_step_norm");
  MODEL(BPTT_RNN, (m.omega = 1, m.truncation_k1 = m.truncation_k2 = 3), "omega", "truncation");
  MODEL(BPTT_RNN, (l.bidirectional = 1, m.truncation_k1 = m.truncation_k2 = 3), "truncation_k1",
        "bidirectional");
  MODEL(BPTT_RNN, (m.truncation_k1 = 3, m.truncation_k2 = 2), "truncation_k2", "truncation_k1");
  MODEL(BPTT_RNN, m.targets = BPTT_LAST_ROW, "targets", "bidirectional");
  OK(bptt_model_options_init(&m, sizeof m));
  OK(bptt_layer_options_init(&l, sizeof l));
  l.bidirectional = 1;
  l.input_size = I;
  l.hidden_size = H;
  m.output_size = 2;
  OK(bptt_model_create(&m, &l, NULL, &model));
  REFUSED(BPTT_ERR_STATE, bptt_stream_create(model, NULL, &stream));
  OK(bptt_model_free(model));
  printf("%d refusals\n", refusals);
  return 0;
}
