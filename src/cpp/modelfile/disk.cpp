// disk.cpp: reading and writing of model files on disk. A file is written under a temporary name in
// the folder of its target, synced and renamed: after a crash at any point the target is either the
// old or the new file. The temporary file is locked while it is written. An unlocked one was left
// by a process that died; the next save to the same target removes it.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/pace.h"
#include "modelfile/file.h"

namespace bptt {
namespace {

constexpr int kMostLinks = 40;
constexpr int kMostInterruptions = 10000;  // interruptions by signals of one call
constexpr int kMostWaits = 100;  // waits of a millisecond each, for one call that would block

[[noreturn]] void fail(const std::string& expected, const std::string& path, int error) {
  throw Error(BPTT_ERR_IO, "path", expected,
              "'" + path + "': " + std::generic_category().message(error), error);
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  explicit operator bool() const { return number_ >= 0; }
  int number() const { return number_; }
  // Closes the file and returns errno, or 0. After EINTR the file is closed, too (Linux).
  int close() { return ::close(std::exchange(number_, -1)) != 0 && errno != EINTR ? errno : 0; }

 private:
  int number_;
};

// Repeats a call that a signal interrupts or that would block, up to the limits above.
template <class Call>
auto retried(const Call& call) {
  for (int interruptions = 0, waits = 0;;) {
    const auto result = call();
    if (result >= 0) return result;
    if (errno == EINTR && interruptions < kMostInterruptions) {
      ++interruptions;
    } else if (errno == EAGAIN && waits < kMostWaits) {
      ++waits;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } else {
      return result;
    }
  }
}

Descriptor open_file(const std::string& path, int flags, mode_t mode = 0) {
  return Descriptor(retried([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); }));
}

// Returns the folder of a path with its final '/', or "".
std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// Resolves a path: a symbolic link is kept and the file that it points to is replaced, even if that
// file does not exist yet.
std::string target_of(std::string path) {
  const std::string given = path;
  for (int links = 0; links <= kMostLinks; ++links) {
    char text[4096];
    const ssize_t length = retried([&] { return ::readlink(path.c_str(), text, sizeof text); });
    // no link, or no such file
    if (length < 0 && (errno == EINVAL || errno == ENOENT)) return path;
    if (length < 0) fail("a path to write to", given, errno);
    if (static_cast<size_t>(length) == sizeof text) fail("a path to write to", given, ENAMETOOLONG);
    const std::string next(text, static_cast<size_t>(length));
    path = next.starts_with('/') ? next : folder_of(path) + next;
  }
  fail("a path to write to", given, ELOOP);
}

// Returns ".<short>.bptt-tmp-", the prefix of a target's temporary names.
std::string temporary_prefix(const std::string& target) {
  const std::string name = target.substr(folder_of(target).size());
  size_t length = std::min<size_t>(name.size(), 64);
  while (length > 0 && length < name.size() &&
         (static_cast<unsigned char>(name[length]) & 0xC0) == 0x80)
    --length;
  std::string prefix = ".";
  prefix.append(name, 0, length);
  return prefix + ".bptt-tmp-";
}

// Removes temporary files that no process has locked.
void sweep(const std::string& folder, const std::string& prefix) {
  DIR* entries = ::opendir(folder.empty() ? "." : folder.c_str());
  if (!entries) return;
  while (const dirent* entry = ::readdir(entries)) {
    if (std::strncmp(entry->d_name, prefix.c_str(), prefix.size()) != 0) continue;
    const std::string path = folder + entry->d_name;
    const Descriptor file = open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (file && ::flock(file.number(), LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
  }
  ::closedir(entries);
}

// A new file, which is removed unless it is renamed.
class Temporary {
 public:
  Temporary(const std::string& prefix, mode_t mode, const std::string& target) : file_(-1) {
    static std::atomic<uint32_t> counter{0};
    for (int attempt = 0; attempt < 100; ++attempt) {
      path_ = prefix + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1));
      file_ = open_file(path_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
      if (!file_ && errno != EEXIST) fail("a folder in which a file can be made", target, errno);
      if (file_ && is_ours()) return;
    }
    fail("a folder in which a file can be made", target, EEXIST);
  }
  ~Temporary() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  Descriptor& file() { return file_; }
  const std::string& path() const { return path_; }
  void renamed() { path_.clear(); }

 private:
  // Locks the file. Returns false if a sweep removed it before the lock, as one left by a dead
  // process. On a file system without locks no sweep can lock it, so that it is kept.
  bool is_ours() const {
    if (::flock(file_.number(), LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;
    struct stat status;
    return ::fstat(file_.number(), &status) != 0 || status.st_nlink > 0;
  }

  std::string path_;
  Descriptor file_;
};

void write_all(int file, const std::vector<std::byte>& bytes, const std::string& target) {
  Pace pace;
  in_pieces(bytes.size(), pace, [&](size_t begin, size_t count) {
    const std::byte* data = bytes.data() + begin;
    for (const std::byte* const end = data + count; data < end;) {
      const ssize_t written = retried([&] {
        const ssize_t taken = ::write(file, data, static_cast<size_t>(end - data));
        if (taken != 0) return taken;
        errno = EAGAIN;  // write() returned 0: nothing was written, but it did not fail
        return ssize_t{-1};
      });
      if (written < 0) fail("a file that can be written", target, errno);
      data += written;
    }
  });
}

// Reads until `size` bytes have been read or the file ends.
void read_until(int file, std::vector<std::byte>& bytes, size_t size, const std::string& path) {
  Pace pace;
  bytes.reserve(size);
  bool ended = false;
  while (bytes.size() < size && !ended) {
    const size_t reached = bytes.size(), wanted = std::min(size - reached, kPiece);
    pace.did(kOperationsPerByte * static_cast<double>(wanted));
    bytes.resize(reached + wanted);
    const ssize_t got = retried([&] { return ::read(file, bytes.data() + reached, wanted); });
    if (got < 0) fail("a file that can be read", path, errno);
    bytes.resize(reached + static_cast<size_t>(got));
    ended = got == 0;
  }
}

// Refuses folders, pipes and devices.
void check_regular(const struct stat& status, const std::string& path) {
  if (S_ISDIR(status.st_mode)) fail("the path of a file", path, EISDIR);
  if (!S_ISREG(status.st_mode)) {
    throw Error(BPTT_ERR_IO, "path", "the path of a regular file",
                "'" + path + "': a pipe, socket or device", EINVAL);
  }
}

}  // namespace

void write_file(const std::string& path, const std::vector<std::byte>& bytes) {
  const std::string target = target_of(path), folder = folder_of(target);
  if (folder.size() == target.size()) fail("the path of a file", path, EISDIR);
  struct stat before;
  const bool exists = retried([&] { return ::stat(target.c_str(), &before); }) == 0;
  if (!exists && errno != ENOENT) fail("a path to write to", path, errno);
  if (exists) {
    check_regular(before, path);
    if (retried([&] { return ::access(target.c_str(), W_OK); }) != 0)
      fail("a file that can be written", path, errno);
  }
  const std::string prefix = temporary_prefix(target);
  sweep(folder, prefix);
  Temporary temporary(folder + prefix, exists ? 0600 : 0666, path);
  const int file = temporary.file().number();
  write_all(file, bytes, path);
  const auto keep_mode = [&] { return ::fchmod(file, before.st_mode & 07777); };
  if (exists && retried(keep_mode) != 0) fail("a file whose mode can be kept", path, errno);
  if (retried([&] { return ::fsync(file); }) != 0) fail("a file that can be synced", path, errno);
  const auto rename = [&] { return ::rename(temporary.path().c_str(), target.c_str()); };
  if (retried(rename) != 0) fail("a path to write to", path, errno);
  temporary.renamed();
  if (const int error = temporary.file().close()) fail("a file that can be written", path, error);
  const Descriptor directory = open_file(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  // A folder that can be written to but not read cannot be synced, nor can folders of some file
  // systems.
  if (!directory) {
    if (errno != EACCES) fail("a folder that can be synced", path, errno);
  } else if (retried([&] { return ::fsync(directory.number()); }) != 0 && errno != EINVAL) {
    fail("a folder that can be synced", path, errno);
  }
}

std::vector<std::byte> read_file(const std::string& path) {
  const Descriptor file = open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) fail("a file that can be read", path, errno);
  struct stat status;
  if (retried([&] { return ::fstat(file.number(), &status); }) != 0)
    fail("a file that can be read", path, errno);
  check_regular(status, path);
  const auto size = static_cast<uint64_t>(status.st_size);
  std::vector<std::byte> bytes;
  // Check the header first, so that other files are refused before memory of their size is
  // allocated and their data are read.
  read_until(file.number(), bytes, static_cast<size_t>(std::min<uint64_t>(size, 8)), path);
  uint64_t header = 0;
  if (bytes.size() == 8) std::memcpy(&header, bytes.data(), sizeof header);
  const uint64_t head = std::min(size, 8 + std::min(header, kMostHeaderBytes));
  read_until(file.number(), bytes, static_cast<size_t>(std::max<uint64_t>(head, bytes.size())),
             path);
  read_contents(bytes.data(), bytes.size(), size);
  read_until(file.number(), bytes, static_cast<size_t>(size), path);
  return bytes;
}

}  // namespace bptt
