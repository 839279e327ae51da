// json.h: a strict JSON (RFC 8259) reader that builds no tree: the caller asks for what must come
// next, so that neither depth nor memory can grow beyond what the caller asks for. And the few
// pieces that write JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace bptt {

// What is wrong, and where: "byte 17: expected ':'".
struct JsonError {
  std::string reason;
};

// Every function takes one value off the front and throws JsonError if what comes next is none of
// its kind.
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
  bool null();  // true and past it if null is next, else false
  void end();   // only white space is left

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
    double value);  // the shortest text that reads back to the same bits; null for NaN

}  // namespace bptt
