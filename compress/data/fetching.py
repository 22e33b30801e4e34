"""Files of public data sets: from the cache, or from the first source that has them unharmed.

Whatever the source, the SHA-256 of each file decides.
"""

import gzip
import hashlib
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from cosign import CosignError, atomic_write, cache, cache_dir

TIMEOUT_S = 15
Files = dict[str, bytes]
Source = tuple[str, Callable[[], Iterator[tuple[str, bytes]]]]  # its title; (file name, content)


def load(
    title: str,
    folder: str,
    sha256: Mapping[str, str],
    sources: Sequence[Source],
    progress: Callable[[str], None] | None = None,
) -> Files:
    """The files named in `sha256` (hex digests of them), by name.

    title : of the data set, for messages
    folder : in `cache_dir()`; plain or .gz files are read, else fetched ones are put there
    sources : asked in this order; each may yield other files too

    Raises CosignError when no source can be reached.
    """
    files = _read_cache(title, folder, sha256)
    if files is None:
        files = _fetch(title, folder, sha256, sources, progress or (lambda _: None))
        for name, content in files.items():
            path = cache_dir() / folder / name
            if path.is_dir():
                shutil.rmtree(path)
            with atomic_write(path) as file:
                file.write(content)
    return files


def intact(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest() == digest


def _read_cache(title: str, folder: str, sha256: Mapping[str, str]) -> Files | None:
    """The cached files; None when at least one is absent or, which is said, damaged."""
    files = {}
    for name, digest in sha256.items():
        plain = cache_dir() / folder / name
        content = _whole(plain, digest) or _whole(plain.with_name(f"{name}.gz"), digest)
        if content is None:
            for path in (plain, plain.with_name(f"{name}.gz")):
                if path.exists():
                    cache.distrust(path, f"fetching {title} anew")
            return None
        files[name] = content
    return files


def _whole(path: Path, digest: str) -> bytes | None:
    """What a file holds, if it is what it should be."""
    if not path.is_file():
        return None
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error):
        return None
    return content if intact(content, digest) else None


def _fetch(
    title: str,
    folder: str,
    sha256: Mapping[str, str],
    sources: Sequence[Source],
    progress: Callable[[str], None],
) -> Files:
    failures = []
    for origin, source in sources:
        progress(f"fetching {title} from {origin}")
        try:
            files = {name: content for name, content in source() if name in sha256}
        except (
            OSError,
            EOFError,
            ValueError,
            RuntimeError,
            zlib.error,
            tarfile.TarError,
            zipfile.BadZipFile,
            subprocess.SubprocessError,
        ) as error:
            failures.append(f"{origin}: {str(error) or type(error).__name__}")
            continue
        odd = [
            name for name in sha256 if name not in files or not intact(files[name], sha256[name])
        ]
        if not odd:
            return files
        failures.append(f"{origin}: {odd[0]} is missing or has another SHA-256")
    raise CosignError(
        f"{title} could not be fetched "
        f"({'; '.join(failures)}); put {', '.join(sha256)} into {cache_dir() / folder}."
    )
