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
        "`iat` is for information. We refuse a token of the future: one of the clocks is wrong.",
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
        ("aud list with a number",), "accepted", "ours", "RFC 7519 §4.1.3", "`aud` is a text, or an array of texts."
    ),
    Difference(
        ("sub absent", "sub empty", "sub a number", "jti absent", "client_id absent"),
        "accepted",
        "ours",
        "RFC 9068 §2.2",
        "These claims are required texts. In Auth0's dialect it is `sub` alone.",
    ),
    Difference(
        ("scope a number", "permissions a text"),
        "accepted",
        "ours",
        "RFC 9068 §2.2.3, RFC 8725 §3.11",
        "What a token allows must not be read from a claim of another form.",
    ),
    Difference(
        ("aud twice", "a claim twice", "proof with a claim twice"),
        "accepted",
        "ours",
        "RFC 7519 §4",
        "Names must be unique: another reader would take the other value. A parser may also take the last one.",
    ),
    Difference(
        ("ID token by nonce", "ID token by its audience", "typ of a logout token", "typ of a proof", "typ a number"),
        "accepted",
        "ours",
        "RFC 9068 §4, RFC 8725 §3.11",
        "A JWT of another kind is no access token.",
    ),
    Difference(
        ("claims of 100 KB",), "accepted", "both", "RFC 9110 §5.4", "A server may bound fields; ours is 16,384 long."
    ),
    Difference(("alg a number", "alg null"), "crashes", "ours", "RFC 7515 §4.1.1", "`alg` must be a text."),
    Difference(("payload a list",), "crashes", "ours", "RFC 7519 §7.2", "The claims must be a JSON object."),
    Difference(("crit empty",), "accepted", "ours", "RFC 7515 §4.1.11", "The list must not be empty."),
    Difference(
        ("key for another algorithm",),
        "accepted",
        "ours",
        "RFC 7517 §4.4, RFC 8725 §3.1",
        "A key is used with the algorithm that it names.",
    ),
    Difference(("key of 1024 bits",), "accepted", "ours", "RFC 7518 §3.3", "RSA keys have 2048 bits or more."),
    Difference(
        ("signature padded", "proof padded"), "accepted", "ours", "RFC 7515 §2", "Segments have no padding characters."
    ),
    Difference(
        ("signature with loose bits", "proof with loose bits"),
        "accepted",
        "both",
        "RFC 4648 §3.5",
        "A decoder may refuse bits that no byte has. Two spellings of one token defeat a list of used ones.",
    ),
    Difference(
        ("cnf by key and certificate", "preferred: certificate-bound token as Bearer"),
        "accepted",
        "both",
        "RFC 7800 §3.1, RFC 8705 §3.1",
        "Unknown members are ignored unless the application says otherwise. Ours does: a token that is bound to a "
        "certificate must not pass without it.",
    ),
    Difference(
        ("off: bound token as Bearer",),
        "accepted",
        "both",
        "RFC 9449 §7.2",
        "A server that does not know DPoP would accept it. Ours knows: a bound token without a proof may be stolen.",
    ),
    Difference(
        ("tab for a space",), "accepted", "ours", "RFC 9110 §11.4", "Scheme and token have spaces between them."
    ),
    Difference(
        ("proof used twice",),
        "accepted",
        "ours",
        "RFC 9449 §11.1",
        "A proof is good once; the other leaves this to the application.",
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
        "`jti` is any text. We accept a blank one, once for each key.",
        ours="accepted",
    ),
    Difference(
        ("proof exp passed", "proof nbf in the future"),
        "accepted",
        "ours",
        "RFC 7519 §4.1.4, §4.1.5",
        "A JWT with these claims must not be accepted outside of them.",
    ),
    Difference(("proof nonce a number",), "accepted", "ours", "RFC 9449 §4.2", "`nonce` is a text."),
    Difference(("proof htm a number",), "crashes", "ours", "RFC 9449 §4.2", "`htm` is a text."),
    Difference(("proof jwk without y",), "crashes", "ours", "RFC 7518 §6.2.1.3", "A key of P-256 has `y`."),
    Difference(
        ("proof jwk with a symmetric key",), "accepted", "ours", "RFC 9449 §4.3 (7)", "`jwk` has no private member."
    ),
    Difference(
        ("htm in small letters",), "accepted", "ours", "RFC 9449 §4.3 (8), RFC 9110 §9.1", "Methods have a case."
    ),
    Difference(
        ("htu with an escaped letter",),
        "refused",
        "ours",
        "RFC 9449 §4.3 (9), RFC 3986 §6.2.2.2",
        "An unreserved character and its escape are the same.",
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
        "`htu` is a URI. The other repairs it as a browser does.",
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
        "The proof is missing or empty: the same.",
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
        "Without credentials, or with a scheme that is not accepted, the answer is 401 without an error code.",
    ),
    OtherAnswer(
        (400, "invalid_request"),
        (401, "invalid_token"),
        "ours",
        "RFC 6750 §2.1, §3.1",
        "A malformed field is a malformed request.",
    ),
    OtherAnswer(
        (401, "invalid_token"),
        (400, "invalid_request"),
        "both",
        "RFC 6750 §3.1",
        "An unbound token as `DPoP` without a proof, or as `Bearer` beside one: both the request and the token are at "
        "fault.",
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
# Beside auth0-api-python

For those who choose a verifier for an API: at the end you know each kind of request that the two judge differently, and
by which standard.

`ResourceServer` and `auth0-api-python`, Auth0's own verifier for APIs, judge the same requests in the tests
(`tests/interop/test_auth0_api_python.py`): tokens of both dialects, proofs and header fields, right and wrong in every
part, with the same issuer, keys, audience, clock and tolerances. They agree except for the kinds below. *Crashes* means
an exception that is none of the library's refusals.

| requests | ours | auth0-api-python | right | standard | reason |
|---|---|---|---|---|---|""".splitlines()
_ANSWERS = """
Where both refuse, these answers differ:

| ours | auth0-api-python | right | standard | reason |
|---|---|---|---|---|""".splitlines()


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - what it is for
