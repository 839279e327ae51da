// json.h: a strict JSON (RFC 8259) reader without a tree, and functions that write JSON. The caller
// requests the value that must come next, so that nesting and memory stay within the caller's
// limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace bptt {

// The position and description of an error: "byte 17: expected ':'".
struct JsonError {
  std::string reason;
};

// Each function reads one value and throws JsonError if the next value is of another kind.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  // member(key) must read the value. Refuses repeated keys, keys longer than `longest_key` bytes
  // and more than `most` members.
  void object(size_t most, size_t longest_key,
              const std::function<void(const std::string& key)>& member);
  void array(size_t most, const std::function<void()>& element);
  std::string string(size_t longest);  // UTF-8, checked; escapes resolved
  int64_t integer();                   // written without fraction and exponent, within int64_t
  double number();                     // finite
  bool boolean();
  bool null();  // reads null and returns true, or reads nothing and returns false
  void end();   // requires that only white space remains

  [[noreturn]] void fail(const std::string& reason) const;

 private:
  void skip_space();
  bool accept(char c);
  void expect(char c);
  bool accept_word(std::string_view word);
  std::string_view number_text(bool whole);
  uint32_t hex4();
  void escape(std::string& into);
  void utf8(std::string& into);

  std::string_view text_;
  size_t at_ = 0;
};

std::string json_string(std::string_view text);  // in quotes, escaped
std::string json_number(
    double value);  // the shortest text that is read back as the same bits; null for NaN

}  // namespace bptt
