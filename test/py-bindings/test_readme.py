"""The Python and curl examples of the READMEs and of docs/QUEUE.md run as printed, against a real server of their own.

The blocks of a README are one program: later ones see the names of earlier ones. Only the URL of the server differs.
TypeScript: docs.test.ts.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transferq.testing import start_server

ROOT = Path(__file__).resolve().parents[2]
PRINTED_URL = "http://127.0.0.1:7654"


def blocks(path: str, language: str) -> list[str]:
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_python(code: str, url: str, folder: Path) -> str:
    script = folder / "example.py"
    script.write_text(code.replace(PRINTED_URL, url), encoding="utf-8")
    # A warning in an example would be the first thing that a newcomer sees.
    return run([sys.executable, "-W", "error", str(script)], folder)


def run_examples(path: str, url: str, folder: Path) -> str:
    examples = blocks(path, "python")
    assert examples
    return run_python("\n".join(examples), url, folder)


def test_examples_run_as_printed(tmp_path: Path) -> None:
    with start_server() as server:
        printed = run_examples("README.md", server.url, tmp_path)
        assert "[0 1 2 3 4 5 6 7]" in printed
        assert "[ 8  9 10 11 12 13 14 15]" in printed
        if shutil.which("curl") is None:
            pytest.skip("there is no curl")
        # They ask for the rows of the Python examples.
        examples = [block for block in blocks("README.md", "sh") if "curl" in block]
        assert examples
        script = "set -e\n" + "".join(examples).replace(PRINTED_URL, server.url)
        # An answer that is an error must fail; the reader has this Python under its usual name.
        script = script.replace("curl ", "curl --fail --silent --show-error ").replace("python3", sys.executable)
        printed = run(["sh", "-c", script], tmp_path)
    assert '"train"' in printed
    assert "(28, 28)" in printed
    assert "tq_partition_rows" in printed


def test_examples_of_the_package_run_as_printed(tmp_path: Path) -> None:
    with start_server() as server:
        run_examples("py-bindings/README.md", server.url, tmp_path)


def test_examples_of_the_queue_run_as_printed(tmp_path: Path) -> None:
    with start_server() as server:
        run_examples("docs/QUEUE.md", server.url, tmp_path)


def test_an_example_that_fails_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="RowsMissing"):
        run_python("import transferq\nraise transferq.RowsMissing('gone')", "", tmp_path)
