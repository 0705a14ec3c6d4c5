"""What the ledger does, as pure functions over a view of its records: reserve, settle, abandon, cool down, peek, expire."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from groq_fallback_mcp.call import FailureKind, Limit, QuotaSnapshot
from groq_fallback_mcp.durations import DAY_S
from groq_fallback_mcp.quota.breaker import Cooldown, cooled, failed, ignoring_own_cooldown, passed, probe_ended, probing
from groq_fallback_mcp.quota.buckets import (
    CLOCK_SLACK_S,
    RETURNABLE,
    Bucket,
    charge,
    follow,
    less_sure,
    new_bucket,
    proves_return,
    take,
)
from groq_fallback_mcp.quota.budget import UNKNOWN_SPENDING, ZERO_SPEND, Budget, Spend
from groq_fallback_mcp.quota.caller import Caller, caller_day
from groq_fallback_mcp.quota.fairness import Use, after_grant, after_settling, not_waiting, share_of, waiting
from groq_fallback_mcp.quota.ledger import (
    ANY_MODEL,
    Claim,
    Granted,
    ModelQuota,
    QuotaKey,
    Refused,
    Reservation,
    Settlement,
    SettleResult,
    Wait,
    obstacle,
)
from groq_fallback_mcp.quota.records import Account, OpenReservation, Transaction
from groq_fallback_mcp.quota.store import Snapshot, Writes

__all__ = [
    "abandon",
    "cool_down",
    "count_refusal",
    "expire",
    "learnt_factor",
    "peek",
    "reserve_any",
    "settle",
    "take_request",
]

FACTOR_FALL = 0.003
LEAST_FACTOR, LARGEST_FACTOR = 0.5, 4.0


def reserve_any(
    snapshot: Snapshot,
    claims: Sequence[Claim],
    *,
    reservation: str,
    life_s: float,
    budget: Budget,
    day: str,
    caller: Caller | None = None,
    others: Sequence[Claim] = (),
) -> Writes[Granted | Refused]:
    """Grant the first claim that fits, from all of its limits at once. A refusal changes nothing but what a named caller waits for.

    `others`: what the call may take elsewhere, so that it waits for the one model that is free first, and for none once it is served.
    """
    transaction = Transaction(snapshot)
    obstacle_of = partial(_obstacle_of, transaction, budget=budget, day=day, caller=caller)
    waits: list[Wait] = []
    for index, claim in enumerate(claims):
        wait = obstacle_of(claim)
        if wait is None:
            taken = _take(transaction, claim, reservation=reservation, life_s=life_s, day=day, budget=budget, caller=caller)
            if caller is not None:
                _note_waiting(transaction, (*claims, *others), caller, None)
            return transaction.writes(Granted(index=index, reservation=taken, skipped=tuple(waits)))
        waits.append(wait)
    if caller is not None:
        everywhere = [*zip(claims, waits, strict=True), *((one, obstacle_of(one)) for one in others)]
        due = [
            (wait.wait_s, one) for one, wait in everywhere if wait is not None and wait.for_units and wait.wait_s is not None
        ]
        # where it can be served elsewhere now, it waits for nothing
        free = any(wait is None for _, wait in everywhere)
        soonest = None if free else min(due, key=lambda found: found[0], default=None)
        _note_waiting(transaction, (*claims, *others), caller, soonest)
    return transaction.writes(Refused(waits=tuple(waits)))


def settle(snapshot: Snapshot, reservation: Reservation, settlement: Settlement) -> Writes[SettleResult]:
    """Replace the claim by what was used, and take in what the answer told.

    A reservation that is no longer open (settled before, or expired) gives nothing back; what the fallback of the store
    granted was never claimed here, so all that was used and has not refilled since is charged,
    once, however often it is told.
    """
    transaction = Transaction(snapshot)
    found = transaction.open(reservation.id)
    if found is not None:
        transaction.close(reservation.id)
    elif not reservation.granted_by_fallback or transaction.mark_applied(reservation.id):
        return transaction.writes(SettleResult(failures=transaction.account(reservation.key).health.failures))
    pool = reservation.pool
    own_says = settlement
    if pool is not None:
        own_says, pool_says = _shared_out(transaction, pool, settlement)
        _settle_account(transaction, pool, pool_says, opened=found is not None)
    account = _settle_account(transaction, reservation, own_says, opened=found is not None)
    provider = transaction.provider(reservation.key)
    whole, retries = probe_ended(provider.health, reservation.id, transaction.now), provider.retries
    if settlement.health == "up":
        whole, retries = passed(whole, reservation.taken_at), retries.after(success=True, now=transaction.now)
    elif settlement.health == "down":
        retries = retries.after(success=False, now=transaction.now)
    transaction.write_provider(reservation.key, replace(provider, health=whole, retries=retries))
    _spend(transaction, reservation.day, reservation, settlement.spent, held=found is not None and bool(found.day))
    if reservation.caller_day:
        held = found is not None and bool(found.caller_day)
        _spend(transaction, reservation.caller_day, reservation, settlement.spent, held=held)
    return transaction.writes(SettleResult(failures=account.health.failures, retry_allowed=retries.allows(transaction.now)))


def _settle_account(transaction: Transaction, reservation: Reservation, settlement: Settlement, *, opened: bool) -> Account:
    """Settle a model's account, or a pool's; `opened`: what was claimed is held there."""
    key = reservation.key
    account, provider = transaction.account(key), transaction.provider(key)
    if reservation.granted_by_fallback:
        # it may be the first that this store hears of the model
        claim = Claim(key=key, cost=reservation.cost, documented=reservation.documented, refilling=reservation.refilling)
        account = transaction.seeded(claim)
    held, in_flight = _unheld(account, reservation.cost) if opened else (account.held, account.in_flight)
    returned = _returns_unused(provider.returns_unused, account.buckets, reservation, settlement, now=transaction.now)
    buckets = _settled(account.buckets, held, reservation, settlement, now=transaction.now, returned=returned)
    health = probe_ended(account.health, reservation.id, transaction.now)
    if settlement.health == "up":
        health = passed(health, reservation.taken_at)
    elif settlement.health == "down":
        health = failed(health, reservation.taken_at, transaction.now)
    factor = account.prompt_factor if settlement.prompt is None else learnt_factor(account.prompt_factor, *settlement.prompt)
    uses = account.uses
    if reservation.queue and opened:
        difference = share_of(buckets, {**reservation.cost, **settlement.actual}) - share_of(buckets, reservation.cost)
        uses = after_settling(uses, reservation.queue, difference, taken_at=reservation.taken_at, now=transaction.now)
    settled = replace(account, buckets=buckets, held=held, in_flight=in_flight, health=health, prompt_factor=factor, uses=uses)
    transaction.write(key, settled)
    transaction.write_provider(key, replace(provider, returns_unused=returned))
    return settled


def _shared_out(transaction: Transaction, pool: Reservation, settlement: Settlement) -> tuple[Settlement, Settlement]:
    """What an answer told of the model, and of its pool: the limits that the pool has, or that neither was known to have.

    That a model fails says nothing of the others.
    """
    known = transaction.account(pool.key).buckets
    own = {reading.limit for reading in settlement.snapshot.readings if reading.limit not in known} if known else set[Limit]()
    readings = settlement.snapshot.readings
    told = [QuotaSnapshot(readings=tuple(one for one in readings if (one.limit in own) is is_own)) for is_own in (True, False)]
    of_pool = replace(
        settlement, snapshot=told[1], health=None if settlement.health == "down" else settlement.health, prompt=None
    )
    return replace(settlement, snapshot=told[0]), of_pool


def abandon(snapshot: Snapshot, reservation: str) -> Writes[None]:
    """Give back a reservation that nobody has waited for, if it was granted: its call was not sent."""
    found = Transaction(snapshot).open(reservation)
    if found is None:
        return Writes(result=None)
    own, *pools = (
        Reservation(id=reservation, key=key, cost=found.cost, taken_at=found.taken_at, queue=found.queue) for key in found.keys
    )
    granted = replace(own, spend=found.spend, day=found.day, caller_day=found.caller_day, pool=next(iter(pools), None))
    return Writes(result=None, writes=settle(snapshot, granted, Settlement(actual=dict.fromkeys(found.cost, 0.0))).writes)


def cool_down(
    snapshot: Snapshot, key: QuotaKey, wait_s: float, reason: str, *, limit: Limit | None, kind: FailureKind
) -> Writes[None]:
    """Put a model, or with ANY_MODEL its provider, into a cooldown."""
    transaction = Transaction(snapshot)
    cooldown = Cooldown(
        since=transaction.now, until=transaction.now + min(wait_s, DAY_S), reason=reason, limit=limit, kind=kind
    )
    if key.model == ANY_MODEL:
        provider = transaction.provider(key)
        transaction.write_provider(key, replace(provider, health=cooled(provider.health, cooldown)))
    else:
        account = transaction.account(key)
        transaction.write(key, replace(account, health=cooled(account.health, cooldown)))
    return transaction.writes(None)


def peek(snapshot: Snapshot, claims: Sequence[Claim], *, caller: Caller | None = None) -> Writes[Sequence[ModelQuota]]:
    """What is known of each claim's model."""
    transaction = Transaction(snapshot)
    return Writes(result=tuple(transaction.quota(claim, caller) for claim in claims))


def take_request(snapshot: Snapshot, caller: Caller, rpm: int, *, day: str) -> Writes[Wait | None]:
    """Count a request of a caller; what it must wait for, None when it may be made."""
    transaction = Transaction(snapshot)
    account = transaction.requests(caller.name)
    bucket = account.buckets.get(Limit.RPM)
    if bucket is None or bucket.capacity != rpm or bucket.at > transaction.now + CLOCK_SLACK_S:
        bucket = new_bucket(Limit.RPM, float(rpm))
    wait_s = bucket.wait_s(1.0, transaction.now)
    if wait_s > 0:
        _note_refusal(transaction, caller_day(day, caller.name))
        reason = f"{rpm} {Limit.RPM.unit} of the gateway token {caller.name} used up"
        return transaction.writes(Wait(wait_s=wait_s, reason=reason, limit=Limit.RPM, for_units=True))
    taken = charge(bucket, 1.0, transaction.now)
    transaction.write_requests(caller.name, replace(account, buckets={Limit.RPM: taken}))
    return transaction.writes(None)


def count_refusal(snapshot: Snapshot, *, day: str) -> Writes[None]:
    """Count a refused call on a caller's day."""
    transaction = Transaction(snapshot)
    _note_refusal(transaction, day)
    return transaction.writes(None)


def expire(snapshot: Snapshot, reservations: Iterable[str]) -> Writes[None]:
    """Give up on reservations whose processes are gone. Their charge stays: the calls may have been sent."""
    transaction = Transaction(snapshot)
    for reservation in reservations:
        found = transaction.open(reservation)
        transaction.close(reservation)
        if found is not None:
            for key in found.keys:
                account = transaction.account(key)
                held, in_flight = _unheld(account, found.cost)
                health = probe_ended(account.health, reservation, transaction.now)
                buckets = {
                    limit: less_sure(bucket, found.cost.get(limit, 0.0), transaction.now)
                    for limit, bucket in account.buckets.items()
                }
                transaction.write(key, replace(account, buckets=buckets, held=held, in_flight=in_flight, health=health))
            for day in found.days:
                transaction.write_day(day, transaction.day(day).holding(found.spend, -1))
    return transaction.writes(None)


def learnt_factor(factor: float, estimated: int, actual: int) -> float:
    """How far a model's prompts are from their estimates, after one more: at once when they are longer, else slowly.

    A moving average that rises faster than it falls stays near the upper end of what occurs: a prompt that is longer
    than its claim costs a refused call, one that is shorter costs nothing once it is settled.
    """
    if estimated <= 0 or actual <= 0:
        return factor
    seen = min(max(actual / estimated, LEAST_FACTOR), LARGEST_FACTOR)
    return seen if seen > factor else factor + FACTOR_FALL * (seen - factor)


def _obstacle_of(transaction: Transaction, claim: Claim, *, budget: Budget, day: str, caller: Caller | None) -> Wait | None:
    """What keeps a claim from being granted now."""
    quota = transaction.quota(claim, caller)
    if claim.last_resort:
        quota = replace(
            quota,
            health=ignoring_own_cooldown(quota.health, transaction.now),
            provider=ignoring_own_cooldown(quota.provider, transaction.now),
        )
    return _over_budget(transaction, claim, budget, day, caller) or obstacle(quota, claim.cost)


def _over_budget(transaction: Transaction, claim: Claim, budget: Budget, day: str, caller: Caller | None) -> Wait | None:
    objection = budget.objection(transaction.day(day), claim.spend) if budget.bounded else None
    if objection is None and caller is not None and caller.budget.bounded and claim.spend != ZERO_SPEND:
        own = transaction.day(caller_day(day, caller.name))
        # the ledger was lost, and this caller's record with it
        unknown = transaction.day(day).unknown
        objection = UNKNOWN_SPENDING if unknown else caller.budget.objection(own, claim.spend, token=caller.name)
    return None if objection is None else Wait(wait_s=None, reason=objection, kind=FailureKind.OVER_BUDGET)


def _note_waiting(
    transaction: Transaction, claims: Sequence[Claim], caller: Caller, soonest: tuple[float, Claim] | None
) -> None:
    """Keep what a caller waits for: of several claims the one that is due first, and in how many seconds; None for nothing."""
    wait_s, wanted = (0.0, ()) if soonest is None else (soonest[0], _with_pool(soonest[1]))
    wanted_keys = {one.key for one in wanted}
    for one in (*(one for claim in claims for one in _with_pool(claim) if one.key not in wanted_keys), *wanted):
        account = transaction.account(one.key)
        if one.key not in wanted_keys and not account.uses.get(caller.queue, Use()).waiting:
            continue
        known = transaction.seeded(one).buckets
        wants = {limit: units for limit, units in one.cost.items() if units > 0 and limit in known}
        if one.key in wanted_keys:
            uses = waiting(account.uses, caller, wants, wait_s=wait_s, now=transaction.now)
        else:
            uses = not_waiting(account.uses, caller.queue, wants)
        if uses is not account.uses:
            transaction.write(one.key, replace(account, uses=uses))


def _with_pool(claim: Claim) -> tuple[Claim, ...]:
    shared = claim.of_pool
    return (claim,) if shared is None else (claim, shared)


def _note_refusal(transaction: Transaction, day: str) -> None:
    totals = transaction.day(day)
    transaction.write_day(day, replace(totals, refused=totals.refused + 1))


def _take(
    transaction: Transaction,
    claim: Claim,
    *,
    reservation: str,
    life_s: float,
    day: str,
    budget: Budget,
    caller: Caller | None,
) -> Reservation:
    key, now = claim.key, transaction.now
    taken = _take_from_account(transaction, claim, reservation=reservation, life_s=life_s, caller=caller)
    shared = claim.of_pool
    pool = (
        None
        if shared is None
        else _take_from_account(transaction, shared, reservation=reservation, life_s=life_s, caller=caller)
    )
    provider = transaction.provider(key)
    transaction.write_provider(key, replace(provider, health=probing(provider.health, reservation, now, life_s)))
    record = OpenReservation(
        key=key,
        cost=claim.cost,
        spend=claim.spend,
        day=day if budget.bounded else "",
        pool="" if pool is None else pool.key.model,
        taken_at=now,
        caller_day=caller_day(day, caller.name) if caller is not None and caller.budget.bounded else "",
        queue="" if caller is None else caller.queue,
    )
    for held_on in record.days:
        transaction.write_day(held_on, transaction.day(held_on).holding(claim.spend))
    transaction.write_open(reservation, record, now + life_s)
    return replace(
        taken, spend=claim.spend, day=day, pool=pool, caller_day="" if caller is None else caller_day(day, caller.name)
    )


def _take_from_account(
    transaction: Transaction, claim: Claim, *, reservation: str, life_s: float, caller: Caller | None
) -> Reservation:
    """Take a claim from a model's account, or a pool's."""
    key, now = claim.key, transaction.now
    account = transaction.seeded(claim)
    buckets = dict(account.buckets)
    for limit, units in claim.cost.items():
        if limit in buckets:
            buckets[limit] = take(buckets[limit], units, now)
    held = {limit: account.held.get(limit, 0.0) + units for limit, units in claim.cost.items()}
    taken = replace(
        account,
        buckets=buckets,
        held={**account.held, **held},
        in_flight=account.in_flight + 1,
        health=probing(account.health, reservation, now, life_s),
        uses=account.uses if caller is None else after_grant(account.uses, caller, share_of(buckets, claim.cost), now),
    )
    transaction.write(key, taken)
    return Reservation(
        id=reservation,
        key=key,
        cost=claim.cost,
        taken_at=now,
        credited={limit: buckets[limit].credited for limit in claim.cost if limit in buckets},
        charged={limit: buckets[limit].charged for limit in claim.cost if limit in buckets},
        held={limit: account.held.get(limit, 0.0) for limit in claim.cost},
        refilling=claim.refilling,
        queue="" if caller is None else caller.queue,
    )


def _unheld(account: Account, cost: Mapping[Limit, float]) -> tuple[Mapping[Limit, float], int]:
    """What calls under way hold without one of this cost, and how many they are."""
    held = {limit: max(units - cost.get(limit, 0.0), 0.0) for limit, units in account.held.items()}
    in_flight = max(account.in_flight - 1, 0)
    return held if in_flight else {}, in_flight


def _settled(
    before: Mapping[Limit, Bucket],
    holds: Mapping[Limit, float],
    reservation: Reservation,
    settlement: Settlement,
    *,
    now: float,
    returned: bool,
) -> Mapping[Limit, Bucket]:
    """Each bucket settled to what was used, then moved to where what the server states allows.

    Where the answer states what remains and the provider is not known to return unused units, that is left to the next
    statement. `holds`: what other calls under way have claimed.
    """
    readings = {reading.limit: reading for reading in settlement.snapshot.readings}
    # what holds for the limit that an answer states holds for those it is silent about, such as a day's
    states = any(reading.remaining is not None and reading.limit in RETURNABLE for reading in readings.values())
    buckets = dict(before)
    for limit in {**reservation.cost, **readings}:
        bucket, reading = buckets.get(limit), readings.get(limit)
        slack, later = 0.0, math.inf
        if bucket is not None:
            slack, later = _since(bucket, reservation, now)
            claimed, admitted, used = _units(limit, reservation, settlement, now)
            unused = max(admitted - used, 0.0) if settlement.answered else 0.0
            left = unused if limit in RETURNABLE and states and not returned else 0.0
            bucket = charge(
                bucket,
                used + left - claimed,
                now,
                taken_at=reservation.taken_at,
                # what was granted while the store could not be used is claimed here only now
                claimed=used if reservation.granted_by_fallback else 0.0,
                credited=unused - left,
            )
            if limit not in settlement.admitted:
                # it may have charged less, or nothing where the call never got there
                bucket = less_sure(bucket, used, now)
            # a server that looked when it let the call in has not counted what this answer gives back
            slack += unused - left
        if reading is not None:
            bucket = follow(
                bucket,
                reading,
                now,
                held=holds.get(limit, 0.0),
                slack=slack,
                later=later,
                refilling=reservation.refilling,
            )
        if bucket is not None:
            buckets[limit] = bucket
    return buckets


def _returns_unused(
    known: bool,
    buckets: Mapping[Limit, Bucket],
    reservation: Reservation,
    settlement: Settlement,
    *,
    now: float,
) -> bool:
    """Whether the provider gives unused units back, after what this answer states: until a refusal that was not foreseen."""
    for reading in settlement.snapshot.readings:
        bucket = buckets.get(reading.limit)
        if bucket is None or reading.limit not in RETURNABLE:
            continue
        if reading.wait_s is not None:
            return False
        # without its usage an answer does not tell what the server charged when it let the call in, only that it was no more than claimed
        is_known = reading.limit in settlement.admitted
        if is_known and settlement.answered and reading.remaining is not None and reading.capacity in {None, bucket.capacity}:
            claimed, admitted, _ = _units(reading.limit, reservation, settlement, now)
            _, later = _since(bucket, reservation, now)
            known = known or proves_return(charge(bucket, admitted - claimed, now), reading.remaining, now, later=later)
    return known


def _units(limit: Limit, reservation: Reservation, settlement: Settlement, now: float) -> tuple[float, float, float]:
    """Of a limit: what we claimed, what the server charged at admission, and what was used."""
    claimed = reservation.cost.get(limit, 0.0)
    used = settlement.actual.get(limit, claimed)
    if reservation.granted_by_fallback:
        # of a window that is not continuous nothing comes back before it is over: `charge` sees to that
        share = 1.0 if reservation.refilling.windows == "sliding" else _missing(limit, now - reservation.taken_at)
        return 0.0, 0.0, used * share
    return claimed, settlement.admitted.get(limit, claimed), used


def _since(bucket: Bucket, reservation: Reservation, now: float) -> tuple[float, float]:
    """What may have come back to a bucket since the server looked at it, and what other calls may have claimed there after that.

    Those that were under way when this one was granted may have arrived after it, even where they are settled by now.
    """
    limit = bucket.limit
    refill = max(now - reservation.taken_at, 0.0) * bucket.refill_per_s
    credited = max(bucket.credited - reservation.credited.get(limit, bucket.credited), 0.0)
    charged = max(bucket.charged - reservation.charged.get(limit, bucket.charged), 0.0)
    return refill + credited, reservation.held.get(limit, 0.0) + charged


def _missing(limit: Limit, age_s: float) -> float:
    """The share still missing of what was used so long ago and is charged only now.

    A minute's limit in constant use was never full since, so that nothing has made up for it, and one in little use is full a moment
    after a charge. Older use of it is left out: hours of it would close the limit. A longer limit would be missed for hours: of it
    counts what has not come back.
    """
    if age_s >= limit.window_s:
        return 0.0
    return 1.0 if limit.window_s <= Limit.RPM.window_s else min(1.0 - age_s / limit.window_s, 1.0)


def _spend(transaction: Transaction, day: str, reservation: Reservation, spent: Spend | None, *, held: bool) -> None:
    totals = before = transaction.day(day)
    if held:
        totals = totals.holding(reservation.spend, -1)
    if spent is not None:
        totals = totals.plus(f"{reservation.key.provider}/{reservation.key.model}", spent)
    if totals != before:
        transaction.write_day(day, totals)
