-- Use refresh token n of a session: the next one takes its place, once.
-- KEYS: head, clock, session record, index of all sessions, index of the subject's sessions, then the entry keys that
--       judge it
-- ARGV: sid, n, grace (ms), idle life, absolute life and life of access tokens (ms), address, user agent
-- Answers {'ok', iat of the access token (ms), its life (s), n of the token to hand out, ends (ms)}; or 'gone' (expired
-- or ended), 'revoked', 'reuse' (an earlier token, later than the grace after its first use, or one that was never handed
-- out: somebody else has it).
local MOST_USES = 64
local head, word = open_head(KEYS[1])
if not head then return {word} end
word = wrong_type({unpack(KEYS, 2, 5)}, {'string', 'hash', 'zset', 'zset'})
if word then return {word} end
local read = redis.call('HMGET', KEYS[3], 'n', 'signed_in', 'rotated', 'ends', 'used', 'exp', 'uses')
local n, since, rotated, ends, last_use = tonumber(read[1]), tonumber(read[2]), tonumber(read[3]), tonumber(read[4]), tonumber(read[5])
if not (n and since and rotated and ends and last_use) then return {'gone'} end
local grace, idle, absolute, access = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
-- Today's absolute life counts as well: a shorter one than the session began with shortens the life of entries, too.
ends = math.min(ends, since + absolute)
if ends <= T or last_use + idle <= T then return {'gone'} end
if is_revoked(head, {unpack(KEYS, 6)}, since) then return {'revoked'} end

-- When earlier tokens were first used, as far back as grace reaches, in the order of n: each instant is that of all
-- tokens from the one before it on. `rotated` is that of the latest.
local uses = {}
for number, instant in string.gmatch(read[7] or '', '(%d+)=(%d+)') do
  uses[#uses + 1] = {n = tonumber(number), at = tonumber(instant)}
end
-- A process of the version before does not write the others down: what it rotated gets no grace.
local known = #uses > 0 and uses[#uses].n or 0
if known < n - 2 then uses[#uses + 1] = {n = n - 2, at = 0} end
if n > 1 then uses[#uses + 1] = {n = n - 1, at = rotated} end

local function has_grace(number)
  for _, use in ipairs(uses) do
    if number <= use.n then return T - use.at <= grace end
  end
  return false
end

local given = tonumber(ARGV[2])
if given ~= n and not has_grace(given) then return {'reuse'} end
local issued, cutoff = read_clock(KEYS[2])
local iat
iat, word = mint(head, issued, cutoff)
if not iat then return {word} end
if given == n then
  -- Of many uses in a short time the last instant stands for all, so that no token has less than its grace.
  local last = #uses
  if last > 2 and uses[last].at - math.min(uses[last - 1].at, uses[last - 2].at) < 2 * grace / MOST_USES then
    table.remove(uses, last - 1)
  end
  -- The latest of those that are over stays, for all before it.
  while #uses > 1 and T - uses[1].at > grace and T - uses[2].at > grace do table.remove(uses, 1) end
  local parts = {}
  for i, use in ipairs(uses) do parts[i] = digits(use.n) .. '=' .. digits(use.at) end
  n = n + 1
  redis.call('HSET', KEYS[3], 'n', digits(n), 'rotated', digits(T), 'used', digits(T), 'uses', table.concat(parts, ' '),
    'ip', ARGV[7], 'user_agent', ARGV[8])
  last_use = T
  for i = 4, 5 do redis.call('ZADD', KEYS[i], digits(math.min(last_use + idle, ends)), ARGV[1]) end
  redis.call('PEXPIRE', KEYS[5], digits(absolute + 1000 * (2 * head.leeway + head.margin)))
end
local life = math.max(1, math.floor((math.min(iat + access, ends, last_use + idle) - iat) / 1000))
redis.call('HSET', KEYS[3], 'exp', digits(math.max(tonumber(read[6]) or 0, math.floor(iat / 1000) + life)))
redis.call('PEXPIRE', KEYS[3], digits(math.max(1, math.min(last_use + idle, ends) - T + 1000 * (2 * head.leeway + head.margin))))
write_clock(KEYS[2], math.max(issued, iat), cutoff)
return {'ok', digits(iat), digits(life), digits(n), digits(ends)}
