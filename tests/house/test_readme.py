"""The documentation: its Python runs in an empty folder, its commands parse, its links exist."""

import re
import shlex
from pathlib import Path

import pytest

from bptt_native.cli.main import build_parser
from helpers.paths import ROOT

DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", *DOCS, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
# The least number of blocks of Python on a page, and the files that they write.
EXAMPLES = {
    "README.md": (5, "model.safetensors"),
    "docs/cells.md": (2, None),
    "docs/gradients.md": (2, "fixed-points.png"),
    "docs/report.md": (3, "runs/seen/gates.png"),
    "docs/training.md": (4, "runs/stopped/model.safetensors"),
}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """The language and the text of each block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    least, written = EXAMPLES.get(page, (0, None))
    examples = [text for language, text in blocks(page) if language == "python"]
    assert len(examples) >= least
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, page, "exec"), names)
    assert written is None or Path(written).exists()


def test_the_commands_parse() -> None:
    shell = "".join(text for page in PAGES for language, text in blocks(page) if not language)
    ours = re.findall(r"^bptt-native (.+)", shell, re.MULTILINE)
    assert len(ours) >= 10
    for line in ours:
        assert callable(build_parser().parse_args(shlex.split(line, comments=True)).run)
    made = re.findall(r"^make ([a-z-]+)", shell, re.MULTILINE)
    assert made
    assert set(made) <= set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_the_links_lead_somewhere(page: str) -> None:
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)", prose):
        if "://" not in link:
            assert (ROOT / page).parent.joinpath(link).exists(), link
    for named in re.findall(r"`((?:src|tests|docs|python|examples)/[\w/.*-]+)`", prose):
        assert list(ROOT.glob(named)), named
