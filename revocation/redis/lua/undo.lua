-- Take exactly one revocation back.
-- KEYS: head, log, lasting, lasting:expiry, entry key
-- ARGV: tag of this call (random), longest token life (s), horizon (ms), id of the revocation, entry name, about (JSON)
-- Answers {'ok', 1 undone | 0 gone already}, or 'merged'.
local head, now = open_head(KEYS[1], ARGV[2])
if not head then return {now} end
local id, name = ARGV[4], ARGV[5]
local text = redis.call('GET', KEYS[5])
local kept, found, merged = {}, false, false
local function order(one)
  local ms, seq = string.match(one, '^%+?(%d+)-(%d+)')
  return tonumber(ms), tonumber(seq)
end
for _, one in ipairs(parse_entry(text)) do
  if one.id == id then
    found = true
  else
    kept[#kept + 1] = one
    if string.sub(one.id, 1, 1) == '+' then
      local ms, seq = order(id)
      local last_ms, last_seq = order(one.id)
      merged = merged or ms < last_ms or (ms == last_ms and seq <= last_seq)
    end
  end
end
local known = not found and redis.call('HGET', KEYS[3], id) == '-'
if not found then return merged and not known and {'merged'} or {'ok', 0} end

local left = redis.call('PTTL', KEYS[5])
local entry = #kept > 0 and format_entry(kept) or ''
local done, why = append(head, KEYS[2], now, tonumber(ARGV[3]), ARGV[1], {
  op = 'undo', name = name, expires = left < 0 and math.huge or now + left, about = ARGV[6],
  entry = function() return entry end})
if not done then return redis.error_reply(why) end
if #kept == 0 then
  redis.call('DEL', KEYS[5])
  local keys = {}
  for _, one in ipairs(head.keys) do if one ~= name then keys[#keys + 1] = one end end
  head.keys = keys
elseif left < 0 then
  redis.call('SET', KEYS[5], entry)
else
  redis.call('SET', KEYS[5], entry, 'PX', digits(math.max(1, left)))
end
-- For as long as the log may tell of it: others of this entry may be merged up to a later id, and this is not one.
redis.call('HSET', KEYS[3], id, '-')
redis.call('ZADD', KEYS[4], digits(now + tonumber(ARGV[3])), id)
redis.call('SET', KEYS[1], format_head(head))
return {'ok', 1}
