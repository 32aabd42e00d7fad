"""Run a benchmark: `python -m benchmarks NAME [options]`; without a name, list all of them."""

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path


def benchmarks() -> dict[str, str]:
    """Name and first docstring line of every module that is a command, without importing any."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
        if {"build_parser", "main"} <= functions:
            found[path.stem] = (ast.get_docstring(module) or "").splitlines()[0]
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark named by the first argument; returns the exit status."""
    found = benchmarks()
    width = max(map(len, found))
    listing = "\n".join(f"  {name:{width}}  {line}" for name, line in found.items())
    usage = f"usage: python -m benchmarks NAME [options]    (NAME --help shows the options)\n\n{listing}"
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage)
        return 0
    name, *options = arguments
    if name not in found:
        print(f"found the benchmark {name!r}, expected one of these.\n\n{usage}", file=sys.stderr)
        return 2
    status: int = importlib.import_module(f"benchmarks.{name}").main(options)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
