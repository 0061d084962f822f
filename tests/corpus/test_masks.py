"""Personal data, masked by placeholders."""

from __future__ import annotations

import pytest
from filter_chains import KINDS, chain
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.filters.masking import is_card, is_iban
from corpus.filters.settings import Kind
from pipeline.errors import XlmrError


def mask(line: str, *kinds: Kind) -> str:
    return chain(mask=kinds or KINDS).mask([[line]])[0][0][0]


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("Write to jane.doe+news@mail.example.co.uk!", "Write to [email]!"),
        ("<müller@bücher.example>", "<[email]>"),
        ("a@b, a@b.c, @name, x@1.2", "a@b, a@b.c, @name, x@1.2"),
        ("DE89 3704 0044 0532 0130 00.", "[iban]."),
        ("GB82WEST12345698765432", "[iban]"),
        ("card 4111 1111 1111 1111", "card [card]"),
        ("5500-0055-5555-5559, 340000099900036", "[card], [card]"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("from 8.8.8.8 and 192.168.0.1, 10.0.0.1, 127.0.0.1", "from [ip] and 192.168.0.1, 10.0.0.1, 127.0.0.1"),
        ("999.8.8.8 1.2.3 v1.2.3.4 1.2.3.4.5", "999.8.8.8 1.2.3 v1.2.3.4 1.2.3.4.5"),
        ("2a00:1450:4001:81b::200e and fe80::1, ::1", "[ip] and fe80::1, ::1"),
        ("at 10:20:30, std::string", "at 10:20:30, std::string"),
        ("Tel. +49 30 1234567", "Tel. [phone]"),
        ("+1 (212) 555-0123 or (212) 555-0123 or 212-555-0123", "[phone] or [phone] or [phone]"),
        ("01 23 45 67 89; 030/12345678; (030) 123 45 67", "[phone]; [phone]; [phone]"),
        ("0041 44 668 18 00", "[phone]"),
        ("on 01.02.2003 or 2003-01-02 or 01-02-2003", "on 01.02.2003 or 2003-01-02 or 01-02-2003"),
        ("ISBN 978-3-16-148410-0, 1,000,000 and 3.14159265358", "ISBN 978-3-16-148410-0, 1,000,000 and 3.14159265358"),
        ("12345678901234567890123456789", "12345678901234567890123456789"),
    ],
)
def test_masks(line: str, masked: str) -> None:
    assert mask(line) == masked


def test_each_kind_alone_and_counted() -> None:
    line = "a@example.org +49 30 1234567 8.8.8.8"
    assert mask(line, "email") == "[email] +49 30 1234567 8.8.8.8"
    assert mask(line, "phone") == "a@example.org [phone] 8.8.8.8"
    masked, counts = chain(mask=KINDS).mask([[line, "nothing"], [line]])
    assert masked == [["[email] [phone] [ip]", "nothing"], ["[email] [phone] [ip]"]]
    assert counts == {"email": 2, "phone": 2, "ipv4": 2}


def test_checksums() -> None:
    assert is_card("4111111111111111")
    assert not any(is_card(f"411111111111111{digit}") for digit in "023456789")
    assert not is_card("0000000000000000")
    assert [is_card(number) for number in ("4" + "0" * 10 + "2", "4" + "0" * 11 + "6")] == [
        False,
        True,
    ]  # 12, 13 digits
    assert [is_card(number) for number in ("6" + "0" * 17 + "4", "6" + "0" * 18 + "7")] == [True, False]  # 19, 20
    assert is_iban("GB82 WEST 1234 5698 7654 32")
    assert not any(is_iban(f"GB82 WEST 1234 5698 7654 {end}") for end in ("31", "33", "3", "322"))


@pytest.mark.parametrize(("digits", "phone"), [(6, False), (7, True), (15, True), (16, False)])
def test_a_phone_number_has_7_to_15_digits(digits: int, phone: bool) -> None:
    assert mask("+" + "4912345678901234"[:digits]) == ("[phone]" if phone else "+" + "4912345678901234"[:digits])


def test_a_placeholder_may_not_itself_be_masked() -> None:
    with pytest.raises(XlmrError, match=r"placeholders\.email"):
        chain(mask=("email",), placeholders={"email": "x@example.org"})
    with pytest.raises(XlmrError, match=r"placeholders\.phone"):
        chain(mask=("phone",), placeholders={"phone": "a\nb"})
    assert chain(mask=("email",), placeholders={"email": ""}).mask([["x@example.org"]])[0] == [[""]]


fragments = st.sampled_from(
    ["a@example.org", "8.8.8.8", "+49 30 1234567", "4111 1111 1111 1111", "DE89370400440532013000", "2a00:1450::200e",
     " ", ".", "-", "1", "23", "@", ":", "(", "x", "٣", "[", "/"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(fragments, max_size=8).map("".join) | st.text(), st.sampled_from(["[pii]", "", "|", "0"]))
def test_masking_again_changes_nothing(line: str, placeholder: str) -> None:
    filters = chain(mask=KINDS, placeholders=dict.fromkeys(KINDS, placeholder))
    once, _ = filters.mask([[line]])
    twice, counts = filters.mask(once)
    assert twice == once
    assert not counts


@pytest.mark.parametrize(
    "unit", ["a", "a.", "1", "1 ", "1.", "a@", "@a.", "A1", "+1", "0 1", "::", "1:", "(0", "a@b.", "-"]
)
@pytest.mark.timeout(60)
def test_long_lines_take_no_longer_than_their_length(unit: str) -> None:
    """A search whose work grows with the square of the line would take hours here, not half a second."""
    line = (unit * 500_000)[:500_000]
    filters = chain(mask=KINDS)
    masked, _ = filters.mask([[line]])
    assert filters.mask(masked)[0] == masked
