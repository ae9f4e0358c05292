"""Settings of the REST API."""

from __future__ import annotations

from pydantic import Field

from rmail_kernel.config import Section, unit


class ApiSettings(Section):
    """The REST API."""

    max_message_bytes: int = Field(52_428_800, ge=1024, json_schema_extra=unit("bytes"))
    """Largest message that may be appended or sent."""
    max_send_bytes: int = Field(33_554_432, ge=1024, json_schema_extra=unit("bytes"))
    """Largest JSON body of POST /messages/send; attachments in it are base64."""
    max_recipients: int = Field(100, ge=1)
    """Most recipients of one message."""
