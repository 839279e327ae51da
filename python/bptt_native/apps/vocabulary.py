"""Vocabulary of a text model: characters as tokens."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..arguments.values import message

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """The characters (code points) of a model. The token of a character is its index.

    Parameters
    ----------
    characters : str
        Distinct characters, in ascending order.

    Raises
    ------
    ValueError
        The characters are not distinct and ascending, or there are none.
    """

    characters: str

    def __post_init__(self) -> None:
        codes = [ord(c) for c in self.characters]
        if not codes or any(a >= b for a, b in pairwise(codes)):
            got = repr(self.characters if len(codes) < 20 else self.characters[:20] + "...")
            expected = "distinct characters in ascending order"
            raise ValueError(message("Vocabulary", "characters", expected, got))

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """Return the vocabulary of a text."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tokens:
        """Return the tokens of a text.

        Parameters
        ----------
        text : str
            Characters of the vocabulary.

        Returns
        -------
        int64 [len(text)]

        Raises
        ------
        ValueError
            A character is not in the vocabulary.
        """
        codes = _code_points(text)
        known = _code_points(self.characters)
        tokens = np.searchsorted(known, codes)
        wrong = known[np.minimum(tokens, len(known) - 1)] != codes
        if wrong.any():
            at = int(np.argmax(wrong))
            expected = f"characters among the {len(self)} that the model knows"
            got = f"{text[at]!r} (U+{ord(text[at]):04X}) at position {at}"
            raise ValueError(message("Vocabulary.encode", "text", expected, got))
        return tokens.astype(np.int64)

    def decode(self, tokens: npt.ArrayLike) -> str:
        """Return the text of tokens.

        Parameters
        ----------
        tokens : integers [...]
            Each at least 0 and below ``len(self)``.

        Raises
        ------
        IndexError
            A token is out of range.
        """
        ids = np.asarray(tokens, np.int64).reshape(-1)
        if ids.size and (ids.min() < 0 or ids.max() >= len(self)):
            expected, got = f"0 ... {len(self) - 1}", f"{ids.min()} ... {ids.max()}"
            raise IndexError(message("Vocabulary.decode", "tokens", expected, got))
        return "".join(self.characters[i] for i in ids)


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
