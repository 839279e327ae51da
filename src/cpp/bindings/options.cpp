// options.cpp: conversion of option structs, and the description of options for the package.
#include "bindings/options.h"

#include <cstring>
#include <string_view>

#include "bptt_options.h"

namespace bindings {
namespace {

std::vector<bptt_option_info> options;  // all options; filled at import

template <class Number>
void put(const py::handle& value, void* to) {
  const Number number = py::cast<Number>(value);
  std::memcpy(to, &number, sizeof number);
}
template <class Number>
py::object get(const void* from) {
  Number number;
  std::memcpy(&number, from, sizeof number);
  return py::cast(number);
}

// Sets the fields that are in `from`, except for pointers.
void read_fields(const py::dict& from, std::string_view group, void* to) {
  for (const bptt_option_info& option : options) {
    if (option.group != group || !from.contains(option.name)) continue;
    const py::object value = from[option.name];
    void* const at = static_cast<char*>(to) + option.offset;
    switch (option.type) {
      case BPTT_OPTION_INT32:
        put<int32_t>(value, at);
        break;
      case BPTT_OPTION_INT64:
        put<int64_t>(value, at);
        break;
      case BPTT_OPTION_UINT64:
        put<uint64_t>(value, at);
        break;
      case BPTT_OPTION_DOUBLE:
        put<double>(value, at);
        break;
      default:
        break;
    }
  }
}

py::object field(const bptt_option_info& option, const void* of) {
  const void* const from = static_cast<const char*>(of) + option.offset;
  switch (option.type) {
    case BPTT_OPTION_INT32:
      return get<int32_t>(from);
    case BPTT_OPTION_INT64:
      return get<int64_t>(from);
    case BPTT_OPTION_UINT64:
      return get<uint64_t>(from);
    case BPTT_OPTION_DOUBLE:
      return get<double>(from);
    default:
      return py::none();
  }
}

py::object text_or_none(const char* text) { return text ? py::object(py::str(text)) : py::none(); }

// Returns the numbers in a set of a choice's values.
py::frozenset values_of(uint32_t set) {
  py::set values;
  for (int value = 0; value < 32; ++value) {
    if (set >> value & 1) values.add(value);
  }
  return py::frozenset(values);
}

// Returns the default of an option with the type of its field.
py::object fallback_of(const bptt_option_info& option) {
  if (option.type == BPTT_OPTION_DOUBLE) return py::float_(option.fallback);
  if (option.type == BPTT_OPTION_POINTER) return py::none();
  return py::int_(int64_t(option.fallback));
}

py::list option_table() {
  py::list table;
  for (const bptt_option_info& option : options) {
    py::dict choices;
    for (int64_t i = 0; i < option.word_count; ++i) {
      const bptt_option_word& word = option.words[i];
      choices[word.python ? word.python : word.name] = word.value;
    }
    py::dict row;
    row["group"] = option.group;
    row["name"] = option.name;
    row["file_name"] = option.file;
    row["python_name"] = option.python;
    row["alone"] = text_or_none(option.alone);
    row["kind"] = option.kind;
    row["default"] = fallback_of(option);
    row["choices"] = choices;
    row["owner"] = text_or_none(option.owner);
    row["owners"] = values_of(option.owners);
    row["inverted"] = option.inverted != 0;
    row["or_none"] = option.or_none != 0;
    row["doc"] = option.doc;
    table.append(row);
  }
  return table;
}

// Returns, for the number of each loss, the values of bptt_describe_loss as a dict.
py::dict losses() {
  py::dict table;
  bptt_loss_info info;
  for (int32_t loss = BPTT_CROSS_ENTROPY;
       bptt_describe_loss(static_cast<bptt_loss>(loss), &info, sizeof info) == BPTT_OK; ++loss) {
    py::dict row;
    row["title"] = info.title;
    row["classes"] = info.classes != 0;
    row["unit_interval"] = info.unit_interval != 0;
    table[py::int_(loss)] = row;
  }
  return table;
}

// Returns, for each algorithm and form, the values of bptt_optimizer_options_of as a dict.
py::list algorithms() {
  py::list table;
  bptt_optimizer_options of;
  for (int32_t algorithm = BPTT_SGD;; ++algorithm) {
    for (int32_t form = BPTT_RMSPROP_TORCH;; ++form) {
      if (bptt_optimizer_options_of(static_cast<bptt_algorithm>(algorithm),
                                    static_cast<bptt_rmsprop_form>(form), &of, sizeof of)) {
        if (form == BPTT_RMSPROP_TORCH) return table;
        break;
      }
      py::dict row;
      row["algorithm"] = algorithm;
      row["form"] = form;
      row["lr"] = of.lr;
      row["momentum"] = of.momentum;
      row["beta2"] = of.beta2;
      row["eps"] = of.eps;
      row["alpha"] = of.rmsprop_alpha;
      table.append(row);
    }
  }
}

py::list option_conflicts() {
  py::list table;
  bptt_option_conflict conflict;
  for (int64_t i = 0; bptt_describe_conflict(i, &conflict, sizeof conflict) == BPTT_OK; ++i) {
    py::dict row;
    row["option"] = options[size_t(conflict.option)].name;
    row["values"] = values_of(conflict.values);
    row["excludes"] = conflict.with != 0;
    row["other"] = options[size_t(conflict.other)].name;
    row["other_values"] = values_of(conflict.other_values);
    row["reason"] = text_or_none(conflict.reason);
    table.append(row);
  }
  return table;
}

}  // namespace

OptionArrays read_options(const py::dict& from, bptt_layer_options& to, const char* owner) {
  read_fields(from, "layer", &to);
  OptionArrays arrays;
  if (from.contains("alphas"))
    arrays.alphas = take_flat(12, from["alphas"], to.hidden_size, {owner, ""}, "alpha");
  to.alphas = static_cast<const double*>(arrays.alphas.data);
  return arrays;
}
void read_options(const py::dict& from, bptt_optimizer_options& to) {
  read_fields(from, "optimizer", &to);
}
OptionArrays read_options(const py::dict& from, Options& to) {
  OptionArrays arrays = read_options(from, to.layer, "Model");
  read_options(from, to.optimizer);
  read_fields(from, "model", &to.model);
  if (from.contains("class_weights")) {
    arrays.class_weights =
        take_flat(12, from["class_weights"], to.model.output_size, {"Model", ""}, "class_weights");
  }
  to.model.class_weights = static_cast<const double*>(arrays.class_weights.data);
  return arrays;
}

py::dict write_options(const Options& from) {
  py::dict fields;
  for (const bptt_option_info& option : options) {
    const std::string_view group = option.group;
    fields[option.name] = group == "layer"       ? field(option, &from.layer)
                          : group == "optimizer" ? field(option, &from.optimizer)
                                                 : field(option, &from.model);
  }
  const auto put = [&fields](const char* name, const double* numbers, int64_t count) {
    if (!numbers) return;
    py::tuple values(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = numbers[i];
    fields[name] = values;
  };
  put("class_weights", from.model.class_weights, from.model.output_size);
  put("alphas", from.layer.alphas, from.layer.hidden_size);
  return fields;
}

void bind_options(py::module_& module) {
  bptt_option_info option;
  while (bptt_describe_option(int64_t(options.size()), &option, sizeof option) == BPTT_OK)
    options.push_back(option);
  module.def("option_table", &option_table);
  module.def("option_conflicts", &option_conflicts);
  module.def("losses", &losses);
  module.def("algorithms", &algorithms);
}

}  // namespace bindings
