"""The scan and the decoding against the standard library's email package, another parser."""

import email
import email.policy
import importlib.util
import random
from email.message import EmailMessage, Message
from pathlib import Path

import pytest

from rmail_kernel.mime import Part, decode_body, decode_words, parse_envelope, scan

Tree = tuple[str, str | None, tuple["Tree", ...]]

# Where the standard library descends into delivery-status and external-body, which are no messages
# to IMAP (16, 36, 43); drops empty parts (37); or takes a boundary that two levels share for the
# outer one (15, 39).
DELIBERATE = {"msg_15.txt", "msg_16.txt", "msg_36.txt", "msg_37.txt", "msg_39.txt", "msg_43.txt"}


def tree_of_email(message: "Message[str, str]") -> Tree:
    payload = message.get_payload()
    children = payload if isinstance(payload, list) else []
    return (
        message.get_content_type(),
        message.get_filename(),
        tuple(tree_of_email(child) for child in children),  # type: ignore[arg-type] # typeshed: any payload
    )


def tree(part: Part) -> Tree:
    return f"{part.type}/{part.subtype}", part.filename, tuple(map(tree, part.children))


def python_test_messages() -> list[Path]:
    spec = importlib.util.find_spec("test.test_email")
    if spec is None or spec.origin is None:
        return []
    return sorted((Path(spec.origin).parent / "data").glob("msg_*.txt"))


def test_python_s_own_test_messages_have_the_same_tree() -> None:
    files = python_test_messages()
    if not files:
        pytest.skip("this Python has no test.test_email package")
    for file in files:
        raw = file.read_bytes()
        if file.name not in DELIBERATE:
            assert tree(scan(raw)) == tree_of_email(email.message_from_bytes(raw)), file.name


WORDS = ("report", "Größe", "日本語", "a" * 80, "x=y", ".", "-- ", "From me", "тест")
SUBTYPES = ("mixed", "alternative", "related")


def text(draw: random.Random) -> str:
    lines = (" ".join(draw.choices(WORDS, k=draw.randrange(4))) for _ in range(draw.randrange(5)))
    return "".join(line + "\n" for line in lines)


def generated(draw: random.Random, levels: int) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = " ".join(draw.choices(WORDS[:4], k=3))
    message["From"] = f'"{draw.choice(WORDS[:3])}, x" <a@example.org>'
    message.set_content(text(draw), cte=draw.choice(["base64", "quoted-printable"]))
    for _ in range(draw.randrange(3)):
        name = draw.choice(WORDS[:4])
        kind = draw.randrange(4)
        if kind == 0:
            message.add_attachment(
                draw.randbytes(draw.randrange(200)), "image", "png", filename=name
            )
        elif kind == 1:
            message.add_attachment(text(draw), subtype="html", charset="utf-16", cte="base64")
        elif levels:
            message.add_attachment(generated(draw, levels - 1))
    return message


@pytest.mark.parametrize("seed", range(60))
def test_generated_messages_have_the_same_tree_and_the_same_contents(seed: int) -> None:
    raw = generated(random.Random(seed), 3).as_bytes()
    reference = email.message_from_bytes(raw)
    root = scan(raw)
    assert tree(root) == tree_of_email(reference)
    compare_contents(raw, root, reference)


def compare_contents(raw: bytes, part: Part, reference: "Message[str, str]") -> None:
    payload = reference.get_payload()
    if not isinstance(payload, list):
        assert decode_body(raw, part) == reference.get_payload(decode=True)
        return
    for child, other in zip(part.children, payload, strict=True):
        compare_contents(raw, child, other)


@pytest.mark.parametrize("seed", range(30))
def test_generated_headers_have_the_same_subject_and_sender(seed: int) -> None:
    raw = generated(random.Random(seed), 0).as_bytes()
    reference = email.message_from_bytes(raw, policy=email.policy.default)
    envelope = parse_envelope(raw)
    assert decode_words(envelope.subject or b"") == reference["Subject"]
    (sender,) = envelope.from_
    assert sender.name == reference["From"].addresses[0].display_name
