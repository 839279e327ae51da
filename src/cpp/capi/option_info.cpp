// option_info.cpp: the table of options, as bptt_options.h exposes it.
#include "capi/errors.h"
#include "capi/structs.h"
#include "model/loss.h"
#include "model/option_table.h"

namespace bptt {
namespace {

constexpr const char* kGroups[] = {"layer", "optimizer", "model"};
constexpr const char* kKinds[] = {"choice", "flag",   "size",     "count",        "integer",
                                  "seed",   "number", "positive", "not_negative", "fraction",
                                  "share",  "leak",   "weights",  "leaks"};
static_assert(std::size(kKinds) == size_t(OptionKind::leaks) + 1);
static_assert(int(OptionType::pointer) == BPTT_OPTION_POINTER - BPTT_OPTION_INT32);

template <class Row>
const Row& row_at(std::span<const Row> rows, int64_t index) {
  const auto count = int64_t(rows.size());
  if (index < 0 || index >= count)
    fail(BPTT_ERR_RANGE, "index", "0 <= index < " + text(count), text(index));
  return rows[size_t(index)];
}

}  // namespace

}  // namespace bptt

using namespace bptt;

bptt_status bptt_describe_option(int64_t index, bptt_option_info* info, size_t struct_size) {
  return guard("bptt_describe_option", [&] {
    const OptionRow& row = row_at(option_rows(), index);
    const bptt_option_info known = {
        .struct_size = sizeof known,
        .group = kGroups[size_t(row.group)],
        .name = row.name,
        .offset = int64_t(row.offset),
        .type = bptt_option_type(int(row.type) + BPTT_OPTION_INT32),
        .kind = kKinds[size_t(row.kind)],
        .fallback = row.fallback,
        .words = row.words.data(),
        .word_count = int64_t(row.words.size()),
        .owner = row.owner,
        .owners = row.owners,
        .inverted = row.inverted,
        .or_none = row.or_none,
        .file = row.in_file(),
        .python = row.in_python(),
        .alone = row.alone,
        .doc = row.doc,
    };
    write_struct(info, struct_size, known, "info");
  });
}

bptt_status bptt_describe_loss(bptt_loss loss, bptt_loss_info* info, size_t struct_size) {
  return guard("bptt_describe_loss", [&] {
    const int64_t value = raw(loss), first = BPTT_CROSS_ENTROPY;
    const int64_t last = first + std::ssize(loss_kinds()) - 1;
    if (value < first || value > last) {
      fail(BPTT_ERR_RANGE, "loss", "an integer from " + text(first) + " to " + text(last),
           text(value));
    }
    const LossKind& kind = kind_of(loss);
    const bptt_loss_info known = {
        .struct_size = sizeof known,
        .title = kind.title,
        .classes = kind.classes,
        .unit_interval = kind.unit_interval,
    };
    write_struct(info, struct_size, known, "info");
  });
}

bptt_status bptt_describe_conflict(int64_t index, bptt_option_conflict* conflict,
                                   size_t struct_size) {
  return guard("bptt_describe_conflict", [&] {
    const OptionConflict& row = row_at(option_conflicts(), index);
    const bptt_option_conflict known = {
        .struct_size = sizeof known,
        .option = row.option,
        .values = row.values,
        .with = row.with,
        .other = row.other,
        .other_values = row.other_values,
        .reason = row.reason,
    };
    write_struct(conflict, struct_size, known, "conflict");
  });
}
