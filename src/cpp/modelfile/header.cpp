// header.cpp: recognition of model files by their header.
#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "base/pace.h"
#include "modelfile/file.h"
#include "modelfile/sha256.h"

namespace bptt {
namespace {

constexpr char kHint[] = "; its weights can be given to load_state_dict";

// Returns the name of a well-known kind of file by its first bytes, or null.
const char* known_kind(std::string_view start) {
  using namespace std::string_view_literals;
  if (start.size() >= 2 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5)
    return "a pickle, as torch.save once wrote";
  if (start.starts_with("PK\x03\x04"sv))
    return "a zip archive, as torch.save and numpy.savez write";
  if (start.starts_with("\x93NUMPY"sv)) return "a NumPy array file";
  if (start.starts_with("\x89HDF\r\n\x1a\n"sv)) return "an HDF5 file";
  if (start.starts_with("\x1f\x8b"sv)) return "a gzip archive";
  return nullptr;
}

// Refuses a file that is not a safetensors file, with the reason.
[[noreturn]] void refuse_other(const std::byte* bytes, size_t size, uint64_t file_size,
                               const std::string& reason) {
  const std::string_view known_start = kBeginning.substr(0, 40);
  const std::string_view start =
      size > 8 ? text_at(bytes, 8, std::min(size, 8 + known_start.size())) : "";
  if (!start.empty() && known_start.starts_with(start)) {
    refuse_file("a truncated or damaged model file of " + std::to_string(file_size) + " bytes (" +
                reason + ")");
  }
  if (const char* kind = known_kind(text_at(bytes, 0, std::min<size_t>(size, 8))))
    refuse_file(std::string(kind) + kHint);
  refuse_file("a file that is not a safetensors file (" + reason + ")");
}

void check_version(const std::string* version) {
  if (!version) refuse_file("an altered model file (it has no format_version)");
  int64_t number = 0;
  const char* const end = version->data() + version->size();
  const auto [last, error] = std::from_chars(version->data(), end, number);
  if (error == std::errc() && last == end && number > 1) {
    refuse_file("a model file of format version " + *version + ", newer than this library's " +
                kFormatVersion);
  }
  if (*version != kFormatVersion)
    refuse_file("an altered model file (format_version '" + version->substr(0, 16) + "')");
}

}  // namespace

std::string digest_of(const std::byte* bytes, size_t size) {
  std::array<std::byte, kDigits> zeros;
  zeros.fill(std::byte{'0'});
  Sha256 sha;
  sha.update(bytes, kDigitsBegin);
  sha.update(zeros.data(), kDigits);
  const std::byte* const rest = bytes + kDigitsBegin + kDigits;
  Pace pace;
  in_pieces(size - kDigitsBegin - kDigits, pace,
            [&](size_t begin, size_t count) { sha.update(rest + begin, count); });
  return sha.hex_digest();
}

void refuse_file(const std::string& got) {
  throw Error(BPTT_ERR_FORMAT, "", "a model file of bptt_native", got);
}

SafetensorsHeader check_model_header(const std::byte* bytes, size_t size, uint64_t file_size) {
  if (size == 0) refuse_file("an empty file");
  SafetensorsHeader header;
  try {
    header = read_safetensors_header(bytes, size);
  } catch (const SafetensorsError& error) { refuse_other(bytes, size, file_size, error.reason); }
  const std::string* format = header.find_metadata("format");
  if (!format || *format != kFormat)
    refuse_file(std::string("a safetensors file of another program") + kHint);
  check_version(header.find_metadata("format_version"));
  const std::string* digits = header.find_metadata("sha256");
  const std::string_view start = text_at(bytes, 8, static_cast<size_t>(header.data_begin));
  if (!start.starts_with(kBeginning) || !digits || digits->size() != kDigits ||
      start.substr(kBeginning.size(), kDigits) != *digits) {
    refuse_file("an altered model file (its header is not as this library writes it)");
  }
  if (header.file_size != file_size) {
    refuse_file((header.file_size > file_size ? "a truncated model file of "
                                              : "an altered model file of ") +
                std::to_string(file_size) + " bytes where its header needs " +
                std::to_string(header.file_size));
  }
  return header;
}

}  // namespace bptt
