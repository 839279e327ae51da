/* train.c: training, evaluation, saving, loading and streaming of a model with the C API alone,
 * and a layer on the caller's arrays. Usage: train FILE, where FILE can be written. */
#include "structs.h"

enum { T = 20, N = 8, V = 6, LAG = 2 };

/* Echo: the target is the token of LAG steps ago. Tokens [T, N], classes [T, N]. */
static void draw_echo(int64_t* tokens, int64_t* classes) {
  int t, n;
  for (t = 0; t < T; ++t) {
    for (n = 0; n < N; ++n) {
      tokens[t * N + n] = random_bits() % V;
      classes[t * N + n] = t >= LAG ? tokens[(t - LAG) * N + n] : 0;
    }
  }
}

static bptt_sequence tokens_of(const int64_t* tokens) { return tokens_over(T, N, tokens); }

static bptt_target classes_of(const int64_t* classes) { return classes_at(classes, N); }

static bptt_model* learn_echo(bptt_cell cell) {
  static int64_t tokens[T * N], classes[T * N];
  int64_t taken, skipped;
  bptt_sequence sequence = tokens_of(tokens);
  bptt_target target = classes_of(classes);
  bptt_model_options options;
  bptt_layer_options layers;
  bptt_optimizer_options rule;
  bptt_model* model;
  bptt_step step;
  double loss, first = 0;
  int i;
  OK(bptt_model_options_init(&options, sizeof options));
  OK(bptt_layer_options_init(&layers, sizeof layers));
  OK(bptt_optimizer_options_init(&rule, sizeof rule));
  layers.cell = cell;
  layers.hidden_size = 32;
  options.vocab_size = V;
  options.output_size = V;
  rule.lr = 0.01;
  options.clip_norm = 1.0;
  OK(bptt_model_create(&options, &layers, &rule, &model));
  step = new_step();
  for (i = 0; i < 400; ++i) {
    draw_echo(tokens, classes);
    OK(bptt_model_train_step(model, &sequence, &target, NULL, NULL, &step));
    REQUIRE(!step.skipped && isfinite(step.grad_norm));
    if (i == 0) first = step.loss;
  }
  draw_echo(tokens, classes);
  OK(bptt_model_evaluate(model, &sequence, &target, NULL, &loss));
  OK(bptt_model_steps(model, &taken, &skipped));
  REQUIRE(taken == 400 && skipped == 0);
  REQUIRE(fabs(first - log(V)) < 0.3);
  REQUIRE(loss < 0.02);
  printf("echo with cell %d: loss %.4f -> %.4f\n", (int)cell, first, loss);
  return model;
}

/* Compare every derivative of the mean squared error from the API's backward pass with central
 * differences. */
static void check_gradient(bptt_cell cell, bptt_targets targets, int both) {
  enum { t_ = 4, n_ = 2, in = 3, h = 3, out = 2 };
  static const int64_t lengths[n_] = {3, 4};
  double x[t_ * n_ * in], y[t_ * n_ * out], goal[t_ * n_ * out], dy[t_ * n_ * out], largest = 0,
                                                                                    worst = 0;
  double *values, *gradients, hn[4 * n_ * h];
  int64_t tensors, count, i, k, n, rows = targets == BPTT_EVERY_STEP ? t_ * n_ : n_;
  bptt_model_options options;
  bptt_layer_options layers;
  bptt_sequence sequence;
  bptt_outputs outputs;
  bptt_target target;
  bptt_backward backward;
  bptt_model* model;
  bptt_params* params;
  bptt_param_info info;
  bptt_tape* tape;
  OK(bptt_model_options_init(&options, sizeof options));
  OK(bptt_layer_options_init(&layers, sizeof layers));
  layers.cell = cell;
  layers.bidirectional = both;
  layers.dtype = BPTT_FLOAT64;
  layers.input_size = in;
  layers.hidden_size = h;
  layers.num_layers = 2;
  options.output_size = out;
  options.loss = BPTT_MSE;
  options.targets = targets;
  OK(bptt_model_create(&options, &layers, NULL, &model));
  OK(bptt_model_params(model, &params));
  OK(bptt_params_count(params, &tensors, &count));
  REQUIRE(tensors == (both ? 18 : 10));
  values = malloc(2 * (size_t)count * sizeof *values);
  REQUIRE(values);
  gradients = values + count;
  for (i = 0; i < t_ * n_ * in; ++i) x[i] = random_number();
  for (i = 0; i < t_ * n_ * out; ++i) goal[i] = random_number();
  sequence = values_over(t_, n_, x, in);
  if (both) sequence.lengths = lengths;
  outputs = outputs_to(y, n_, out);
  outputs.hn = hn;
  target = values_at(goal, n_, out);
  OK(bptt_model_forward(model, &sequence, &outputs, &tape));
  for (i = 0; i < rows * out; ++i) dy[i] = 2 * (y[i] - goal[i]) / (double)(rows * out);
  backward = backward_from(dy, n_, out, gradients);
  OK(bptt_model_backward(model, tape, &backward));
  OK(bptt_params_get(params, values));
  for (i = 0; i < tensors; ++i) {
    double most = 0;
    OK(bptt_params_info(params, i, &info, sizeof info));
    if (strcmp(info.name, "rnn.weight_hh_l1_reverse") != 0) continue;
    for (k = 0; k < info.count; ++k) most = fmax(most, fabs(gradients[info.offset + k]));
    REQUIRE((most > 1e-4) == (targets == BPTT_LAST_STEP)); /* otherwise it has read only one step */
  }
  for (n = 0; both && targets == BPTT_LAST_STEP && n < n_; ++n) {
    for (i = 0; i < out; ++i) { /* the readout's weight and bias are the last tensors */
      const double* row = values + count - out - out * 2 * h + i * 2 * h;
      double sum = values[count - out + i];
      for (k = 0; k < 2 * h; ++k) sum += row[k] * hn[((2 + k / h) * n_ + n) * h + k % h];
      REQUIRE(fabs(y[n * out + i] - sum) < 1e-12);
    }
  }
  for (i = 0; i < count; ++i) {
    const double kept = values[i], step = 1e-5;
    double above, below;
    values[i] = kept + step;
    OK(bptt_params_set(params, values));
    OK(bptt_model_evaluate(model, &sequence, &target, NULL, &above));
    values[i] = kept - step;
    OK(bptt_params_set(params, values));
    OK(bptt_model_evaluate(model, &sequence, &target, NULL, &below));
    values[i] = kept;
    worst = fmax(worst, fabs((above - below) / (2 * step) - gradients[i]));
    largest = fmax(largest, fabs(gradients[i]));
  }
  REQUIRE(largest > 0.01);
  REQUIRE(worst < 1e-9);
  for (i = 0; i < count; ++i) values[i] += random_number();
  OK(bptt_params_set(params, values));
  backward.gradients = values;
  OK(bptt_model_backward(model, tape, &backward)); /* with the parameters of the tape */
  REQUIRE(memcmp(values, gradients, (size_t)count * sizeof *values) == 0);
  printf("gradient of cell %d, targets %d, %d directions: %d derivatives, worst difference %.1e\n",
         (int)cell, (int)targets, 1 + both, (int)count, worst);
  free(values);
  OK(bptt_tape_free(tape));
  OK(bptt_model_free(model));
}

/* A layer on [T, N, F], on [N, T, F] and on rows with gaps in reverse order: the bits are the
 * same, and no other byte is written. */
static void check_strides(void) {
  enum { t_ = 7, n_ = 3, in = 5, h = 9, gap = 4 };
  static float plain_x[t_ * n_ * in], other_x[n_ * t_ * (in + gap)];
  static float plain_y[t_ * n_ * h], other_y[n_ * t_ * (h + gap)], plain_dx[t_ * n_ * in],
      other_dx[n_ * t_ * (in + gap)];
  static float hn[2][2 * n_ * h], cn[2][2 * n_ * h], gradients[2][8 * h * 100];
  bptt_layer_options options = layer_of(BPTT_LSTM, BPTT_FLOAT32, in, h);
  bptt_sequence sequence;
  bptt_outputs outputs;
  bptt_backward backward;
  bptt_layer* layer;
  bptt_params* params;
  int64_t count, bytes;
  int t, n, i, pass;
  options.num_layers = 2;
  OK(bptt_layer_create(&options, &layer));
  OK(bptt_layer_params(layer, &params));
  OK(bptt_params_count(params, NULL, &count));
  REQUIRE((size_t)count <= sizeof gradients[0] / sizeof gradients[0][0]);
  for (t = 0; t < t_; ++t) {
    for (n = 0; n < n_; ++n) {
      for (i = 0; i < in; ++i) {
        plain_x[(t * n_ + n) * in + i] = (float)random_number();
        other_x[((n_ - 1 - n) * t_ + t) * (in + gap) + i] = plain_x[(t * n_ + n) * in + i];
      }
    }
  }
  for (i = 0; i < n_ * t_ * (h + gap); ++i) other_y[i] = 7;
  for (i = 0; i < n_ * t_ * (in + gap); ++i) other_dx[i] = 7;
  for (pass = 0; pass < 2; ++pass) {
    bptt_tape* tape;
    OK(bptt_sequence_init(&sequence, sizeof sequence));
    OK(bptt_outputs_init(&outputs, sizeof outputs));
    OK(bptt_backward_init(&backward, sizeof backward));
    sequence.time = t_;
    sequence.batch = n_;
    sequence.x = pass ? other_x + (n_ - 1) * t_ * (in + gap) : plain_x;
    sequence.x_stride_t = pass ? in + gap : n_ * in;
    sequence.x_stride_n = pass ? -t_ * (in + gap) : in;
    outputs.y = pass ? other_y : plain_y;
    outputs.y_stride_t = pass ? h + gap : n_ * h;
    outputs.y_stride_n = pass ? t_ * (h + gap) : h;
    outputs.hn = hn[pass];
    outputs.cn = cn[pass];
    OK(bptt_layer_forward(layer, &sequence, &outputs, &tape));
    OK(bptt_tape_bytes(tape, &bytes));
    REQUIRE(bytes > t_ * n_ * h * 4);
    backward.dy = outputs.y;
    backward.dy_stride_t = outputs.y_stride_t;
    backward.dy_stride_n = outputs.y_stride_n;
    backward.dx = pass ? other_dx + (n_ - 1) * t_ * (in + gap) : plain_dx;
    backward.dx_stride_t = sequence.x_stride_t;
    backward.dx_stride_n = sequence.x_stride_n;
    backward.gradients = gradients[pass];
    OK(bptt_layer_backward(layer, tape, &backward));
    OK(bptt_tape_free(tape));
  }
  for (t = 0; t < t_; ++t) {
    for (n = 0; n < n_; ++n) {
      REQUIRE(!memcmp(plain_y + (t * n_ + n) * h, other_y + (n * t_ + t) * (h + gap),
                      h * sizeof(float)));
      REQUIRE(!memcmp(plain_dx + (t * n_ + n) * in, other_dx + ((n_ - 1 - n) * t_ + t) * (in + gap),
                      in * sizeof(float)));
      for (i = 0; i < gap; ++i) {
        REQUIRE(other_y[(n * t_ + t) * (h + gap) + h + i] == 7);
        REQUIRE(other_dx[(n * t_ + t) * (in + gap) + in + i] == 7);
      }
    }
  }
  REQUIRE(!memcmp(hn[0], hn[1], sizeof hn[0]) && !memcmp(cn[0], cn[1], sizeof cn[0]));
  REQUIRE(!memcmp(gradients[0], gradients[1], (size_t)count * sizeof(float)));
  OK(bptt_layer_free(layer));
  printf("strides: the same bits in every layout\n");
}

/* A model that is saved and loaded, serialised, or streamed computes the same. */
static void check_file_and_stream(bptt_model* model, const char* path) {
  static int64_t tokens[T * N], classes[T * N];
  bptt_sequence sequence = tokens_of(tokens);
  bptt_target target = classes_of(classes);
  static float y[T * N * V], step_y[V + 16];
  const int64_t shape[2] = {1, 3};
  const double extra[3] = {1, 2, 3};
  bptt_outputs outputs;
  bptt_model *loaded, *copied;
  bptt_stream* stream;
  bptt_extra_info info;
  const char* text;
  double loss, loaded_loss, copied_loss;
  size_t size;
  void* buffer;
  int t, i;
  draw_echo(tokens, classes);
  OK(bptt_model_set_metadata(model, "vocabulary", "abcdef"));
  OK(bptt_model_set_extra(model, "mine", BPTT_FLOAT64, 2, shape, extra));
  OK(bptt_model_save(model, path));
  OK(bptt_model_load(path, &loaded));
  OK(bptt_model_serialize(model, NULL, 0, &size));
  buffer = malloc(size);
  REQUIRE(buffer);
  REFUSED(BPTT_ERR_ARGUMENT, bptt_model_serialize(model, buffer, size - 1, &size));
  OK(bptt_model_serialize(model, buffer, size, &size));
  OK(bptt_model_deserialize(buffer, size, &copied));
  ((char*)buffer)[size / 2] ^= 1;
  REFUSED(BPTT_ERR_FORMAT, bptt_model_deserialize(buffer, size, &copied));
  free(buffer);
  OK(bptt_model_evaluate(model, &sequence, &target, NULL, &loss));
  OK(bptt_model_evaluate(loaded, &sequence, &target, NULL, &loaded_loss));
  OK(bptt_model_evaluate(copied, &sequence, &target, NULL, &copied_loss));
  REQUIRE(loss == loaded_loss && loss == copied_loss);
  OK(bptt_model_get_metadata(loaded, "vocabulary", &text));
  REQUIRE(!strcmp(text, "abcdef"));
  OK(bptt_model_extra(loaded, 0, &info, sizeof info));
  REQUIRE(!strcmp(info.name, "mine") && info.rank == 2 && info.shape[1] == 3 &&
          !memcmp(info.values, extra, sizeof extra));

  outputs = outputs_to(y, N, V);
  OK(bptt_model_forward(loaded, &sequence, &outputs, NULL));
  OK(bptt_stream_create(loaded, NULL, &stream));
  OK(bptt_model_free(loaded)); /* the stream still works */
  for (t = 0; t < T; ++t) {
    for (i = V; i < V + 16; ++i) step_y[i] = 7;
    OK(bptt_stream_step_token(stream, tokens[t * N], step_y));
    for (i = 0; i < V; ++i) REQUIRE(fabsf(step_y[i] - y[t * N * V + i]) < 1e-4f);
    for (i = V; i < V + 16; ++i) REQUIRE(step_y[i] == 7);
  }
  OK(bptt_stream_free(stream));
  OK(bptt_model_free(copied));
  printf("file and stream: the same model\n");
}

int main(int argc, char** argv) {
  const bptt_cell cells[] = {BPTT_RNN, BPTT_LSTM, BPTT_GRU};
  int i;
  REQUIRE(argc == 2);
  REQUIRE(bptt_abi_version() == BPTT_ABI_VERSION);
  printf("bptt %s\n", bptt_version());
  for (i = 0; i < 3; ++i) {
    bptt_model* model = learn_echo(cells[i]);
    check_file_and_stream(model, argv[1]);
    OK(bptt_model_free(model));
    check_gradient(cells[i], BPTT_EVERY_STEP, 0);
    check_gradient(cells[i], BPTT_LAST_STEP, 0);
    check_gradient(cells[i], BPTT_LAST_STEP, 1);
    check_gradient(cells[i], BPTT_LAST_ROW, 1);
  }
  check_strides();
  return 0;
}
