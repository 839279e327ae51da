/* layouts.c: random strided arrays in one block. A call must be refused exactly if a result
 * shares a byte with another array; the test determines this by marking the bytes of every
 * array. */
#include "structs.h"

enum { AREA = 1024, AREAS = 6, ARRAYS = 5, LAYOUTS = 1500 };
typedef struct {
  int64_t steps, batch, features, t, n; /* strides in elements */
  int64_t size, at;                     /* bytes; position of element (0, 0, 0) */
  int written;
} layout;

static union {
  unsigned char bytes[AREA * AREAS];
  double align;
} memory;

static int64_t below(int64_t bound) { return (int64_t)random_bits() % bound; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static void extent(const layout* a, int64_t* from, int64_t* to) {
  const int64_t over_t = a->t * (a->steps - 1), over_n = a->n * (a->batch - 1);
  *from = a->at + (least(over_t, 0) + least(over_n, 0)) * a->size;
  *to = a->at + (over_t + over_n - least(over_t, 0) - least(over_n, 0) + a->features) * a->size;
}

/* Place an array in area 0, where most arrays are, or in area `own`. */
static void put(layout* a, int own) {
  int64_t from, to;
  a->at = 0;
  extent(a, &from, &to);
  a->at = -from + (below(2) ? own * AREA : below(AREA / 2 / a->size) * a->size);
}
static layout flat(int64_t count, int own, int written) {
  layout a = {1, 1, 0, 0, 0, sizeof(float), 0, 0};
  a.features = count;
  a.written = written;
  put(&a, own);
  return a;
}
/* The elements of results do not overlap; those of inputs may. */
static layout strided(int64_t steps, int64_t batch, int64_t features, size_t size, int own,
                      int written) {
  layout a = {0, 0, 0, 0, 0, 0, 0, 0};
  const int time_inside = (int)below(2);
  const int64_t count = time_inside ? steps : batch;
  int64_t inner = written ? features + below(5) : below(features + 5);
  int64_t outer = written ? inner * (count - 1) + features + below(5) : below(16);
  if (below(4) == 0) inner = -inner;
  if (below(4) == 0) outer = -outer;
  a.steps = steps;
  a.batch = batch;
  a.features = features;
  a.t = time_inside ? inner : outer;
  a.n = time_inside ? outer : inner;
  a.size = (int64_t)size;
  a.written = written;
  put(&a, own);
  return a;
}
/* Use the same strides, a few elements away, as for columns of one buffer. */
static void beside(layout* a, const layout* b) {
  a->t = b->t;
  a->n = b->n;
  a->at = b->at + (below(17) - 8) * a->size;
}

static void mark(const layout* a, unsigned char* marks) {
  int64_t t, n, k;
  for (t = 0; t < a->steps; ++t)
    for (n = 0; n < a->batch; ++n)
      for (k = 0; k < a->features * a->size; ++k)
        marks[a->at + (t * a->t + n * a->n) * a->size + k] = 1;
}
/* Return 0 if no range touches a result's, 1 if ranges touch but share no byte, 2 if a byte is
 * shared. */
static int relation(const layout* arrays, int count) {
  static unsigned char marks[2][AREA * AREAS];
  int a, b, k, found = 0;
  for (a = 0; a < count; ++a) {
    for (b = 0; b < count; ++b) {
      int64_t from[2], to[2];
      if (a == b || !arrays[a].written) continue;
      extent(&arrays[a], &from[0], &to[0]);
      extent(&arrays[b], &from[1], &to[1]);
      if (from[0] < to[1] && from[1] < to[0] && !found) found = 1;
      memset(marks, 0, sizeof marks);
      mark(&arrays[a], marks[0]);
      mark(&arrays[b], marks[1]);
      for (k = 0; k < AREA * AREAS; ++k)
        if (marks[0][k] && marks[1][k]) found = 2;
    }
  }
  return found;
}
/* Copy an array into one without gaps. */
static void gather(const layout* a, const unsigned char* base, void* into) {
  unsigned char* to = into;
  int64_t t, n;
  for (t = 0; t < a->steps; ++t)
    for (n = 0; n < a->batch; ++n, to += a->features * a->size)
      memcpy(to, base + a->at + (t * a->t + n * a->n) * a->size, (size_t)(a->features * a->size));
}

static bptt_sequence sequence_at(const layout* x, const void* at) {
  bptt_sequence sequence;
  OK(bptt_sequence_init(&sequence, sizeof sequence));
  sequence.time = x->steps;
  sequence.batch = x->batch;
  sequence.x = at;
  sequence.x_stride_t = x->t;
  sequence.x_stride_n = x->n;
  return sequence;
}
/* Run one pass. Forward: x, resets, h0 and y, hn. Backward: dy, dhn and dx, dh0. An accepted
 * call must return the same bits as with arrays without gaps. */
static bptt_status pass(bptt_layer* net, bptt_tape* given, const layout* a, void* const* at) {
  if (!given) {
    bptt_sequence sequence = sequence_at(&a[0], at[0]);
    bptt_outputs outputs;
    OK(bptt_outputs_init(&outputs, sizeof outputs));
    sequence.h0 = at[2];
    outputs.y = at[3];
    outputs.hn = at[4];
    sequence.resets = at[1];
    sequence.resets_stride_t = a[1].t;
    sequence.resets_stride_n = a[1].n;
    outputs.y_stride_t = a[3].t;
    outputs.y_stride_n = a[3].n;
    return bptt_layer_forward(net, &sequence, &outputs, NULL);
  } else {
    bptt_backward call;
    OK(bptt_backward_init(&call, sizeof call));
    call.dy = at[0];
    call.dy_stride_t = a[0].t;
    call.dy_stride_n = a[0].n;
    call.dhn = at[1];
    call.dx = at[2];
    call.dx_stride_t = a[2].t;
    call.dx_stride_n = a[2].n;
    call.dh0 = at[3];
    return bptt_layer_backward(net, given, &call);
  }
}
static void try_layout(int is_backward, int* seen) {
  static float dense[ARRAYS][64], result[64], input[64];
  unsigned char* const base = memory.bytes;
  const int64_t steps = 1 + below(4), batch = 1 + below(4), in = 1 + below(3),
                hidden = 1 + below(3);
  const int count = is_backward ? 4 : 5, first = is_backward ? 2 : 3;
  layout a[ARRAYS], packed[ARRAYS];
  void *at[ARRAYS], *apart[ARRAYS];
  bptt_layer_options options;
  bptt_layer* net;
  bptt_tape* given = NULL;
  int k, found;
  int64_t from, to, t;
  options = layer_of(BPTT_LSTM, BPTT_FLOAT32, in, hidden);
  OK(bptt_layer_create(&options, &net));
  a[0] = strided(steps, batch, is_backward ? hidden : in, sizeof(float), 1, 0);
  if (is_backward) {
    a[1] = flat(batch * hidden, 2, 0);
    a[2] = strided(steps, batch, in, sizeof(float), 3, 1);
    a[3] = flat(batch * hidden, 4, 1);
  } else {
    a[1] = strided(steps, batch, 1, 1, 2, 0);
    a[2] = flat(batch * hidden, 3, 0);
    a[3] = strided(steps, batch, hidden, sizeof(float), 4, 1);
    a[4] = flat(batch * hidden, 5, 1);
  }
  if (below(2)) beside(&a[0], &a[first]);
  for (k = 0; k < AREA * AREAS / (int)sizeof(float); ++k) {
    const float number = (float)random_number();
    memcpy(base + k * (int)sizeof number, &number, sizeof number);
    input[k % 64] = number;
  }
  for (k = 0; k < count; ++k) {
    extent(&a[k], &from, &to);
    if (from < 0) a[k].at -= from / a[k].size * a[k].size;
    at[k] = base + a[k].at;
    apart[k] = dense[k];
    packed[k] = a[k];
    packed[k].t = a[k].batch * a[k].features;
    packed[k].n = a[k].features;
  }
  if (!is_backward) {
    for (t = 0; t < steps * batch; ++t)
      base[a[1].at + t / batch * a[1].t + t % batch * a[1].n] = (unsigned char)below(2);
  }
  for (k = 0; k < count; ++k) gather(&a[k], base, dense[k]);
  if (is_backward) {
    const bptt_sequence sequence = sequence_at(&packed[2], input);
    OK(bptt_layer_forward(net, &sequence, NULL, &given));
  }
  found = relation(a, count);
  ++seen[found];
  if (found == 2) {
    refused(BPTT_ERR_ARGUMENT, pass(net, given, a, at),
            given ? "bptt_layer_backward" : "bptt_layer_forward", __FILE__, __LINE__);
  } else {
    OK(pass(net, given, packed, apart));
    OK(pass(net, given, a, at));
    for (k = first; k < count; ++k) {
      gather(&a[k], base, result);
      REQUIRE(!memcmp(result, dense[k],
                      (size_t)(a[k].steps * a[k].batch * a[k].features) * sizeof(float)));
    }
  }
  OK(bptt_tape_free(given));
  OK(bptt_layer_free(net));
}

int main(void) {
  int seen[3] = {0, 0, 0}, k;
  for (k = 0; k < LAYOUTS; ++k) try_layout(k % 2, seen);
  printf("%d layouts apart, %d between each other, %d overlap\n", seen[0], seen[1], seen[2]);
  return 0;
}
