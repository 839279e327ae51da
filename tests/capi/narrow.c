/* narrow.c: products of narrow weights, compared with the same numbers multiplied in double
 * precision. */
#include "check.h"

enum { MOST = 1100 };

static double nearest_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Return the factor that an int8 weight, or an element of the vector, becomes. */
static double quantised(float value, float largest, float integers, int inverse) {
  if (largest == 0) return 0;
  if (inverse) return rint((double)(value * (integers / largest))) * (largest / integers);
  return rint((double)(value / (largest / integers))) * (largest / integers);
}

static float largest_of(const float* row, int count) {
  float largest = 0;
  int k;
  for (k = 0; k < count; ++k) largest = fmaxf(largest, fabsf(row[k]));
  return largest;
}

/* Return the error of the first states of a stream with h_1 = W x, relative to |W| |x|. */
static double error_of(int units, int depth, bptt_weights weights) {
  static float x[MOST], h[MOST];
  bptt_model_options options;
  bptt_layer_options layer;
  bptt_stream_options reading;
  bptt_model* model;
  bptt_params* params;
  bptt_stream* stream;
  int64_t count;
  float* values;
  double worst = 0;
  int u, k;
  OK(bptt_model_options_init(&options, sizeof options));
  OK(bptt_layer_options_init(&layer, sizeof layer));
  OK(bptt_stream_options_init(&reading, sizeof reading));
  options.output_size = 1;
  layer.cell = BPTT_RNN;
  layer.nonlinearity = BPTT_IDENTITY;
  layer.bias = 0;
  layer.input_size = depth;
  layer.hidden_size = units;
  reading.weights = weights;
  OK(bptt_model_create(&options, &layer, NULL, &model));
  OK(bptt_model_params(model, &params));
  OK(bptt_params_count(params, NULL, &count));
  values = malloc((size_t)count * sizeof *values);
  REQUIRE(values);
  for (k = 0; k < count; ++k) values[k] = (float)(random_number() * random_number());
  for (k = 0; k < depth; ++k) x[k] = (float)random_number();
  OK(bptt_params_set(params, values));
  OK(bptt_stream_create(model, &reading, &stream));
  OK(bptt_stream_step(stream, x, NULL));
  OK(bptt_stream_get_state(stream, h, NULL));
  for (u = 0; u < units; ++u) {
    const float* row = values + (size_t)u * (size_t)depth; /* W_ih is the first tensor */
    const float most = largest_of(row, depth), most_x = largest_of(x, depth);
    double sum = 0, size = 0;
    for (k = 0; k < depth; ++k) {
      const int bytes = weights == BPTT_WEIGHTS_INT8;
      const double w = bytes ? quantised(row[k], most, 127, 0) : nearest_bfloat16(row[k]);
      const double a = bytes ? quantised(x[k], most_x, 32767, 1) : x[k];
      sum += w * a;
      size += fabs(w * a);
    }
    worst = fmax(worst, fabs(sum - h[u]) / size);
  }
  free(values);
  OK(bptt_stream_free(stream));
  OK(bptt_model_free(model));
  return worst;
}

int main(void) {
  const int units[] = {1, 4, 7, 8, 9, 16, 33, 64, 100},
            depths[] = {1, 2, 3, 4, 5, 16, 31, 512, 1100};
  int u, d, weights;
  for (weights = BPTT_WEIGHTS_BFLOAT16; weights <= BPTT_WEIGHTS_INT8; ++weights) {
    double worst = 0;
    for (u = 0; u < 9; ++u) {
      for (d = 0; d < 9; ++d)
        worst = fmax(worst, error_of(units[u], depths[d], (bptt_weights)weights));
    }
    REQUIRE(worst < 1e-6);
    printf("narrow weights %d: error %.1e\n", weights, worst);
  }
  return 0;
}
