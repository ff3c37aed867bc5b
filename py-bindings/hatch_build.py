"""Build hook: puts core.wasm beside the package, so that the wheel holds the same binary as the npm packages.

    repository/core/core.wasm  --copy-->  py-bindings/transferq/core.wasm  --packed-->  wheel, sdist

Where core.wasm is missing or older than its AssemblyScript, `node core/build.mjs` makes it. An unpacked sdist has no
repository around it and brings its own copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PREPARE = "Run `npm ci` in the repository (it needs Node.js 20 or newer with npm), then this installation again."


class CoreWasmError(RuntimeError):
    """core.wasm can not be had; the message says how to get it."""


class CoreWasmHook(BuildHookInterface):  # type: ignore[type-arg]
    """Makes and copies core.wasm before files are collected."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        package = Path(self.root)
        target = package / "transferq" / "core.wasm"
        repository = package.parent
        if (repository / "core" / "build.mjs").is_file():
            shutil.copyfile(built_core(repository), target)
        elif not target.is_file():
            raise CoreWasmError(f"transferq/core.wasm is missing and {repository} is not the repository. {PREPARE}")


def built_core(repository: Path) -> Path:
    """The path of an up-to-date core.wasm, built first where that is needed."""
    wasm = repository / "core" / "core.wasm"
    sources = list((repository / "core" / "assembly").glob("**/*.ts"))
    if wasm.is_file() and all(source.stat().st_mtime <= wasm.stat().st_mtime for source in sources):
        return wasm
    if not (repository / "node_modules" / "assemblyscript").is_dir():
        if wasm.is_file():
            return wasm
        raise CoreWasmError(f"core/core.wasm is not built and the npm packages are not installed. {PREPARE}")
    bundled = repository / "node_modules" / ".bin" / "node"
    node = str(bundled) if os.access(bundled, os.X_OK) else shutil.which("node")
    if node is None:
        raise CoreWasmError(f"core/core.wasm is not built and there is no Node.js to build it with. {PREPARE}")
    build = subprocess.run([node, "core/build.mjs"], cwd=repository, capture_output=True, text=True, check=False)
    if build.returncode != 0 or not wasm.is_file():
        raise CoreWasmError(f"`node core/build.mjs` failed:\n{build.stdout}{build.stderr}\n{PREPARE}")
    return wasm
