// json.cpp: the JSON reader, value by value, and the writers of strings and numbers.
#include "modelfile/json.h"

#include <charconv>
#include <cmath>
#include <set>
#include <system_error>

namespace bptt {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Returns whether a character of a string is ASCII and needs no escape.
bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

void append_utf8(std::string& text, uint32_t character) {
  const auto add = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (character < 0x80) {
    add(character);
  } else if (character < 0x800) {
    add(0xC0 | character >> 6);
    add(0x80 | (character & 0x3F));
  } else if (character < 0x10000) {
    add(0xE0 | character >> 12);
    add(0x80 | (character >> 6 & 0x3F));
    add(0x80 | (character & 0x3F));
  } else {
    add(0xF0 | character >> 18);
    add(0x80 | (character >> 12 & 0x3F));
    add(0x80 | (character >> 6 & 0x3F));
    add(0x80 | (character & 0x3F));
  }
}

}  // namespace

void JsonReader::fail(const std::string& reason) const {
  throw JsonError{"byte " + std::to_string(at_) + ": " + reason};
}

void JsonReader::skip_space() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
    ++at_;
}

bool JsonReader::accept(char c) {
  skip_space();
  if (at_ == text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

void JsonReader::expect(char c) {
  if (!accept(c)) fail(std::string("expected '") + c + "'");
}

bool JsonReader::accept_word(std::string_view word) {
  skip_space();
  if (!text_.substr(at_).starts_with(word)) return false;
  at_ += word.size();
  return true;
}

void JsonReader::object(size_t most, size_t longest_key,
                        const std::function<void(const std::string&)>& member) {
  std::set<std::string> keys;
  expect('{');
  if (accept('}')) return;
  do {
    const std::string key = string(longest_key);
    if (!keys.insert(key).second) fail("a repeated key");
    if (keys.size() > most) fail("more than " + std::to_string(most) + " members");
    expect(':');
    member(key);
  } while (accept(','));
  expect('}');
}

void JsonReader::array(size_t most, const std::function<void()>& element) {
  expect('[');
  if (accept(']')) return;
  size_t count = 0;
  do {
    if (++count > most) fail("more than " + std::to_string(most) + " elements");
    element();
  } while (accept(','));
  expect(']');
}

std::string JsonReader::string(size_t longest) {
  std::string result;
  expect('"');
  for (;;) {
    const size_t plain = at_;
    while (at_ < text_.size() && is_plain(text_[at_])) ++at_;
    result.append(text_.substr(plain, at_ - plain));
    if (at_ == text_.size()) fail("a string without end");
    const char c = text_[at_];
    if (result.size() > longest)
      fail("a string of more than " + std::to_string(longest) + " bytes");
    if (c == '"') break;
    if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
    if (c == '\\') {
      escape(result);
    } else {
      utf8(result);
    }
  }
  ++at_;
  return result;
}

uint32_t JsonReader::hex4() {
  uint32_t value = 0;
  if (text_.size() - at_ < 4) fail("an escape cut short");
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, value, 16);
  if (error != std::errc() || end != text_.data() + at_ + 4)
    fail("an escape that is not four hexadecimal digits");
  at_ += 4;
  return value;
}

void JsonReader::escape(std::string& into) {
  constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  ++at_;
  if (at_ == text_.size()) fail("a string without end");
  const char c = text_[at_++];
  if (const size_t known = letters.find(c); known != letters.npos) {
    into += meanings[known];
    return;
  }
  if (c != 'u') fail("an unknown escape");
  uint32_t point = hex4();
  if (point >= 0xDC00 && point < 0xE000) fail("half a surrogate pair");
  if (point >= 0xD800 && point < 0xDC00) {
    if (!text_.substr(at_).starts_with("\\u")) fail("half a surrogate pair");
    at_ += 2;
    const uint32_t low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("half a surrogate pair");
    point = 0x10000 + ((point - 0xD800) << 10 | (low - 0xDC00));
  }
  append_utf8(into, point);
}

// Reads one character; refuses overlong forms, surrogates and code points above 10FFFF (RFC 3629).
void JsonReader::utf8(std::string& into) {
  const auto byte = [&](size_t i) {
    return at_ + i < text_.size() ? static_cast<unsigned char>(text_[at_ + i]) : 0u;
  };
  const uint32_t first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  bool good = length > 0;
  for (size_t i = 1; i < length; ++i) good = good && (byte(i) & 0xC0) == 0x80;
  const uint32_t second = byte(1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
      (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) {
    good = false;
  }
  if (!good) fail("bytes that are not UTF-8");
  into.append(text_.substr(at_, length));
  at_ += length;
}

std::string_view JsonReader::number_text(bool whole) {
  skip_space();
  const size_t begin = at_;
  const auto digits = [&] {
    const size_t first = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    if (at_ == first) fail("expected a number");
    return at_ - first;
  };
  const auto next_is = [&](std::string_view set) {
    return at_ < text_.size() && set.find(text_[at_]) != set.npos;
  };
  if (next_is("-")) ++at_;
  const bool zero = next_is("0");
  if (digits() > 1 && zero) fail("a number with a leading zero");
  if (whole && next_is(".eE")) fail("expected an integer");
  if (next_is(".")) {
    ++at_;
    digits();
  }
  if (next_is("eE")) {
    ++at_;
    if (next_is("+-")) ++at_;
    digits();
  }
  return text_.substr(begin, at_ - begin);
}

int64_t JsonReader::integer() {
  const std::string_view digits = number_text(true);
  int64_t value = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc())
    fail("an integer out of range");
  return value;
}

double JsonReader::number() {
  const std::string_view digits = number_text(false);
  double value = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc())
    fail("a number out of range");
  return value;
}

bool JsonReader::boolean() {
  if (accept_word("true")) return true;
  if (accept_word("false")) return false;
  fail("expected true or false");
}

bool JsonReader::null() { return accept_word("null"); }

void JsonReader::end() {
  skip_space();
  if (at_ != text_.size()) fail("something after the end");
}

std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      result += "\\u00";
      result += "0123456789abcdef"[c >> 4];
      result += "0123456789abcdef"[c & 15];
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string json_number(double value) {
  if (std::isnan(value)) return "null";
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return {digits, end};
}

}  // namespace bptt
