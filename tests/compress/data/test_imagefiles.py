"""Image files of all kinds: the pixels that they show, and which files they are."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compress.data import imagefiles, imagefolder
from compress.posttrain.samples import collect
from cosign import CosignError

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOURS = np.stack([RAMP, RAMP.T, RAMP[::-1]], axis=-1)


def png(path: Path, samples: np.ndarray, kind: int) -> Path:
    """A PNG of 16 bits, written by hand: `kind` 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def grey(path: Path) -> np.ndarray:
    return np.asarray(imagefiles.opened(path, "L"))


def colours(path: Path) -> np.ndarray:
    return np.asarray(imagefiles.opened(path, "RGB"))


@pytest.mark.parametrize("kind", ["png", "tiff", "tiff-big-endian", "pgm", "jp2"])
def test_greys_of_sixteen_bits_keep_their_shade(tmp_path: Path, kind: str) -> None:
    wide = RAMP.astype(np.uint16) * 257
    path = tmp_path / f"wide.{kind.partition('-')[0]}"
    if kind == "tiff-big-endian":
        image = Image.frombytes("I;16B", (16, 16), wide.astype(">u2").tobytes())
        image.save(path)
        assert path.read_bytes()[:2] == b"MM"
    elif kind == "png":
        png(path, wide, 0)
    else:
        Image.fromarray(wide).save(path)
    np.testing.assert_array_equal(grey(path), RAMP)
    np.testing.assert_array_equal(colours(path), np.repeat(RAMP[..., None], 3, axis=-1))


def test_shades_between_are_rounded(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 65536, (50, 50), np.uint16)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    expected = np.floor(wide / 65535 * 255 + 0.5)
    np.testing.assert_array_equal(grey(tmp_path / "wide.png"), expected)


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colours_and_transparency_of_sixteen_bits(tmp_path: Path, kind: int, channels: int) -> None:
    shown = COLOURS if channels > 2 else np.repeat(RAMP[..., None], 3, axis=-1)
    samples = np.full((16, 16, channels), 65535, np.uint16)
    visible = channels if kind == 2 else channels - 1
    samples[..., :visible] = shown[..., :visible].astype(np.uint16) * 257
    np.testing.assert_array_equal(colours(png(tmp_path / "wide.png", samples, kind)), shown)


def test_twelve_bits_of_a_tiff_are_scaled_by_their_own_range(tmp_path: Path) -> None:
    values = np.array([[0, 4095], [2048, 1024]])
    packed = bytes(byte for a, b in values for byte in (a >> 4, (a & 15) << 4 | b >> 8, b & 255))
    entries = {256: 2, 257: 2, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: len(packed)}
    head = struct.pack("<2sHI", b"II", 42, 8 + len(packed))
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    path = tmp_path / "twelve.tif"
    path.write_bytes(head + packed + struct.pack("<H", len(entries)) + table + b"\0" * 4)
    assert grey(path).tolist() == [[0, 255], [128, 64]]


def test_white_may_be_zero(tmp_path: Path) -> None:
    image = Image.fromarray(RAMP.astype(np.uint16) * 257)
    image.save(tmp_path / "negative.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "negative.tif") as written:
        assert written.tag_v2[262] == 0
    np.testing.assert_array_equal(grey(tmp_path / "negative.tif"), 255 - RAMP)


def test_floats_of_nought_to_one_are_grey(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.float32) / 255).save(tmp_path / "float.tif")
    np.testing.assert_array_equal(grey(tmp_path / "float.tif"), RAMP)
    np.testing.assert_array_equal(colours(tmp_path / "float.tif")[..., 1], RAMP)


@pytest.mark.parametrize("values", [[0.0, 200.0], [-0.5, 0.5], [0.0, np.nan]])
def test_floats_of_no_known_range_are_refused(tmp_path: Path, values: list[float]) -> None:
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(CosignError, match=r"float\.tif \(it holds numbers of .*only of 0 to 1"):
        grey(tmp_path / "float.tif")


def test_whole_numbers_of_no_known_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 100_000]], np.int32)).save(tmp_path / "wide.tif")
    with pytest.raises(CosignError, match="what is white in a TIFF of its whole numbers"):
        grey(tmp_path / "wide.tif")


def test_palettes_transparency_and_one_bit(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    red = np.zeros((16, 16, 4), np.uint8)
    red[..., 0] = 200
    red[..., 3] = np.where(RAMP < 128, 0, 255)
    Image.fromarray(red).save(tmp_path / "rgba.png")
    assert (colours(tmp_path / "rgba.png") == [200, 0, 0]).all()
    palette = Image.fromarray(np.where(RAMP < 128, 0, 1).astype(np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.save(tmp_path / "palette.png", transparency=b"\x00\x80")
    expected = np.where(RAMP[..., None] < 128, [10, 20, 30], [200, 100, 50])
    np.testing.assert_array_equal(colours(tmp_path / "palette.png"), expected)
    Image.fromarray(np.stack([RAMP, RAMP], axis=-1)).save(tmp_path / "la.png")
    np.testing.assert_array_equal(grey(tmp_path / "la.png"), RAMP)
    Image.fromarray(RAMP > 127).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(grey(tmp_path / "bit.png"), np.where(RAMP > 127, 255, 0))
    assert not recwarn.list


def test_inks_become_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=100)
    assert np.abs(colours(tmp_path / "red.jpg").astype(int) - [255, 0, 0]).max() <= 3


def test_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    for name in ("a.gif", "a.tif", "a.webp", "a.png"):
        lossless = {"lossless": True} if name.endswith("webp") else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **lossless)
        assert (colours(tmp_path / name) == [255, 0, 0]).all(), name


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """The eight ways to hold a camera: corners of a wide image that are told apart."""
    shown = np.zeros((16, 32), np.uint8)  # what a viewer shows
    shown[:8, :16], shown[:8, 16:], shown[8:, :16] = 250, 170, 90
    stored = {  # how it lies in the file, by the words of EXIF: where row 0 and column 0 are
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.T,
        6: shown.T[::-1],
        7: shown.T[::-1, ::-1],
        8: shown.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    image.save(path, exif=exif, **({"quality": 95} if suffix in ("jpg", "webp") else {}))
    found = grey(path)
    assert found.shape == shown.shape
    assert np.abs(found[4::8, 4::8].astype(int) - shown[4::8, 4::8]).max() <= 6
    decoded = imagefolder.decode(path, (1, 8, 8))  # at a coarser scale
    assert decoded.shape[2] > decoded.shape[1]
    calibration = collect((1, 16, 32), tmp_path, 0, 1).calibration[0, 0]
    assert np.abs(calibration[4::8, 4::8].astype(int) - shown[4::8, 4::8]).max() <= 6


def test_a_damaged_exif_tells_nothing(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert grey(tmp_path / "a.jpg").shape == (16, 16)


def test_calibration_and_training_read_the_same_pixels(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 65536, (8, 8), np.uint16)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    trained = imagefolder.decode(tmp_path / "wide.png", (3, 8, 8))
    np.testing.assert_array_equal(collect((3, 8, 8), tmp_path, 0, 1).calibration[0], trained)


def test_which_files_are_images(tmp_path: Path) -> None:
    names = ["b.JPG", "a.Png", "sub/c.tiff", "sub/deeper/d.webp"]
    passed_over = [
        "._b.JPG",
        ".DS_Store",
        ".hidden/e.png",
        "__MACOSX/f.png",
        "Thumbs.db",
        "notes.pdf",
        "film.mpg",
        "weights.h5",
        "g.txt",
    ]
    for name in names + passed_over:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in imagefiles.listed(tmp_path)]
    assert found == sorted(names)


def test_symbolic_links_are_followed_and_end(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    (folder / "b.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    found = [str(path.relative_to(folder)) for path in imagefiles.listed(folder)]
    assert found == ["b.png", "linked/a.png"]


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.heic", "b.HEIC", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CosignError, match=r"holds no image \(but 2 \.heic, 1 \.txt\)"):
        collect((3, 8, 8), tmp_path, 0, 1)
