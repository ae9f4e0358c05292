"""Names of cipher suites as the registry has them."""

from __future__ import annotations

import pytest

from rmail_kernel.delivery.ciphers import registered_name


@pytest.mark.parametrize(
    ("name", "registered"),
    [
        ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-ECDSA-AES256-CCM", "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"),
        ("ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
        ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
        ("", ""),
        ("X", ""),
        ("TLS_X) for you", ""),
        ("ECDHE-RSA-AES128\r\nX: y", ""),
    ],
)
def test_a_suite_has_one_registered_name(name: str, registered: str) -> None:
    assert registered_name(name) == registered
