"""Small model files, and files made from their headers and bodies."""

import hashlib
import json
import struct

import pytest

import bptt_native as bn
from helpers.updates import TOKENS


def small(**options):
    """Return a model whose file has a few hundred bytes."""
    settings = {"vocab_size": 3, "hidden_size": 2, "output_size": 3, "clip_norm": 0.5, "seed": 4}
    return bn.Model(**(settings | options))


def trained(**options):
    """Return a model after two steps, and the tokens of these."""
    m = small(**options)
    for _ in range(2):
        m.train_step(TOKENS[:-1], TOKENS[1:])
    return m, TOKENS


def split(data):
    """Return the header and the body of a file."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header, body, sign=True):
    """Return a file of this header and body, with the right checksum unless `sign` is False."""
    meta = header.get("__metadata__")
    if sign and isinstance(meta, dict) and "sha256" in meta:
        meta["sha256"] = "0" * 64
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    data = struct.pack("<Q", len(text)) + text + body
    if sign and isinstance(meta, dict) and "sha256" in meta:
        at = data.index(b'"sha256":"') + 10
        data = data[:at] + hashlib.sha256(data).hexdigest().encode() + data[at + 64 :]
    return data


def load_bytes(tmp_path, data):
    """Load a model from a file of these bytes."""
    path = tmp_path / "case.safetensors"
    path.write_bytes(data)
    return bn.load(path)


def refused(tmp_path, data, text=""):
    """Load bytes that must be refused as no model file; return the message, which has `text`."""
    with pytest.raises((ValueError, MemoryError)) as caught:
        load_bytes(tmp_path, data)
    message = str(caught.value)
    assert message.startswith(
        "load: argument 'path': expected a model file of bptt_native, got "
    ) or isinstance(caught.value, MemoryError), message
    assert text in message, message
    return message


def spoilt_headers(header, body):
    """Yield a name, a header that says something impossible, and its body."""
    name = "rnn.weight_hh_l0"

    def changed(**tensor):
        other = json.loads(json.dumps(header))
        other[name].update(tensor)
        return other

    def without(key, where=None):
        other = json.loads(json.dumps(header))
        del (other["__metadata__"] if where else other)[key]
        return other

    def meta(**entries):
        other = json.loads(json.dumps(header))
        other["__metadata__"].update(entries)
        return other

    def config(**entries):
        old = json.loads(header["__metadata__"]["config"])
        return meta(config=json.dumps(old | entries))

    begin, end = header[name]["data_offsets"]
    size = len(body)
    yield "another format", meta(format="other"), body
    yield "a newer version", meta(format_version="2"), body
    yield "no version", without("format_version", "meta"), body
    yield "no checksum", without("sha256", "meta"), body
    yield "a number in the metadata", meta(steps_taken=3), body
    yield "negative steps", meta(steps_taken="-1"), body
    yield "steps that are no number", meta(optimizer_steps="x"), body
    yield "no config", without("config", "meta"), body
    yield "a config that is no JSON", meta(config="{"), body
    yield "unknown frozen names", meta(frozen='["nothing"]'), body
    yield "a missing tensor", without(name), body
    yield "an unknown tensor", {**header, "more": header[name]}, body
    yield "another dtype", changed(dtype="F64"), body
    yield "an unknown dtype", changed(dtype="Q8"), body
    yield "another shape", changed(shape=[1, (end - begin) // 4]), body
    yield "a negative shape", changed(shape=[-1, -1]), body
    yield "a fraction in the shape", changed(shape=[0.5, 1]), body
    yield "a shape of rank 9", changed(shape=[1] * 9), body
    yield "a huge shape", changed(shape=[2**62, 2**62]), body
    yield "reversed offsets", changed(data_offsets=[end, begin]), body
    yield "overlapping offsets", changed(data_offsets=[0, end - begin]), body
    yield "offsets beyond the end", changed(data_offsets=[size, size + end - begin]), body
    yield "a hole", header, body + b"\0" * 8
    yield "an unknown cell", config(cell="esn"), body
    yield "an unknown option", config(more=1), body
    yield "a text for a number", config(lr="1"), body
    yield "a larger hidden size", config(hidden_size=3), body
    yield "an enormous hidden size", config(hidden_size=2**40), body
    yield "no hidden size", config(hidden_size=0), body
    yield "a negative hidden size", config(hidden_size=-1), body
    yield "a NaN learning rate", config(lr=float("nan")), body
    yield "many layers", config(num_layers=2**40), body
    yield "another dtype in the options", config(dtype="float64"), body
    yield "a negative threshold", config(clip_norm=-1.0), body
    yield "an unknown form", config(optimizer="rmsprop", rmsprop_form="other"), body
    yield "nesterov of Adam", config(nesterov=True), body
    yield "a flag that is none", config(amsgrad=1), body
    yield "alpha of Adam", config(rmsprop_alpha=0.5), body
    yield "a radius of 0", config(spectral_radius=0.0), body
    yield "chrono without a time", config(init="chrono"), body
    yield "a time without chrono", config(time_scale=50.0), body
    yield "amsgrad without its moment", config(amsgrad=True), body
    yield "a dropout of 1", config(dropout=1.0), body
    yield "a negative zoneout", config(zoneout=-0.1), body
    yield "no dropout at all", config(dropout=None), body
    yield "an alpha of an LSTM", config(alpha=0.5), body
    yield "an alpha of 0", config(alpha=0.0), body
    yield "a noise of an LSTM", config(noise=0.5), body
    yield "a dale of an LSTM", config(dale=0.5), body
    yield "a fraction above 1", config(dale=1.5), body
    yield "a reset of an LSTM", config(reset_after=False), body
    yield "a projection that is none", config(proj_size=2), body
    yield "a projection without weights", config(proj_size=1), body
    yield "a negative projection", config(proj_size=-1), body
    yield "a flag that is a number", config(bidirectional=1), body
    yield "another direction", config(bidirectional=True), body
    yield "peepholes without weights", config(peephole=True), body
    yield "gains that are missing", config(layer_norm=True), body
    yield "a gate too many", config(coupled=True), body
    yield "a regulariser of an LSTM", config(omega=0.5), body
    yield "windows that do not end", config(truncation_k1=3), body
    yield "windows that do not reach", config(truncation_k1=3, truncation_k2=2), body
    yield "a fraction of a window", config(truncation_k1=1.5, truncation_k2=2), body
    yield "groups of unknown names", meta(groups='{"nothing":[1,null]}'), body
    yield "groups that are no JSON", meta(groups="{"), body
    yield "a group of one number", meta(groups=f'{{"{name}":[1]}}'), body
    yield "a group of three numbers", meta(groups=f'{{"{name}":[1,null,1]}}'), body
    yield "a group without a rate", meta(groups=f'{{"{name}":[null,1]}}'), body
    yield "a negative rate", meta(groups=f'{{"{name}":[-1,null]}}'), body
    yield "a negative decay", meta(groups=f'{{"{name}":[1,-1]}}'), body
