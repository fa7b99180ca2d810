-- Begin a session, unless its user, client or issuer was revoked since its credentials were asked for.
-- KEYS: head, clock, session record, index of all sessions, index of the subject's sessions, then the entry keys that
--       judge it
-- ARGV: time of sign-in (ms), idle life, absolute life and life of access tokens (ms), sid, then the record's other
--       fields and values
-- Answers {'ok', life of the access token (s), how many sessions the subject has at most}, or 'revoked'.
local head, word = open_head(KEYS[1])
if not head then return {word} end
word = wrong_type({unpack(KEYS, 2, 5)}, {'string', 'hash', 'zset', 'zset'})
if word then return {word} end
local since, idle, absolute, access, sid = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
if is_revoked(head, {unpack(KEYS, 6)}, since) then return {'revoked'} end
local issued, cutoff = read_clock(KEYS[2])
local ends = since + absolute
local idles = since + math.min(idle, absolute)
local life = math.max(1, math.floor(math.min(access, idle, absolute) / 1000))
local exp = math.floor(since / 1000) + life
redis.call('HSET', KEYS[3], 'n', 1, 'signed_in', digits(since), 'used', digits(since), 'rotated', digits(since),
  'ends', digits(ends), 'exp', digits(exp), unpack(ARGV, 6))
-- The record outlives the last access token at every verifier: ending the session asks it how long that is.
local kept = 1000 * (2 * head.leeway + head.margin)
redis.call('PEXPIRE', KEYS[3], digits(idles - since + kept))
for i = 4, 5 do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', digits(math.min(T, H)))
  redis.call('ZADD', KEYS[i], digits(idles), sid)
end
redis.call('PEXPIRE', KEYS[5], digits(absolute + kept))
write_clock(KEYS[2], issued, cutoff)
return {'ok', digits(life), redis.call('ZCOUNT', KEYS[5], '-inf', '+inf')}
