"""Folders of the repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CPP = ROOT / "src" / "cpp"
INCLUDE = CPP / "include"
TESTS = ROOT / "tests"
DATA = TESTS / "data"
