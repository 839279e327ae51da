"""The Python of README.md and docs/training.md runs as it stands, in an empty folder."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("page", "least", "written"),
    [
        ("README.md", 2, "model.safetensors"),
        ("docs/training.md", 4, "runs/stopped/model.safetensors"),
    ],
)
def test_the_examples_run(
    page: str, least: int, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= least
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert Path(written).exists()
