"""The committed protobuf classes are what the .proto files make."""

from pathlib import Path

from streams.formats.proto.generate import FOLDER, generate


def test_committed_classes_are_current(tmp_path: Path) -> None:
    for path in generate(tmp_path):
        assert path.read_text() == (FOLDER / path.name).read_text(), "run generate.py"
