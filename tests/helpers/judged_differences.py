"""Where our resource server and ``auth0-api-python`` judge a request differently, and the standard's word on it.

``python -m helpers.judged_differences`` in ``tests/`` prints the page of the documentation.
"""

from __future__ import annotations

from typing import Literal

import attrs

Verdict = Literal["accepted", "refused", "crashes"]


@attrs.frozen
class Difference:
    """Kinds of requests that are judged differently for one reason.

    Attributes:
        kinds: Their names.
        theirs: The other's verdict; ``crashes`` is an exception that is none of its refusals, so a 500.
        right: Who follows the standard; ``both`` where it leaves the choice.
        rfc: The section.
        why: Its word.
        ours: Our verdict.
    """

    kinds: tuple[str, ...]
    theirs: Verdict
    right: Literal["ours", "both"]
    rfc: str
    why: str
    ours: Verdict = "refused"


DIFFERENCES = (
    Difference(
        ("exp null", "exp a text", "exp a list"), "crashes", "ours", "RFC 7519 §4.1.4", "`exp` must be a number."
    ),
    Difference(
        ("exp not a number", "exp infinite", "proof iat not a number"),
        "accepted",
        "ours",
        "RFC 8259 §6",
        "JSON has no NaN and no Infinity: such a token would never expire.",
    ),
    Difference(
        ("exp of 400 digits",),
        "accepted",
        "both",
        "RFC 7519 §2",
        "A NumericDate has no bound. We accept times up to the year 9999.",
    ),
    Difference(
        ("iat in the future",),
        "accepted",
        "both",
        "RFC 7519 §4.1.6",
        "`iat` is informative. We refuse a token that was issued in the future: one of the clocks is wrong.",
    ),
    Difference(
        ("nbf in the future",),
        "accepted",
        "ours",
        "RFC 7519 §4.1.5",
        "A token must not be accepted before its `nbf`.",
    ),
    Difference(
        ("iat a text", "iat null", "nbf a text", "auth_time a text"),
        "accepted",
        "ours",
        "RFC 7519 §2, RFC 9068 §2.2",
        "Times must be numbers.",
    ),
    Difference(
        ("aud list with a number",), "accepted", "ours", "RFC 7519 §4.1.3", "`aud` is a string, or an array of strings."
    ),
    Difference(
        ("sub absent", "sub empty", "sub a number", "jti absent", "client_id absent"),
        "accepted",
        "ours",
        "RFC 9068 §2.2",
        "These claims are required strings. The Auth0 token profile requires only `sub`.",
    ),
    Difference(
        ("scope a number", "permissions a text"),
        "accepted",
        "ours",
        "RFC 9068 §2.2.3, RFC 8725 §3.11",
        "Rights must not be read from a claim of the wrong type.",
    ),
    Difference(
        ("aud twice", "a claim twice", "proof with a claim twice"),
        "accepted",
        "ours",
        "RFC 7519 §4",
        "Names must be unique: another parser could use the other value. A parser may also use the last one.",
    ),
    Difference(
        ("ID token by nonce", "ID token by its audience", "typ of a logout token", "typ of a proof", "typ a number"),
        "accepted",
        "ours",
        "RFC 9068 §4, RFC 8725 §3.11",
        "A JWT of another type is not an access token.",
    ),
    Difference(
        ("claims of 100 KB",), "accepted", "both", "RFC 9110 §5.4", "A server may limit field sizes; ours is 16,384."
    ),
    Difference(("alg a number", "alg null"), "crashes", "ours", "RFC 7515 §4.1.1", "`alg` must be a string."),
    Difference(("payload a list",), "crashes", "ours", "RFC 7519 §7.2", "The claims must be a JSON object."),
    Difference(("crit empty",), "accepted", "ours", "RFC 7515 §4.1.11", "The list must not be empty."),
    Difference(
        ("key for another algorithm",),
        "accepted",
        "ours",
        "RFC 7517 §4.4, RFC 8725 §3.1",
        "A key must be used only with the algorithm in its `alg`.",
    ),
    Difference(("key of 1024 bits",), "accepted", "ours", "RFC 7518 §3.3", "RSA keys have 2048 bits or more."),
    Difference(("signature padded", "proof padded"), "accepted", "ours", "RFC 7515 §2", "Segments must not be padded."),
    Difference(
        ("signature with loose bits", "proof with loose bits"),
        "accepted",
        "both",
        "RFC 4648 §3.5",
        "A decoder may reject non-zero pad bits. Two encodings of one token would defeat a list of used tokens.",
    ),
    Difference(
        ("cnf by key and certificate", "preferred: certificate-bound token as Bearer"),
        "accepted",
        "both",
        "RFC 7800 §3.1, RFC 8705 §3.1",
        "Unknown members are ignored unless the application says otherwise. Ours does: a certificate-bound token must "
        "not be accepted without the certificate.",
    ),
    Difference(
        ("off: bound token as Bearer",),
        "accepted",
        "both",
        "RFC 9449 §7.2",
        "A server without DPoP would accept it. Ours knows DPoP: a bound token without a proof may be stolen.",
    ),
    Difference(("tab for a space",), "accepted", "ours", "RFC 9110 §11.4", "Scheme and token are separated by spaces."),
    Difference(
        ("proof used twice",),
        "accepted",
        "ours",
        "RFC 9449 §11.1",
        "A proof may be used once; auth0-api-python leaves this check to the application.",
    ),
    Difference(
        ("proof jti of 1 KB", "proof jti of 10 KB"),
        "accepted",
        "ours",
        "RFC 9449 §11.1",
        "A server that remembers `jti` should refuse one that is unnecessarily large.",
    ),
    Difference(
        ("proof jti blank",),
        "refused",
        "both",
        "RFC 9449 §4.2",
        "`jti` is any string. We accept a blank one, once for each key.",
        ours="accepted",
    ),
    Difference(
        ("proof exp passed", "proof nbf in the future"),
        "accepted",
        "ours",
        "RFC 7519 §4.1.4, §4.1.5",
        "A JWT with these claims must not be accepted outside that time.",
    ),
    Difference(("proof nonce a number",), "accepted", "ours", "RFC 9449 §4.2", "`nonce` is a text."),
    Difference(("proof htm a number",), "crashes", "ours", "RFC 9449 §4.2", "`htm` is a text."),
    Difference(("proof jwk without y",), "crashes", "ours", "RFC 7518 §6.2.1.3", "A key of P-256 has `y`."),
    Difference(
        ("proof jwk with a symmetric key",),
        "accepted",
        "ours",
        "RFC 9449 §4.3 (7)",
        "`jwk` must not contain a private key.",
    ),
    Difference(
        ("htm in small letters",), "accepted", "ours", "RFC 9449 §4.3 (8), RFC 9110 §9.1", "Methods are case-sensitive."
    ),
    Difference(
        ("htu with an escaped letter",),
        "refused",
        "ours",
        "RFC 9449 §4.3 (9), RFC 3986 §6.2.2.2",
        "An unreserved character and its percent-encoding are equivalent.",
        ours="accepted",
    ),
    Difference(
        (
            "htu with a bare umlaut",
            "htu with a backslash",
            "htu with a tab",
            "htu with a space before it",
            "htu of three slashes",
            "htu of one slash",
        ),
        "accepted",
        "ours",
        "RFC 9449 §4.2, RFC 3986 §2, §3",
        "`htu` is a URI. auth0-api-python repairs it, as a browser does.",
    ),
    Difference(("htu with a user",), "accepted", "ours", "RFC 9110 §4.2.4", "A target URI has no user information."),
)

Refusal = tuple[int, str]  # status and error code


@attrs.frozen
class OtherAnswer:
    """Refusals by both that are answered differently."""

    ours: Refusal
    theirs: Refusal
    right: Literal["ours", "both"]
    rfc: str
    why: str


OTHER_ANSWERS = (
    OtherAnswer(
        (401, "invalid_dpop_proof"),
        (400, "invalid_dpop_proof"),
        "ours",
        "RFC 9449 §7.1",
        "A resource server answers 401 with a challenge; 400 is for token endpoints (§5).",
    ),
    OtherAnswer(
        (401, "invalid_dpop_proof"),
        (400, "invalid_request"),
        "ours",
        "RFC 9449 §7.1",
        "The same, for a missing or empty proof.",
    ),
    OtherAnswer(
        (401, "invalid_dpop_proof"),
        (401, "invalid_token"),
        "ours",
        "RFC 7518 §6.2.1.2, RFC 9449 §7.1",
        "A padded coordinate is wrong in the proof, and not in the token.",
    ),
    OtherAnswer(
        (401, "invalid_request"),
        (400, "invalid_request"),
        "ours",
        "RFC 6750 §3, §3.1",
        "Without credentials, or with an unsupported scheme, the response is 401 without an error code.",
    ),
    OtherAnswer(
        (400, "invalid_request"),
        (401, "invalid_token"),
        "ours",
        "RFC 6750 §2.1, §3.1",
        "A malformed header field is a malformed request.",
    ),
    OtherAnswer(
        (401, "invalid_token"),
        (400, "invalid_request"),
        "both",
        "RFC 6750 §3.1",
        "An unbound token sent as `DPoP` without a proof, or as `Bearer` with one: both the request and the token are "
        "wrong.",
    ),
)


def page() -> str:
    """Return the page of the documentation."""
    rows = [
        f"| {', '.join(each.kinds)} | {each.ours} | {each.theirs} | {each.right} | {each.rfc} | {each.why} |"
        for each in DIFFERENCES
    ]
    answers = [
        f"| {each.ours[0]} `{each.ours[1]}` | {each.theirs[0]} `{each.theirs[1]}` | {each.right} | {each.rfc} | "
        f"{each.why} |"
        for each in OTHER_ANSWERS
    ]
    return "\n".join([*_INTRODUCTION, *rows, *_ANSWERS, *answers, ""])


_INTRODUCTION = """\
# Compared with auth0-api-python

If you are choosing a verifier for an API, this page lists each kind of request that the two treat differently, and the
standard that decides.

The tests (`tests/interop/test_auth0_api_python.py`) send the same requests to `ResourceServer` and to
`auth0-api-python`, Auth0's own verifier for APIs: tokens of both profiles, proofs and header fields, valid and invalid
in every part, with the same issuer, keys, audience, clock and tolerances. They agree except for the kinds below.
*Crashes* means an exception that is not one of the library's own errors.

| requests | ours | auth0-api-python | right | standard | reason |
|---|---|---|---|---|---|""".splitlines()
_ANSWERS = """
Where both refuse, these responses differ:

| ours | auth0-api-python | right | standard | reason |
|---|---|---|---|---|""".splitlines()


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - what it is for
