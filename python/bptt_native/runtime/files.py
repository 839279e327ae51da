"""Files: written so that a crash leaves the old one or the new one, and read within bounds.

Everything that the Python package writes goes through `replace` and `Growing`, everything that it
reads beside model files through `reading`. (Model files are written likewise, by the engine.)
"""

import csv
import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO, NoReturn

from ..arguments.values import message, refuse_type

SMALL, LARGE = 1 << 26, 1 << 30  # most bytes of a document, and of a file that grows with a run
LINE = 1 << 24  # most bytes of a line
_MOST_LINKS = 40
_WRITABLE = "a file that can be written"
_numbers = count()


def _fail(where: str, expected: str, path: object, error: OSError | ValueError) -> NoReturn:
    if isinstance(error, OSError):
        got = f"{str(path)!r}: {error.strerror or error}"
        raise OSError(error.errno, message(where, "path", expected, got)) from None
    raise ValueError(message(where, "path", expected, f"{str(path)!r}: {error}")) from None


def _check_regular(mode: int, cure: str = "") -> None:
    """Refuse what is no regular file; ``cure`` says what to do with a pipe."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        said = f"; {cure}" if cure and stat.S_ISFIFO(mode) else ""
        raise OSError(errno.EINVAL, f"a pipe, socket or device{said}")


def path_of(value: object, where: str, argument: str) -> Path:
    """Return the path of a folder or file that an argument gives.

    Raises
    ------
    TypeError, ValueError
        It is no path; a path in bytes is none either.
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
    """Write a file as a whole.

    The content goes to a new file in the same folder, which is synced and takes the old one's
    name; then the folder is synced. After a crash at any point there is the old file or the new
    one. A symbolic link stays one, and what it points to is replaced; the mode stays. On failure
    the new file is removed. New files that a crash left are removed by the next write of the name.

    Parameters
    ----------
    path : str or Path
    content : bytes
    where : str
        The function, for messages.

    Raises
    ------
    OSError
        The file cannot be written, or is no regular file.
    """
    try:
        _replace(Path(path), content).close()
    except (OSError, ValueError) as error:
        _fail(where, _WRITABLE, path, error)


def check(path: str | Path, where: str) -> None:
    """Refuse a file that `replace` would refuse to replace, and change nothing.

    Parameters
    ----------
    path : str or Path
    where : str
        The function, for messages.

    Raises
    ------
    OSError
        It cannot be written, or is no regular file.
    """
    try:
        _mode(Path(path))
    except (OSError, ValueError) as error:
        _fail(where, _WRITABLE, path, error)


def _mode(path: Path) -> int | None:
    """Return the mode of a file that may be replaced; None where there is none yet."""
    try:
        mode = path.stat().st_mode  # of what /dev/stdout leads to, which may have no name
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
    """Follow symbolic links, also to a file that is not there yet."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _temporary(folder: Path, prefix: str, mode: int) -> tuple[Path, BinaryIO]:
    """Make a new file that is locked while it is open."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for _ in range(100):
        name = folder / f"{prefix}{os.getpid()}-{next(_numbers)}"
        with suppress(FileExistsError):
            file = os.fdopen(os.open(name, flags, mode), "wb")
            if _lock(file.fileno(), otherwise=True) and os.fstat(file.fileno()).st_nlink:
                return name, file
            file.close()  # a sweep took it for one that was left
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _lock(descriptor: int, otherwise: bool) -> bool:
    """Lock a file; return whether it is locked, or ``otherwise`` where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise
    return True


def _sweep(folder: Path, prefix: str) -> None:
    """Remove temporary files that nobody holds."""
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
    """Sync a folder, where it can be opened and its file system can do that."""
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


class Growing:
    """A file that is replaced as a whole and then grows.

    Parameters
    ----------
    path : str or Path
    content : bytes
        What it holds at first.
    where : str
        The function, for messages.

    Raises
    ------
    OSError
        The file cannot be written, or is no regular file; the methods raise it too.
    """

    def __init__(self, path: str | Path, content: bytes, where: str) -> None:
        self.path, self._where = Path(path), where
        try:
            self._file = _replace(self.path, content)
        except (OSError, ValueError) as error:
            self._refuse(error)

    def append(self, content: bytes) -> None:
        """Add to the end; it reaches the file with `flush`, `sync` or `close`."""
        try:
            self._file.write(content)
        except OSError as error:
            self._refuse(error)

    def flush(self) -> None:
        """Write what was added: it outlives the process."""
        try:
            self._file.flush()
        except OSError as error:
            self._refuse(error)

    def sync(self) -> None:
        """Write what was added to the disk: it outlives the machine."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._refuse(error)

    def close(self) -> None:
        """Write what was added and close the file."""
        try:
            self._file.close()
        except OSError as error:
            self._refuse(error)

    def _refuse(self, error: OSError | ValueError) -> NoReturn:
        _fail(self._where, _WRITABLE, self.path, error)


def remove(path: str | Path) -> None:
    """Remove a file, if it is there."""
    Path(path).unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------ reading


@contextmanager
def reading(path: str | Path, limit: int, where: str, cure: str = "") -> Iterator[BinaryIO]:
    """Open a regular file of bounded size for reading.

    Neither a pipe without a writer nor a device without an end can hold up the program.

    Parameters
    ----------
    path : str or Path
    limit : int
        The most bytes that it may have.
    where : str
        The function, for messages.
    cure : str
        What to do with a pipe, for the message that refuses it.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file.
    ValueError
        It is larger, or its name has a NUL.
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
    """Read a regular file as a whole; see `reading`."""
    with reading(path, limit, where, cure) as file:
        content = file.read(limit + 1)
    if len(content) > limit:  # it has grown
        raise ValueError(message(where, "path", f"at most {limit} bytes in {str(path)!r}", "more"))
    return content


def lines(path: str | Path, where: str, longest: int = LINE) -> Iterator[tuple[int, str]]:
    """Read the lines of a regular UTF-8 file, with their numbers from 1; see `reading`.

    Yields
    ------
    number : int
    line : str
        With its line end, which may be missing from the last one.

    Raises
    ------
    OSError, ValueError
        As `reading`; a line is longer than ``longest`` bytes or is not UTF-8.
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
    """Read the rows of a regular CSV file, each with the number of the line that it ends in.

    Parameters
    ----------
    path : str or Path
    where : str
        The function, for messages.
    whole_lines : bool
        Leave out a last line without a line end, which a crash has cut short.

    Raises
    ------
    OSError, ValueError
        As `lines`; or it is no CSV file.
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
    """Raise the error about a line of a file."""
    text = f"{expected} in {str(path)!r}, line {number}"
    raise ValueError(message(where, "path", text, got)) from None


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows as the content of a CSV file."""
    ended = _Rows()
    csv.writer(ended, lineterminator="\r\n").writerows(rows)  # it quotes each character of these
    return "".join(f"{row[:-2]}\n" for row in ended).encode()


class _Rows(list[str]):
    """What a CSV writer writes, a text per row."""

    write = list.append
