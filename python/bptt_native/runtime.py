"""Threads and instruction sets of the engine."""

from . import _core
from .arrays import integer


def set_num_threads(n: int) -> None:
    """Set how many threads large calls use, the caller's included.

    Results have the same bits for any number. The default is the environment variable
    ``BPTT_NUM_THREADS``, else the number of CPUs that this process may use.

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
