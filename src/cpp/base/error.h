// error.h: the exception of the engine, which the C API converts to a status and a record.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "bptt.h"

namespace bptt {

// A bad argument has an expected and an actual value. If the state is at fault instead, `expected`
// is empty and `got` is a sentence about the state.
class Error : public std::exception {
 public:
  Error(bptt_status status_, std::string argument_, std::string expected_, std::string got_,
        int system_error_ = 0)
      : status(status_),
        argument(std::move(argument_)),
        expected(std::move(expected_)),
        got(std::move(got_)),
        system_error(system_error_) {}
  const char* what() const noexcept override { return got.c_str(); }

  bptt_status status;
  std::string argument;  // empty if no single argument is at fault
  std::string expected, got;
  int system_error;  // errno, or 0
  struct {
    std::string argument, expected, got;
  } python;  // the same in the words of Python; empty if the words are the same
};

}  // namespace bptt
