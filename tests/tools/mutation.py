"""Mutation tests: small changes to the C++ sources, one at a time, which the tests should notice.

    python tests/tools/mutation.py --file modelfile/json.cpp --most 15

A mutant changes or removes one token or one statement of a source. The library is built with it in
a copy of the tree. The tests that mutation.toml names for the source are then run against a copy of
the installed package with that library. A mutant is *killed* if a test fails or takes too long,
*survived* if none does, or *does not compile*. It is *equivalent* if mutation.toml lists it among
those that change no result, with the reason. The choice of mutants depends only on the seed and the
source.
"""

import argparse
import contextlib
import csv
import filecmp
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bptt_native

ROOT = Path(__file__).parents[2]
CPP = Path("src") / "cpp"
SETTINGS = tomllib.loads((Path(__file__).parent / "mutation.toml").read_text(encoding="utf-8"))
MEMORY = 8 << 30  # bytes of addresses that a test may take
COLUMNS = ["file", "line", "kind", "before", "after", "outcome", "note"]

# Binary operators have spaces around them, as clang-format lays them out; templates, references and
# pointers have not.
BINARY = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&",
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "*", "<<": ">>", ">>": "<<", "&": "|", "|": "&",
    "+=": "-=", "-=": "+=", "*=": "/=",
}  # fmt: skip
WORDS = {
    "true": "false", "false": "true", "uint64_t": "uint32_t", "int64_t": "int32_t",
    "size_t": "uint32_t",
}  # fmt: skip
NO_STATEMENT = re.compile(
    r"(return|throw|break|continue|case|default|using|typedef|template|struct|class|enum|static|"
    r"const|constexpr|auto|bool|int|double|float|char|void|explicit|extern|namespace|public|private|"
    r"friend|operator|if|else|for|while|do|switch|goto|~|\w+\s+\w|[\w:]+(<.*>)?[&*]?\s+[&*]?\w+)"
)


@dataclass(frozen=True)
class Mutant:
    """`text[begin:end]` becomes `new`."""

    kind: str
    begin: int
    end: int
    new: str

    def of(self, text: str) -> str:
        return text[: self.begin] + self.new + text[self.end :]

    def lines(self, text: str) -> tuple[str, str]:
        """The lines that it changes, before and after, with single spaces."""
        first = text.rfind("\n", 0, self.begin) + 1
        last = text.find("\n", self.end)
        before = text[first:last]
        after = text[first : self.begin] + self.new + text[self.end : last]
        return " ".join(before.split()), " ".join(after.split())


def code_only(text: str) -> str:
    """The text with its comments, literals of text and preprocessor lines blanked out."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    pattern = r'//[^\n]*|/\*.*?\*/|R"\((.|\n)*?\)"|"(\\.|[^"\\\n])*"|\'(\\.|[^\'\\\n])+\'|^#[^\n]*'
    return re.sub(pattern, blank, text, flags=re.MULTILINE | re.DOTALL)


def closing(code: str, opening: int) -> int:
    """Where the parenthesis that opens at `opening` closes."""
    depth = 0
    for at in range(opening, len(code)):
        depth += (code[at] == "(") - (code[at] == ")")
        if depth == 0:
            return at
    raise ValueError("an open parenthesis")


def tokens_changed(code: str) -> Iterator[Mutant]:
    for match in re.finditer(r"(?<= )([-+*/%<>=!&|]{1,2})(?=[ \n])", code):
        if match[1] in BINARY and not code[: match.start()].rstrip().endswith("template"):
            yield Mutant("operator", match.start(), match.end(), BINARY[match[1]])
    for match in re.finditer(r"\+\+|--", code):
        new = "--" if match[0] == "++" else "++"
        yield Mutant("operator", match.start(), match.end(), new)
    for match in re.finditer(r"(?<![=!<>])!(?!=)", code):
        yield Mutant("negation", match.start(), match.end(), "")
    for match in re.finditer(r"(?<![\w.'])(0[xX][0-9a-fA-F]+|\d+)u?(?![\w.'])", code):
        octal = re.fullmatch(r"0\d+", match[1])
        for step in (1, -1):
            value = int(match[1], 8 if octal else 0) + step
            if value >= 0:
                new = f"0{value:o}" if octal else str(value)
                yield Mutant("constant", match.start(1), match.end(1), new)
    for match in re.finditer(r"\b(\w+)\b", code):
        if match[1] in WORDS:
            yield Mutant("word", match.start(), match.end(), WORDS[match[1]])


def conditions_negated(code: str) -> Iterator[Mutant]:
    for match in re.finditer(r"\b(?:if|while) \(", code):
        begin, end = match.end(), closing(code, match.end() - 1)
        inside = code[begin:end]
        name = re.search(r"; ([^;]+)$", inside)  # after an initialiser
        if name:
            begin += name.start(1)
        elif re.match(r"(const )?(auto|char|int|Descriptor|Sha256Blocks)\b", inside):
            continue
        yield Mutant("condition", begin, end, f"!({code[begin:end]})")


def statements_removed(code: str) -> Iterator[Mutant]:
    for match in re.finditer(r"(?:[;{}]\s*\n\s*|\)\s+)([A-Za-z_:][^;{}]*;)", code):
        statement = match[1]
        if not NO_STATEMENT.match(statement) and ("(" in statement or "=" in statement):
            yield Mutant("statement", match.start(1), match.end(1), ";")


def mutants_of(text: str) -> list[Mutant]:
    """All mutants of a source."""
    code = code_only(text)
    found = []
    for mutant in [*tokens_changed(code), *conditions_negated(code), *statements_removed(code)]:
        # The blanked code still has its text in `text`.
        new = mutant.new
        if mutant.kind == "condition":
            new = f"!({text[mutant.begin : mutant.end]})"
        found.append(Mutant(mutant.kind, mutant.begin, mutant.end, new))
    return found


def copy_changed(source: str | Path, target: str | Path) -> None:
    """Copy a file whose contents differ; it is then newer than all that was built."""
    if not (Path(target).exists() and filecmp.cmp(source, target, shallow=False)):
        shutil.copyfile(source, target)


class Workshop:
    """A copy of the tree that is built, and a copy of the package that holds what was built."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tree, self.site = folder, folder / "tree", folder / "site"
        for name in ["src", "cmake", "tests"]:
            shutil.copytree(
                ROOT / name, self.tree / name, dirs_exist_ok=True, copy_function=copy_changed
            )
        for name in ["CMakeLists.txt", "pyproject.toml"]:
            copy_changed(ROOT / name, self.tree / name)
        package = Path(bptt_native.__file__).parent
        shutil.copytree(package, self.site / "bptt_native", dirs_exist_ok=True)
        self.build_folder = folder / "build"
        configure = ["cmake", "-S", self.tree, "-B", self.build_folder, "-G", "Ninja"]
        subprocess.run([*configure, "-DCMAKE_BUILD_TYPE=Release"], check=True, capture_output=True)

    def build(self, environment: dict[str, str]) -> bool:
        """Build the library into the package; whether that is possible."""
        done = subprocess.run(
            ["cmake", "--build", self.build_folder], capture_output=True, env=environment
        )
        if done.returncode == 0:
            built = self.site / "bptt_native" / "lib" / "libbptt.so.1"
            built.unlink()
            shutil.copy(self.build_folder / "libbptt.so.1", built)
        return done.returncode == 0

    def test(self, tests: list[str], seconds: float) -> str:
        """Run the tests until one fails: name it, or give "" if none does."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "--no-header",
        ]
        environment = {**os.environ, "PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"}
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            process = subprocess.Popen(
                [*command, f"--basetemp={scratch}/t", *tests],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
                cwd=self.tree / "tests", start_new_session=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
            )  # fmt: skip
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return "too slow"
        if process.returncode == 0:
            return ""
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
        return failed[1] if failed else f"pytest ended with {process.returncode}"

    def check(self, tests: list[str], seconds: float) -> None:
        """Build the unchanged sources and run the tests, which must pass."""
        if not self.build(os.environ):
            raise SystemExit("mutation.py: the unchanged sources do not build")
        if failed := self.test(tests, seconds):
            raise SystemExit(f"mutation.py: {failed}: the unchanged sources fail")

    def outcome(
        self, name: str, mutant: Mutant, tests: list[str], seconds: float
    ) -> tuple[str, str]:
        """Return the fate of a mutant, and the test that killed it."""
        path = self.tree / CPP / name
        text = path.read_text(encoding="utf-8")
        try:
            path.write_text(mutant.of(text), encoding="utf-8")
            if not self.build({**os.environ, "CCACHE_DISABLE": "1"}):
                return "does not compile", ""
            failed = self.test(tests, seconds)
            return ("killed", failed) if failed else ("survived", "")
        finally:
            path.write_text(text, encoding="utf-8")


def tests_of(name: str) -> list[str]:
    """The tests that mutation.toml names for a source and its header."""
    stem = str(Path(name).with_suffix(""))
    if stem not in SETTINGS["tests"]:
        raise SystemExit(f"mutation.py: mutation.toml names no tests of {stem}")
    return list(SETTINGS["tests"][stem])


def reason_of(name: str, before: str, after: str) -> str:
    """Why a mutant is equivalent; "" if it is not listed."""
    for entry in SETTINGS.get("equivalent", []):
        if (entry["file"], entry["before"], entry["after"]) == (name, before, after):
            return str(entry["reason"])
    return ""


def sample(name: str, most: int, seed: int) -> list[Mutant]:
    """Up to `most` mutants of a source, in the order of the file."""
    found = mutants_of((ROOT / CPP / name).read_text(encoding="utf-8"))
    chosen = random.Random(f"{seed} {name}").sample(found, min(most, len(found)))
    return sorted(chosen, key=lambda mutant: (mutant.begin, mutant.end, mutant.new))


def run(options: argparse.Namespace) -> list[dict[str, object]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="bptt-mutation-") as temporary:
        workshop = None if options.list else Workshop(options.folder or Path(temporary))
        for name in options.file:
            text = (ROOT / CPP / name).read_text(encoding="utf-8")
            tests = tests_of(name)
            if workshop:
                workshop.check(tests, options.seconds)
            for mutant in sample(name, options.most, options.seed):
                before, after = mutant.lines(text)
                outcome, note = "equivalent", reason_of(name, before, after)
                if not note and workshop:
                    outcome, note = workshop.outcome(name, mutant, tests, options.seconds)
                elif not note:
                    outcome = ""
                line = text.count("\n", 0, mutant.begin) + 1
                values = [name, line, mutant.kind, before, after, outcome, note]
                rows.append(dict(zip(COLUMNS, values, strict=True)))
                print(f"{name}:{line}: {outcome or mutant.kind}: {before}  =>  {after}"
                      f"{f'  ({note})' if note else ''}", flush=True)  # fmt: skip
    return rows


def report(rows: list[dict[str, object]]) -> None:
    """Print the counts and the score of each source and of all."""
    outcomes = ["killed", "survived", "equivalent", "does not compile"]
    files = list(dict.fromkeys(str(row["file"]) for row in rows))
    print(f"\n{'':28}" + "".join(f"{outcome:>18}" for outcome in outcomes) + f"{'score':>10}")
    for name in [*files, "all"]:
        counts = Counter(row["outcome"] for row in rows if name in ("all", row["file"]))
        tried = counts["killed"] + counts["survived"]
        score = f"{100 * counts['killed'] / tried:9.1f}%" if tried else f"{'-':>10}"
        print(f"{name:28}" + "".join(f"{counts[outcome]:18}" for outcome in outcomes) + score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    stems = SETTINGS["tests"]
    every = [f"{stem}{end}" for stem in stems for end in (".cpp", ".h")]
    known = [name for name in every if (ROOT / CPP / name).exists()]
    text = "a source, such as modelfile/json.cpp; may be repeated; all of mutation.toml by default"
    parser.add_argument("--file", action="append", choices=known, metavar="NAME", help=text)
    parser.add_argument("--most", type=int, default=15, help="mutants per source (15)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--seconds", type=float, default=180, help="for the tests of one (180)")
    parser.add_argument("--table", type=Path, help="a CSV file for the results")
    parser.add_argument("--folder", type=Path, help="where to build; kept for the next run")
    parser.add_argument("--list", action="store_true", help="print the mutants, try none")
    options = parser.parse_args()
    options.file = options.file or known
    rows = run(options)
    if options.table:
        with options.table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    if not options.list:
        report(rows)


if __name__ == "__main__":
    main()
