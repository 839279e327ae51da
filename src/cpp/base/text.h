// text.h: conversion of numbers to text, the shortest that reads back to the same bits.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>

namespace bptt {

inline std::string text(int64_t value) { return std::to_string(value); }

inline std::string text(double value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return {digits, end};
}

}  // namespace bptt
