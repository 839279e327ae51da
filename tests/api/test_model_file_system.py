"""Model files and the operating system: the order of system calls, and the failure of each."""

import errno
import fcntl
import hashlib
import os
import re
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from helpers.cprograms import build, build_shim
from helpers.model_files import joined, split, spoilt_headers

OK, IO, FORMAT, CANCELLED = 0, 9, 10, 14
GIB = 1 << 30
# Calls that may fail without harm: locks where the file system has none, the removal of what was
# never there, a folder or a file that was only read.
HARMLESS = {"flock", "unlink"}


@dataclass
class Outcome:
    asks: int
    status: int
    errno: int
    text: str
    calls: list[list[str]]  # name, path, second path, result

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    def siblings(self) -> list[tuple[Path, int, int]]:
        """The files that were made: path, flags and mode."""
        opened = [(Path(c[1]), *map(int, c[2].split())) for c in self.calls if c[0] == "open"]
        return [call for call in opened if call[1] & os.O_CREAT]

    def bytes_read(self) -> int:
        return sum(max(0, int(call[3])) for call in self.calls if call[0] == "read")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tools")
    return build("model_file", folder), build_shim(folder, "system_calls")


@pytest.fixture
def watched(tools, tmp_path):
    program, shim = tools
    log = tmp_path / "log"

    def run(*arguments, fail: tuple | None = None, cancel: int = 0) -> Outcome:
        environment = {"LD_PRELOAD": str(shim), "SYSTEM_CALLS_LOG": str(log)}
        if fail:
            environment["SYSTEM_CALLS_FAIL"] = " ".join(map(str, fail))
        if cancel:
            environment["MODEL_FILE_CANCEL"] = str(cancel)
        done = subprocess.run(
            [program, *map(str, arguments)], env={**os.environ, **environment},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        asks, status, number, text = (done.stdout.rstrip("\n") + " ").split(" ", 3)
        calls = [line.split("\t") for line in log.read_text().splitlines()]
        return Outcome(int(asks), int(status), int(number), text, calls)

    return run


@pytest.fixture
def source(tmp_path) -> Path:
    bn.Model(vocab_size=5, hidden_size=3, output_size=5, seed=1).save(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "m").write_bytes(b"old")
    return folder / "m"


def only(names: list[str], name: str) -> int:
    assert names.count(name) == 1, names
    return names.index(name)


# -------------------------------------------------------------------------------------------- order


@pytest.mark.parametrize("existing", [False, True])
def test_the_order_of_a_save(existing, watched, source, target) -> None:
    if not existing:
        target.unlink()
    outcome = watched("save", source, target)
    assert outcome.status == OK, outcome.text
    names = outcome.names()
    [(sibling, flags, mode)] = outcome.siblings()
    wanted = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    assert (flags & ~0o100000, mode) == (wanted, 0o600 if existing else 0o666)
    assert sibling.parent == target.parent, "the temporary file is in the folder of its target"
    assert sibling.name.startswith(".m.bptt-tmp-")
    renamed = only(names, "rename")
    assert outcome.calls[renamed][1:3] == [str(sibling), str(target)]
    writes = [i for i, call in enumerate(outcome.calls) if call[0] == "write"]
    synced = [(i, call[1]) for i, call in enumerate(outcome.calls) if call[0] == "fsync"]
    assert [path for _, path in synced] == [str(sibling), str(target.parent)]
    assert max(writes) < synced[0][0] < renamed < synced[1][0]
    assert all(outcome.calls[i][1] == str(sibling) for i in writes)
    assert (names.count("fchmod") == 1) == existing
    assert target.read_bytes() == source.read_bytes()
    assert list(target.parent.iterdir()) == [target]


def test_the_sibling_is_beside_what_a_link_points_to(watched, source, target, tmp_path) -> None:
    link = tmp_path / "link"
    link.symlink_to("folder/m")
    outcome = watched("save", source, link)
    assert outcome.status == OK, outcome.text
    [(sibling, _, _)] = outcome.siblings()
    assert sibling.parent == target.parent
    assert link.is_symlink()
    assert target.read_bytes() == source.read_bytes()


def save(path) -> None:
    bn.Model(vocab_size=3, hidden_size=2, output_size=3).save(path)


def test_links_stay_links(tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    for text in ["folder/m", str(tmp_path / "folder" / "m"), "../" + tmp_path.name + "/folder/m"]:
        link = tmp_path / "link"
        link.symlink_to(text)
        save(link)  # what it points to is not there yet
        assert str(link.readlink()) == text
        assert bn.load(link).num_parameters > 0
        assert list((tmp_path / "folder").iterdir()) == [tmp_path / "folder" / "m"]
        (tmp_path / "folder" / "m").unlink()
        link.unlink()


def test_chains_of_links(tmp_path) -> None:
    for number in range(42):
        (tmp_path / f"{number}").symlink_to(f"{number + 1}" if number < 41 else "m")
    save(tmp_path / "2")  # 40 links
    assert bn.load(tmp_path / "m").num_parameters > 0
    with pytest.raises(OSError, match="expected a path to write to, got") as caught:
        save(tmp_path / "1")
    assert caught.value.errno == errno.ELOOP
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=f"got '{tmp_path}/loop'") as caught:
        save(tmp_path / "loop")
    assert caught.value.errno == errno.ELOOP


def test_what_is_no_file_is_not_replaced(tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    for name, error in [
        ("folder", errno.EISDIR), ("folder/", errno.EISDIR), ("file/", errno.ENOTDIR),
        ("pipe", errno.EINVAL), ("file/m", errno.ENOTDIR), ("missing/m", errno.ENOENT),
        ("x" * 256, errno.ENAMETOOLONG),
    ]:  # fmt: skip
        with pytest.raises(OSError, match=r"Model\.save: argument 'path': expected ") as caught:
            save(f"{tmp_path}/{name}")
        assert caught.value.errno == error, name
        assert len(list(tmp_path.iterdir())) == 3
    for name in ["folder", "pipe", "missing", "file/"]:
        with pytest.raises(OSError, match="load: argument 'path': expected "):
            bn.load(f"{tmp_path}/{name}")


def test_a_file_in_the_current_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    save("m")
    Path("m").chmod(0o4751)
    Path(".m.bptt-tmp-left").write_bytes(b"")
    save("m")
    assert stat.S_IMODE(Path("m").stat().st_mode) == 0o4751
    assert [path.name for path in Path().iterdir()] == ["m"]
    assert bn.load("m").num_parameters > 0


def test_what_a_dead_process_left_is_removed_and_nothing_else(tmp_path) -> None:
    dead, others = [".m.bptt-tmp-1-0", ".m.bptt-tmp-x"], [".n.bptt-tmp-1-0", ".m.bptt-tm", "m.bptt"]
    for name in [*dead, *others, ".m.bptt-tmp-held"]:
        (tmp_path / name).write_bytes(b"1")
    with (tmp_path / ".m.bptt-tmp-held").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        save(tmp_path / "m")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"m", ".m.bptt-tmp-held", *others}
    save(tmp_path / "m")
    assert {path.name for path in tmp_path.iterdir()} == {"m", *others}


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("n" * 63, "n" * 63), ("n" * 64, "n" * 64), ("n" * 65, "n" * 64), ("n" * 255, "n" * 64),
        ("é" * 32, "é" * 32), ("é" * 33, "é" * 32), ("n" + "é" * 32, "n" + "é" * 31),
        ("nn" + "\U0001f600" * 16, "nn" + "\U0001f600" * 15),
    ],
    ids=ascii,
)  # fmt: skip
def test_names_of_siblings_fit(name, kept, watched, source, target) -> None:
    outcome = watched("save", source, target.parent / name)
    assert outcome.status == OK, outcome.text
    [(sibling, _, _)] = outcome.siblings()
    assert re.fullmatch(re.escape(f".{kept}.bptt-tmp-") + r"\d+-\d+", sibling.name)


def test_a_lock_that_another_took_makes_another_sibling(watched, source, target) -> None:
    """A sweep of another process found the file before it was locked, and will remove it."""
    first = watched("save", source, target, fail=("flock", 1, 1, errno.EAGAIN))
    assert first.status == OK
    assert len(first.siblings()) == 2
    first.siblings()[0][0].unlink()  # as that process would
    outcome = watched("save", source, target, fail=("flock", 1, 1, errno.ENOLCK))
    assert (outcome.status, len(outcome.siblings())) == (OK, 1)  # a file system without locks
    assert list(target.parent.iterdir()) == [target]
    outcome = watched("save", source, target, fail=("open", 1, 99, errno.EEXIST))
    assert outcome.status == OK
    outcome = watched("save", source, target, fail=("open", 1, 100, errno.EEXIST))
    assert (outcome.status, outcome.errno) == (IO, errno.EEXIST)
    outcome = watched("save", source, target, fail=("flock", 1, -1, errno.EAGAIN))
    assert (outcome.status, outcome.errno, len(outcome.siblings())) == (IO, errno.EEXIST, 100)


# --------------------------------------------------------------------------------- calls that fail


def places(outcome: Outcome) -> list[tuple[str, int, bool]]:
    """Return each call's name, its number among those of its name, and if it follows rename."""
    seen: dict[str, int] = {}
    result, after = [], False
    for name, *_ in outcome.calls:
        seen[name] = seen.get(name, 0) + 1
        result.append((name, seen[name], after))
        after = after or name == "rename"
    return result


def check_failed_save(outcome, target, source, error, name, after) -> None:
    new = target.read_bytes() == source.read_bytes()
    if outcome.status == OK:
        assert name in HARMLESS or (name == "close" and after) or (name == "fstat" and new)
        assert new
    else:
        assert (outcome.status, outcome.errno) == (IO, error), (name, outcome.text)
        assert outcome.text.startswith("bptt_model_save: argument 'path': expected a ")
        assert str(target) in outcome.text or name == "close"
        assert new == after
        assert new or target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_call_of_a_save_that_fails(error, watched, source, target) -> None:
    """The old file or the new one is there, nothing else is, and the error is told."""
    checked = places(watched("save", source, target))
    assert {"open", "write", "fsync", "rename", "fchmod", "stat", "close"} <= {
        c[0] for c in checked
    }
    told = set()
    for name, number, after in checked:
        target.write_bytes(b"old")
        outcome = watched("save", source, target, fail=(name, number, 1, error))
        check_failed_save(outcome, target, source, error, name, after)
        if outcome.status != OK:
            told.add(name)
    assert told == {"open", "write", "fsync", "rename", "fchmod", "stat", "access", "close"}


@pytest.mark.parametrize("error", [errno.EINTR, errno.EAGAIN])
def test_a_call_of_a_save_that_is_to_be_repeated(error, watched, source, target) -> None:
    checked = places(watched("save", source, target))
    repeated = {"open", "write", "fsync", "rename", "fchmod", "stat", "access"}
    for name, number, after in checked:
        if name not in repeated:
            continue
        target.write_bytes(b"old")
        most = {errno.EINTR: 10_000, errno.EAGAIN: 100}[error]
        outcome = watched("save", source, target, fail=(name, number, most, error))
        assert outcome.status == OK, (name, outcome.text)
        assert outcome.names().count(name) == [c[0] for c in checked].count(name) + most
        assert target.read_bytes() == source.read_bytes()
        target.write_bytes(b"old")
        outcome = watched("save", source, target, fail=(name, number, -1, error))
        assert outcome.status == IO, f"{name} is repeated for ever, or its error is lost"
        assert outcome.names().count(name) == number + most
        check_failed_save(outcome, target, source, error, name, after)


def test_a_file_is_closed_though_a_signal_comes(watched, source, target) -> None:
    whole = watched("save", source, target)
    for number in range(1, whole.names().count("close") + 1):
        target.write_bytes(b"old")
        outcome = watched("save", source, target, fail=("close", number, 1, errno.EINTR))
        assert (outcome.status, outcome.names()) == (OK, whole.names())
        assert target.read_bytes() == source.read_bytes()


def test_no_descriptor_stays_open(tmp_path) -> None:
    m = bn.Model(vocab_size=3, hidden_size=2, output_size=3)
    (tmp_path / "folder").mkdir()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        (tmp_path / ".m.bptt-tmp-left").write_bytes(b"")
        m.save(tmp_path / "m")
        bn.load(tmp_path / "m")
        for path in [tmp_path / "folder", tmp_path / "missing" / "m", "/dev/null"]:
            with pytest.raises(OSError, match="argument 'path'"):
                m.save(path)
            with pytest.raises(OSError, match="argument 'path'"):
                bn.load(path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_file_that_takes_nothing(watched, source, target) -> None:
    outcome = watched("save", source, target, fail=("write", 1, -1, 0))
    check_failed_save(outcome, target, source, errno.EAGAIN, "write", False)
    assert outcome.status == IO
    assert watched("save", source, target, fail=("write", 1, 3, 0)).status == OK
    assert target.read_bytes() == source.read_bytes()


def test_a_file_that_takes_a_byte_at_a_time(watched, source, target) -> None:
    outcome = watched("save", source, target, fail=("write", 1, -1, -1))
    assert outcome.status == OK, outcome.text
    assert outcome.names().count("write") == source.stat().st_size
    assert target.read_bytes() == source.read_bytes()


def test_a_folder_that_cannot_be_synced_is_no_failure(watched, source, target) -> None:
    """Some file systems have no fsync of folders, and a folder need not be readable."""
    assert watched("save", source, target, fail=("fsync", 2, 1, errno.EINVAL)).status == OK
    last = watched("save", source, target).names().count("open")
    assert watched("save", source, target, fail=("open", last, 1, errno.EACCES)).status == OK


def test_a_call_of_a_load_that_fails(watched, source) -> None:
    whole = watched("load", source)
    assert (whole.status, whole.bytes_read()) == (OK, source.stat().st_size)
    told = set()
    for name, number, _ in places(whole):
        outcome = watched("load", source, fail=(name, number, 1, errno.EIO))
        if name == "close":
            assert outcome.status == OK
            continue
        told.add(name)
        assert (outcome.status, outcome.errno) == (IO, errno.EIO)
        assert outcome.text.startswith("bptt_model_load: argument 'path': expected a file")
        for error in [errno.EINTR, errno.EAGAIN]:
            assert watched("load", source, fail=(name, number, 3, error)).status == OK
            outcome = watched("load", source, fail=(name, number, -1, error))
            assert (outcome.status, outcome.errno) == (IO, error)
    assert told == {"open", "fstat", "read"}
    assert watched("load", source, fail=("read", 1, -1, -1)).status == OK  # byte by byte
    for number in range(1, whole.names().count("read") + 1):  # shorter than it was
        outcome = watched("load", source, fail=("read", number, -1, 0))
        assert outcome.status == FORMAT
        assert "argument 'path': expected a model file of bptt_native, got" in outcome.text


# ---------------------------------------------------------------------------------- refused unread


def with_large_hole(header: dict, body: bytes, size: int = 5 * GIB) -> tuple[bytes, int]:
    """Return the beginning of a file whose last tensor has `size` bytes, and the file's size."""
    header = {**header, "extra.large": {
        "dtype": "F32", "shape": [size // 4], "data_offsets": [len(body), len(body) + size],
    }}  # fmt: skip
    data = joined(header, body)
    return data, len(data) + size


def test_a_large_file_that_is_no_model_is_not_read(watched, tmp_path) -> None:
    m = bn.Model(vocab_size=3, hidden_size=2, output_size=3, seed=4)
    m.tensors["state"] = np.arange(4, dtype="f4")
    m.save(tmp_path / "m")
    header, body = split((tmp_path / "m").read_bytes())
    cases = list(spoilt_headers(header, body))
    assert len(cases) > 50
    for name, spoilt, data in cases:
        start, size = with_large_hole(spoilt, data)
        path = tmp_path / "large"
        with path.open("wb") as file:
            file.write(start)
            file.truncate(size)
        outcome = watched("load", path)
        assert outcome.status == FORMAT, f"{name}: {outcome.text}"
        assert outcome.bytes_read() <= len(start) - len(data), f"{name}: data were read"
        assert "SHA-256" not in outcome.text


def test_more_layers_than_tensors_are_refused_at_once(watched, tmp_path) -> None:
    """The file is large enough for these layers, but has fewer tensors than they need."""
    m = bn.Model(vocab_size=3, hidden_size=2, output_size=3, optimizer="sgd", num_layers=2)
    header, body = split(m._native.serialize())
    assert len(header) == 11  # ten tensors; the large one comes to them
    for layers, reason in [(6, "need more parameters than it holds"), (5, "without the tensor")]:
        old = header["__metadata__"]["config"]
        config = old.replace('"num_layers":2', f'"num_layers":{layers}')
        meta = header["__metadata__"] | {"config": config}
        start, size = with_large_hole({**header, "__metadata__": meta}, body)
        path = tmp_path / "large"
        with path.open("wb") as file:
            file.write(start)
            file.truncate(size)
        outcome = watched("load", path)
        assert outcome.status == FORMAT
        assert reason in outcome.text


# --------------------------------------------------------------------------------- heard meanwhile


@pytest.fixture
def large(tmp_path) -> Path:
    """A model file of 48 MiB, most of it a hole."""
    m = bn.Model(vocab_size=3, hidden_size=2, output_size=3)
    m.save(tmp_path / "m")
    header, body = split((tmp_path / "m").read_bytes())
    size = 48 << 20
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [len(body), len(body) + size]}
    data = joined({**header, "extra.large": entry}, body, sign=False)
    digest = header["__metadata__"]["sha256"].encode()
    at = data.index(digest)
    sha = hashlib.sha256(data[:at] + b"0" * 64 + data[at + 64 :])
    sha.update(bytes(size))
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(data[:at] + sha.hexdigest().encode() + data[at + 64 :])
        file.truncate(len(data) + size)
    return path


def test_a_large_file_is_written_as_it_was_read(watched, tmp_path, target) -> None:
    """Pieces of a mebibyte: of a size that is no multiple of it, with different contents."""
    m = bn.Model(vocab_size=3, hidden_size=2, output_size=3)
    m.tensors["a"] = np.arange(700_001.0)
    m.tensors["b"] = np.arange(300_001, dtype="f4")
    data = m._native.serialize()
    header, body = split(data)
    assert joined(header, body) == data  # its digest is right, says hashlib
    begin, end = header["extra.a"]["data_offsets"]
    assert body[begin:end] == m.tensors["a"].tobytes()
    m.save(tmp_path / "m")
    assert watched("save", tmp_path / "m", target).status == OK
    assert target.read_bytes() == data
    twin = bn.load(target)
    for name in ["a", "b"]:
        np.testing.assert_array_equal(twin.tensors[name], m.tensors[name])
    assert twin._native.serialize() == data


def test_loading_and_saving_ask_once_per_some_mebibytes(watched, large, target) -> None:
    """Reading, hashing and copying each ask; whenever the answer is to stop, nothing changes."""
    often, mebibytes = 8 << 20, 48
    for command in [("load", large), ("save", large, target)]:
        target.write_bytes(b"old")
        whole = watched(*command)
        assert whole.status == OK, whole.text
        assert whole.asks >= 3 * mebibytes // 8
        target.write_bytes(b"old")
        for ask in [1, 2, *range(3, whole.asks, 5), whole.asks]:
            outcome = watched(*command, cancel=ask)
            assert (outcome.status, outcome.asks) == (CANCELLED, ask)
            assert outcome.bytes_read() <= ask * often
            assert target.read_bytes() == b"old"
            assert list(target.parent.iterdir()) == [target]
