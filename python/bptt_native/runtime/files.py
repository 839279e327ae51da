"""Reading and writing of files: atomic replacement, and reading within bounds.

The Python package writes all files with `replace` and `Growing`: a crash leaves the old file or
the new one. It reads all files with `reading`. The engine reads and writes model files in the same
way.
"""

import csv
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO, Generic, NoReturn, TypeVar

from ..arguments.values import message, refuse_type

Row = TypeVar("Row")

SMALL, LARGE = 1 << 26, 1 << 30  # size limits of documents, and of files that grow with a run
LINE = 1 << 24  # size limit of a line
_MOST_LINKS = 40
_WRITABLE = "a file that can be written"
_numbers = count()


def _fail(where: str, expected: str, path: object, error: OSError | ValueError) -> NoReturn:
    if isinstance(error, OSError):
        got = f"{str(path)!r}: {error.strerror or error}"
        raise OSError(error.errno, message(where, "path", expected, got)) from None
    raise ValueError(message(where, "path", expected, f"{str(path)!r}: {error}")) from None


def _check_regular(mode: int, cure: str = "") -> None:
    """Refuse everything but a regular file; ``cure`` is the advice for a pipe."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        said = f"; {cure}" if cure and stat.S_ISFIFO(mode) else ""
        raise OSError(errno.EINVAL, f"a pipe, socket or device{said}")


def path_of(value: object, where: str, argument: str) -> Path:
    """Return an argument as the path of a folder or file.

    Raises
    ------
    TypeError, ValueError
        It is not a path. Paths in bytes are refused too.
    """
    try:
        name = os.fspath(value)  # type: ignore[call-overload]
    except TypeError:
        name = None
    if not isinstance(name, str):
        refuse_type(value, where, argument, "a path (str or Path)")
    if not name or "\0" in name:
        raise ValueError(message(where, argument, "the name of a file or folder", repr(name)))
    return Path(name)


# ------------------------------------------------------------------------------------------ writing


def replace(path: str | Path, content: bytes, where: str = "write") -> None:
    """Replace a file atomically.

    The content is written to a new file in the same folder. The new file is synced and renamed to
    the old one; then the folder is synced. After a crash at any point the old file or the new one
    is there. A symbolic link is kept and its target is replaced. The mode is kept. On failure the
    new file is removed. If a crash leaves a new file behind, the next write of the same name
    removes it.

    Parameters
    ----------
    path : str or Path
    content : bytes
    where : str
        The function, for messages.

    Raises
    ------
    OSError
        The file cannot be written, or is not a regular file.
    """
    try:
        _replace(Path(path), content).close()
    except (OSError, ValueError) as error:
        _fail(where, _WRITABLE, path, error)


def check(path: str | Path, where: str) -> None:
    """Check that `replace` can replace a file, without changing anything.

    Parameters
    ----------
    path : str or Path
    where : str
        The function, for messages.

    Raises
    ------
    OSError
        It cannot be written, or is not a regular file.
    """
    try:
        _mode(Path(path))
    except (OSError, ValueError) as error:
        _fail(where, _WRITABLE, path, error)


def _mode(path: Path) -> int | None:
    """Return the mode of a file that may be replaced, or None if it does not exist."""
    try:
        mode = path.stat().st_mode  # follows /dev/stdout, whose target may have no name
    except FileNotFoundError:
        return None
    _check_regular(mode)
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return mode


def _replace(path: Path, content: bytes) -> BinaryIO:
    """Replace the file as `replace` does and return it, open for appending."""
    mode = _mode(path)
    target = _target(path)
    prefix = f".{target.name[:16]}.bptt-tmp-"
    _sweep(target.parent, prefix)
    name, file = _temporary(target.parent, prefix, 0o666 if mode is None else 0o600)
    try:
        file.write(content)
        file.flush()
        if mode is not None:
            os.fchmod(file.fileno(), stat.S_IMODE(mode))
        os.fsync(file.fileno())
        name.replace(target)
        _sync(target.parent)
    except BaseException:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            name.unlink()
        raise
    return file


def _target(path: Path) -> Path:
    """Follow symbolic links, even to a file that does not exist yet."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _temporary(folder: Path, prefix: str, mode: int) -> tuple[Path, BinaryIO]:
    """Create a new file that is locked while it is open."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for _ in range(100):
        name = folder / f"{prefix}{os.getpid()}-{next(_numbers)}"
        with suppress(FileExistsError):
            file = os.fdopen(os.open(name, flags, mode), "wb")
            if _lock(file.fileno(), otherwise=True) and os.fstat(file.fileno()).st_nlink:
                return name, file
            file.close()  # another process took it for an abandoned file and removed it
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _lock(descriptor: int, otherwise: bool) -> bool:
    """Lock a file. Return whether that worked, or ``otherwise`` if locks are not supported."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise
    return True


def _sweep(folder: Path, prefix: str) -> None:
    """Remove temporary files that no process has locked."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(prefix):
                _remove_dead(path)


def _remove_dead(path: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if _lock(descriptor, otherwise=False):
                path.unlink()
        finally:
            os.close(descriptor)


def _sync(folder: Path) -> None:
    """Sync a folder, if it can be opened and its file system supports that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


class Growing(Generic[Row]):
    """A file of rows that is replaced as a whole and then grows row by row.

    Parameters
    ----------
    path : str or Path
    rows : iterable
        The first rows.
    encode : callable (row) -> bytes
        Returns the bytes of a row.
    where : str
        The function, for messages.
    head : bytes
        The content in front of the rows.
    delay : float
        Seconds after the last flush until `append` flushes again.

    Raises
    ------
    OSError
        The file cannot be written, or is not a regular file. The methods raise it too.
    """

    def __init__(
        self, path: str | Path, rows: Iterable[Row], encode: Callable[[Row], bytes], where: str,
        *, head: bytes = b"", delay: float = 0.0,
    ) -> None:  # fmt: skip
        self.path: Path = Path(path)
        self._encode, self._where, self._delay = encode, where, delay
        try:
            self._file = _replace(self.path, head + b"".join(map(encode, rows)))
        except (OSError, ValueError) as error:
            self._refuse(error)
        self._flushed = time.monotonic()

    def append(self, row: Row) -> None:
        """Add a row at the end. It stays in memory until the next flush."""
        try:
            self._file.write(self._encode(row))
        except OSError as error:
            self._refuse(error)
        if time.monotonic() - self._flushed >= self._delay:
            self.flush()

    def flush(self) -> None:
        """Write the rows to the file, so that they survive a crash of the process."""
        try:
            self._file.flush()
        except OSError as error:
            self._refuse(error)
        self._flushed = time.monotonic()

    def sync(self) -> None:
        """Write the rows to the disk, so that they survive a crash of the machine."""
        self.flush()
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._refuse(error)

    def close(self) -> None:
        """Write the rows and close the file."""
        try:
            self._file.close()
        except OSError as error:
            self._refuse(error)

    def _refuse(self, error: OSError | ValueError) -> NoReturn:
        _fail(self._where, _WRITABLE, self.path, error)


def remove(path: str | Path) -> None:
    """Remove a file if it exists."""
    Path(path).unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------ reading


@contextmanager
def reading(path: str | Path, limit: int, where: str, cure: str = "") -> Iterator[BinaryIO]:
    """Open a regular file of bounded size for reading.

    A pipe without a writer or an endless device cannot block the program.

    Parameters
    ----------
    path : str or Path
    limit : int
        The largest size in bytes.
    where : str
        The function, for messages.
    cure : str
        Advice for the message that refuses a pipe.

    Raises
    ------
    OSError
        It cannot be opened, or is not a regular file.
    ValueError
        It is larger than ``limit``, or its name contains a NUL.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            _check_regular(status.st_mode, cure)
        except OSError:
            os.close(descriptor)
            raise
    except (OSError, ValueError) as error:
        _fail(where, "a regular file that can be read", path, error)
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            got = f"{status.st_size} in {str(path)!r}"
            raise ValueError(message(where, "path", f"at most {limit} bytes", got))
        yield file


def read(path: str | Path, limit: int, where: str, cure: str = "") -> bytes:
    """Return the content of a regular file; see `reading`."""
    with reading(path, limit, where, cure) as file:
        content = file.read(limit + 1)
    if len(content) > limit:  # the file has grown since its size was checked
        raise ValueError(message(where, "path", f"at most {limit} bytes in {str(path)!r}", "more"))
    return content


def lines(path: str | Path, where: str, longest: int = LINE) -> Iterator[tuple[int, str]]:
    """Read the lines of a regular UTF-8 file with their numbers, from 1; see `reading`.

    Yields
    ------
    number : int
    line : str
        The line with its line end, which may be missing from the last line.

    Raises
    ------
    OSError, ValueError
        As `reading`; or a line is longer than ``longest`` bytes or is not UTF-8.
    """
    with reading(path, LARGE, where) as file:
        for number in count(1):
            line = file.readline(longest + 1)
            if not line:
                return
            got = f"more in line {number} of {str(path)!r}"
            if len(line) > longest:
                raise ValueError(message(where, "path", f"lines of at most {longest} bytes", got))
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                refuse_line(path, number, where, "UTF-8 text", error.reason)
            yield number, text


def csv_rows(
    path: str | Path, where: str, whole_lines: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Read the rows of a regular CSV file, each with the number of its last line.

    Parameters
    ----------
    path : str or Path
    where : str
        The function, for messages.
    whole_lines : bool
        Skip a last line without a line end, which a crash has truncated.

    Raises
    ------
    OSError, ValueError
        As `lines`; or it is not a CSV file.
    """
    found = lines(path, where, longest=1 << 20)
    reader = csv.reader(text for _, text in found if text.endswith("\n") or not whole_lines)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            refuse_line(path, reader.line_num, where, "a row of a CSV file", str(error))
        yield reader.line_num, row


def refuse_line(path: str | Path, number: int, where: str, expected: str, got: str) -> NoReturn:
    """Raise the ValueError about a line of a file."""
    text = f"{expected} in {str(path)!r}, line {number}"
    raise ValueError(message(where, "path", text, got)) from None


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows as the content of a CSV file."""
    ended = _Rows()
    csv.writer(ended, lineterminator="\r\n").writerows(rows)  # quotes cells with \r or \n
    return "".join(f"{row[:-2]}\n" for row in ended).encode()


class _Rows(list[str]):
    """Output of a CSV writer, one text per row."""

    write = list.append
