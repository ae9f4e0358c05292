"""Marks mail from outside the organisation in its subject."""

from rmail_kernel import Delivery, hookimpl


class SubjectTagger:
    """Puts [EXT] in front of the subject of mail that no local user sent."""

    name = "subject_tagger"

    @hookimpl
    def on_deliver(self, delivery: Delivery) -> Delivery | None:
        subject = delivery.header("Subject")
        if delivery.envelope.session.principal or subject.startswith("[EXT]"):
            return None
        return delivery.with_header("Subject", f"[EXT] {subject}")
