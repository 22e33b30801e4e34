"""What a finished synthesis leaves, from the cache into a folder of the user's."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from cosign import CosignError
from cosign.files import reason


def copy_kept(source: Path, out: Path, kept: Sequence[str]) -> None:
    """Copy the kept files, the last one last, so that it stands for a whole folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in kept:
            partial = out / f".{name}.part"
            shutil.copyfile(source / name, partial)
            partial.replace(out / name)
    except OSError as error:
        raise CosignError(
            f"cannot write {out}: {reason(error)}; free some space or choose another folder."
        ) from error
