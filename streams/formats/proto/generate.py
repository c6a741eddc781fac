"""Write the Python classes and stubs of the .proto files beside this one.

    python streams/formats/proto/generate.py

By its path, because the package cannot be imported without what it writes. Only this needs
the development dependencies: what it writes is committed.
"""

import importlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
FORMAT_OFF = "# fmt: off\n"
HEADS = {
    ".py": "# ruff: noqa: E501, ERA001, I001, Q000, Q004, SLF001\n" + FORMAT_OFF,
    ".pyi": "# ruff: noqa: A002, E501, I001, RUF023, RUF100, UP007, UP045\n"
    "# mypy: disable-error-code=type-arg\n" + FORMAT_OFF,
}


def generate(out: Path = ROOT) -> list[Path]:
    """Generate below `out`, in this package's folders; returns the files."""
    protoc = importlib.import_module("grpc_tools.protoc")

    protos = sorted(FOLDER.glob("*.proto"))
    names = [str(path.relative_to(ROOT)) for path in protos]
    arguments = ["protoc", f"-I{ROOT}", f"--python_out={out}", f"--pyi_out={out}", *names]
    if protoc.main(arguments):
        raise SystemExit(f"protoc failed on {', '.join(names)}")
    stems = [out / path.relative_to(ROOT).with_suffix("") for path in protos]
    written = [stem.with_name(stem.name + end) for stem in stems for end in ("_pb2.py", "_pb2.pyi")]
    for path in written:
        path.write_text(HEADS[path.suffix] + path.read_text())
    return written


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in generate())
