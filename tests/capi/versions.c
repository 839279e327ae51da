/* versions.c: a program that the test compiles with the header of an older, of this and of a
 * newer version. Every struct ends at the end of accessible memory, so that a read or write
 * beyond it ends the program. Prints results, which do not depend on the version. */
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { T = 4, N = 2, I = 3, H = 5, O = 3, MOST = 400 };

/* Return `size` bytes with all bits set, followed by an inaccessible page. */
static void* edge(size_t size) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char* pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(pages != MAP_FAILED && size <= page);
  REQUIRE(mprotect(pages + page, page, PROT_NONE) == 0);
  memset(pages, 0xff, page);
  return pages + page - size;
}
#define NEW(name) bptt_##name* name = edge(sizeof *name)
#define BEGIN(name) OK(bptt_##name##_init(name, sizeof *name))

/* The library does not know the fields of a newer version: it fills them with zeros and accepts
 * only zeros. */
#ifdef NEWER
#define UNKNOWN(name, call)                       \
  do {                                            \
    REQUIRE(!(name)->later && !(name)->later_on); \
    (name)->later_on = 1;                         \
    REFUSED(BPTT_ERR_STRUCT_SIZE, call);          \
    (name)->later_on = 0;                         \
  } while (0)
#else
#define UNKNOWN(name, call) (void)0
#endif

static void show(const char* what, const double* values, int64_t count) {
  int64_t k;
  printf("%s", what);
  for (k = 0; k < count; ++k) printf(" %a", values[k]);
  printf("\n");
}

static void show_error(bptt_status status) {
  NEW(error);
  OK(bptt_last_error(error, sizeof *error));
  REQUIRE(error->status == status && error->struct_size == sizeof *error);
  printf("%s\n", error->text);
}

int main(void) {
  static double x[T * N * I], y[T * N * O], gradients[MOST], flows[T], norms[T], exponents[2 * H];
  static int64_t classes[T * N];
  const int64_t time = T - 1, shape[1] = {2};
  bptt_model *model, *plain;
  bptt_params* params;
  bptt_optimizer* rule;
  bptt_tape* tape;
  bptt_stream* stream;
  double loss;
  int k;
  NEW(model_options);
  NEW(layer_options);
  NEW(optimizer_options);
  NEW(sequence);
  NEW(target);
  NEW(outputs);
  NEW(flow);
  NEW(step);
  NEW(backward);
  NEW(seeds);
  NEW(spectrum);
  NEW(stream_options);
  NEW(param_info);
  NEW(extra_info);
  for (k = 0; k < T * N * I; ++k) x[k] = random_number();
  for (k = 0; k < T * N; ++k) classes[k] = random_bits() % O;

  BEGIN(model_options);
  BEGIN(layer_options);
  BEGIN(optimizer_options);
  model_options->output_size = O;
  layer_options->dtype = BPTT_FLOAT64;
  layer_options->input_size = I;
  layer_options->hidden_size = H;
  optimizer_options->lr = 0.01;
  UNKNOWN(model_options, bptt_model_create(model_options, layer_options, NULL, &plain));
  UNKNOWN(layer_options, bptt_model_create(model_options, layer_options, NULL, &plain));
  UNKNOWN(optimizer_options,
          bptt_model_create(model_options, layer_options, optimizer_options, &plain));
  OK(bptt_model_create(model_options, layer_options, NULL, &plain));
  OK(bptt_model_create(model_options, layer_options, optimizer_options, &model));
  OK(bptt_model_params(model, &params));
  OK(bptt_model_optimizer(model, &rule));

  BEGIN(sequence);
  sequence->time = T;
  sequence->batch = N;
  sequence->x = x;
  sequence->x_stride_t = N * I;
  sequence->x_stride_n = I;
  BEGIN(target);
  target->classes = classes;
  target->stride_t = N;
  target->stride_n = 1;
  BEGIN(outputs);
  outputs->y = y;
  outputs->y_stride_t = N * O;
  outputs->y_stride_n = O;
  BEGIN(flow);
  flow->h = flows;
  BEGIN(step);
  UNKNOWN(sequence, bptt_model_train_step(model, sequence, target, outputs, flow, step));
  UNKNOWN(target, bptt_model_train_step(model, sequence, target, outputs, flow, step));
  UNKNOWN(outputs, bptt_model_train_step(model, sequence, target, outputs, flow, step));
  UNKNOWN(flow, bptt_model_train_step(model, sequence, target, outputs, flow, step));
  UNKNOWN(step, bptt_model_train_step(model, sequence, target, outputs, flow, step));
  for (k = 0; k < 3; ++k) {
    OK(bptt_model_train_step(plain, sequence, target, NULL, NULL, step));
    show("plain", &step->loss, 1);
    OK(bptt_model_train_step(model, sequence, target, outputs, flow, step));
    show("loss", &step->loss, 1);
    show("norm", &step->grad_norm, 1);
    show("y", y, T * N * O);
    show("flow", flows, T);
  }
  REQUIRE(step->struct_size == sizeof *step);
  OK(bptt_model_gradients(model, sequence, target, outputs, flow, gradients, 0, step));
  show("gradients", gradients, MOST);
  OK(bptt_model_apply(model, gradients, step));
  OK(bptt_model_evaluate(model, sequence, target, outputs, &loss));
  show("loss", &loss, 1);

  OK(bptt_model_forward(model, sequence, outputs, &tape));
  BEGIN(backward);
  backward->dy = y;
  backward->dy_stride_t = N * O;
  backward->dy_stride_n = O;
  memset(gradients, 0, sizeof gradients);
  backward->gradients = gradients;
  UNKNOWN(backward, bptt_model_backward(model, tape, backward));
  OK(bptt_model_backward(model, tape, backward));
  show("gradients", gradients, MOST);
  BEGIN(seeds);
  seeds->count = 1;
  seeds->times = &time;
  seeds->outputs = shape; /* the output with index 2 */
  seeds->dx_norms = norms;
  UNKNOWN(seeds, bptt_model_backward_seeds(model, tape, seeds));
  OK(bptt_model_backward_seeds(model, tape, seeds));
  show("seeds", norms, T);
  BEGIN(spectrum);
  spectrum->exponents = exponents;
  UNKNOWN(spectrum, bptt_model_spectrum(model, tape, spectrum));
  OK(bptt_model_spectrum(model, tape, spectrum));
  show("spectrum", exponents, 2 * H);
  BEGIN(stream_options);
  UNKNOWN(stream_options, bptt_stream_create(model, stream_options, &stream));
  OK(bptt_stream_create(model, stream_options, &stream));
  OK(bptt_stream_step(stream, x, y));
  OK(bptt_stream_free(stream));
  show("step", y, O);

  OK(bptt_params_info(params, 1, param_info, sizeof *param_info));
  printf("%s %d %d\n", param_info->name, (int)param_info->offset, (int)param_info->count);
  OK(bptt_model_set_extra(model, "pair", BPTT_FLOAT64, 1, shape, x));
  OK(bptt_model_extra(model, 0, extra_info, sizeof *extra_info));
  show(extra_info->name, extra_info->values, 2);
  memset(model_options, 0xff, sizeof *model_options);
  memset(layer_options, 0xff, sizeof *layer_options);
  memset(optimizer_options, 0xff, sizeof *optimizer_options);
  OK(bptt_model_get_options(model, model_options, sizeof *model_options));
  OK(bptt_model_get_layer_options(model, layer_options, sizeof *layer_options));
  OK(bptt_optimizer_get_options(rule, optimizer_options, sizeof *optimizer_options));
  REQUIRE(model_options->struct_size == sizeof *model_options && model_options->output_size == O);
  REQUIRE(layer_options->hidden_size == H && optimizer_options->lr == 0.01);
  UNKNOWN(model_options, bptt_model_create(model_options, layer_options, NULL, &plain));
  REFUSED(BPTT_ERR_RANGE, bptt_params_info(params, 99, param_info, sizeof *param_info));
  show_error(BPTT_ERR_RANGE);
  return 0;
}
