/* options.c: the table of options: it describes the structs, and errors use its words. */
#include <bptt_optimizer.h>
#include <bptt_options.h>

#include "check.h"

/* All options at their defaults. */
static bptt_layer_options layer_options;
static bptt_optimizer_options optimizer_options;
static bptt_model_options model_options;

static const void* struct_of(const char* group) {
  if (!strcmp(group, "layer")) return &layer_options;
  return !strcmp(group, "optimizer") ? (const void*)&optimizer_options : &model_options;
}

static double field(const bptt_option_info* option) {
  const char* const at = (const char*)struct_of(option->group) + option->offset;
  switch (option->type) {
    case BPTT_OPTION_INT32:
      return *(const int32_t*)(const void*)at;
    case BPTT_OPTION_INT64:
      return (double)*(const int64_t*)(const void*)at;
    case BPTT_OPTION_UINT64:
      return (double)*(const uint64_t*)(const void*)at;
    case BPTT_OPTION_DOUBLE:
      return *(const double*)(const void*)at;
    default:
      return *(const void* const*)(const void*)at ? 1 : 0;
  }
}

static void check_algorithms(void) {
  static const double lr[] = {1e-3, 1e-2, 1e-3, 1e-2, 1e-4};
  bptt_optimizer_options of;
  int32_t k;
  for (k = 0; k < 5; ++k) {
    OK(bptt_optimizer_options_of((bptt_algorithm)(k + 1), BPTT_RMSPROP_TORCH, &of, sizeof of));
    REQUIRE(of.algorithm == (bptt_algorithm)(k + 1) && of.lr == lr[k] && of.momentum == 0);
    REQUIRE(of.weight_decay == 0 && of.eps == (k == 1 ? 1e-10 : 1e-8));
  }
  OK(bptt_optimizer_options_of(BPTT_RMSPROP, BPTT_RMSPROP_GRAVES, &of, sizeof of));
  REQUIRE(of.rmsprop_form == BPTT_RMSPROP_GRAVES && of.lr == 1e-4 && of.momentum == 0.9);
  REQUIRE(of.rmsprop_alpha == 0.95 && of.eps == 1e-4);
  REFUSED(BPTT_ERR_RANGE,
          bptt_optimizer_options_of((bptt_algorithm)0, BPTT_RMSPROP_TORCH, &of, sizeof of));
  REFUSED(BPTT_ERR_RANGE,
          bptt_optimizer_options_of((bptt_algorithm)6, BPTT_RMSPROP_TORCH, &of, sizeof of));
  REFUSED(BPTT_ERR_RANGE,
          bptt_optimizer_options_of(BPTT_LION, BPTT_RMSPROP_GRAVES, &of, sizeof of));
  REFUSED(BPTT_ERR_RANGE,
          bptt_optimizer_options_of(BPTT_RMSPROP, (bptt_rmsprop_form)2, &of, sizeof of));
  REFUSED(BPTT_ERR_ARGUMENT,
          bptt_optimizer_options_of(BPTT_ADAM, BPTT_RMSPROP_TORCH, NULL, sizeof of));
}

int main(void) {
  bptt_option_info option;
  bptt_option_conflict conflict;
  bptt_layer_options layer;
  bptt_layer* made;
  bptt_error error;
  int64_t count = 0, conflicts = 0, k;
  OK(bptt_layer_options_init(&layer_options, sizeof layer_options));
  OK(bptt_optimizer_options_init(&optimizer_options, sizeof optimizer_options));
  OK(bptt_model_options_init(&model_options, sizeof model_options));
  for (; bptt_describe_option(count, &option, sizeof option) == BPTT_OK; ++count) {
    const double value = field(&option);
    int word = option.word_count == 0;
    REQUIRE(value == option.fallback || (value != value && option.fallback != option.fallback));
    for (k = 0; k < option.word_count; ++k) word |= option.words[k].value == (int)value;
    REQUIRE(word && *option.doc && *option.python);
  }
  REFUSED(BPTT_ERR_RANGE, bptt_describe_option(count, &option, sizeof option));
  for (; bptt_describe_conflict(conflicts, &conflict, sizeof conflict) == BPTT_OK; ++conflicts)
    REQUIRE(conflict.option < count && conflict.other < count);
  REFUSED(BPTT_ERR_RANGE, bptt_describe_conflict(conflicts, &conflict, sizeof conflict));
  REFUSED(BPTT_ERR_RANGE, bptt_describe_option(-1, &option, sizeof option));
  REFUSED(BPTT_ERR_RANGE, bptt_describe_conflict(INT64_MIN, &conflict, sizeof conflict));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_describe_option(0, NULL, sizeof option));
  REFUSED(BPTT_ERR_ARGUMENT, bptt_describe_conflict(0, NULL, sizeof conflict));
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_describe_option(0, &option, 0));
  REFUSED(BPTT_ERR_STRUCT_SIZE, bptt_describe_conflict(0, &conflict, 0));
  REQUIRE(bptt_last_error_python(NULL, sizeof error) == BPTT_ERR_ARGUMENT);
  REQUIRE(bptt_last_error_python(&error, sizeof error - 1) == BPTT_ERR_STRUCT_SIZE);

  check_algorithms();
  OK(bptt_layer_options_init(&layer, sizeof layer));
  layer.input_size = layer.hidden_size = 2;
  layer.reset_before = 1;
  REFUSED(BPTT_ERR_ARGUMENT, bptt_layer_create(&layer, &made));
  OK(bptt_last_error(&error, sizeof error));
  REQUIRE(!strcmp(error.argument, "reset_before") && !strcmp(error.got, "1") &&
          !strcmp(error.expected, "0 unless the cell is BPTT_GRU"));
  OK(bptt_last_error_python(&error, sizeof error));
  REQUIRE(!strcmp(error.argument, "reset_after") && !strcmp(error.got, "False") &&
          !strcmp(error.expected, "True unless the cell is 'gru'"));
  /* not an option: the record is the same in both wordings */
  REFUSED(BPTT_ERR_ARGUMENT, bptt_set_num_threads(0));
  OK(bptt_last_error_python(&error, sizeof error));
  REQUIRE(!strcmp(error.argument, "count"));
  printf("options ok: %d options, %d conflicts\n", (int)count, (int)conflicts);
  return 0;
}
