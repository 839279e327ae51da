"""Runs of the command line and of Python code, in this process and in others."""

import os
import subprocess
import sys
import textwrap

from bptt_native.cli.main import main


def caller(capsys):
    """Return a function that runs the program and returns exit code, output and errors."""

    def call(*arguments):
        capsys.readouterr()
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as stopped:  # of the argument parser
            code = stopped.code
        return (code, *capsys.readouterr())

    return call


def refused(result, *expected):
    """Assert exit code 2, no output, and one line of errors that has the expected texts."""
    code, out, err = result
    assert (code, out) == (2, ""), (out, err)
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert err.startswith("bptt-native"), err
    for text in expected:
        assert text in err, err
    return True


def program(*arguments, **settings):
    """Run the program in a new process."""
    given = [a if isinstance(a, bytes) else os.fsencode(str(a)) for a in arguments]
    command = [sys.executable, "-m", "bptt_native", *given]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 300} | settings
    return subprocess.run(command, check=False, **settings)


def python(code, *arguments, **environment):
    """Run indented Python code in a new process, with additional environment variables."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True,
        timeout=300, env={**os.environ, **environment}, check=False,
    )  # fmt: skip
