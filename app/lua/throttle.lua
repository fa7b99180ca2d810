-- Ask, count, forgive or show failed attempts to prove an identity.
-- KEYS: buckets of the account, buckets of the address: sorted sets
-- ARGV: 'admit', 'failed', 'succeeded' or 'show'; the address; the device ('' = none is known); the window (ms); how many
--       failures fill the bucket of the account at one address, of a known device, of the account at all addresses, and
--       of the address; how many addresses may wait for a turn; how long a turn lasts (ms)
--
-- A bucket is the instant (ms) at which it is empty again: each failure moves it on by the window over the bucket's
-- size, and it is full while one more failure would move it further than a window from now. The members are
-- at:<address>, all, device:<id> and devices in the account's set, all in the address's, and turn:<address> in the
-- account's: where the account is full, each address that asks is given the next free place, in the order of asking, and
-- its score is the end of the turn. Such a place is in the bucket from then on.
--
-- Answers {'ok', whether something can be forgiven} or {'wait', ms} to 'admit', {'ok', T, member, score, ...} of the
-- account, an empty member, and the same of the address to 'show', {'ok', ms until which somebody may have to wait for
-- the account, '' where nobody has to} to 'failed', {'ok'} to 'succeeded'.
local word = wrong_type(KEYS, {'zset', 'zset'})
if word then return {word} end
local act, address, device, window = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local sizes = {place = tonumber(ARGV[5]), device = tonumber(ARGV[6]), account = tonumber(ARGV[7]), address = tonumber(ARGV[8])}
local most_turns, turn_lasts = tonumber(ARGV[9]), tonumber(ARGV[10])

local function bucket(key, member, size) return {key = key, member = member, size = sizes[size], step = window / sizes[size]} end

local function empty_at(one) return math.max(T, tonumber(redis.call('ZSCORE', one.key, one.member) or 0)) end

-- When the next failure fits; not later than now where it fits already.
local function free_at(one) return empty_at(one) + one.step - window end

local function failures(one) return math.ceil((empty_at(one) - T) / one.step) end

local function keep(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', digits(T))
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
  if last then redis.call('PEXPIRE', key, digits(math.ceil(tonumber(last)) - T + 1)) end
end

local function move(one, number) redis.call('ZADD', one.key, digits(empty_at(one) + number * one.step), one.member) end

local account = bucket(KEYS[1], 'all', 'account')
local mine, others = bucket(KEYS[1], 'at:' .. address, 'place'), {account, bucket(KEYS[2], 'all', 'address')}
if device ~= '' then
  mine, others = bucket(KEYS[1], 'device:' .. device, 'device'), {bucket(KEYS[1], 'devices', 'account')}
end
local turn = 'turn:' .. address
local turn_ends = device == '' and tonumber(redis.call('ZSCORE', KEYS[1], turn) or 0) or 0
if turn_ends <= T then turn_ends = nil end

if act == 'admit' then
  local free = free_at(mine)
  for _, one in ipairs(others) do
    if one ~= account then free = math.max(free, free_at(one)) end
  end
  if free > T then return {'wait', digits(free - T)} end
  free = free_at(account)
  if device == '' and free > T then
    if turn_ends then
      free = turn_ends - turn_lasts
    elseif free - T < most_turns * account.step then
      move(account, 1)
      redis.call('ZADD', KEYS[1], digits(free + turn_lasts), turn)
      keep(KEYS[1])
    end
    if free > T then return {'wait', digits(free - T)} end
  end
  return {'ok', (failures(mine) > 0 or turn_ends) and 1 or 0}
elseif act == 'failed' then
  move(mine, 1)
  for _, one in ipairs(others) do
    if one == account and turn_ends then redis.call('ZREM', KEYS[1], turn) else move(one, 1) end
  end
  local full = free_at(mine) > T or free_at(others[1]) > T
  for _, key in ipairs(KEYS) do keep(key) end
  return {'ok', full and digits(T + window) or ''}
elseif act == 'succeeded' then
  -- Only what this address or this device failed at this account is forgiven: whoever signs in to an account of their
  -- own has not earned further guesses at those of others.
  local own = failures(mine)
  redis.call('ZREM', mine.key, mine.member, turn)
  for _, one in ipairs(others) do move(one, -math.min(own + (one == account and turn_ends and 1 or 0), failures(one))) end
else
  local answer = {'ok', digits(T)}
  for _, key in ipairs(KEYS) do
    for _, text in ipairs(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')) do answer[#answer + 1] = text end
    answer[#answer + 1] = ''
  end
  return answer
end
for _, key in ipairs(KEYS) do keep(key) end
return {'ok'}
