// option_table.h: the table of options, one row for each field of bptt_layer_options,
// bptt_optimizer_options and bptt_model_options that a caller sets, and the list of options that
// exclude each other. Defaults, checks, model files, the Python package and the documentation are
// derived from them.
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

// The struct that holds the field.
enum class OptionGroup : uint8_t { layer, optimizer, model };

enum class OptionKind : uint8_t {
  choice,        // one of the words
  flag,          // 0 or 1
  size,          // an integer >= 1
  count,         // an integer >= 0
  integer,       // any integer
  seed,          // 64 bits
  number,        // finite
  positive,      // finite and > 0
  not_negative,  // finite and >= 0
  fraction,      // in [0, 1)
  share,         // in [0, 1]
  leak,          // in (0, 1]
  weights,       // a pointer to class weights
  leaks          // a pointer to a leak per unit
};

// When a model file contains an option. `unlike_default` is for new options: files written without
// it do not change.
enum class InFiles : uint8_t { always, since_then, unlike_default, never };

enum class OptionType : uint8_t { int32, int64, uint64, real, pointer };

struct OptionRow {
  OptionGroup group = {};
  const char* name = nullptr;  // name of the field
  size_t offset = 0;           // offset in its struct
  OptionType type = {};
  OptionKind kind = {};
  double fallback = 0;  // the default
  std::span<const OptionWord> words = {};
  bool or_nan = false;  // NaN is allowed
  bool held = false;  // the value must still be of its kind after rounding to the parameters' dtype
  // the choice that decides whether the option may differ from its default
  const char* owner = nullptr;
  uint32_t owners = 0;    // values of that choice that allow it, as bits()
  // earlier versions ignored it where the choice does not allow it, so files may contain it
  bool once_ignored = false;
  bool per_call = false;  // it is also a field of bptt_backward
  InFiles in_files = InFiles::since_then;
  // meaning of a file without this option, if that is not the default
  std::optional<double> before = {};
  const char* file_name = nullptr;  // name in model files, if it differs
  bool inverted = false;            // files and Python use the opposite flag
  const char* python = nullptr;     // name in Python, if it differs from the name in files
  const char* alone = nullptr;  // name in the constructors of Python's optimisers, if it differs
  bool or_none = false;         // Python's None means the default
  const char* doc = nullptr;

  const char* in_file() const { return file_name ? file_name : name; }
  const char* in_python() const { return python ? python : in_file(); }
};

// Returns the set of these values of a choice.
template <class... Value>
constexpr uint32_t bits(Value... values) {
  return ((uint32_t{1} << static_cast<int>(values)) | ...);
}

// Refuse `option` if `other` is set (with), or if it is not set (without). A choice is set if it
// has one of the values; a flag is set if it is 1; any other option is set if it differs from its
// default.
struct OptionConflict {
  uint8_t option;       // index in the table
  uint32_t values = 0;  // of a choice; 0: any value but the default
  bool with = true;
  uint8_t other = 0;
  uint32_t other_values = 0;
  const char* reason = nullptr;
  // concerns initialisation only: existing parameters, as in a file, may have it
  bool start = false;
};

std::span<const OptionRow> option_rows();
const OptionRow& row_of(std::string_view name);  // requires that the option exists
std::span<const OptionConflict> option_conflicts();

bptt_layer_options default_layer_options();
bptt_optimizer_options default_optimizer_options();
bptt_model_options default_model_options();

// The structs of options, by group; null: absent.
struct OptionStructs {
  const bptt_layer_options* layer = nullptr;
  const bptt_optimizer_options* optimizer = nullptr;
  const bptt_model_options* model = nullptr;

  const void* of(OptionGroup group) const;
};

// All options of a model: its own, those of its layers and those of its optimiser.
struct ModelOptions : bptt_model_options {
  bptt_layer_options layer;
  bptt_optimizer_options optimizer;
};
ModelOptions default_options();
inline OptionStructs structs_of(const ModelOptions& options) {
  return {&options.layer, &options.optimizer, &options};
}
void* struct_of(ModelOptions& options, OptionGroup group);

// The value of a field of any type except pointers.
struct OptionValue {
  int64_t integer = 0;  // the bits of a seed
  double number = 0;    // the same number, or the value of a real option
  bool real = false;
};
OptionValue read_option(const OptionRow& row, const void* options);
void write_option(const OptionRow& row, void* options, const OptionValue& value);
OptionValue fallback_of(const OptionRow& row);
bool same(const OptionValue& a, const OptionValue& b);  // NaN is the same as NaN

}  // namespace bptt
