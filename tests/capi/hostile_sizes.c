/* hostile_sizes.c: structs whose size is not that of this version. */
#include "hostile.h"

/* Every struct that is read: too small, an arbitrary size, larger with nonzero bytes (refused),
 * and larger with zeros, as a later program passes it (accepted). */
static void check_struct_sizes(void) {
  static union {
    size_t struct_size;
    unsigned char bytes[8192];
    bptt_layer_options layer;
    bptt_model_options model;
    bptt_optimizer_options rule;
    bptt_sequence sequence;
    bptt_outputs outputs;
    bptt_backward backward;
    bptt_target target;
    bptt_flow flow;
    bptt_step step;
    bptt_seeds seeds;
    bptt_spectrum spectrum;
    bptt_error error;
    bptt_param_info info;
    bptt_cell_info cell;
  } u;
  bptt_layer* made_layer;
  bptt_model* made_model;
  bptt_optimizer* made_optimizer;
  const bptt_layer_options layers = layer_of(BPTT_LSTM, BPTT_FLOAT32, 0, H);
  bptt_layer_options kept;
  size_t k;
#define SIZES(init, type, prepare, call)                                                   \
  do {                                                                                     \
    const size_t bad[] = {0,    1,        8,           sizeof(type) - 1, sizeof(type) + 4, \
                          5000, SIZE_MAX, SIZE_MAX / 2};                                   \
    for (k = 0; k < sizeof bad / sizeof bad[0]; ++k) {                                     \
      memset(&u, 0, sizeof u);                                                             \
      REFUSED(BPTT_ERR_STRUCT_SIZE, init((void*)&u, bad[k]));                              \
      OK(init((void*)&u, sizeof(type)));                                                   \
      REQUIRE(u.struct_size == sizeof(type));                                              \
      prepare;                                                                             \
      u.struct_size = bad[k];                                                              \
      REFUSED(BPTT_ERR_STRUCT_SIZE, call);                                                 \
    }                                                                                      \
    memset(&u, 0xff, sizeof u);                                                            \
    OK(init((void*)&u, sizeof(type) + 64));                                                \
    REQUIRE(u.struct_size == sizeof(type) + 64 && u.bytes[sizeof(type) + 63] == 0 &&       \
            u.bytes[sizeof(type) + 64] == 0xff);                                           \
    prepare;                                                                               \
    u.bytes[sizeof(type) + 40] = 1;                                                        \
    REFUSED(BPTT_ERR_STRUCT_SIZE, call);                                                   \
    u.bytes[sizeof(type) + 40] = 0;                                                        \
    OK(call);                                                                              \
  } while (0)
  SIZES(bptt_layer_options_init, bptt_layer_options,
        (u.layer.input_size = I, u.layer.hidden_size = H),
        bptt_layer_create(&u.layer, &made_layer));
  OK(bptt_layer_free(made_layer));
  SIZES(bptt_model_options_init, bptt_model_options,
        (u.model.vocab_size = I, u.model.output_size = O),
        bptt_model_create(&u.model, &layers, NULL, &made_model));
  OK(bptt_model_free(made_model));
  SIZES(bptt_optimizer_options_init, bptt_optimizer_options, (void)0,
        bptt_optimizer_create(&u.rule, layer_params, &made_optimizer));
  OK(bptt_optimizer_free(made_optimizer));
  SIZES(bptt_sequence_init, bptt_sequence,
        (u.sequence.time = T, u.sequence.batch = N, u.sequence.x = x, u.sequence.x_stride_t = N * I,
         u.sequence.x_stride_n = I),
        bptt_layer_forward(layer, &u.sequence, &outputs, NULL));
  SIZES(bptt_outputs_init, bptt_outputs, (void)0,
        bptt_layer_forward(layer, &sequence, &u.outputs, NULL));
  SIZES(bptt_backward_init, bptt_backward, (void)0, bptt_layer_backward(layer, tape, &u.backward));
  SIZES(bptt_seeds_init, bptt_seeds,
        (u.seeds.count = 1, u.seeds.times = seed_times, u.seeds.outputs = seed_outputs),
        bptt_layer_backward_seeds(layer, tape, &u.seeds));
  SIZES(bptt_spectrum_init, bptt_spectrum, (void)0, bptt_layer_spectrum(layer, tape, &u.spectrum));
  SIZES(bptt_target_init, bptt_target,
        (u.target.values = goal, u.target.stride_t = N * O, u.target.stride_n = O),
        bptt_model_train_step(model, &sequence, &u.target, NULL, NULL, &step));
  SIZES(bptt_flow_init, bptt_flow, (void)0,
        bptt_model_train_step(model, &sequence, &target, NULL, &u.flow, &step));
  SIZES(bptt_step_init, bptt_step, (void)0,
        bptt_model_train_step(model, &sequence, &target, NULL, NULL, &u.step));
  REQUIRE(bptt_last_error(&u.error, sizeof u.error - 1) == BPTT_ERR_STRUCT_SIZE);
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_params_info(layer_params, 0, &u.info, 8));
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_describe_cell(&layers, &u.cell, 8));
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_model_get_options(model, &u.model, 8));
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_model_get_layer_options(model, &kept, sizeof kept + 4));
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_optimizer_get_options(optimizer, &u.rule, 8));
}

int main(void) {
  begin();
  check_struct_sizes();
  end();
  return 0;
}
