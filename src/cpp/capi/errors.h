// errors.h: failures as statuses and records, and checks of single arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/float_mode.h"
#include "base/text.h"
#include "bptt.h"
#include "model/params.h"

namespace bptt {

// Called in a handler: turns the exception into a status and the thread's record. Allocates
// nothing.
bptt_status record_failure(const char* function) noexcept;

// Every entry of bptt.h runs inside one.
template <class Body>
bptt_status guard(const char* function, const Body& body) noexcept {
  const CallMode mode;
  try {
    body();
    return BPTT_OK;
  } catch (...) { return record_failure(function); }
}

[[noreturn]] void fail(bptt_status status, std::string argument, std::string expected,
                       std::string got);
std::string quoted(const char* value);  // 'value', cut where it is long; NULL

template <class Pointer>
Pointer* not_null(Pointer* pointer, const char* argument) {
  if (!pointer) fail(BPTT_ERR_ARGUMENT, argument, "a pointer", "NULL");
  return pointer;
}

// An enum as the integer that it is: the caller may have put anything there.
template <class Enum>
int32_t raw(const Enum& value) {
  static_assert(sizeof(Enum) == sizeof(int32_t));
  int32_t number;
  std::memcpy(&number, &value, sizeof number);
  return number;
}

int64_t size_argument(int64_t value, const char* argument);  // >= 1
bool flag_argument(int32_t value, const char* argument);     // 0 or 1
void not_negative(double value, const char* argument);       // finite and >= 0

Dtype dtype_argument(int32_t dtype, const char* argument);
bptt_dtype dtype_of(float);
bptt_dtype dtype_of(double);

// Refuses what this machine's memory cannot hold, before anything is touched.
void require_memory(int64_t count, size_t element);

}  // namespace bptt
