// errors.h: conversion of failures to statuses and records, and checks of single arguments.
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

// Converts the exception being handled to a status and the thread's record. Allocates no memory.
bptt_status record_failure(const char* function) noexcept;

// Runs the body of a function of bptt.h and returns its status.
template <class Body>
bptt_status guard(const char* function, const Body& body) noexcept {
  const CallMode mode;
  try {
    body();
    return BPTT_OK;
  } catch (...) { return record_failure(function); }
}

// Throws Error. If the state is at fault, `expected` is empty and `got` is a sentence.
[[noreturn]] void fail(bptt_status status, std::string argument, std::string expected,
                       std::string got);
std::string quoted(const char* value);  // 'value', truncated if it is long; or NULL

template <class Pointer>
Pointer* not_null(Pointer* pointer, const char* argument) {
  if (!pointer) fail(BPTT_ERR_ARGUMENT, argument, "a pointer", "NULL");
  return pointer;
}

// Returns an enum as an integer, since the caller may have stored any value.
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

// Refuses sizes that this machine's memory cannot hold, before anything is allocated.
void require_memory(int64_t count, size_t element);

}  // namespace bptt
