"""Files of public data sets: from the cache, or from the first source that has them unharmed.

Whatever the source, the SHA-256 of each file decides.
"""

import gzip
import hashlib
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from cosign import CosignError, atomic_write, cache_dir

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

    Raises CosignError when a cached file is corrupt or no source can be reached.
    """
    files = _read_cache(title, folder, sha256)
    if files is None:
        files = _fetch(title, folder, sha256, sources, progress or (lambda _: None))
        for name, content in files.items():
            with atomic_write(cache_dir() / folder / name) as file:
                file.write(content)
    return files


def intact(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest() == digest


def _read_cache(title: str, folder: str, sha256: Mapping[str, str]) -> Files | None:
    """The cached files; None when at least one is absent. Raises CosignError on a corrupt one."""
    files = {}
    for name, digest in sha256.items():
        plain = cache_dir() / folder / name
        packed = plain.with_name(f"{name}.gz")
        path = plain if plain.exists() else packed
        if not path.exists():
            return None
        try:
            raw = path.read_bytes()
            content = raw if path == plain else gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise CosignError(
                f"cannot read {path} ({error}); delete it and run again to fetch {title} anew."
            ) from error
        if not intact(content, digest):
            raise CosignError(
                f"{path} is not {title}'s {name} (its SHA-256 differs); "
                f"delete it and run again to fetch {title} anew."
            )
        files[name] = content
    return files


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
