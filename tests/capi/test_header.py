"""The headers of the C API: their first program, their layout, and structs that may grow."""

import re
import subprocess
from pathlib import Path

import pytest

from helpers.cprograms import FLAGS, INSTALLED, Library, build, compiler, run
from helpers.paths import CPP, INCLUDE

PAGES = sorted(INCLUDE.glob("*.h"))
STRUCT = re.compile(r"typedef struct (\w+) \{\n(.*?)\n\} \1;", re.DOTALL)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def structs() -> dict[str, str]:
    """The body of each struct that has a size."""
    found = [pair for page in PAGES for pair in STRUCT.findall(page.read_text())]
    return {name: body for name, body in found if body.startswith("  size_t struct_size;")}


def least() -> dict[str, str]:
    """The last field that every version of a struct has."""
    table = (CPP / "capi" / "structs.h").read_text()
    return dict(re.findall(r"^BPTT_STRUCT\((\w+), (\w+)\)$", table, re.MULTILINE))


def fields(body: str) -> list[str]:
    """The names of a struct's fields."""
    declarations = COMMENT.sub("", body).split(";")
    return [
        re.search(r"(\w+)(\[\w+\])?$", part.strip())[1]
        for declaration in declarations if declaration.strip()
        for part in declaration.split(",")
    ]  # fmt: skip


def older(name: str, body: str) -> str:
    """The struct's body with the fields only that every version has."""
    last = re.search(rf"\b{least()[name]}(\[\w+\])?;", COMMENT.sub(lambda m: "~" * len(m[0]), body))
    return body[: last.end()]


def newer(name: str, body: str) -> str:
    """The struct's body with two more fields."""
    return f"{body}\n  int64_t later;\n  double later_on;"


def pages_with(folder: Path, change) -> Library:
    """The library with pages whose structs have changed."""
    folder.mkdir()
    for page in PAGES:
        changed = STRUCT.sub(
            lambda found: (
                found[0].replace(found[2], change(found[1], found[2]))
                if found[1] in structs()
                else found[0]
            ),
            page.read_text(),
        )
        (folder / page.name).write_text(changed)
    return Library(INSTALLED.path, folder)


def test_programs_of_older_and_newer_headers_run(tmp_path):
    now = run(build("versions", tmp_path))
    assert now.count("loss") == 4
    then = pages_with(tmp_path / "older", older)
    assert "weights_stride_t" not in (then.include / "bptt.h").read_text()
    assert run(build("versions", tmp_path, of=then)) == now
    later = pages_with(tmp_path / "newer", newer)
    later_program = build("versions", tmp_path, "-DNEWER", of=later)
    assert run(later_program) == now


def test_every_struct_may_grow():
    """Each has a least size, and what is in all versions comes first."""
    assert set(least()) == set(structs())
    for name, body in structs().items():
        names = fields(body)
        assert least()[name] in names, name
        assert not re.search(r"^  (const )?bptt_\w+_options \w+;", body, re.MULTILINE), name


def test_a_struct_ends_with_its_last_field(tmp_path):
    """A field in the room after the last one would not make the struct larger, so none is there."""
    ends = "".join(
        f"char {name}_[sizeof({name}) == offsetof({name}, {fields(body)[-1]}) "
        f"+ sizeof((({name}*)0)->{fields(body)[-1]}) ? 1 : -1];\n"
        for name, body in structs().items()
    )
    source = tmp_path / "ends.c"
    source.write_text("".join(f'#include "{page.name}"\n' for page in PAGES) + ends)
    subprocess.run(
        [compiler(), *FLAGS, f"-I{INCLUDE}", "-c", source, "-o", tmp_path / "ends.o"],
        check=True, timeout=120,
    )  # fmt: skip


def test_the_first_program_is_as_it_says(tmp_path):
    """The indented lines after its heading, as they are."""
    page = (INCLUDE / "bptt.h").read_text()
    code = []
    _, below = page.split(" * A FIRST PROGRAM")
    for line in below.partition("\n *\n")[2].split("\n"):
        if line != " *" and not line.startswith(" *     "):
            break
        code.append(line.removeprefix(" *").removeprefix("     "))
    assert code[0] == "#include <bptt.h>"
    assert 20 <= len([line for line in code if line]) <= 30
    source, program = tmp_path / "first.c", tmp_path / "first"
    source.write_text("\n".join(code) + "\n")
    path = INSTALLED.path
    subprocess.run(
        [compiler(), *FLAGS, f"-I{INSTALLED.include}", source, "-o", program, path,
         f"-Wl,-rpath,{path.parent}"],
        check=True, timeout=120,
    )  # fmt: skip
    printed = run(program)
    loss, *logits = (float(word) for word in re.findall(r"-?\d+\.\d+", printed))
    assert loss < 0.1
    assert max(logits) == logits[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_are_as_wide_as_the_code_style_says(page):
    """clang-format does not break comments."""
    assert not [line for line in page.read_text().split("\n") if len(line) > 100]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_comments_are_above_what_they_describe(page):
    """To the right of it, clang-format breaks them."""
    lines = page.read_text().split("\n")
    assert not [line for line in lines if "/*" in line and not line.lstrip().startswith("/*")]


def test_what_may_change_is_under_a_banner():
    page = (INCLUDE / "bptt_diagnostics.h").read_text()
    _, below = page.split("EXPERIMENTAL.")
    names = set(re.findall(r"\b(bptt_\w+)\(", below))
    assert {
        "bptt_map", "bptt_use_isa", "bptt_profile_start", "bptt_model_backward_seeds",
        "bptt_layer_spectrum",
    } <= names  # fmt: skip
    assert "bptt_tape_read" not in names
