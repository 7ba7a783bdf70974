"""What a file is, by its name or its first bytes: read, not read, or no picture of anybody's."""

from __future__ import annotations

from pathlib import PurePath

SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp"}
)
READ = ("PNG", "JPEG", "WebP", "TIFF", "BMP")
LISTED = f"{', '.join(READ[:-1])} or {READ[-1]}"

UNREAD = {
    suffix: name
    for name, suffixes in {
        "GIF": ".gif",
        "HEIC": ".heic .heics .heif .heifs .hif",
        "AVIF": ".avif .avifs",
        "JPEG XL": ".jxl",
        "JPEG 2000": ".jp2 .j2k .j2c .jpc .jpf .jpx .jpm .mj2",
        "JPEG XR": ".jxr .wdp .hdp",
        "SVG": ".svg .svgz",
        "DICOM": ".dcm .dicom .ima",
        "NIfTI": ".nii .nii.gz",
        "FITS": ".fits .fit .fts",
        "Photoshop": ".psd .psb",
        "GIMP": ".xcf",
        "Krita": ".kra .ora",
        "camera raw": ".dng .cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .raf .orf .rw2 .pef .srw .x3f"
        " .3fr .fff .iiq .kdc .dcr .mrw .erf .mef .mos .rwl .raw",
        "microscope": ".czi .lif .lsm .nd2 .oib .oif .oir .vsi .dv .ims",
        "whole slide": ".svs .ndpi .mrxs .scn .bif .vms .vmu .isyntax",
        "icon": ".ico .icns .cur",
        "Targa": ".tga",
        "Netpbm": ".pbm .pgm .ppm .pnm .pam .pfm",
        "OpenEXR": ".exr",
        "Radiance": ".hdr",
        "DirectDraw": ".dds",
        "QOI": ".qoi",
        "PCX": ".pcx .dcx",
        "SGI": ".sgi .rgb .bw",
        "DIB": ".dib",
        "metafile": ".emf .wmf",
        "PostScript": ".eps .ps .ai",
        "PDF": ".pdf",
        "DjVu": ".djvu .djv",
        "video": ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv",
        "NumPy": ".npy .npz",
        "HDF5": ".h5 .hdf5 .hdf",
        "MATLAB": ".mat",
        "archive": ".zip .tar .gz .tgz .bz2 .xz .7z .rar .zst",
    }.items()
    for suffix in suffixes.split()
}
"""The name of a format that is not read, by suffix."""

SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "big-endian BigTIFF"),
    (0, b"GIF8", "GIF"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmif", "HEIC"),
    (4, b"ftypmsf", "HEIC"),
    (4, b"ftypcrx", "camera raw"),
    (4, b"ftyp", "video"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n", "JPEG XL"),
    (4, b"jP  \r\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"gimp xcf", "GIMP"),
    (128, b"DICM", "DICOM"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DirectDraw"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"icns", "icon"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"\x89HDF\r\n", "HDF5"),
    (0, b"PK\3\4", "archive"),
    (0, b"\x1f\x8b", "archive"),
    (0, b"version https://git-lfs", "Git LFS pointer"),
)
"""Place, bytes and what begins so; the first that fits counts."""
MARKUP = ((b"<svg", "SVG"), (b"<!doctype", "web page"), (b"<html", "web page"), (b"<?xml", "XML"))
"""The same for text, in lower case."""
LONGEST = 512  # bytes that signatures look at

REMEDIES = {
    "camera raw": "develop it to PNG",
    "video": "save its frames as PNG",
    "archive": "unpack it",
    "web page": "download the image itself",
    "Git LFS pointer": "run `git lfs pull`",
    **{f"{kind} without a suffix": f"add .{kind.lower()} to its name" for kind in READ},
}

DEBRIS = frozenset(
    {
        *("@eadir", "@tmp", "@__thumb", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("__macosx", "icon\r", "network trash folder", "temporary items"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "autorun.inf"),
        *("$recycle.bin", "recycler", "system volume information", "found.000"),
        *("lost+found", "picasa.ini", "zbthumbnail.info"),
    }
)
"""What network storage, operating systems and picture browsers leave in folders, in lower case."""


def is_debris(name: str) -> bool:
    """Return whether a file or folder is hidden, or was left there by a system."""
    return name.startswith(".") or name.lower() in DEBRIS


def unread(name: str) -> str | None:
    """Return the format that a file's name stands for, if it is known and not read."""
    suffixes = PurePath(name.lower()).suffixes
    return UNREAD.get("".join(suffixes[-2:])) or UNREAD.get("".join(suffixes[-1:]))


def signature(head: bytes) -> str | None:
    """Return the format that a file's first `LONGEST` bytes stand for, if it is known."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for begin, name in MARKUP:
        if text.startswith(begin):
            return "SVG" if b"<svg" in text else name
    for place, begin, name in SIGNATURES:
        if head.startswith(begin, place):
            return name
    return None


def remedy(kind: str) -> str:
    """Return what to do with a file of a format that is not read."""
    return REMEDIES.get(kind, "save it as PNG")
