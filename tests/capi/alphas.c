/* alphas.c: a leak for each unit of an RNN. */
#include "passes.h"

/* Without weights, a state decays by 1 - alpha per step. The array may change after the layer is
 * made. */
static void check_decay(int32_t bidirectional) {
  net it = new_net(BPTT_RNN, 1, bidirectional);
  pass* data = new_pass();
  static double zeros[MOST], h0[2 * N * H], decay[H];
  double alphas[H];
  bptt_sequence sequence;
  bptt_backward backward;
  int64_t d, n, u, t;
  for (u = 0; u < H; ++u) alphas[u] = (double)(u + 1) / H;
  it.options.alphas = alphas;
  it.options.nonlinearity = BPTT_IDENTITY;
  create(&it);
  for (u = 0; u < H; ++u) {
    for (decay[u] = 1, t = 0; t < T; ++t) decay[u] *= 1 - alphas[u];
    alphas[u] = NAN;
  }
  OK(bptt_params_set(it.params, zeros));
  for (u = 0; u < it.D * N * H; ++u) h0[u] = random_number();
  sequence = sequence_of(data, T);
  sequence.h0 = h0;
  backward = backward_of(&it, data);
  backward.dy = NULL;
  backward.dhn = h0;
  run(&it, data, &sequence, &backward);
  for (d = 0; d < it.D; ++d) {
    for (n = 0; n < N; ++n) {
      for (u = 0; u < H; ++u) {
        const int64_t at = (d * N + n) * H + u;
        const double want = decay[u] * h0[at];
        same(&data->hn[at], &want, 1, "hn");
        same(&data->dh0[at], &want, 1, "dh0");
      }
    }
  }
  OK(bptt_layer_free(it.layer));
  free(data);
  printf("%d directions: each unit forgets at its rate\n", (int)it.D);
}

static void check_model(void) {
  double alphas[H] = {1, 0.5, 0.25, 0.125, 0.0625};
  bptt_layer_options layer = layer_of(BPTT_RNN, BPTT_FLOAT64, I, H), found;
  bptt_model_options options;
  bptt_model *model, *again;
  int64_t u;
  OK(bptt_model_options_init(&options, sizeof options));
  options.output_size = 2;
  layer.alphas = alphas;
  OK(bptt_model_create(&options, &layer, NULL, &model));
  OK(bptt_model_get_layer_options(model, &found, sizeof found));
  REQUIRE(found.alphas && found.alphas != alphas && found.alpha == 1);
  for (u = 0; u < H; ++u) REQUIRE(found.alphas[u] == alphas[u]);
  OK(bptt_model_create(&options, &found, NULL, &again));
  OK(bptt_model_free(again));
  OK(bptt_model_free(model));
}

static void check_refusals(void) {
  double alphas[H] = {1, 0.5, 0.25, 0.125, 0.0625};
  const double bad[] = {0, -0.5, 1.5, NAN, INFINITY};
  bptt_layer_options options = layer_of(BPTT_RNN, BPTT_FLOAT32, I, H);
  bptt_layer* layer;
  size_t k;
  options.alphas = alphas;
  for (k = 0; k < sizeof bad / sizeof bad[0]; ++k) {
    alphas[H - 1] = bad[k];
    REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&options, &layer));
  }
  alphas[H - 1] = 1e-60; /* 0 in float32 */
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&options, &layer));
  alphas[H - 1] = 1;
  options.alpha = 0.5;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&options, &layer));
  options.alpha = 1;
  options.cell = BPTT_GRU;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&options, &layer));
  options.cell = BPTT_RNN;
  options.reserved32 = 1;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&options, &layer));
  options.reserved32 = 0;
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_layer_free(layer));
}

int main(void) {
  check_decay(0);
  check_decay(1);
  check_model();
  check_refusals();
  printf("worst difference %.1e, %d refusals\n", worst_difference, refusals);
  return 0;
}
