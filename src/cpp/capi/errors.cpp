// errors.cpp: statuses, each thread's error record, and checks of single arguments.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <system_error>

#include "capi/errors.h"
#include "capi/structs.h"

namespace bptt {
namespace {

// Fixed arrays, so that running out of memory can be recorded, too.
struct Record {
  bptt_status status = BPTT_OK;
  int system_error = 0;
  const char* function = "";
  char argument[96] = "";
  char expected[1024] = "";
  char got[1024] = "";
  char text[2304] = "";
};
thread_local Record record, python_record;  // the second names options as Python does

// Copies as much as fits, without splitting a UTF-8 character.
template <size_t size>
void copy_text(char (&to)[size], const char* from) {
  size_t length = std::min(std::strlen(from), size - 1);
  while (length > 0 && (static_cast<unsigned char>(from[length]) & 0xC0) == 0x80) --length;
  std::memcpy(to, from, length);
  to[length] = '\0';
}

void write(Record& to, const char* function, bptt_status status, const char* argument,
           const char* expected, const char* got, int system_error) {
  to.status = status;
  to.system_error = system_error;
  to.function = function;
  copy_text(to.argument, argument);
  copy_text(to.expected, expected);
  copy_text(to.got, got);
  const bool named = argument[0], state = !expected[0];
  std::snprintf(to.text, sizeof to.text, "%s: %s%s%s%s%s%s%s", function, named ? "argument '" : "",
                to.argument, named ? "': " : "", state ? "" : "expected ", to.expected,
                state ? "" : ", got ", to.got);
}

bptt_status write_record(const char* function, bptt_status status, const char* argument,
                         const char* expected, const char* got, int system_error) {
  write(record, function, status, argument, expected, got, system_error);
  python_record = record;
  return status;
}

bptt_status record_defect(const char* function, const char* what) {
  char sentence[sizeof record.got];
  std::snprintf(sentence, sizeof sentence, "internal error: %s", what);
  return write_record(function, BPTT_ERR_INTERNAL, "", "", sentence, 0);
}

bptt_status read_record(const Record& from, bptt_error* error, size_t struct_size) {
  if (!error) return BPTT_ERR_ARGUMENT;
  if (!is_size(struct_size, known_struct<bptt_error>())) return BPTT_ERR_STRUCT_SIZE;
  write_struct(error, struct_size,
               {struct_size, from.status, from.system_error, from.function, from.argument,
                from.expected, from.got, from.text},
               "error");
  return BPTT_OK;
}

const double installed = double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE));

}  // namespace

bptt_status record_failure(const char* function) noexcept {
  try {
    throw;
  } catch (const Error& error) {
    write_record(function, error.status, error.argument.c_str(), error.expected.c_str(),
                 error.got.c_str(), error.system_error);
    const auto& python = error.python;
    if (!python.expected.empty()) {
      write(python_record, function, error.status, python.argument.c_str(), python.expected.c_str(),
            python.got.c_str(), error.system_error);
    }
    return error.status;
  } catch (const std::bad_alloc&) {
    return write_record(function, BPTT_ERR_MEMORY, "", "sizes that fit into memory",
                        "sizes for which no memory is available", ENOMEM);
  } catch (const std::exception& error) {
    return record_defect(function, error.what());
  } catch (...) { return record_defect(function, "an unknown exception"); }
}

void fail(bptt_status status, std::string argument, std::string expected, std::string got) {
  throw Error(status, std::move(argument), std::move(expected), std::move(got));
}

std::string quoted(const char* value) {
  if (!value) return "NULL";
  const size_t length = std::strlen(value);
  return "'" + std::string(value, std::min<size_t>(length, 80)) + (length > 80 ? "...'" : "'");
}

int64_t size_argument(int64_t value, const char* argument) {
  if (value < 1) fail(BPTT_ERR_ARGUMENT, argument, "an integer >= 1", text(value));
  return value;
}

bool flag_argument(int32_t value, const char* argument) {
  if (value != 0 && value != 1) fail(BPTT_ERR_ARGUMENT, argument, "0 or 1", text(int64_t{value}));
  return value == 1;
}

void not_negative(double value, const char* argument) {
  if (!(std::isfinite(value) && value >= 0))
    fail(BPTT_ERR_ARGUMENT, argument, "a finite number >= 0", text(value));
}

Dtype dtype_argument(int32_t dtype, const char* argument) {
  switch (dtype) {
    case BPTT_FLOAT32:
      return Dtype::float32;
    case BPTT_FLOAT64:
      return Dtype::float64;
    default:
      fail(BPTT_ERR_TYPE, argument, "BPTT_FLOAT32 (1) or BPTT_FLOAT64 (2)", text(int64_t{dtype}));
  }
}

bptt_dtype dtype_of(float) { return BPTT_FLOAT32; }
bptt_dtype dtype_of(double) { return BPTT_FLOAT64; }

void require_memory(int64_t count, size_t element) {
  const double wanted = double(count) * double(element);
  if (wanted > installed) {
    fail(BPTT_ERR_MEMORY, "",
         "sizes that fit into this machine's " + text(int64_t(installed / 1048576)) + " MiB",
         "a need of at least " + text(int64_t(std::min(wanted / 1048576, 9e18))) + " MiB");
  }
}

}  // namespace bptt

using namespace bptt;

const char* bptt_version(void) { return BPTT_VERSION; }

int32_t bptt_abi_version(void) { return BPTT_ABI_VERSION; }

const char* bptt_status_name(bptt_status status) {
  static const char* const names[] = {
      "BPTT_OK",           "BPTT_ERR_ARGUMENT",    "BPTT_ERR_TYPE",
      "BPTT_ERR_SHAPE",    "BPTT_ERR_RANGE",       "BPTT_ERR_NAME",
      "BPTT_ERR_HANDLE",   "BPTT_ERR_STRUCT_SIZE", "BPTT_ERR_MEMORY",
      "BPTT_ERR_IO",       "BPTT_ERR_FORMAT",      "BPTT_ERR_STATE",
      "BPTT_ERR_BUSY",     "BPTT_ERR_ISA",         "BPTT_ERR_CANCELLED",
      "BPTT_ERR_INTERNAL", "BPTT_ERR_NONFINITE",   "BPTT_ERR_CALLBACK"};
  const int32_t number = raw(status);
  return number >= 0 && number < int32_t(std::size(names)) ? names[number] : "BPTT_ERR_UNKNOWN";
}

// Not guarded: a failure here must not overwrite the record that the caller wants to read.
bptt_status bptt_last_error(bptt_error* error, size_t struct_size) {
  return read_record(record, error, struct_size);
}

bptt_status bptt_last_error_python(bptt_error* error, size_t struct_size) {
  return read_record(python_record, error, struct_size);
}
