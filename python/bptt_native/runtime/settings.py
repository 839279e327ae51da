"""Settings of the engine: threads, instruction set and subnormal numbers."""

from .. import _core
from ..arguments.names import guided
from ..arguments.values import flag, integer


@guided
def set_num_threads(n: int) -> None:
    """Set the number of threads that large calls use, including the caller's thread.

    Results have the same bits for any number. The default is the environment variable
    ``BPTT_NUM_THREADS``, else the number of CPUs that this process may use. If the variable is not
    an integer from 1 to 256, the import of bptt_native raises ImportError. An empty variable
    counts as not set.

    Parameters
    ----------
    n : int
        Number of threads, 1 to 256.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer or out of bounds.

    Examples
    --------
    >>> before = bn.get_num_threads()
    >>> bn.set_num_threads(1)
    >>> bn.get_num_threads()
    1
    >>> bn.set_num_threads(before)
    """
    _core.set_num_threads(integer(n, "set_num_threads", "n", 1, 256))


def get_num_threads() -> int:
    """Return the number of threads that large calls use.

    Returns
    -------
    int
        Number of threads, 1 to 256.

    Examples
    --------
    >>> 1 <= bn.get_num_threads() <= 256
    True
    """
    return _core.get_num_threads()


@guided
def set_flush_subnormals(flush: bool) -> None:
    """Set whether the engine replaces subnormal numbers by zeros.

    Subnormal numbers are float32 numbers below 1.2e-38 and float64 numbers below 2.2e-308. On some
    CPUs arithmetic with them takes 10 to 30 times as long, on others it does not. By default
    (False) a call treats them as its caller's thread does. NumPy keeps them, so that vanishing
    gradients can be measured over the whole range of their type. With True they are zeros in all
    later calls, on all threads of the engine. The caller's arithmetic is not affected, even if a
    call raises.

    Other floating-point settings of the caller have no effect: a call always rounds to nearest and
    traps no exception. It leaves the caller's floating-point mode and exception flags unchanged.

    Parameters
    ----------
    flush : bool
        Whether to replace them, for the whole process.

    Raises
    ------
    TypeError
        If `flush` is not a bool.

    Examples
    --------
    >>> before = bn.get_flush_subnormals()
    >>> bn.set_flush_subnormals(True)
    >>> bn.get_flush_subnormals()
    True
    >>> bn.set_flush_subnormals(before)
    """
    _core.set_flush_subnormals(flag(flush, "set_flush_subnormals", "flush"))


def get_flush_subnormals() -> bool:
    """Return whether the engine replaces subnormal numbers by zeros.

    Returns
    -------
    bool
        The value that ``set_flush_subnormals`` set; the default is False.

    Examples
    --------
    >>> isinstance(bn.get_flush_subnormals(), bool)
    True
    """
    return _core.get_flush_subnormals()


def isa() -> str:
    """Return the name of the instruction set in use.

    The default is the best one. To use another one, set the environment variable ``BPTT_ISA``
    before the import.

    Returns
    -------
    str
        "avx512", "avx2", "sse2" or "neon".

    Examples
    --------
    >>> bn.isa() in bn.available_isas()
    True
    """
    return _core.isa()


def available_isas() -> list[str]:
    """Return the instruction sets that this CPU can run.

    Returns
    -------
    list of str
        Names as those of `isa`, the best first.

    Examples
    --------
    >>> set(bn.available_isas()) <= {"avx512", "avx2", "sse2", "neon"}
    True
    """
    return _core.available_isas()
