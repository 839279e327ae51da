// error.h: the exception for errors inside the engine, which capi turns into a status and a record.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "bptt.h"

namespace bptt {

class Error : public std::exception {
 public:
  Error(bptt_status status_, std::string argument_, std::string expected_, std::string got_,
        int system_error_ = 0)
      : status(status_),
        argument(std::move(argument_)),
        expected(std::move(expected_)),
        got(std::move(got_)),
        system_error(system_error_) {}
  const char* what() const noexcept override { return expected.c_str(); }

  bptt_status status;
  std::string argument;  // "" if no single argument is at fault
  std::string expected, got;
  int system_error;  // errno, or 0
  struct {
    std::string argument, expected, got;
  } python;  // the same in the terms of Python; all empty if they do not differ
};

}  // namespace bptt
