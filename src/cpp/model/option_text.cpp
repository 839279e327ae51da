// option_text.cpp: the wording of options, their values and their conditions.
#include "model/option_text.h"

#include <cmath>
#include <string_view>

#include "base/text.h"

namespace bptt {
namespace {

std::string word_text(const OptionWord& word, Wording wording) {
  return wording == Wording::python ? "'" + std::string(word.python ? word.python : word.name) + "'"
                                    : word.symbol;
}

// "A, B or C": the words of a set.
std::string words_text(const OptionRow& row, uint32_t set, Wording wording) {
  std::string texts, last;
  for (const OptionWord& word : row.words) {
    if (!(set & bits(word.value))) continue;
    if (!last.empty()) texts += (texts.empty() ? "" : ", ") + last;
    last = word_text(word, wording);
  }
  return texts.empty() ? last : texts + " or " + last;
}

std::string flag_text(const OptionRow& row, bool set, Wording wording) {
  if (wording == Wording::c) return set ? "1" : "0";
  return set != row.inverted ? "True" : "False";
}

std::string none_text(Wording wording) { return wording == Wording::python ? "None" : "NaN"; }

// The first of two numbers that are one argument of Python has no None, but their pair has.
std::string default_text(const OptionRow& row, Wording wording) {
  const bool pair = std::string_view(row.in_python()) == "betas";
  return wording == Wording::python && (row.or_none || pair)
             ? "None"
             : text_of(row, fallback_of(row), wording);
}

}  // namespace

std::string name_of(const OptionRow& row, bool whole, Wording wording) {
  if (wording == Wording::python) return !whole && row.alone ? row.alone : row.in_python();
  if (!whole || row.group == OptionGroup::model) return row.name;
  return std::string(row.group == OptionGroup::layer ? "layer." : "optimizer.") + row.name;
}

std::string text_of(const OptionRow& row, const OptionValue& value, Wording wording) {
  const bool on_or_off = value.integer == 0 || value.integer == 1;
  if (row.kind == OptionKind::flag && on_or_off) return flag_text(row, value.integer != 0, wording);
  if (row.kind == OptionKind::seed) return std::to_string(static_cast<uint64_t>(value.integer));
  if (value.real) return std::isnan(value.number) ? none_text(wording) : text(value.number);
  for (const OptionWord& word : row.words) {
    if (word.value != value.integer) continue;
    const bool none = wording == Wording::python && row.or_none && same(value, fallback_of(row));
    if (none) return "None";
    return wording == Wording::python ? word_text(word, wording)
                                      : word_text(word, wording) + " (" + text(value.integer) + ")";
  }
  return text(value.integer);
}

std::string kind_text(const OptionRow& row, Wording wording) {
  const std::string nan = row.or_nan ? ", or " + none_text(wording) : "";
  switch (row.kind) {
    case OptionKind::choice: {
      std::string words;
      for (const OptionWord& word : row.words) {
        words += words.empty() ? "one of " : ", ";
        words += text_of(row, {word.value, double(word.value), false}, wording);
      }
      return words;
    }
    case OptionKind::flag:
      return wording == Wording::python ? "True or False" : "0 or 1";
    case OptionKind::size:
      return "an integer >= 1";
    case OptionKind::count:
      return "an integer >= 0";
    case OptionKind::positive:
      return "a finite number > 0" + nan;
    case OptionKind::not_negative:
      return "a finite number >= 0" + nan;
    case OptionKind::fraction:
      return "a number in [0, 1)" + nan;
    case OptionKind::share:
      return "a number in [0, 1]" + nan;
    case OptionKind::leak:
      return "a number in (0, 1]" + nan;
    case OptionKind::weights:
      return "finite numbers >= 0";
    case OptionKind::leaks:
      return "numbers in (0, 1]";
    default:
      return (row.type == OptionType::real ? "a finite number" : "an integer") + nan;
  }
}

std::string held_text(const OptionRow& row, const char* dtype, Wording wording) {
  const std::string nan = row.or_nan ? ", or " + none_text(wording) : "";
  const std::string held = std::string(" in ") + dtype + nan;
  switch (row.kind) {
    case OptionKind::fraction:
      return "a number that is below 1" + held;
    case OptionKind::leak:
      return "a number that is above 0" + held;
    case OptionKind::positive:
      return "a number that is above 0 and finite" + held;
    case OptionKind::not_negative:
      return "a number >= 0 that is finite" + held;
    default:
      return "a number that is finite" + held;
  }
}

std::string owner_text(const OptionRow& row, Wording wording) {
  const OptionRow& owner = row_of(row.owner);
  return default_text(row, wording) + " unless the " + name_of(owner, false, wording) + " is " +
         words_text(owner, row.owners, wording);
}

std::string conflict_text(const OptionConflict& conflict, bool whole, Wording wording) {
  const OptionRow& row = option_rows()[conflict.option];
  const OptionRow& other = option_rows()[conflict.other];
  const std::string name = wording == Wording::python ? name_of(other, whole, wording) : other.name;
  std::string expected = conflict.values
                             ? "a value other than " + words_text(row, conflict.values, wording)
                             : default_text(row, wording);
  if (other.kind == OptionKind::choice) {
    expected += (conflict.with ? " with " + name : " unless " + name + " is") + " " +
                words_text(other, conflict.other_values, wording);
  } else if (conflict.with && other.fallback != 0 && !std::isnan(other.fallback)) {
    expected += " unless " + name + " is " + default_text(other, wording);
  } else {
    expected += (conflict.with ? " with " : " without ") + name;
    if (wording == Wording::python && other.kind == OptionKind::flag)
      expected += "=" + flag_text(other, true, wording);  // "reset_after=False"
  }
  return conflict.reason ? expected + ": " + conflict.reason : expected;
}

}  // namespace bptt
