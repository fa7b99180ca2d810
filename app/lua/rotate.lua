-- Use refresh token n of a session: the next one takes its place, once.
-- KEYS: head, session record, then the entry keys that judge it
-- ARGV: longest token life (s), n, grace (ms), idle life (ms), absolute life (ms), address, user agent
-- Answers {'ok', now (ms), n of the token to hand out, ends (ms)}; or 'gone' (expired or ended), 'revoked', 'reuse' (an
-- older token than grace allows, or one that was never handed out: somebody else has it).
local head, now = open_head(KEYS[1], ARGV[1])
if not head then return {now} end
local read = redis.call('HMGET', KEYS[2], 'n', 'signed_in', 'rotated', 'ends')
local n, since, rotated, ends = tonumber(read[1]), tonumber(read[2]), tonumber(read[3]), tonumber(read[4])
if not (n and since and rotated and ends) then return {'gone'} end
-- Also by today's absolute life: a shorter one than the session began with shortens the life of entries, too.
ends = math.min(ends, since + tonumber(ARGV[5]))
if ends <= now then return {'gone'} end
local judges = {unpack(KEYS, 3)}
if is_revoked(head, judges, since) then return {'revoked'} end
local used = tonumber(ARGV[2])
if used == n - 1 and now - rotated <= tonumber(ARGV[3]) then
  return {'ok', digits(now), digits(n), digits(ends)}
end
if used ~= n then return {'reuse'} end
redis.call('HSET', KEYS[2], 'n', digits(n + 1), 'rotated', digits(now), 'used', digits(now), 'ip', ARGV[6],
  'user_agent', ARGV[7])
redis.call('PEXPIRE', KEYS[2], digits(math.max(1, math.min(tonumber(ARGV[4]), ends - now))))
return {'ok', digits(now), digits(n + 1), digits(ends)}
