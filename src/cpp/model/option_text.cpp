#include "model/option_text.h"

#include <atomic>
#include <cmath>

#include "base/text.h"

namespace bptt {
namespace {

std::atomic<Wording> in_use{Wording::c};

bool pythonic() { return wording() == Wording::python; }

std::string word_text(const OptionWord& word) {
  return pythonic() ? "'" + std::string(word.python ? word.python : word.name) + "'" : word.symbol;
}

// "A, B or C" of the words of a set.
std::string words_text(const OptionRow& row, uint32_t set) {
  std::string texts, last;
  for (const OptionWord& word : row.words) {
    if (!(set & bits(word.value))) continue;
    if (!last.empty()) texts += (texts.empty() ? "" : ", ") + last;
    last = word_text(word);
  }
  return texts.empty() ? last : texts + " or " + last;
}

std::string flag_text(const OptionRow& row, bool set) {
  if (!pythonic()) return set ? "1" : "0";
  return set != row.inverted ? "True" : "False";
}

std::string none_text() { return pythonic() ? "None" : "NaN"; }

std::string default_text(const OptionRow& row) {
  return pythonic() && row.or_none ? "None" : text_of(row, fallback_of(row));
}

// "reset_before", or in Python "reset_after=False".
std::string set_text(const OptionRow& row) {
  const std::string name = name_of(row, false);
  return pythonic() && row.kind == OptionKind::flag ? name + "=" + flag_text(row, true) : name;
}

}  // namespace

void use_wording(Wording wording) { in_use.store(wording, std::memory_order_relaxed); }
Wording wording() { return in_use.load(std::memory_order_relaxed); }

std::string name_of(const OptionRow& row, bool whole) {
  if (pythonic()) return !whole && row.alone ? row.alone : row.in_python();
  if (!whole || row.group == OptionGroup::model) return row.name;
  return std::string(row.group == OptionGroup::layer ? "layer." : "optimizer.") + row.name;
}

std::string text_of(const OptionRow& row, const OptionValue& value) {
  if (row.kind == OptionKind::flag) return flag_text(row, value.integer != 0);
  if (row.kind == OptionKind::seed) return std::to_string(static_cast<uint64_t>(value.integer));
  if (value.real) return std::isnan(value.number) ? none_text() : text(value.number);
  for (const OptionWord& word : row.words) {
    if (word.value != value.integer) continue;
    const bool none = pythonic() && row.or_none && same(value, fallback_of(row));
    if (none) return "None";
    return pythonic() ? word_text(word) : word_text(word) + " (" + text(value.integer) + ")";
  }
  return text(value.integer);
}

std::string kind_text(const OptionRow& row) {
  const std::string nan = row.or_nan ? ", or " + none_text() : "";
  switch (row.kind) {
    case OptionKind::choice: {
      std::string words;
      for (const OptionWord& word : row.words) {
        words += words.empty() ? "one of " : ", ";
        words += text_of(row, {word.value, double(word.value), false});
      }
      return words;
    }
    case OptionKind::flag:
      return pythonic() ? "True or False" : "0 or 1";
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
    default:
      return (row.type == OptionType::real ? "a finite number" : "an integer") + nan;
  }
}

std::string held_text(const OptionRow& row, const char* dtype) {
  const std::string nan = row.or_nan ? ", or " + none_text() : "";
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

std::string owner_text(const OptionRow& row) {
  const OptionRow& owner = row_of(row.owner);
  return default_text(row) + " unless the " + name_of(owner, false) + " is " +
         words_text(owner, row.owners);
}

std::string conflict_text(const OptionConflict& conflict) {
  const OptionRow& row = option_rows()[conflict.option];
  const OptionRow& other = option_rows()[conflict.other];
  const std::string name = name_of(other, false);
  std::string expected =
      conflict.values ? "other than " + words_text(row, conflict.values) : default_text(row);
  if (other.kind == OptionKind::choice) {
    expected += (conflict.with ? " with " + name : " unless " + name + " is") + " " +
                words_text(other, conflict.other_values);
  } else if (conflict.with && other.fallback != 0 && !std::isnan(other.fallback)) {
    expected += " unless " + name + " is " + default_text(other);
  } else {
    expected += (conflict.with ? " with " : " without ") + set_text(other);
  }
  return conflict.reason ? expected + ": " + conflict.reason : expected;
}

}  // namespace bptt
