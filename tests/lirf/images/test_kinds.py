"""Files are told apart by their names and by their first bytes."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from lirf.images import kinds


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "#recycle", "#snapshot", "@Recycle", ".@__thumb", ".DS_Store", "._a.png"),
        *("Thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini", "__MACOSX", ".thumbnails"),
        *("lost+found", "$RECYCLE.BIN", "System Volume Information", ".Trash-1000", "Icon\r"),
    ],
)
def test_what_systems_leave_is_debris(name: str):
    assert kinds.is_debris(name)


@pytest.mark.parametrize("name", ["thumbs", "recycle", "a.png", "eaDir", "heldout", "~a.png"])
def test_what_people_name_is_no_debris(name: str):
    assert not kinds.is_debris(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.GIF", "GIF"),
        ("IMG_1.HEIC", "HEIC"),
        ("a.avif", "AVIF"),
        ("a.svg", "SVG"),
        ("a.dcm", "DICOM"),
        ("a.nii.gz", "NIfTI"),
        ("a.tar.gz", "archive"),
        ("a.psd", "Photoshop"),
        ("a.CR2", "camera raw"),
        ("a.svs", "whole slide"),
        ("a.png", None),
        ("a.txt", None),
        ("a", None),
    ],
)
def test_formats_that_are_not_read_are_known_by_suffix(name: str, kind: str | None):
    assert kinds.unread(name) == kind


def test_no_suffix_is_both_read_and_not_read():
    assert not kinds.SUFFIXES & set(kinds.UNREAD)


@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "WebP", "TIFF", "GIF", "AVIF", "PDF", "QOI", "DDS", "ICNS"]
)
def test_a_written_file_is_known_by_its_first_bytes(kind: str):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind)

    found = kinds.signature(file.getvalue()[: kinds.LONGEST])

    assert found == {"DDS": "DirectDraw", "ICNS": "icon"}.get(kind, kind)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "video"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0", "camera raw"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"8BPS\0\1", "Photoshop"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "SVG"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- drawn -->\n<svg>", "SVG"),
        (b"\n<!doctype HTML><title>404</title>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"not an image", None),
        (b"", None),
    ],
)
def test_first_bytes_tell_a_format(head: bytes, kind: str | None):
    assert kinds.signature(head) == kind
    assert kind is None or kinds.remedy(kind)
