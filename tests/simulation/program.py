"""What a seed stands for: how everything is set, and the steps of the program."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from passwordless_async import INTERACTIVE
from passwordless_async.testing import TenantSettings

if TYPE_CHECKING:
    from passwordless_async import Profile

USERS = 4
PROCESSES = 2
MOST_STEPS = 60
SLOW_SHARE = 0.15  # of the seeds have a slow user, and no other disturbance
NONCES: tuple[dict[str, Any], ...] = (
    {},
    {"nonce_rotation": 1},
    {"nonce_rotation": 2, "accepted_previous_nonces": 0},
    {"single_use_nonces": True},
    {"nonce_rotation": 3, "nonce_in_answers": "never"},
    {"public_nonce_required": False},
)
CALLS = {"login": 12, "start": 2, "exchange": 4, "again": 1, "wrong_code": 1, "many": 2, "refresh": 14, "revoke": 1}
CALLS |= {"cancel": 13, "get": 2, "renew": 9, "api": 3, "update": 2, "close_session": 1, "list_sessions": 1}
SITE = {"browse": 8, "look": 5, "log_out": 1}  # calls of the gateway, in some programs
# Each program has some of these.
DISTURBANCES = {
    "fault": 4,
    "lose_answer": 6,
    "cut": 3,
    "cut_off": 2,
    "lossy": 2,
    "freeze": 2,
    "set_clock": 2,
    "crash": 2,
    "restart": 2,
}
DISTURBANCES |= {"tenant_crash": 2, "outage": 1, "store_down": 2, "store_lost": 1}


class Step(NamedTuple):
    """One step: so many seconds after the one before, something is done by a process for a user."""

    after: float
    verb: str
    process: int
    user: int
    number: int


@attrs.frozen
class Setting:
    """How the clients, the tenant and the network are set.

    Attributes:
        is_stock: Whether ready callbacks run in the order in which they became ready.
        latency: The most seconds that a packet takes.
        clocks: Seconds that each process's clock is ahead.
        nonces: Which of the ways to change nonces the tenant has.
        orphans: What ``on_orphan`` does: ``keeps``, ``fails``, or ``none``: there is no such hook.
        access_token_lifetime: Seconds; a short one makes calls of APIs refresh.
        profile: The clients' profile.
        has_site: Whether the processes have a gateway.
        quota: The tenant's limit of requests per second.
        slow: Seconds that packets of the first user take longer. Nothing else is disturbed then, so that the calls of
            all others end soon and well.
    """

    is_stock: bool
    latency: float
    clocks: tuple[float, ...]
    nonces: int
    orphans: str
    access_token_lifetime: int
    quota: int | None
    profile: Profile = attrs.field(repr=False)
    has_site: bool = False
    slow: float = 0.0

    def tenant(self) -> TenantSettings:
        return TenantSettings(
            id_token_alg="ES256",
            access_token_lifetime=self.access_token_lifetime,
            requests_per_second=self.quota,
            proof_skew=30.0,
            **NONCES[self.nonces],
        )


@attrs.frozen
class Trial:
    """A seed, and what it stands for."""

    seed: int
    setting: Setting
    program: tuple[Step, ...]


def trial_of(seed: int) -> Trial:
    """Return what a seed stands for: always the same."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    setting = _setting(chance)
    program = _program(chance, SITE if setting.has_site else {})
    if chance.random() < SLOW_SHARE:
        setting, program = _with_a_slow_user(chance, setting), _calm_program(chance)
    return Trial(seed, setting, program)


def _with_a_slow_user(chance: random.Random, setting: Setting) -> Setting:
    profile = attrs.evolve(
        setting.profile,
        max_in_flight=100,
        requests_per_second=None,
        outage_after=INTERACTIVE.outage_after,
        cool_down=INTERACTIVE.cool_down,
    )
    slow = chance.choice([0.5, 2.0, 8.0, 30.0])
    return attrs.evolve(
        setting, latency=0.01, clocks=(0.0,) * PROCESSES, quota=None, profile=profile, has_site=False, slow=slow
    )


def _calm_program(chance: random.Random) -> tuple[Step, ...]:
    """Return steps of which every other one is the first user's, whose codes are wrong more often than not."""
    verbs = {name: share for name, share in CALLS.items() if name not in {"many", "cancel"}}
    steps = []
    for verb in chance.choices(list(verbs), list(verbs.values()), k=MOST_STEPS):
        user = chance.choice([0, chance.randrange(USERS)])
        after = round(chance.expovariate(1 / 0.8), 4)
        does = verb if user else chance.choice(["login", "wrong_code"])
        steps.append(Step(after, does, chance.randrange(PROCESSES), user, chance.randrange(40)))
    return tuple(steps)


def _setting(chance: random.Random) -> Setting:
    quota = chance.choice([None, None, None, 10])
    return Setting(
        is_stock=chance.random() < 0.5,
        latency=chance.choice([0.01, 0.1, 0.5]),
        clocks=tuple(chance.choice([0.0, 0.0, -7.0, 7.0]) for _ in range(PROCESSES)),
        nonces=chance.randrange(len(NONCES)),
        orphans=chance.choice(["keeps", "none", "fails"]),
        access_token_lifetime=chance.choice([86_400, 45]),
        quota=quota,
        profile=attrs.evolve(
            INTERACTIVE,
            adaptive=chance.random() < 0.5,
            max_in_flight=chance.choice([100, 1, 2]),
            requests_per_second=chance.choice([None, quota]),
            outage_after=chance.choice([5, 1_000_000]),
            starts_per_hour=None,
            cool_down=chance.choice([0.0, 0.0, 1.0]),
            grace=chance.choice([INTERACTIVE.grace, 0.0]),
        ),
        has_site=chance.random() < 0.3,
    )


def _program(chance: random.Random, site: dict[str, int]) -> tuple[Step, ...]:
    verbs = {**CALLS, **site, **{name: DISTURBANCES[name] for name in DISTURBANCES if chance.random() < 0.25}}
    pause = chance.choice([0.02, 0.2, 0.8])  # seconds between two steps, on average
    return tuple(
        Step(
            round(chance.expovariate(1 / pause), 4),
            verb,
            chance.randrange(PROCESSES),
            chance.randrange(USERS),
            chance.randrange(40),
        )
        for verb in chance.choices(list(verbs), list(verbs.values()), k=chance.randint(25, MOST_STEPS))
    )
