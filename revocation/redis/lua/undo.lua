-- Take exactly one revocation back.
-- KEYS: head, log, lasting, lasting:expiry, clock, entry key
-- ARGV: tag of this call (random), id of the revocation, entry name, about (JSON)
-- Answers {'ok', 1 undone | 0 gone already}, or 'merged'.
local head, word = open_head(KEYS[1])
if not head then return {word} end
word = wrong_type(KEYS, {'string', 'stream', 'hash', 'zset', 'string', 'string'})
if word then return {word} end
local tag, id, name = ARGV[1], ARGV[2], ARGV[3]
local kept, found, merged = {}, false, false
for _, one in ipairs(parse_entry(redis.call('GET', KEYS[6]))) do
  if one.id == id then
    found = true
  else
    kept[#kept + 1] = one
    merged = merged or stands_for(one, id)
  end
end
local issued, cutoff = read_clock(KEYS[5])
local is_known = redis.call('HGET', KEYS[3], id) == '-'
if not found then
  if merged and not is_known then return {'merged'} end
  write_clock(KEYS[5], issued, cutoff)
  return {'ok', 0}
end
local place = log_end(head, KEYS[2])
if not place then return {'stuck'} end

local ttl = time_left(KEYS[6])
append(head, KEYS[2], place, tag, {op = 'undo', name = name, ttl = ttl, about = ARGV[4],
  entry = function() return #kept > 0 and format_entry(kept) or '' end})
write_entry(KEYS[6], kept, ttl)
-- The mark stays for as long as the log may tell of the revocation: others of this entry may be merged up to a later id.
-- The mark of a key stays for ever, because a follower that has not heard of the undo would give the key back.
redis.call('HSET', KEYS[3], id, '-')
if string.sub(name, 1, 4) == 'key:' then redis.call('ZREM', KEYS[4], id)
else redis.call('ZADD', KEYS[4], digits(math.max(T, H) + horizon(head)), id) end
trim(head, KEYS[2])
write_clock(KEYS[5], issued, cutoff)
redis.call('SET', KEYS[1], format_head(head))
return {'ok', 1}
