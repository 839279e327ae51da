"""Descriptions of objects: the call in the first lines of a description."""


def constructor_of(thing: object) -> str:
    """Return the call at the beginning of the repr of a layer, model or optimiser, on one line."""
    lines = repr(thing).splitlines()
    last = next(k for k, line in enumerate(lines) if line.endswith(")"))
    return " ".join(line.strip() for line in lines[: last + 1])
