// option_text.h: options, their values and their conditions in words, either those of bptt.h or
// those of the Python package.
#pragma once

#include <string>

#include "model/option_table.h"

namespace bptt {

enum class Wording { c, python };

// The name of an option; with `whole`, among the options of a model.
std::string name_of(const OptionRow& row, bool whole, Wording wording);
// A value as an error prints it: "BPTT_LSTM (2)" or "'lstm'".
std::string text_of(const OptionRow& row, const OptionValue& value, Wording wording);
// The values that the option's kind allows: "a number in [0, 1)".
std::string kind_text(const OptionRow& row, Wording wording);
// The same, as the dtype must represent them: "a number that is below 1 in float32".
std::string held_text(const OptionRow& row, const char* dtype, Wording wording);
// The value without the owning choice: "0 unless the cell is BPTT_LSTM".
std::string owner_text(const OptionRow& row, Wording wording);
// The value in a conflict: "0 with proj_size"; `whole` as above.
std::string conflict_text(const OptionConflict& conflict, bool whole, Wording wording);

}  // namespace bptt
