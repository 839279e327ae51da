"""Model files: round trips, and refusals of foreign and altered files."""

import hashlib
import io
import itertools
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

import bptt_native as bn
from helpers.displays import constructor_of
from helpers.model_files import joined, load_bytes, refused, small, split, spoilt_headers, trained
from helpers.paths import DATA
from helpers.program import python

CELLS = {"rnn": {"nonlinearity": "relu"}, "lstm": {"forget_bias": 1.0}, "gru": {}}
OPTIMIZERS = {"sgd": {"momentum": 0.9}, "adagrad": {}, "adam": {"weight_decay": 0.01}}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The bytes of a small file."""
    m, _ = trained()
    m.metadata["vocabulary"] = '["a", "ä", "\\u0000"]'
    m.tensors["state"] = np.arange(4, dtype="f4").reshape(2, 2)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    m.save(path)
    return path.read_bytes()


# -------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize(
    ("cell", "optimizer", "dtype"),
    list(itertools.product(CELLS, OPTIMIZERS, ["float32", "float64"])),
)
def test_training_goes_on_to_the_same_bits(cell, optimizer, dtype, tmp_path):
    options = {"cell": cell, "optimizer": optimizer, "dtype": dtype, "lr": 0.05, "num_layers": 2}
    m, tokens = trained(**options, **CELLS[cell], **OPTIMIZERS[optimizer])
    m.lr = 0.025
    m.freeze("rnn.weight_hh_l1")
    path = tmp_path / "model"
    m.save(path)
    twin = bn.load(path)
    assert repr(twin) == repr(m)
    assert twin.config == m.config
    assert repr(twin.parameters) == repr(m.parameters)
    assert (twin.step_count, twin.skipped_count, twin.lr) == (2, 0, 0.025)
    for a, b in zip(
        m.optimizer.state_dict().items(), twin.optimizer.state_dict().items(), strict=True
    ):
        np.testing.assert_equal(a, b)
    for _ in range(3):
        a, b = m.train_step(tokens[:-1], tokens[1:]), twin.train_step(tokens[:-1], tokens[1:])
        assert (a.loss, a.grad_norm) == (b.loss, b.grad_norm)
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name])
    assert twin.step_count == 5


@pytest.mark.parametrize("options", [{"hidden_size": 20}, {"num_layers": 6, "bias": False}])
def test_a_model_of_mingru_loads_although_it_has_no_recurrent_weights(options, tmp_path) -> None:
    m, _ = trained(cell="mingru", optimizer="sgd", **options)
    m.save(tmp_path / "model")
    twin = bn.load(tmp_path / "model")
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name])


def test_other_options_are_kept(tmp_path):
    for options in (
        {"embedding_size": 2, "targets": "last", "reduction": "sum", "clip_norm": None},
        {
            "vocab_size": None,
            "input_size": 2,
            "loss": "mse",
            "clip_value": 1.0,
            "clip_step": 0.5,
            "bias": False,
        },
        {
            "init": bn.Init("identity", 0.5),
            "eps": 1e-7,
            "betas": (0.5, 0.75),
            "clip_tensor_norm": 2.0,
            "seed": 2**64 - 1,
        },
    ):
        m = small(**options)
        m.save(tmp_path / "m")
        assert bn.load(tmp_path / "m").config == m.config


def test_texts_and_arrays_travel_along(tmp_path):
    m = small()
    texts = {
        "empty": "",
        "a": 'ä€😀\n\t"\\',
        "key with spaces é": "1",
        "json": json.dumps({"a": [1, None]}),
    }
    arrays = {
        "float32": np.array([1, np.nan, np.inf, -0.0], "f4"),
        "float64": np.array([[5e-324, 1.7e308]]),
        "int64": np.array([-(2**63), 2**63 - 1]),
        "scalar": np.array(3.0),
        "none": np.zeros((0, 3)),
        "rank 8": np.arange(2.0).reshape(1, 1, 1, 1, 1, 1, 1, 2),
        "rnn.weight_hh_l0": np.ones(2),
    }
    m.metadata.update(texts)
    m.tensors.update(arrays)
    m.save(tmp_path / "m")
    twin = bn.load(tmp_path / "m")
    assert dict(twin.metadata) == texts
    assert list(twin.tensors) == sorted(arrays)
    for name, array in arrays.items():
        got = twin.tensors[name]
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_saving_twice_gives_the_same_bytes(tmp_path):
    m, _ = trained()
    m.save(tmp_path / "a")
    bn.load(tmp_path / "a").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_start_that_is_refused_now_still_loads():
    """tests/data/model_dale_identity.safetensors was trained before these were refused together."""
    m = bn.load(DATA / "model_dale_identity.safetensors")
    assert m.config["init"] == "identity"
    assert m.config["dale"] == 0.67
    # Versions may round sums in another order.
    np.testing.assert_allclose(m(m.tensors["x"])[0], m.tensors["out"], rtol=2e-6, atol=2e-7)
    m.train_step(m.tensors["x"], m.tensors["x"])
    with pytest.raises(
        ValueError, match=r"argument 'init': expected a value other than 'identity'"
    ):
        bn.Model(**m.config)


def test_a_file_of_the_first_version_still_loads():
    """tests/data/model_v1.safetensors was written before options were added to the format."""
    m = bn.load(DATA / "model_v1.safetensors")
    assert constructor_of(m) == (
        "Model(cell='lstm', vocab_size=3, embedding_size=2, hidden_size=2, num_layers=2, "
        "output_size=3, init=Init('orthogonal', gain=0.5), forget_bias=1.0, seed=4, lr=0.05, "
        "weight_decay=0.01, clip_norm=0.5, decay_biases=True)"
    )
    plain = bn.Model(vocab_size=3, hidden_size=2, output_size=3).config
    later = ("bidirectional", "layer_norm", "peephole", "coupled", "reset_after", "variational",
             "proj_size", "alpha", "dale", "noise", "dropout", "recurrent_dropout", "zoneout",
             "zoneout_c", "truncation", "omega", "batch_first")  # fmt: skip
    assert {name: m.config[name] for name in later} == {name: plain[name] for name in later}
    assert m.optimizer.groups == {}
    assert (m.step_count, m.optimizer.steps, m.metadata["note"]) == (3, 3, "first")
    assert [p.name for p in m.parameters() if p.frozen] == ["rnn.weight_hh_l1"]
    np.testing.assert_array_equal(m.tensors["state"], np.arange(4.0))
    np.testing.assert_allclose(m.optimizer.state_dict()["exp_avg_sq"].sum(), 5.089944e-4, rtol=1e-6)
    tokens = np.array([[0, 1], [2, 0], [1, 1], [0, 2], [2, 2], [1, 0]])
    np.testing.assert_allclose(m.eval_step(tokens[:-1], tokens[1:])[0], 1.12625146, rtol=1e-6)
    assert not m.train_step(tokens[:-1], tokens[1:]).skipped


def test_the_checksum_is_what_the_format_says(file):
    header, _ = split(file)
    meta = header["__metadata__"]
    assert meta["format"] == "bptt_native.model"
    assert meta["format_version"] == "1"
    zeros = file.replace(meta["sha256"].encode(), b"0" * 64)
    assert hashlib.sha256(zeros).hexdigest() == meta["sha256"]
    assert all(isinstance(value, str) for value in meta.values())


def test_the_safetensors_package_reads_it(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    m, _ = trained(dtype="float64", num_layers=2)
    m.tensors["mine"] = np.arange(3)
    m.metadata["note"] = "ä"
    m.save(tmp_path / "m.safetensors")
    tensors = load_file(tmp_path / "m.safetensors")
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(tensors[name], value)
    np.testing.assert_array_equal(tensors["extra.mine"], np.arange(3))
    moments = np.concatenate([tensors[f"optimizer.exp_avg.{n}"].ravel() for n in m.state_dict()])
    np.testing.assert_array_equal(moments, m.optimizer.state_dict()["exp_avg"])
    with safetensors.safe_open(tmp_path / "m.safetensors", "np") as opened:
        assert opened.metadata()["user.note"] == "ä"


# -------------------------------------------------------------------------------- how it is written


def test_saving_replaces_and_keeps_the_mode_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "m"
    path.write_text("old")
    path.chmod(0o640)
    small().save(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    bn.load(os.fsencode(path))


def test_a_save_that_fails_leaves_the_old_file(tmp_path):
    m = small()
    m.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()
    code = f"""
        import resource, signal
        import bptt_native as bn
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        m = bn.Model(vocab_size=50, hidden_size=64, output_size=50)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            m.save({str(tmp_path / "m")!r})
        except OSError as error:
            print(error.errno, error.filename)
    """
    done = python(code)
    assert done.stdout.split() == ["27", str(tmp_path / "m")], done.stderr
    assert (tmp_path / "m").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_kill_while_saving_leaves_the_old_file_or_the_new_one(tmp_path):
    code = f"""
        import bptt_native as bn
        m = bn.Model(vocab_size=50, hidden_size=96, output_size=50)
        while True:
            m.save({str(tmp_path / "m")!r})
            print(flush=True)
    """
    for delay in np.linspace(0, 0.02, 12):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        assert bn.load(tmp_path / "m").num_parameters > 0
    assert len(list(tmp_path.iterdir())) <= 13
    small().save(tmp_path / "m")


# ---------------------------------------------------------------------------------------- bad files


def test_every_bit_counts(file, tmp_path):
    data = bytearray(file)
    read = bn._core.Model.deserialize  # what load does, without the disk
    for at, bit in itertools.product(range(len(file)), range(8)):
        data[at] ^= 1 << bit
        with pytest.raises(ValueError, match="expected a model file of bptt_native, got "):
            read(bytes(data))
        data[at] ^= 1 << bit
    for at in range(0, len(file), 97):
        refused(tmp_path, file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :])
    assert load_bytes(tmp_path, data).step_count == 2


def test_every_truncation_is_found(file, tmp_path):
    for length in range(len(file)):
        refused(tmp_path, file[:length])
    refused(tmp_path, file + b"\0")
    refused(tmp_path, file + file)


def npz():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    return buffer.getvalue()


def npy():
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return buffer.getvalue()


FOREIGN = {
    "empty": (b"", "an empty file"),
    "seven bytes": (b"1234567", ""),
    "eight zeros": (b"\0" * 8, ""),
    "pickle": (pickle.dumps({"a": 1}), "pickle"),
    "zip": (zipped(), "zip"),
    "npz": (npz(), "zip"),
    "npy": (npy(), "NumPy"),
    "text": (b"Once upon a time there was a network.", "not a safetensors file"),
    "length 2**64 - 1": (b"\xff" * 8 + b"{}", ""),
    "length 2**63": (struct.pack("<Q", 2**63) + b"{}", ""),
    "length 99 MB": (struct.pack("<Q", 99 << 20) + b"{}" * 50, ""),
    "no JSON": (struct.pack("<Q", 8) + b"notjson!", ""),
    "no UTF-8": (struct.pack("<Q", 8) + b'{"\xff\xfe":1', ""),
    "deep list": (struct.pack("<Q", 100_000) + b"[" * 100_000, ""),
    "deep object": (struct.pack("<Q", 100_000) + b'{"a":' * 20_000, ""),
    "a list": (struct.pack("<Q", 2) + b"[]", ""),
    "an empty object": (struct.pack("<Q", 2) + b"{}", "another program"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_named(name, tmp_path):
    refused(tmp_path, *FOREIGN[name])


def test_a_safetensors_file_of_others_is_refused_with_the_way_out(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"weight_ih_l0": np.ones((4, 2), "f4")}, tmp_path / "a", {"format": "pt"})
    message = refused(tmp_path, (tmp_path / "a").read_bytes(), "another program")
    assert "load_state_dict" in message


def test_headers_that_lie_are_refused(file, tmp_path):
    header, body = split(file)
    assert load_bytes(tmp_path, joined(header, body)).step_count == 2
    count = 0
    for name, spoilt, data in spoilt_headers(header, body):
        try:
            refused(tmp_path, joined(spoilt, data))
        except pytest.fail.Exception:
            pytest.fail(f"{name} was taken")
        count += 1
    assert count >= 30


def test_things_that_are_no_files(tmp_path):
    with pytest.raises(IsADirectoryError):
        bn.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        bn.load(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((OSError, ValueError), match="argument 'path': expected"):
        bn.load(tmp_path / "pipe")
    if os.geteuid():
        (tmp_path / "locked").write_bytes(b"")
        (tmp_path / "locked").chmod(0)
        with pytest.raises(PermissionError):
            bn.load(tmp_path / "locked")


def test_the_bytes_of_a_pickle_are_checked_too():
    data = pickle.dumps(trained()[0])
    at = data.index(b"sha256") + 12
    broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    with pytest.raises(ValueError, match="altered"):
        pickle.loads(broken)
