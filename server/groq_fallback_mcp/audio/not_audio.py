"""What is certainly no recording, whatever its name: text, archives, databases, programs, documents, keys, pictures."""

from __future__ import annotations

import re

from groq_fallback_mcp.audio.file_bytes import Content

__all__ = ["is_foreign", "is_text"]

# No recording begins with so much text: each has counts or flags within its first bytes.
TEXT_BYTES = 256
_CONTROL = re.compile(rb"[^\t\n\f\r\x1b\x20-\xff]")
_TAR_BYTES = 512
_TAR_SUM = slice(148, 156)
_ISO_AT = 32_769
_MAGIC = (
    # archives, compressed files, disk images
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x07\x08",
    b"!<arch>\n",
    b"!<thin>\n",
    b"070701",
    b"070702",
    b"070707",
    b"\xc7\x71",
    b"\x71\xc7",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a",
    b"\x1f\x8b",
    b"\x1f\x9d",
    b"\x1f\xa0",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"LZIP",
    b"\x5d\x00\x00",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
    b"MSCF\x00",
    b"xar!",
    b"hsqs",
    b"\xed\xab\xee\xdb",
    b"QFI\xfb",
    b"KDMV",
    b"LUKS\xba\xbe",
    # databases, version control, captures, data
    b"SQLite format 3\x00",
    b"\x37\x7f\x06\x82",
    b"\x37\x7f\x06\x83",
    b"PACK\x00",
    b"DIRC\x00",
    b"\xfftOc",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\xc3\xd4",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x0a\x0d\x0d\x0a",
    b"\x89HDF",
    b"\x93NUMPY",
    b"PAR1",
    b"ARROW1",
    b"Obj\x01",
    b"GGUF",
    b"\x80\x02",
    b"\x80\x03",
    b"\x80\x04",
    b"\x80\x05",
    b"bplist",
    b"\x00\x05\x16\x00",
    b"\x00\x05\x16\x07",
    b"\x00\x00\x00\x01Bud1",
    # programs
    b"\x7fELF",
    b"MZ",
    b"\xca\xfe\xba\xbe",
    b"\xfe\xed\xfa",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\x00asm",
    b"dex\n",
    # documents and pictures
    b"%PDF",
    b"\xd0\xcf\x11\xe0",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x01\x00",
    b"\x00\x00\x02\x00",
    b"8BPS",
    b"wOF",
    b"\x00\x01\x00\x00\x00",
    b"OTTO\x00",
    # keys and certificates: DER, JKS, KeePass, OpenPGP
    b"\x30\x80",
    b"\x30\x81",
    b"\x30\x82",
    b"\x30\x83",
    b"\x30\x84",
    b"\xfe\xed\xfe\xed",
    b"\xce\xce\xce\xce",
    b"\x03\xd9\xa2\x9a",
    b"\x99\x01",
    b"\x95\x01",
    b"\x85\x01",
    b"\x85\x02",
)


def is_foreign(content: Content, at: int = 0) -> bool:
    """Whether what begins at an offset is a file of another kind."""
    head = content[at : at + _TAR_BYTES]
    return head.startswith(_MAGIC) or is_text(head) or _is_tar(head) or content[at + _ISO_AT : at + _ISO_AT + 5] == b"CD001"


def is_text(head: bytes) -> bool:
    """Whether the first bytes are all text, in any encoding that has ASCII in it."""
    begin = head[:TEXT_BYTES]
    return bool(begin) and _CONTROL.search(begin) is None


def _is_tar(head: bytes) -> bool:
    """By the checksum, which tars of all ages have."""
    digits = head[_TAR_SUM].strip(b" \0")
    if len(head) < _TAR_BYTES or not digits or not digits.isdigit() or b"8" in digits or b"9" in digits:
        return False
    stated = int(digits, 8)
    return stated == sum(head) - sum(head[_TAR_SUM]) + 8 * 0x20
