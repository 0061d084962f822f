"""Personal data in lines, masked by placeholders: e-mail addresses, accounts, cards, IP addresses, phone numbers.

A pattern finds what may be one; where there is a checksum or a registry, a function decides. Lines that cannot hold
any (no @, hardly a digit) are not searched.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from corpus.filters.settings import Filters, Kind
from pipeline.errors import XlmrError

# Bounded repeats everywhere: no line makes a search take longer than its length times a constant.
_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w+%-](?:[\w.+%'-]{0,62}[\w+%-])?@(?:[\w-]{1,63}\.){1,8}[^\W\d_](?:[\w-]{0,22}[^\W_])(?![\w-])"
)
_IPV4 = re.compile(r"(?<![\w.:-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w-]|\.[\w])")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![\w:])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{2,4}){2,8}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\w.,+-])[2-6][0-9]{3}(?:[ -]?[0-9]{2,7}){2,4}(?![\w-]|[.,][0-9])")
_PHONE = re.compile(
    r"(?<![\w+.,/=#-])(?:"
    # +49 (0)30 1234-567
    r"(?:\+|00)[ ]?[1-9]\d{0,3}(?:[ ./-]{0,2}\(\d{1,5}\))?[ ./-]{0,2}\d{1,12}(?:[ ./-]{0,2}\d{2,12}){0,6}"
    r"|(?:1[ .-])?(?:\([2-9]\d{2}\)[ .-]?|[2-9]\d{2}[.-])[2-9]\d{2}[ .-]\d{4}"  # (212) 555-0123, 212-555-0123
    r"|\(0\d{1,5}\)[ ./-]{0,2}\d{2,8}(?:[ .-]\d{1,8}){0,4}"  # (030) 123 45 67
    r"|0\d{1,5}(?:[ ]?[/-][ ]?\d{3,9}(?:[ -]\d{1,6}){0,3}|(?:[ .]\d{2,4}){2,5}|[ ]\d{5,8})"  # 030/1234567, 01 23 45 67
    r")(?![\w/]|[.,:]\d|-\d)"
)
_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1(?:19|20)\d\d(?!\d)")

_DIGIT_GROUPS = re.compile(r"\d(?:\D{0,3}\d){3}|::")

# Lengths of account numbers by country, from the IBAN registry.
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip


def is_iban(text: str) -> bool:
    """Length of its country, and remainder 1 of 97 (ISO 13616)."""
    plain = re.sub(r"[ -]", "", text)
    if len(plain) != _IBAN_LENGTHS.get(plain[:2]):
        return False
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def is_card(text: str) -> bool:
    """13 to 19 digits that pass Luhn's check (ISO/IEC 7812)."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    return sum(digits[-1::-2]) % 10 == -sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]) % 10


def is_public_address(text: str) -> bool:
    """An IP address that can be reached from anywhere; private, local and documentation ranges are not."""
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def is_phone(text: str) -> bool:
    """7 to 15 digits after a plus (E.164), otherwise 9 to 15, and no date."""
    fewest = 7 if text[0] == "+" else 9
    return fewest <= sum(map(str.isdigit, text)) <= 15 and not _DATE.match(text)


def _always(text: str) -> bool:
    del text
    return True


_FINDERS: dict[Kind, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "email": (_EMAIL, _always),
    "iban": (_IBAN, is_iban),
    "credit_card": (_CARD, is_card),
    "ipv4": (_IPV4, is_public_address),
    "ipv6": (_IPV6, is_public_address),
    "phone": (_PHONE, is_phone),
}
"""How each kind is found, in the order in which they are masked: those with a checksum before phone numbers."""


@dataclass(frozen=True)
class PersonalDataMasker:
    """Masks some kinds of personal data."""

    kinds: tuple[Kind, ...]
    placeholders: dict[Kind, str]

    def mask(self, lines: Sequence[Sequence[str]]) -> tuple[list[list[str]], Counter[str]]:
        """The lines of some documents with personal data masked, and how much of each kind. Line for line."""
        counts: Counter[str] = Counter()
        masked = [list(document) for document in lines]
        for document in masked:
            if _may_hold("\n".join(document)):  # most documents do not
                for place, line in enumerate(document):
                    if _may_hold(line):
                        document[place], found = self._masked(line)
                        counts.update(found)
        return masked, counts

    def _masked(self, line: str) -> tuple[str, Counter[str]]:
        """Again and again until nothing is found: so masking what is masked changes nothing."""
        counts: Counter[str] = Counter()
        before = ""
        while before != line:
            before = line
            for kind in self.kinds:
                line, found = _replace(line, kind, self.placeholders[kind])
                if found:
                    counts[kind] += found
        return line, counts


def _may_hold(text: str) -> bool:
    return "@" in text or _DIGIT_GROUPS.search(text) is not None


def _replace(line: str, kind: Kind, placeholder: str) -> tuple[str, int]:
    pattern, decide = _FINDERS[kind]
    found = 0

    def replacement(match: re.Match[str]) -> str:
        nonlocal found
        if not decide(match[0]):
            return match[0]
        found += 1
        return placeholder

    return pattern.sub(replacement, line), found


def make_masker(filters: Filters) -> PersonalDataMasker:
    """The masker of the settings. Errors: XlmrError for a placeholder that would itself be masked."""
    kinds = tuple(kind for kind in _FINDERS if kind in filters.mask)
    placeholders: dict[Kind, str] = {kind: getattr(filters.placeholders, kind) for kind in kinds}
    for kind, placeholder in placeholders.items():
        if "\n" in placeholder or any(_replace(placeholder, other, "")[1] for other in _FINDERS):
            raise XlmrError(
                f"corpus.filters.placeholders.{kind}: {placeholder!r} would itself be masked", "take a word in brackets"
            )
    return PersonalDataMasker(kinds, placeholders)
