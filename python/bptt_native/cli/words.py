"""Errors in the words of the command line: flags instead of the arguments of Python's functions.

Functions of the package refuse an argument with ``where: argument 'name': expected ..., got ...``.
The command line shows the same text with the flag or the file that was typed.
"""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..arguments.names import suggestion, with_guess

POSITIONAL = {"file": "FILE", "model": "MODEL", "folder": "RUN", "name": "NAME"}
"""The arguments of commands that are no flags, with their names in help texts."""

FILES = ("file", "csv", "test_csv", "text", "model", "folder", "out")
"""The arguments that name a file or a folder."""

# Arguments in Python, with the arguments of the command line that they may come from.
FROM = {
    "hidden_size": ("hidden",),
    "num_layers": ("layers",),
    "embedding_size": ("embedding",),
    "init.gain": ("init_gain",),
    "init.spectral_radius": ("spectral_radius",),
    "init.time_scale": ("time_scale",),
    "betas": ("beta1", "beta2"),
    "truncation": ("truncation_k1", "truncation_k2"),
    "first_test": ("test_from",),
    "order": ("ar",),
    "x": ("seq_len",),
    "steps": ("steps", "epochs"),
    "n": ("threads",),
    "weights": ("init",),
    "text": ("prime", "text", "file"),
    "path": FILES,
}

LOADED = ("model", "folder", "out")
"""The arguments of the command line that name a model file, or the folder of one."""

_ARGUMENT = re.compile(r"(.*?): argument '([\w.]+)(?:\[\d+\])*': (.*)", re.DOTALL)
_OF_ARGPARSE = re.compile(r"argument ([^\s:]+): (.*)", re.DOTALL)
_NUMBERS = {"int": "an integer", "integer": "an integer", "float": "a number", "number": "a number"}


def flag_of(name: str) -> str:
    """Return the flag of an option, or the name of an argument that is no flag."""
    return POSITIONAL.get(name) or "--" + name.replace("_", "-")


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the flags of a parser."""
    return ["--help", *re.findall(r"--[a-z0-9][a-z0-9-]*", parser.format_usage())]


def in_words(text: str, args: argparse.Namespace) -> str:
    """Return the text of an error in the words of the command line.

    Parameters
    ----------
    text : str
        The text of an error about an argument of a function.
    args : Namespace
        The arguments of the command line, with the parser of the command.

    Returns
    -------
    str
        The text with the flag that was typed, or as it is if no argument of the command line
        belongs to it.
    """
    text = re.sub(r"\bgot (-?\d+)\.0$", r"got \1", text)
    found = _ARGUMENT.fullmatch(text)
    if found is None:
        return text
    where, name, rest = found.groups()
    flags = flags_of(args.parser)
    known = [n.removeprefix("--").replace("-", "_") for n in flags]
    known += [n for n in POSITIONAL if hasattr(args, n)]
    table = next((n for n in ("csv", "test_csv") if where == getattr(args, n, None)), None)
    origins = LOADED if name == "path" and where.startswith("load") else FROM.get(name, ())
    places = [place for place in (name, *origins) if place in known]
    if not places:
        return text if table is None else f"argument {flag_of(table)!r}: {where!r}, {name}: {rest}"
    place = _typed(places, args, rest)
    value = getattr(args, place, None)
    if name == "path":
        rest = _with_file(rest, value)
    rest = with_flags(rest, args.parser)
    flag = flag_of(place)
    if isinstance(value, bool) and flag_of(f"no_{place}") in flags:
        flag = flag_of(place if value else f"no_{place}")
        rest = _of_switch(rest, place)
    elif value is None:  # not given, or a flag whose 0 means None
        got = "got 0" if place in vars(args) else "got none"
        rest = re.sub(r"\bgot (None|'')$", got, rest)
    return f"{where!r}: argument {flag!r}: {rest}" if table else f"argument {flag!r}: {rest}"


def _typed(places: list[str], args: argparse.Namespace, rest: str) -> str:
    """Return the one of some arguments that an error is about."""
    given = [place for place in places if getattr(args, place, None) is not None]
    got = rest.rpartition("got ")[2]
    for place in given:
        value = getattr(args, place)
        if place in FILES and str(value) and _names(rest, str(value)):
            return place
        if isinstance(value, int | float) and got in (str(value), f"{value:g}"):
            return place
    return (given or places)[0]


def _names(text: str, path: str) -> bool:
    """Return whether a text has a file, or a file in this folder, in quotation marks."""
    begins = (repr(path)[:-1], repr(os.fsencode(path))[1:-1])
    return any(begin + end in text for begin in begins for end in ("'", "/"))


def _with_file(rest: str, value: object) -> str:
    """Return the end of an error with the name of the file, if it is missing."""
    if not isinstance(value, str) or value in ("", "-") or _names(rest, value):
        return rest
    before, got, after = rest.rpartition(", got ")
    return f"{before}{got}{value!r}: {after}" if got else rest


def _of_switch(rest: str, place: str) -> str:
    """Return the end of an error about an option that is on or off."""
    on, off = flag_of(place), flag_of(f"no_{place}")
    return rest.replace("True", repr(on)).replace("False", repr(off))


def with_flags(text: str, parser: argparse.ArgumentParser) -> str:
    """Return a text with the flags of a command in place of the names and settings of Python.

    Parameters
    ----------
    text : str
        For example "expected None with coupled=True".
    parser : ArgumentParser
        The parser of the command.

    Returns
    -------
    str
        For example "expected no such option with --coupled".
    """
    known = flags_of(parser)

    def flag(name: str) -> str:
        own = flag_of(FROM.get(name, (name,))[0])
        return own if own in known else name

    def setting(found: re.Match[str]) -> str:
        name, value = found.groups()
        if flag(name) == name:
            return found[0]
        if value in ("True", "False"):
            return flag_of(name if value == "True" else f"no_{name}")
        return f"{flag(name)} {value}".replace("'", "")

    text = re.sub(r"Init\('(\w+)', (\w+)=([^()]*)\)", r"init='\1' with \2 (\3)", text)
    text = re.sub(r"expected None (?=unless|with)", "expected no such option ", text)
    text = re.sub(r"expected None, or ", "expected ", text).replace(", or None", "")
    text = re.sub(r"\b(\w+)=('?[\w.]+'?)", setting, text)
    text = re.sub(r"\b(cell|optimizer|init) is\b", lambda found: f"{flag(found[1])} is", text)
    text = re.sub(r"\bthe (?=--)", "", text)
    text = re.sub(r"\b(dtype|init|cell) (?=')", lambda found: f"{flag(found[1])} ", text)
    return re.sub(r"(?<![\w'-])[a-z]+_[a-z0-9_]+\b", lambda found: flag(found[0]), text)


def of_argparse(text: str) -> str:
    """Return an error of argparse in the form of the other errors.

    Parameters
    ----------
    text : str
        For example "argument --hidden: invalid int value: 'x'".

    Returns
    -------
    str
        For example "argument '--hidden': expected an integer, got 'x'".
    """
    found = _OF_ARGPARSE.fullmatch(text)
    if found is None:
        return text
    name, rest = found.groups()
    name = name.split("/")[-1]  # -o/--out
    kind = re.fullmatch(r"invalid (\w+) value: (.*)", rest)
    if kind is not None:
        rest = f"expected {_NUMBERS.get(kind[1], kind[1])}, got {kind[2]}"
    choice = re.fullmatch(r"invalid choice: '(.*)' \(choose from (.*)\)", rest)
    if choice is not None:
        choices = re.findall(r"[\w-]+", choice[2])
        rest = f"expected one of {', '.join(choices)}, got {with_guess(choice[1], choices)}"
    rest = rest.replace("expected one argument", "expected a value, got none")
    return f"argument {name!r}: {rest}"


def of_unknown(words: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Return the error about words of a command line that its parser does not know.

    Parameters
    ----------
    words : sequence of str
        The words.
    parser : ArgumentParser
        The parser of the command.

    Returns
    -------
    str
        The error about the first flag among them, with the flag that is probably meant; or about
        the first word.
    """
    for word in words:
        if word.startswith("-"):
            typed = word.partition("=")[0]
            if typed in ("-o", "--out", "--output") and "--out" not in flags_of(parser):
                return f"unknown argument {typed!r}; the results go to the standard output"
            return f"unknown argument {typed!r}{suggestion(typed, flags_of(parser))}"
    return f"expected no more arguments, got {words[0]!r}"


def of_system(error: OSError, args: argparse.Namespace) -> str:
    """Return the text of a system error, which names its file once and has no number.

    Parameters
    ----------
    error : OSError
        The error.
    args : Namespace
        The arguments of the command line.
    """
    text, name = error.strerror or str(error), error.filename
    if not isinstance(name, str | bytes | os.PathLike):
        return text
    name = os.fsdecode(name)
    if name in text or repr(name) in text:
        return text
    typed = {place: getattr(args, place, None) or "" for place in FILES}
    around = [n for n, path in typed.items() if path and Path(name).is_relative_to(path)]
    if not around:
        return f"{name!r}: {text}"
    place = max(around, key=lambda n: (len(typed[n]), FILES.index(n)))
    return f"argument {flag_of(place)!r}: {name!r}: {text}"
