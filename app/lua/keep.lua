-- Keep lines of the log that the audit trail lacks, because the deny-list drops them at its horizon.
-- KEYS: log, the kept lines (stream), how far they reach (hash)
-- ARGV: epoch and floor of the head, id of the last line that the trail is known to have ('0-0' = none), how many lines
--       are kept in one call and at most, for how long (ms)
-- Answers {'ok', how many lines were kept now}. Each has its fields as in the log, then `line` and `epoch`.
local word = wrong_type(KEYS, {'stream', 'stream', 'hash'})
if word then return {word} end
local epoch, floor, after, most, room, life = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
if redis.call('TYPE', KEYS[2]).ok == 'stream' then
  local about = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #about, 2 do
    if about[i] == 'length' then room = room - about[i + 1] end
  end
end
if room <= 0 then return {'ok', 0} end
local known = redis.call('HMGET', KEYS[3], 'epoch', 'last')
if known[1] == epoch then after = known[2] end
if not known[1] then redis.call('HSET', KEYS[3], 'floor', floor) end
local lines = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', math.min(most, room))
for _, line in ipairs(lines) do
  local fields = line[2]
  for _, text in ipairs({'line', line[1], 'epoch', epoch}) do fields[#fields + 1] = text end
  redis.call('XADD', KEYS[2], '*', unpack(fields))
  after = line[1]
end
redis.call('HSET', KEYS[3], 'epoch', epoch, 'last', after)
for i = 2, 3 do redis.call('PEXPIRE', KEYS[i], life) end
return {'ok', #lines}
