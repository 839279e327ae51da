// option_table.h: the table of options, one row for each field of bptt_layer_options,
// bptt_optimizer_options and bptt_model_options that a caller sets, and the list of options that exclude each
// other. Defaults, checks, model files, the Python package and the documentation read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

#include "bptt_optimizer.h"
#include "bptt_options.h"

namespace bptt {

using OptionWord = bptt_option_word;

// The struct that has the field.
enum class OptionGroup : uint8_t { layer, optimizer, model };

enum class OptionKind : uint8_t {
  choice,        // one of the words
  flag,          // 0 or 1
  size,          // an integer >= 1
  count,         // an integer >= 0
  integer,       // any
  seed,          // 64 bits
  number,        // finite
  positive,      // finite and > 0
  not_negative,  // finite and >= 0
  fraction,      // in [0, 1)
  share,         // in [0, 1]
  leak,          // in (0, 1]
  weights        // a pointer to class weights
};

// When a model file has an option. `unlike_default` is for new options: files without it stay as they are.
enum class InFiles : uint8_t { always, since_then, unlike_default, never };

enum class OptionType : uint8_t { int32, int64, uint64, real, pointer };

struct OptionRow {
  OptionGroup group = {};
  const char* name = nullptr;  // of the field
  size_t offset = 0;           // in its struct
  OptionType type = {};
  OptionKind kind = {};
  double fallback = 0;  // the default
  std::span<const OptionWord> words = {};
  bool or_nan = false;  // NaN is allowed
  bool held = false;    // it has to be of its kind as the dtype of the parameters holds it, too
  const char* owner =
      nullptr;  // the choice on which it depends whether the option may differ from its default
  uint32_t owners = 0;    // the values of that choice for which it may, as bits()
  bool per_call = false;  // it is also a field of bptt_backward
  InFiles in_files = InFiles::since_then;
  std::optional<double> before = {};  // what a file without it means, where that is not the default
  const char* file_name = nullptr;    // its name in model files, where it differs
  bool inverted = false;              // files and Python have the opposite flag
  const char* python = nullptr;       // its name in Python, where it is not that in files
  const char* alone = nullptr;  // its name in Python's class of the optimiser, where it differs
  bool or_none = false;         // Python's None means the default
  const char* doc = nullptr;

  const char* in_file() const { return file_name ? file_name : name; }
  const char* in_python() const { return python ? python : in_file(); }
};

// Values of a choice as a set.
template <class... Value>
constexpr uint32_t bits(Value... values) {
  return ((uint32_t{1} << static_cast<int>(values)) | ...);
}

// `option` is refused where `other` is set (with), or where it is not (without). A choice is set if it is one of
// the values, a flag if it is 1, any other option if it differs from its default.
struct OptionConflict {
  uint8_t option;       // its position in the table
  uint32_t values = 0;  // of a choice; 0: all but its default
  bool with = true;
  uint8_t other = 0;
  uint32_t other_values = 0;
  const char* reason = nullptr;
  bool start = false;  // parameters that are there already, as in a file, may come from it
};

std::span<const OptionRow> option_rows();
const OptionRow& row_of(std::string_view name);  // there is one
std::span<const OptionConflict> option_conflicts();

bptt_layer_options default_layer_options();
bptt_optimizer_options default_optimizer_options();
bptt_model_options default_model_options();

// Structs of options, by group; null: not there.
struct OptionStructs {
  const bptt_layer_options* layer = nullptr;
  const bptt_optimizer_options* optimizer = nullptr;
  const bptt_model_options* model = nullptr;

  const void* of(OptionGroup group) const;
};

// All options of a model: those of bptt.h, of its layers and of its optimiser.
struct ModelOptions : bptt_model_options {
  bptt_layer_options layer;
  bptt_optimizer_options optimizer;
};
ModelOptions default_options();
inline OptionStructs structs_of(const ModelOptions& options) {
  return {&options.layer, &options.optimizer, &options};
}
void* struct_of(ModelOptions& options, OptionGroup group);

// The value of a field, of any type but pointers.
struct OptionValue {
  int64_t integer = 0;  // of a seed its bits
  double number = 0;    // the same, or the value of a real option
  bool real = false;
};
OptionValue read_option(const OptionRow& row, const void* options);
void write_option(const OptionRow& row, void* options, const OptionValue& value);
OptionValue fallback_of(const OptionRow& row);
bool same(const OptionValue& a, const OptionValue& b);  // NaN is the same as NaN

}  // namespace bptt
