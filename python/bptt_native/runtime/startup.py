"""End of the command line program if the engine cannot be imported."""

import sys

BAD_INPUT = 2


def is_program() -> bool:
    """Return whether this process is ``bptt-native`` or ``python -m bptt_native``."""
    name = sys.argv[0] if sys.argv else ""
    if name == "-m":  # while Python looks for the module to run
        return bool({"bptt_native", "-mbptt_native"} & set(sys.orig_argv))
    return name.replace("\\", "/").rpartition("/")[2] in ("bptt-native", "bptt-native.exe")


def end_program(error: ImportError) -> None:
    """End the program with a one-line message. Do nothing in other processes.

    Parameters
    ----------
    error : ImportError
        The error of the engine, for example about an instruction set that the CPU lacks.

    Raises
    ------
    SystemExit
        If this process is the program.
    """
    if is_program():
        if sys.stderr is not None:
            sys.stderr.write(f"bptt-native: error: {' '.join(str(error).split())}\n")
        raise SystemExit(BAD_INPUT)
