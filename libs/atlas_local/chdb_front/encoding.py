"""Bodies in and out of the content encodings of ClickHouse's clients: gzip, deflate, lz4, zstd, and br if installed."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Callable
from typing import Any

# Smaller answers go out as they are: compressing them costs more than it saves on one machine.
COMPRESS_FROM_BYTES = 4096


class BodyTooLarge(Exception):
    """The body, or what it decompresses to, is above the limit in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes; send smaller ones or raise --max-body-bytes")


class EncodingUnknown(Exception):
    """The content encoding is not one that this process can read."""


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_LZ4 = _module("lz4.frame")
_ZSTD = _module("compression.zstd") or _module("backports.zstd")
_BROTLI = _module("brotli")

_DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": lambda: zlib.decompressobj(wbits=15),
}
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, compresslevel=3),
    "deflate": lambda body: zlib.compress(body, level=3),
}
if _LZ4:
    _DECODERS["lz4"] = _LZ4.LZ4FrameDecompressor
    _ENCODERS["lz4"] = _LZ4.compress
if _ZSTD:
    _DECODERS["zstd"] = _ZSTD.ZstdDecompressor
    _ENCODERS["zstd"] = _ZSTD.compress
if _BROTLI:
    _ENCODERS["br"] = lambda body: bytes(_BROTLI.compress(body, quality=4))


def decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body decompressed.

    Raises BodyTooLarge, EncodingUnknown, or ValueError for bytes that are not of this encoding.
    """
    if encoding in ("", "identity"):
        return body
    if encoding == "br" and _BROTLI:
        return _within(bytes(_BROTLI.decompress(body)), limit)
    if encoding not in _DECODERS:
        raise EncodingUnknown(f"Content-Encoding {encoding!r} is not supported; use one of {', '.join(_DECODERS)}")
    try:
        return _frames(body, _DECODERS[encoding], limit)
    except (zlib.error, RuntimeError, EOFError, getattr(_ZSTD, "ZstdError", ValueError)) as error:
        raise ValueError(f"the body is not {encoding}: {error}") from error


def chosen(accept: str) -> str | None:
    """Return the first encoding of an Accept-Encoding header that can be written, or None."""
    offered = (item.partition(";")[0].strip().lower() for item in accept.split(","))
    return next((name for name in offered if name in _ENCODERS), None)


def encoded(body: bytes, encoding: str) -> bytes:
    """Return the body compressed with an encoding that `chosen` returned."""
    return _ENCODERS[encoding](body)


def _frames(body: bytes, decoder: Callable[[], Any], limit: int) -> bytes:
    """Decompress frame after frame: clients write one per block. A frame that breaks off is an error."""
    parts: list[bytes] = []
    size = 0
    while body:
        frame = decoder()
        parts.append(frame.decompress(body, limit - size + 1))
        size += len(parts[-1])
        if size > limit:
            raise BodyTooLarge(limit)
        if not frame.eof:
            raise EOFError("it breaks off in the middle of a frame")
        body = frame.unused_data or b""
    return b"".join(parts)


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise BodyTooLarge(limit)
    return body
