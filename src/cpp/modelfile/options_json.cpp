// options_json.cpp: conversion of a model's options to JSON and back, with the names of the table
// of options.
#include <cmath>
#include <limits>
#include <string_view>

#include "model/optimizer.h"
#include "model/option_rules.h"
#include "modelfile/file.h"
#include "modelfile/json.h"

namespace bptt {
namespace {

// With two directions, member "last" defines the meaning of "targets":"last". Older files have no
// such member; for them it means row length - 1 of both directions.
constexpr std::string_view kLast = "last", kRow = "row", kFinalStates = "final_states";

bool reads_ends(const ModelOptions& options) {
  return options.targets == BPTT_LAST_STEP && options.layer.bidirectional;
}

std::string to_json(const OptionRow& row, const OptionValue& value) {
  switch (row.kind) {
    case OptionKind::choice:
      for (const OptionWord& word : row.words) {
        if (word.value == value.integer) return json_string(word.name);
      }
      return "null";
    case OptionKind::flag:
      return (value.integer != 0) != row.inverted ? "true" : "false";
    case OptionKind::seed:  // as text: JSON's numbers are not exact for all of 64 bits
      return json_string(std::to_string(static_cast<uint64_t>(value.integer)));
    default:
      return value.real ? json_number(value.number) : std::to_string(value.integer);
  }
}

[[noreturn]] void refuse_option(const std::string& name) {
  refuse_file("a model file with an impossible option " + name);
}

uint64_t seed_of(const std::string& text) {
  uint64_t seed = 0;
  bool possible = !text.empty() && (text == "0" || text[0] != '0');
  for (const char c : text) {
    if (c < '0' || c > '9' || __builtin_mul_overflow(seed, 10u, &seed) ||
        __builtin_add_overflow(seed, static_cast<unsigned>(c - '0'), &seed)) {
      possible = false;
    }
  }
  if (!possible) refuse_option("seed");
  return seed;
}

OptionValue from_json(const OptionRow& row, JsonReader& json) {
  OptionValue value = fallback_of(row);
  if (row.kind == OptionKind::choice) {
    const std::string text = json.string(32);
    for (const OptionWord& word : row.words) {
      if (word.name == text) return {word.value, double(word.value), false};
    }
    json.fail("an unknown " + std::string(row.in_file()) + " '" + text + "'");
  } else if (row.kind == OptionKind::flag) {
    value.integer = json.boolean() != row.inverted;
  } else if (row.kind == OptionKind::seed) {
    value.integer = static_cast<int64_t>(seed_of(json.string(32)));
  } else if (value.real) {
    value.number = json.null() ? std::numeric_limits<double>::quiet_NaN() : json.number();
  } else {
    value.integer = json.integer();
  }
  return value;
}

const OptionRow* find_row(const std::string& name) {
  for (const OptionRow& row : option_rows()) {
    if (row.in_files != InFiles::never && row.in_file() == name) return &row;
  }
  return nullptr;
}

// Reads one member into the options; returns whether every file must have this member.
bool read_member(JsonReader& json, const std::string& name, ModelOptions& options,
                 bool& final_states) {
  if (const OptionRow* const row = find_row(name)) {
    write_option(*row, struct_of(options, row->group), from_json(*row, json));
    return row->in_files == InFiles::always;
  }
  if (name != kLast) json.fail("an unknown option '" + name + "'");
  const std::string text = json.string(32);
  final_states = text == kFinalStates;
  if (!final_states && text != kRow) json.fail("an unknown " + name + " '" + text + "'");
  return false;
}

// Returns the options that apply to a file without the newer members.
ModelOptions oldest_options() {
  ModelOptions options = default_options();
  for (const OptionRow& row : option_rows()) {
    if (row.before)
      write_option(row, struct_of(options, row.group), {int64_t(*row.before), *row.before});
  }
  return options;
}

void check(const ModelOptions& options, bool final_states) {
  if (const auto problem =
          problem_of(structs_of(options), dtype_of(options.layer.dtype), Parameters::are_there))
    refuse_option(problem->row->in_file());
  // A file contains the values in use, not the NaN that selects a default.
  const bptt_optimizer_options& optimizer = options.optimizer;
  if (std::isnan(optimizer.eps)) refuse_option("eps");
  if (optimizer.algorithm == BPTT_RMSPROP && std::isnan(optimizer.rmsprop_alpha))
    refuse_option("rmsprop_alpha");
  if (final_states && !reads_ends(options)) refuse_option("last");
}

// Sets the options of other algorithms, which earlier versions wrote and ignored, to the defaults.
void drop_ignored(bptt_optimizer_options& options) {
  const auto own =
      options_of(bptt_algorithm(options.algorithm), bptt_rmsprop_form(options.rmsprop_form));
  for (const OptionRow& row : option_rows()) {
    if (row.once_ignored && !(bits(options.algorithm) & row.owners))
      write_option(row, &options, read_option(row, &own));
  }
}

}  // namespace

std::string options_to_json(const ModelOptions& options) {
  std::string json;
  const auto add = [&](std::string_view name, const std::string& value) {
    json += (json.empty() ? "{" : ",") + json_string(name) + ':' + value;
  };
  for (const OptionRow& row : option_rows()) {
    if (row.in_files == InFiles::never) continue;
    const OptionValue value = read_option(row, structs_of(options).of(row.group));
    if (row.in_files != InFiles::unlike_default || !same(value, fallback_of(row)))
      add(row.in_file(), to_json(row, value));
  }
  if (reads_ends(options)) add(kLast, json_string(kFinalStates));
  return json + '}';
}

ModelOptions options_from_json(const std::string& text) {
  ModelOptions options = oldest_options();
  int missing = 0;
  for (const OptionRow& row : option_rows()) missing += row.in_files == InFiles::always;
  bool final_states = false;
  try {
    JsonReader json(text);
    json.object(128, 64, [&](const std::string& name) {
      missing -= read_member(json, name, options, final_states);
    });
    json.end();
  } catch (const JsonError& error) {
    refuse_file("a model file whose options are not right at " + error.reason);
  }
  if (missing > 0) refuse_file("a model file without all options");
  check(options, final_states);
  drop_ignored(options.optimizer);
  if (reads_ends(options) && !final_states) options.targets = BPTT_LAST_ROW;
  return options;
}

}  // namespace bptt
