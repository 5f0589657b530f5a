"""Counters in fixed windows, on a server.

Invariants of the scripts:

- One script reads all counters of a call before it writes any: either all have room and count, or none counts.
- The token that began a window names it, so a count in one window is never undone in the next.
- A call that is repeated with the same token gets the same answer, as long as it can be undone.
- A refused call writes nothing, and each key expires.

In a cluster, the counters of a group are on one node, because a script is atomic only on one node. A node makes some
30,000 calls of four counters a second, and a counter takes about 220 bytes of it until its window ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.stores.protocols import Counter, CounterStore
from passwordless_async.stores.redis.connection import OnRedis, milliseconds, number, several

if TYPE_CHECKING:
    from collections.abc import Sequence


# In its last millisecond a key has no time left and still exists: at least 1 ms is returned.
_COUNT = """
local counted, token, remember = KEYS[1], ARGV[1], ARGV[2]
local left, numbers, windows, full = {}, {}, {}, false
for i = 2, #KEYS do left[i - 1] = 0 end
if redis.call('EXISTS', counted) == 1 then return left end
for i = 2, #KEYS do
  local limit, time = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local number, window = string.match(redis.call('GET', KEYS[i]) or '', '^(%d+) (.*)$')
  numbers[i], windows[i - 1] = tonumber(number or 0), window or token
  if numbers[i] >= limit then
    left[i - 1] = number and math.max(1, redis.call('PTTL', KEYS[i])) or time
    full = true
  end
end
if full then return left end
for i = 2, #KEYS do
  if numbers[i] == 0 then
    redis.call('SET', KEYS[i], '1 ' .. token, 'PX', ARGV[2 * i])
  else
    redis.call('SET', KEYS[i], numbers[i] + 1 .. ' ' .. windows[i - 1], 'KEEPTTL')
  end
end
redis.call('SET', counted, table.concat(windows, ' '), 'PX', remember)
return left
"""
_UNDO_COUNT = """
local counted = redis.call('GET', KEYS[1])
if not counted then return end
redis.call('DEL', KEYS[1])
local windows = {}
for window in string.gmatch(counted, '%S+') do windows[window] = true end
for i = 2, #KEYS do
  local number, window = string.match(redis.call('GET', KEYS[i]) or '', '^(%d+) (.*)$')
  if number and windows[window] then
    if number == '1' then
      redis.call('DEL', KEYS[i])
    else
      redis.call('SET', KEYS[i], number - 1 .. ' ' .. window, 'KEEPTTL')
    end
  end
end
"""


class RedisCounters(OnRedis, CounterStore):
    """The :class:`CounterStore <passwordless_async.stores.CounterStore>` on a server."""

    async def count(self, group: str, counters: Sequence[Counter], *, token: str, remember: float) -> tuple[float, ...]:
        limits = [each for counter in counters for each in (counter.limit, milliseconds(counter.window))]
        left = await self._run(_COUNT, self._counters(group, counters, token), token, milliseconds(remember), *limits)
        return tuple(number(time) / 1000 for time in several(left, (len(counters),)))

    async def undo_count(self, group: str, counters: Sequence[Counter], *, token: str) -> None:
        await self._run(_UNDO_COUNT, self._counters(group, counters, token))

    def _counters(self, group: str, counters: Sequence[Counter], token: str) -> list[str]:
        named = (self._key.counter(group, counter.kind, counter.name) for counter in counters)
        return [self._key.counted(group, token), *named]
