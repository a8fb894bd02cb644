"""Request bodies: refused before they are read where that can be known, or while they arrive."""

from starlette.requests import Request

from serve_app.errors import BodyTooLarge, WrongContentType


async def read(request: Request, max_bytes: int) -> bytes:
    """The whole body, never more than `max_bytes` of it in memory."""
    _check_type(request)
    if int(request.headers.get("content-length", "0")) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _check_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise WrongContentType("Send JSON, with the header 'Content-Type: application/json'.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise WrongContentType("Send the body as it is, without 'Content-Encoding'.")


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {max_bytes} bytes; send less text.")
