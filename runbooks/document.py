"""A YAML file that holds one mapping, read with the file's name in every complaint."""

from pathlib import Path
from typing import Any

import yaml

from schemas.errors import Rejected


def mapping(path: Path, expected: str) -> dict[Any, Any]:
    """The mapping in a file, an empty one when the file is empty; `expected` says what of.

    Raises Rejected for a file that cannot be read, that is not YAML or holds something else.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise Rejected(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8
        raise Rejected(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise Rejected(f"{path}: a mapping {expected} is expected")
    return document
