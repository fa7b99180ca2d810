-- Give back revocations of keys that a follower remembers and Redis does not have; also before the cut-off has passed.
-- KEYS: head, log, lasting, lasting:expiry, clock, then one entry key per revocation
-- ARGV: epoch in force, tag of this call (random), then three per revocation: id, entry name, about (JSON)
-- Answers {'ok', ids that were undone since ...}, or 'other' (another epoch is in force).
local text = redis.call('GET', KEYS[1])
if not text then return {'empty'} end
local head, word = parse_head(text)
if not head then return {word} end
if head.epoch ~= ARGV[1] then return {'other'} end
word = refused(head) or wrong_type(KEYS, {'string', 'stream', 'hash', 'zset', 'string'})
if word and not (string.sub(word, 1, 5) == 'type ' and string.sub(word, 6) ~= KEYS[1]) then return {word} end
local place = log_end(head, KEYS[2])
if not place then return {'stuck'} end
local issued, cutoff = read_clock(KEYS[5])
local undone = restore(head, {log = KEYS[2], lasting = KEYS[3], expiry = KEYS[4]}, place, ARGV[2], {unpack(ARGV, 3)},
  {unpack(KEYS, 6)})
write_clock(KEYS[5], issued, cutoff)
redis.call('SET', KEYS[1], format_head(head))
return {'ok', unpack(undone)}
