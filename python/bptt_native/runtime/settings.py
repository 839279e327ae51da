"""Threads, instruction sets and arithmetic of the engine."""

from .. import _core
from ..arguments.values import flag, integer


def set_num_threads(n: int) -> None:
    """Set how many threads large calls use, the caller's included.

    Results have the same bits for any number. The default is the environment variable
    ``BPTT_NUM_THREADS``, else the number of CPUs that this process may use. With a value that is
    no integer from 1 to 256 the import of bptt_native raises ImportError; an empty one counts as
    not set.

    Parameters
    ----------
    n : int
        1 to 256.

    Raises
    ------
    TypeError, ValueError
        If `n` is no integer or out of bounds.
    """
    _core.set_num_threads(integer(n, "set_num_threads", "n", 1, 256))


def get_num_threads() -> int:
    """Give the number of threads that large calls use.

    Returns
    -------
    int
        1 to 256.
    """
    return _core.get_num_threads()


def set_flush_subnormals(flush: bool) -> None:
    """Set whether the engine computes with zeros in place of subnormal numbers.

    Such are the float32 numbers below 1.2e-38 and the float64 numbers below 2.2e-308. Some CPUs
    take 10 to 30 times as long for arithmetic with them, others no longer than for any number. The
    default is False: then a call treats them as its caller's thread does (NumPy keeps them), and
    gradients that vanish can be followed as far down as their type goes. With True they are zeros
    in all calls from then on, on all threads of the engine and nowhere else: the caller's own
    arithmetic stays as it is, also where a call raises.

    Nothing else of the caller's floating-point mode reaches a call: it always rounds to nearest and
    traps no exception, and leaves the mode and its exception flags as they were.

    Parameters
    ----------
    flush : bool
        For the whole process.

    Raises
    ------
    TypeError
        If `flush` is no bool.
    """
    _core.set_flush_subnormals(flag(flush, "set_flush_subnormals", "flush"))


def get_flush_subnormals() -> bool:
    """Tell whether the engine computes with zeros in place of subnormal numbers.

    Returns
    -------
    bool
        What ``set_flush_subnormals`` set; False at first.
    """
    return _core.get_flush_subnormals()


def isa() -> str:
    """Give the name of the instruction set in use.

    The environment variable ``BPTT_ISA`` chooses another one than the best, before the import.

    Returns
    -------
    str
        "avx512", "avx2", "sse2" or "neon".
    """
    return _core.isa()


def available_isas() -> list[str]:
    """Give the instruction sets that this CPU can run.

    Returns
    -------
    list of str
        Best first.
    """
    return _core.available_isas()
