-- Begin a session, unless its user, client or issuer was revoked since its credentials were asked for.
-- KEYS: head, session record, index of all sessions, index of the subject's sessions, then the entry keys that judge it
-- ARGV: longest token life (s), time of sign-in (ms), idle life (ms), absolute life (ms), sid, then the record's other
--       fields and values
-- Answers {'ok'}, or 'revoked'.
local head, now = open_head(KEYS[1], ARGV[1])
if not head then return {now} end
local since, idle, absolute, sid = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local judges = {unpack(KEYS, 5)}
if is_revoked(head, judges, since) then return {'revoked'} end
local ends = since + absolute
redis.call('HSET', KEYS[2], 'n', 1, 'signed_in', digits(since), 'used', digits(since), 'rotated', digits(since),
  'ends', digits(ends), unpack(ARGV, 6))
redis.call('PEXPIRE', KEYS[2], digits(math.min(idle, absolute)))
for i = 3, 4 do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', digits(now))
  redis.call('ZADD', KEYS[i], digits(ends), sid)
end
redis.call('PEXPIRE', KEYS[4], digits(absolute))
return {'ok'}
