"""Addresses and networks: who counts as one client."""

from __future__ import annotations

import pytest

from rmail_kernel.net.networks import Networks, address_of, is_within, site_of


def test_clients_are_counted_by_site() -> None:
    assert site_of("192.0.2.1") == site_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert site_of("2001:db8:1:2:3:4:5:6") == site_of("2001:db8:1:2::1")
    assert site_of("2001:db8:1:2::1") != site_of("2001:db8:1:3::1")
    assert site_of("a name") == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (("192.0.2.1", 25), ("192.0.2.1", 25)),
        (("::ffff:192.0.2.1", 25, 0, 0), ("192.0.2.1", 25)),
        (("::ffff:1:2:3", 25, 0, 0), ("::ffff:1:2:3", 25)),
        (("fe80::1%eth0", 25, 0, 2), ("fe80::1", 25)),
        ("/a/unix/socket", ("", 0)),
        (None, ("", 0)),
    ],
)
def test_an_ipv4_client_of_an_ipv6_socket_has_its_own_name(
    name: object, expected: tuple[str, int]
) -> None:
    assert address_of(name) == expected


@pytest.mark.parametrize("host", ["198.51.100.7", "::ffff:198.51.100.7", "fd12::1%eth0"])
def test_a_list_of_networks_holds_addresses_in_every_spelling(host: str) -> None:
    listed = ("198.51.100.0/24", "fd00::/8")
    assert host in Networks(listed)
    assert is_within(host, listed)


@pytest.mark.parametrize("host", ["198.51.101.7", "2001:db8::1", "", "a name"])
def test_what_is_on_no_list_is_not_within(host: str) -> None:
    assert not is_within(host, ("198.51.100.0/24", "fd00::/8"))
    assert not is_within(host, ())
