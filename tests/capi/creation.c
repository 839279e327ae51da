/* creation.c: the cancel callback during initialisation: every scheme calls it, and stops when
 * it returns nonzero. */
#include "structs.h"

static int asked, last;

static int callback(void* user) {
  (void)user;
  return ++asked == last;
}

/* Return the number of calls of the callback while a layer of H units is created. Call number
 * `until` returns nonzero; 0: none does. */
static int created(bptt_cell cell, bptt_weight_init init, double dale, int64_t H, int until) {
  bptt_layer_options options;
  bptt_layer* layer = NULL;
  options = layer_of(cell, BPTT_FLOAT32, 3, H);
  options.init = init;
  options.dale = dale;
  options.seed = (uint64_t)(1e6 * (1 + random_number()));
  asked = 0;
  last = until;
  if (until)
    REFUSED(BPTT_ERR_CANCELLED, bptt_layer_create(&options, &layer));
  else
    OK(bptt_layer_create(&options, &layer));
  REQUIRE(!until == !!layer);
  if (layer) OK(bptt_layer_free(layer));
  return asked;
}

int main(void) {
  /* The operations are about 10 H^3 for W_hh of a gate by QR, some 100 H^2 for random numbers
   * alone. */
  static const struct {
    bptt_cell cell;
    bptt_weight_init init;
    int64_t H;
    int least;
  } starts[] = {{BPTT_LSTM, BPTT_INIT_NORMAL, 384, 15},     {BPTT_GRU, BPTT_INIT_SPARSE, 384, 10},
                {BPTT_LSTM, BPTT_INIT_ORTHOGONAL, 384, 15}, {BPTT_LSTM, BPTT_INIT_KERAS, 384, 15},
                {BPTT_LSTM, BPTT_INIT_UNIFORM, 768, 2},     {BPTT_LSTM, BPTT_INIT_XAVIER, 768, 2}};
  const double nan = strtod("nan", NULL);
  OK(bptt_set_cancel(callback, NULL));
  for (size_t i = 0; i < sizeof starts / sizeof *starts; ++i) {
    const int times = created(starts[i].cell, starts[i].init, nan, starts[i].H, 0);
    printf("start %d asked %d times\n", (int)starts[i].init, times);
    REQUIRE(times >= starts[i].least);
    REQUIRE(created(starts[i].cell, starts[i].init, nan, starts[i].H, (times + 1) / 2) ==
            (times + 1) / 2);
  }
  REQUIRE(created(BPTT_RNN, BPTT_INIT_UNIFORM, 0.8, 384, 0) >= 4);
  REQUIRE(created(BPTT_RNN, BPTT_INIT_UNIFORM, 0.8, 384, 3) == 3);
  OK(bptt_set_cancel(NULL, NULL));
  printf("creation ok\n");
  return 0;
}
