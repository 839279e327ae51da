"""Runs for the tests of the report, and the data that its pages carry."""

import json
import re
from types import SimpleNamespace

from bptt_native import Watch
from bptt_native.apps.text import TextOptions, TextTrainer
from bptt_native.diagnostics import connectivity

NASTY = "</script><b>&\"'`\\ ${x}@data@ שלום عربى e\u0301 \u2028\u2029\u200f\u0000\t\r\n \U0001f600"


def make_text_run(folder):
    """Train on a text of characters that have to be escaped, with records of the gradient."""
    out = folder / "a <run> & more"
    options = TextOptions(hidden=24, embedding=12, layers=2, seq_len=20, batch=8, steps=60,
                          clip_norm=0.2)  # fmt: skip
    text = (NASTY + "the quick brown fox jumps over the lazy dog; ") * 60
    trainer = TextTrainer(text, options)
    trainer.provenance.data = [(f"{NASTY}.txt", "0" * 64)]
    trainer.provenance.command = f"bptt-native train {NASTY}"
    trainer.provenance.baselines = {f"order-4 {NASTY}": 3.25}
    trainer.fit(out, watch=Watch(5, say=[].append))
    return SimpleNamespace(out=out, text=text, line=text[70:150])


def pair(vocabulary, text):
    """Inputs and targets of a text."""
    tokens = vocabulary.encode(text)
    return tokens[:-1], tokens[1:]


def dependence(model, x, outputs):
    """The connectivity of one sequence."""
    return connectivity(model, x[:, None], outputs).matrix


def carried(html):
    """The data that a page carries."""
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(match[1])
