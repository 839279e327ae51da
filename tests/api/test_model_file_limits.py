"""Model files at the limits of the reader: both sides of each limit, repeated keys, large sizes."""

import ctypes
import hashlib
import json
import struct

import numpy as np
import pytest

import bptt_native as bn
from helpers.cprograms import library
from helpers.model_files import joined, refused, small, split, trained

NAME = "rnn.weight_hh_l0"
read = bn._core.Model.deserialize


@pytest.fixture(scope="module")
def parts():
    """The header and the data of a small file."""
    m, _ = trained()
    return split(m._native.serialize())


def copied(header):
    return json.loads(json.dumps(header))


def signed(text: bytes, body: bytes) -> bytes:
    """A file of this text of a header, whose digest has 64 zeros, with the right digest."""
    text += b" " * (-len(text) % 8)
    data = struct.pack("<Q", len(text)) + text + body
    at = data.index(b'"sha256":"') + 10
    assert data[at : at + 64] == b"0" * 64
    return data[:at] + hashlib.sha256(data).hexdigest().encode() + data[at + 64 :]


def text_of(header) -> str:
    header = copied(header)
    header["__metadata__"]["sha256"] = "0" * 64
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False)


def accepted(data: bytes) -> None:
    assert read(data).steps() == (2, 0)


def refusal(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match="argument 'data': expected a model file") as caught:
        read(data)
    assert text in str(caught.value)


def with_extras(parts, extras: dict, size: int = 0) -> bytes:
    """A file with more tensors; `size` bytes of zeros follow the data."""
    header, body = parts
    return joined({**header, **extras}, body + bytes(size))


def empty(at: int, **changes) -> dict:
    return {"dtype": "F32", "shape": [0], "data_offsets": [at, at]} | changes


# ------------------------------------------------------------------------------------------- bounds


def test_the_length_of_a_header(parts) -> None:
    header, body = parts
    text = text_of(header).encode()
    most = 16 << 20
    accepted(signed(text + b" " * (most - len(text)), body))
    refusal(signed(text + b" " * (most + 1 - len(text)), body), "more than 16 MiB")
    m = small()
    m.metadata["a"] = "x" * most
    with pytest.raises(ValueError, match=r"argument 'self': .* a header of more than 16 MiB"):
        m._native.serialize()


def test_a_header_ends_within_the_file() -> None:
    refusal(b"1234567", "less than 8 bytes")
    refusal(bytes(8), "does not begin with '{'")
    refusal(struct.pack("<Q", 2) + b"{}", "another program")
    refusal(struct.pack("<Q", 3) + b"{}", "a header of 3 bytes, more than there are")
    refusal(struct.pack("<Q", 16 << 20) + b"{}", "more than there are")
    refusal(struct.pack("<Q", (16 << 20) + 1) + b"{}", "more than 16 MiB")


def test_the_count_of_tensors(parts) -> None:
    header, body = parts
    most = 100_000
    more = {f"extra.{i}": empty(len(body)) for i in range(most - len(header) + 1)}
    accepted(with_extras(parts, more))
    more["extra.one"] = empty(len(body))
    refusal(with_extras(parts, more), "more than 100001 members")
    foreign = json.dumps({f"extra.{i}": empty(0) for i in range(most + 1)}).encode()
    refusal(struct.pack("<Q", len(foreign)) + foreign, "more than 100000 tensors")


def test_a_header_without_tensors(parts) -> None:
    header = {"__metadata__": copied(parts[0])["__metadata__"]}
    refusal(joined(header, b""), "options need more parameters than it holds")
    refusal(joined(header, b"\0"), "an altered model file of ")


def test_the_count_of_texts(parts) -> None:
    header, body = copied(parts[0]), parts[1]
    meta = header["__metadata__"]
    meta |= {f"user.{i}": "" for i in range(100_000 - len(meta))}
    accepted(joined(header, body))
    meta["user.one"] = ""
    refusal(joined(header, body), "more than 100000 members")
    m = small()
    own = len(split(m._native.serialize())[0]["__metadata__"])
    for i in range(100_000 - own):
        m._native.set_metadata(str(i), "")
    read(m._native.serialize())
    m._native.set_metadata("one", "")
    with pytest.raises(ValueError, match="more than 100000 entries of metadata"):
        m._native.serialize()


def test_the_rank_and_the_name_of_a_tensor(parts) -> None:
    at = len(parts[1])
    accepted(with_extras(parts, {"extra.a": empty(at, shape=[0] * 8)}))
    refusal(with_extras(parts, {"extra.a": empty(at, shape=[0] * 9)}), "more than 8 elements")
    longest = "extra." + "é" * 509
    assert len(longest.encode()) == 1024
    accepted(with_extras(parts, {longest: empty(at)}))
    refusal(with_extras(parts, {longest + "x": empty(at)}), "more than 1024 bytes")
    accepted(with_extras(parts, {"extra.a": empty(at)}))
    refusal(with_extras(parts, {"extra.": empty(at)}), "unknown tensor 'extra.'")
    refusal(with_extras(parts, {"extra": empty(at)}), "unknown tensor 'extra'")
    refusal(with_extras(parts, {"extra.a\0": empty(at)}), "a NUL character")


def test_long_names_are_cut_in_messages(parts) -> None:
    at = len(parts[1])
    for name, shown in [("n" * 80, "n" * 80 + "'"), ("n" * 81, "n" * 80 + "...'"),
                        ("n" * 79 + "éa", "n" * 79 + "...'")]:  # fmt: skip
        refusal(with_extras(parts, {name: empty(at, dtype="?")}), f"tensor '{shown} has")


def test_what_a_tensor_has_to_say(parts) -> None:
    at = len(parts[1])
    for key in ["dtype", "shape", "data_offsets"]:
        entry = empty(at)
        del entry[key]
        refusal(with_extras(parts, {"extra.a": entry}), "lacks dtype, shape or data_offsets")
    changes = [
        ({"more": 1}, "more than 3 members"),
        ({"dtype": "x" * 16}, "unknown dtype"),
        ({"dtype": "x" * 17}, "more than 16 bytes"),
        ({"data_offsets": [at]}, "lacks dtype, shape or data_offsets"),
        ({"data_offsets": [at, at, at]}, "more than 2 elements"),
        ({"data_offsets": [at + 1, at]}, "ends before it begins"),
        ({"shape": [-1]}, "a negative integer"),
        ({"shape": [2**63 - 1]}, "is too large"),
        ({"shape": [2**63]}, "an integer out of range"),
        ({"shape": [1]}, "data that do not fit its shape"),
        ({"data_offsets": [at - 1, at - 1]}, "overlaps another"),
        ({"data_offsets": [at + 1, at + 1]}, "a gap before"),
        ({"dtype": "I32"}, "has the dtype I32"),
    ]
    for change, text in changes:
        refusal(with_extras(parts, {"extra.a": empty(at, **change)}), text)
    other = {"shape": [0], "data_offsets": [at, at], "more": 1}
    refusal(with_extras(parts, {"extra.a": other}), "an unknown key in tensor 'extra.a'")


def test_every_type_has_its_size(parts) -> None:
    """Tensors of others are refused by their types only where their sizes are right."""
    at = len(parts[1])
    sizes = dict.fromkeys(["F64", "I64", "U64"], 8) | dict.fromkeys(["F32", "I32", "U32"], 4)
    sizes |= dict.fromkeys(["F16", "BF16", "I16", "U16"], 2)
    sizes |= dict.fromkeys(["I8", "U8", "F8_E4M3", "F8_E5M2", "BOOL"], 1)
    for dtype, size in sizes.items():
        entry = {"dtype": dtype, "shape": [3], "data_offsets": [at, at + 3 * size]}
        data = with_extras(parts, {"extra.a": entry}, 3 * size)
        if dtype in ("F64", "I64", "F32"):
            accepted(data)
        else:
            refusal(data, f"tensor 'extra.a' has the dtype {dtype}")
        entry["data_offsets"][1] += 1
        refusal(with_extras(parts, {"extra.a": entry}, 3 * size + 1), "do not fit its shape")


@pytest.mark.parametrize(
    "shape",
    [
        [2**30], [2**31, 2], [2**16, 2**16], [2**32],  # 0 bytes in 32 bits
        [2**62], [2**62, 4], [2**32, 2**32], [2**31, 2**31], [2**61, 2**3],  # and in 64
        [2**16] * 4, [2**62, 2**62, 0],
    ],
    ids=str,
)  # fmt: skip
def test_sizes_that_overflow(shape, parts) -> None:
    at = len(parts[1])
    data = with_extras(parts, {"extra.a": empty(at, shape=shape)})
    with pytest.raises(ValueError, match=r"'extra\.a' (is too large|has data that do not fit)"):
        read(data)


def test_offsets_beyond_32_bits(parts) -> None:
    at, four = len(parts[1]), 2**32
    large = {"dtype": "F32", "shape": [2**30], "data_offsets": [at, at + four]}
    for begin, text in [
        (at, "overlaps another"),
        (at + four - 4, "overlaps another"),
        (at + four + 4, "a gap before"),
    ]:
        second = empty(at, shape=[1], data_offsets=[begin, begin + 4])
        refusal(with_extras(parts, {"extra.a": large, "extra.b": second}), text)
    data = with_extras(parts, {"extra.a": large, "extra.b": empty(at + four)})
    refusal(data, f"a truncated model file of {len(data)} bytes where its header needs "
            f"{len(data) + four}")  # fmt: skip
    last = {"dtype": "F32", "shape": [2**61 - 2**20], "data_offsets": [at, at + 2**63 - 2**22]}
    refusal(with_extras(parts, {"extra.a": last}), "where its header needs 9223372036850")


def test_sizes_of_arrays_that_overflow(tmp_path) -> None:
    """Through the C API: nothing of `values` is read."""
    small().save(tmp_path / "m")
    bptt = ctypes.CDLL(str(library()))
    model = ctypes.c_void_p()
    assert bptt.bptt_model_load(str(tmp_path / "m").encode(), ctypes.byref(model)) == 0
    value = ctypes.c_double(3)

    def set_extra(shape: list[int], dtype: int = 1) -> int:
        sizes = (ctypes.c_int64 * max(1, len(shape)))(*shape)
        return bptt.bptt_model_set_extra(
            model, b"x", dtype, ctypes.c_int64(len(shape)), sizes, ctypes.byref(value)
        )

    argument, memory = 1, 8
    for shape in [[2**62, 4], [2**32, 2**32], [2**62], [2**63 - 1], [2**63 - 1, 2], [2**61]]:
        for dtype in [1, 2, 3]:
            assert set_extra(shape, dtype) == memory, shape
    assert set_extra([-1]) == set_extra([1] * 9) == argument
    assert set_extra([1] * 8) == set_extra([]) == set_extra([0, 2**40]) == 0
    assert set_extra([1], 3) == 0
    bptt.bptt_model_free(model)


def test_the_kinds_of_other_files() -> None:
    kinds = {
        b"\x80\x02": "a pickle", b"\x80\x05...........": "a pickle",
        b"PK\x03\x04": "a zip archive", b"\x93NUMPY": "a NumPy array file",
        b"\x89HDF\r\n\x1a\n": "an HDF5 file", b"\x1f\x8b": "a gzip archive",
    }  # fmt: skip
    for start, kind in kinds.items():
        refusal(start, f"got {kind}")
        refusal(start + bytes(100), f"got {kind}")
        with pytest.raises(ValueError, match="given to load_state_dict"):
            read(start)
    for start in [b"\x80", b"\x80\x01", b"\x80\x06", b"PK\x03\x05", b"PK\x03", b"\x93NUMP",
                  b"\x89HDF\r\n\x1a", b"\x1f", b"\x1f\x8c", b"\x81\x02"]:  # fmt: skip
        refusal(start, "not a safetensors file")
    refusal(b"", "an empty file")


def test_the_beginning_of_a_model_file_is_known(parts) -> None:
    data = joined(*parts)
    for length in [9, 10, 47, 48, 49, 200]:
        refusal(data[:length], f"a truncated or damaged model file of {length} bytes (a header of")
    refusal(data[:8], "not a safetensors file")
    for at in [8, 30, 47]:
        refusal(data[:at] + b"?" + data[at + 1 : 100], "not a safetensors file")
    refusal(data[:48] + b"?" + data[49:100], "a truncated or damaged model file of 100 bytes")


PLAIN = [
    {"cell": "rnn"}, {"cell": "gru", "num_layers": 3}, {"num_layers": 2, "bidirectional": True},
    {"embedding_size": 4}, {"bias": False},
    {"dtype": "float64"}, {"vocab_size": None, "input_size": 5}, {"cell": "gru", "bias": False},
]  # fmt: skip


@pytest.mark.parametrize("options", PLAIN, ids=str)
def test_options_that_need_more_than_there_is(options) -> None:
    """A file of parameters alone is taken; one unit, layer, input or output more is not."""
    settings = {"hidden_size": 3, "output_size": 2, "optimizer": "sgd", "momentum": 0.0}
    m = small(**(settings | options))
    header, body = split(m._native.serialize())
    config = json.loads(header["__metadata__"]["config"])
    read(with_config((header, body)))
    for name in ["hidden_size", "num_layers", "output_size", "vocab_size", "input_size",
                 "embedding_size"]:  # fmt: skip
        if config[name]:
            more = with_config((header, body), **{name: str(config[name] + 1)})
            refusal(more, "a model file whose options need more parameters than it holds")


# ---------------------------------------------------------------------------------- texts, numbers


def test_repeated_keys(parts) -> None:
    header, body = parts
    text = text_of(header)
    entry = json.dumps(header[NAME], separators=(",", ":"))
    own = f'"{NAME}":{entry}'
    assert own in text
    accepted(signed(text.encode(), body))
    config = json.dumps(header["__metadata__"]["config"])
    repeated = {
        "a tensor": text[:-1] + "," + own + "}",
        "the metadata": text[:-1] + ',"__metadata__":{}}',
        "a text": text.replace('"steps_taken":"2"', '"steps_taken":"2","steps_taken":"2"'),
        "a type": text.replace(own, own.replace('"dtype":"F32"', '"dtype":"F32","dtype":"F32"')),
        "an option": text.replace(config, config[:2] + r"\"bias\":true," + config[2:]),
        "a group": text.replace(
            '"groups":"{}"', rf'"groups":"{{\"{NAME}\":[1,null],\"{NAME}\":[1,null]}}"'
        ),
    }
    for name, spoilt in repeated.items():
        assert spoilt != text, name
        refusal(signed(spoilt.encode(), body), "a repeated key")


ACCEPTED = {
    r'"a"': "a",
    r'""': "",
    r'"\"\\\/\b\f\n\r\t"': '"\\/\b\f\n\r\t',
    r'"\u0041\u00e9\u20AC"': "Aé€",
    r'"\u007f\u0080\u07ff\u0800\uffff"': "\x7f\x80\u07ff\u0800\uffff",
    r'"\ud800\udc00\uDBFF\uDFFF"': "\U00010000\U0010ffff",
    r'"\ud7ff\ue000"': "\ud7ff\ue000",
    '"\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"':
        "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff",
    ' \t\n\r"a" \t\n\r': "a",
}  # fmt: skip
REFUSED = {
    b'"\\u0000"': "a NUL character",
    b'"\\x"': "an unknown escape",
    b'"\\u12"': "four hexadecimal digits",
    b'"\\u12g4"': "four hexadecimal digits",
    b'"\\u-123"': "four hexadecimal digits",
    b'"\\ud800"': "half a surrogate pair",
    b'"\\ud800\\n"': "half a surrogate pair",
    b'"\\ud800\\ud800"': "half a surrogate pair",
    b'"\\ud800\\ue000"': "half a surrogate pair",
    b'"\\udbff\\udbff"': "half a surrogate pair",
    b'"\\udc00"': "half a surrogate pair",
    b'"\\udfff"': "half a surrogate pair",
    b'"\x1f"': "a control character",
    b'"\n"': "a control character",
    b'"\x80"': "not UTF-8",
    b'"\xc1\xbf"': "not UTF-8",
    b'"\xc2"': "not UTF-8",
    b'"\xc3\x28"': "not UTF-8",
    b'"\xe0\x9f\xbf"': "not UTF-8",
    b'"\xe2\x82"': "not UTF-8",
    b'"\xed\xa0\x80"': "not UTF-8",
    b'"\xf0\x8f\xbf\xbf"': "not UTF-8",
    b'"\xf0\x9f\x98"': "not UTF-8",
    b'"\xf4\x90\x80\x80"': "not UTF-8",
    b'"\xf5\x80\x80\x80"': "not UTF-8",
    b'"\xff"': "not UTF-8",
    b"1": "expected '\"'",
    b'"a" "b"': "expected '}'",
    b'"a",': "expected '\"'",
    b"'a'": "expected '\"'",
}


def with_text(parts, value: bytes) -> bytes:
    header, body = parts
    text = text_of(header).encode()
    return signed(text.replace(b'"steps_taken"', b'"user.x":' + value + b',"steps_taken"'), body)


@pytest.mark.parametrize("value", ACCEPTED, ids=ascii)
def test_texts_that_json_has(value, parts) -> None:
    assert read(with_text(parts, value.encode())).metadata() == {"x": ACCEPTED[value]}


@pytest.mark.parametrize("value", REFUSED, ids=ascii)
def test_texts_that_json_has_not(value, parts) -> None:
    refusal(with_text(parts, value), REFUSED[value])


def test_headers_that_end_too_soon_or_too_late(parts) -> None:
    header, body = parts
    text = text_of(header).encode()
    refusal(signed(text + b"x", body), "something after the end")
    refusal(signed(text + b"{}", body), "something after the end")
    for ending in [b'"', b'"\\', b'"\\u', b'"\\u00', b'"\xe2', b"1", b"", b'"a":']:
        cut = b'{"__metadata__":{"a":' + ending
        data = struct.pack("<Q", len(cut)) + cut
        with pytest.raises(ValueError, match="a header that is not right at byte"):
            read(data)


def with_config(parts, **options) -> bytes:
    """A file with other options, whose values are JSON."""
    header, body = copied(parts[0]), parts[1]
    meta = header["__metadata__"]
    old = {key: json.dumps(value) for key, value in json.loads(meta["config"]).items()}
    pairs = {**old, **options}.items()
    meta["config"] = "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in pairs) + "}"
    return joined(header, body)


def test_numbers(parts) -> None:
    for text, value in {
        "0": 0.0, "-0": 0.0, "0.5": 0.5, "1e2": 100.0, "1E+2": 100.0, "25e-2": 0.25, "0e0": 0.0,
        "10.25": 10.25, "3.4028234663852886e38": 3.4028234663852886e38, " 2 ": 2.0,
    }.items():  # fmt: skip
        assert read(with_config(parts, clip_norm=text)).options()["clip_norm"] == value
    for text, reason in {
        "1e309": "a number out of range", "-1e309": "a number out of range",
        "00": "a leading zero", "-01": "a leading zero", "01.5": "a leading zero",
        ".5": "expected a number", "1.": "expected a number", "1.e2": "expected a number",
        "1e": "expected a number", "1e+": "expected a number", "+1": "expected a number",
        "-": "expected a number", "": "expected a number", "NaN": "expected a number",
        "Infinity": "expected a number", "0x1": "expected '}'", "1,5": "expected '\"'",
        "true": "expected a number", '"1"': "expected a number", "[1]": "expected a number",
        "null": "impossible option clip_norm",
    }.items():  # fmt: skip
        refusal(with_config(parts, clip_norm=text), reason)
    assert read(with_config(parts, lr="0")).options()["lr"] == 0
    for text in ["null", "-1", "-5e-324", "3.41e38"]:
        refusal(with_config(parts, lr=text), "impossible option lr")


def test_integers_and_flags(parts) -> None:
    for text, value in {"-9223372036854775808": -(2**63), "9223372036854775807": 2**63 - 1}.items():
        assert read(with_config(parts, ignore_index=text)).options()["ignore_index"] == value
    for text, reason in {
        "-9223372036854775809": "an integer out of range",
        "9223372036854775808": "an integer out of range",
        "1.0": "expected an integer", "1e2": "expected an integer", "1E2": "expected an integer",
        "null": "expected a number", "007": "a leading zero",
    }.items():  # fmt: skip
        refusal(with_config(parts, ignore_index=text), reason)
    accepted(with_config(parts, batch_first="true"))
    for text in ["1", "null", '"true"', "tru", "False"]:
        refusal(with_config(parts, batch_first=text), "expected true or false")
    refusal(with_config(parts, batch_first="truefalse"), "expected '}'")


def test_seeds(parts) -> None:
    for seed in [0, 1, 10, 2**63, 2**64 - 1]:
        assert read(with_config(parts, seed=f'"{seed}"')).options()["seed"] == seed
    for text in ["", "01", "00", "-1", "+1", " 1", "1 ", "a", "1:", "1/", "18446744073709551616",
                 "99999999999999999999", "1e3"]:  # fmt: skip
        refusal(with_config(parts, seed=f'"{text}"'), "impossible option seed")
    refusal(with_config(parts, seed=f'"{"1" * 32}"'), "impossible option seed")
    refusal(with_config(parts, seed=f'"{"1" * 33}"'), "more than 32 bytes")


def test_counts(parts) -> None:
    for key in ["steps_taken", "steps_skipped", "optimizer_steps"]:
        for text in ["", "-1", "+1", "1 ", " 1", "1.0", "x", "9223372036854775808"]:
            header = copied(parts[0])
            header["__metadata__"][key] = text
            refusal(joined(header, parts[1]), f"whose '{key}' is not a count")
    header = copied(parts[0])
    large = 2**40 + 7
    header["__metadata__"] |= {"steps_taken": str(large), "steps_skipped": "3"}
    assert read(joined(header, parts[1])).steps() == (large, 3)
    header["__metadata__"] |= {"steps_taken": "3", "steps_skipped": str(large)}
    assert read(joined(header, parts[1])).steps() == (3, large)


def test_class_weights() -> None:
    header, body = split(small(class_weights=[1.0, 0.0, 2.5])._native.serialize())
    begin, end = header["loss.class_weights"]["data_offsets"]

    def with_weights(*weights: float) -> bytes:
        return joined(header, body[:begin] + np.array(weights).tobytes() + body[end:])

    assert list(read(with_weights(1, 0, 2.5)).options()["class_weights"]) == [1, 0, 2.5]
    for weights in [(1, -1, 2), (-1, 1, 1), (np.nan, 1, 1), (1, 1, np.inf), (0, 0, 0)]:
        refusal(with_weights(*weights), "impossible class weights")
    header["loss.class_weights"]["shape"] = [1, 3]
    refusal(joined(header, body), "'loss.class_weights' has another shape")


def test_texts_of_others(parts) -> None:
    for key, text in {"user": "unknown metadata 'user'", "user.": "unknown metadata 'user.'",
                      "more": "unknown metadata 'more'"}.items():  # fmt: skip
        header = copied(parts[0])
        header["__metadata__"][key] = ""
        refusal(joined(header, parts[1]), text)
    for key in ["config", "steps_taken", "frozen", "library_version", "optimizer_steps"]:
        header = copied(parts[0])
        del header["__metadata__"][key]
        refusal(joined(header, parts[1]), f"without the metadata '{key}'")
    longest = "user." + "k" * 1019
    header = copied(parts[0])
    header["__metadata__"][longest] = "v"
    assert read(joined(header, parts[1])).metadata() == {"k" * 1019: "v"}
    header["__metadata__"][longest + "k"] = "v"
    refusal(joined(header, parts[1]), "more than 1024 bytes")
    header = copied(parts[0])
    header["__metadata__"]["user.a\0b"] = "v"
    refusal(joined(header, parts[1]), "a NUL character")


def test_versions(parts) -> None:
    for version, text in {"2": "of format version 2, newer than this library's 1", "0": "altered",
                          "": "altered", "1.0": "altered", "-1": "altered", "01": "altered",
                          "9" * 30: f"(format_version '{'9' * 16}')"}.items():  # fmt: skip
        header = copied(parts[0])
        header["__metadata__"]["format_version"] = version
        refusal(joined(header, parts[1]), text)


# ---------------------------------------------------------------------------- what a file restores


RANDOM = {
    "dropout": {"cell": "lstm", "num_layers": 2, "dropout": 0.5},
    "variational": {"cell": "lstm", "num_layers": 2, "dropout": 0.5, "variational": True},
    "recurrent dropout": {"cell": "gru", "recurrent_dropout": 0.5},
    "zoneout": {"cell": "lstm", "zoneout": 0.5, "zoneout_c": 0.25},
    "noise": {"cell": "rnn", "noise": 0.5},
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_masks_go_on_as_they_would_have(name) -> None:
    """The seed of masks and noise, and the place in their sequence, come from the file."""
    options = RANDOM[name]
    m, tokens = trained(hidden_size=8, seed=12345, **options)
    twin = bn.nn.network._restore(bn.Model, m._native.serialize())
    assert twin.config == m.config
    for _ in range(3):
        a, b = m.train_step(tokens[:-1], tokens[1:]), twin.train_step(tokens[:-1], tokens[1:])
        assert (a.loss, a.grad_norm) == (b.loss, b.grad_norm)
    for key, value in m.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[key])
    other, _ = trained(hidden_size=8, seed=12346, **options)
    for _ in range(3):
        other.train_step(tokens[:-1], tokens[1:])
    other.load_state_dict(m.state_dict())
    losses = {net.train_step(tokens[:-1], tokens[1:]).loss for net in (m, other)}
    assert len(losses) == 2, "the seed makes a difference"


def test_groups_and_frozen_tensors_come_back() -> None:
    m, tokens = trained(optimizer="adam", weight_decay=0.1)
    names = [p.name for p in m.parameters()]
    m.freeze(names[1])
    m.optimizer.set_group(names[0], lr_scale=0.5)
    m.optimizer.set_group(names[2], weight_decay=0.25)
    m.optimizer.set_group(names[3], lr_scale=0.0, weight_decay=0.0)
    twin = bn.nn.network._restore(bn.Model, m._native.serialize())
    assert twin.optimizer.groups == m.optimizer.groups
    assert repr(twin.parameters) == repr(m.parameters)
    for _ in range(2):
        m.train_step(tokens[:-1], tokens[1:])
        twin.train_step(tokens[:-1], tokens[1:])
    for key, value in m.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[key])


def test_files_name_their_argument(tmp_path, parts) -> None:
    header, body = parts
    refused(tmp_path, joined(header, body)[:-1], "load: argument 'path': expected a model file")
    refusal(joined(header, body)[:-1], "Model.deserialize: argument 'data': expected a model file")
