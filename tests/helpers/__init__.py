"""Helpers that test files share; pytest explains their assertions as it does those of tests."""

from pathlib import Path

import pytest

modules = [path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__"]
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in modules))
