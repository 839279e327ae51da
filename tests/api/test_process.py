"""The package in its process: environment variables, import, sub-interpreters, signal handlers."""

import os
import re

import pytest

import bptt_native as bn
from helpers.program import python


@pytest.mark.parametrize("name", ["no such set", "AVX2", "sse9"])
def test_an_instruction_set_that_is_not_there_is_an_import_error(name):
    done = python("import bptt_native", BPTT_ISA=name)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(rf"ImportError: .*BPTT_ISA.*expected one of .*, got '{name}'", last), last
    for isa in bn.available_isas():
        assert f"'{isa}'" in last
        assert (
            python("import bptt_native as bn; print(bn.isa())", BPTT_ISA=isa).stdout.strip() == isa
        )


@pytest.mark.parametrize("value", ["abc", "0", "-1", "2.0", "99999999"])
def test_a_number_of_threads_that_is_none_is_an_import_error(value):
    done = python("import bptt_native", BPTT_NUM_THREADS=value)
    assert done.returncode == 1
    wanted = (
        "ImportError: bptt_native: environment variable BPTT_NUM_THREADS: "
        f"expected an integer from 1 to 256, got '{value}'"
    )
    assert done.stderr.strip().splitlines()[-1] == wanted


@pytest.mark.parametrize(("value", "threads"), [("1", 1), ("256", 256), ("03", 3)])
def test_a_number_of_threads_comes_from_the_environment(value, threads):
    code = "import bptt_native as bn; print(bn.get_num_threads())"
    assert python(code, BPTT_NUM_THREADS=value).stdout.strip() == str(threads)
    assert int(python(code, BPTT_NUM_THREADS="").stdout) == len(os.sched_getaffinity(0))


def test_a_sub_interpreter_is_refused_and_never_hangs():
    done = python(
        """
        import sys
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        one = interpreters.create()
        path = repr(sys.path)
        code = f"import sys; sys.path[:] = {path}\\ntry:\\n import bptt_native\\n"
        code += "except ImportError as error: print('refused', error)"
        problem = interpreters.run_string(one, code)
        print(problem or "")
        """
    )
    assert "refused" in done.stdout, done.stdout + done.stderr


def test_the_import_starts_no_thread_and_needs_little():
    done = python(
        """
        import os, sys
        import numpy
        before = len(os.listdir("/proc/self/task"))
        known = set(sys.modules)
        import bptt_native as bn
        bn.LSTM(2, 2)(numpy.zeros((1, 1, 2), "f4"))
        print(len(os.listdir("/proc/self/task")) - before)
        print(*{m.split(".")[0] for m in set(sys.modules) - known})
        """
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "0", done.stderr
    assert set(lines[1].split()) <= {
        "bptt_native", "numpy", "threading", "_xxsubinterpreters", "__future__",
    }  # fmt: skip


def test_a_handler_that_calls_the_model_inside_is_told_that_it_is_busy():
    done = python(
        """
        import os, signal, sys, threading
        import numpy as np, bptt_native as bn
        m = bn.Model(input_size=64, hidden_size=256, output_size=1, loss="mse")
        x = np.zeros((4000, 32, 64), "f4"); t = np.zeros((4000, 32, 1), "f4")
        def handler(*_):
            try:
                m.save("unused")
            except RuntimeError as error:
                print(error)
        signal.signal(signal.SIGUSR1, handler)
        begins = threading.Event()
        def strike():
            begins.wait()
            os.kill(os.getpid(), signal.SIGUSR1)
        thread = threading.Thread(target=strike)
        thread.start()
        sys.setswitchinterval(1e6)  # the other thread runs in the call only
        begins.set()
        m.train_step(x, t)
        thread.join()
        print(m.step_count)
        """
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stdout + done.stderr
    assert re.match(r"Model.save: called from the cancel callback of another call", lines[0])
    assert lines[1] == "1"


def test_nothing_heavy_is_imported():
    done = python(
        """
        import sys, bptt_native.cli.main
        print(*sorted({m.partition('.')[0] for m in sys.modules} & {'tqdm', 'matplotlib'}))
        """
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
