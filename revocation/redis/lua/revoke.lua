-- Revoke any number of handles: entries, expiries, log and head in one step, and with them what the caller's own
-- state must lose at the same instant.
-- KEYS: head, log, lasting, lasting:expiry, followers, then one entry key per handle, then any number of keys to delete
-- ARGV: tag of this call (random), longest token life (s), horizon (ms), then four per handle:
--         entry name, cut-off ('*' | 'now' | ms), expiry ('never' | '+<ms from now>' | '=<ms>'), about (JSON)
-- Answers {'ok', now, birth of the epoch, ids of the followers, then three per handle: id ('' = its tokens are dead
-- already), cut-off, expiry}; or 'full'; or 'ahead' (a cut-off later than now: its entry would outlive the log).
-- "now" as a cut-off is one millisecond ahead, so that it covers what was issued in this one.
local head, now = open_head(KEYS[1], ARGV[2])
if not head then return {now} end
local tag, horizon = ARGV[1], tonumber(ARGV[3])

-- The list with one more; the oldest of too many are merged.
local function with(list, one)
  local longer = {}
  for _, each in ipairs(list) do longer[#longer + 1] = each end
  longer[#longer + 1] = one
  while #longer > MOST_REVOCATIONS do
    local merged = {id = '+' .. string.gsub(longer[2].id, '^%+', ''),
                    cutoff = math.max(longer[1].cutoff, longer[2].cutoff)}
    table.remove(longer, 1)
    longer[1] = merged
  end
  return longer
end

local standing = {}
for _, name in ipairs(head.keys) do standing[name] = true end
for i = 4, #ARGV, 4 do
  if (tonumber(ARGV[i + 1]) or 0) > now + 1 then return {'ahead'} end
  if string.sub(ARGV[i], 1, 4) == 'key:' and not standing[ARGV[i]] then
    standing[ARGV[i]] = true
    head.keys[#head.keys + 1] = ARGV[i]
  end
end
if #head.keys > MOST_KEYS then return {'full'} end

local forgotten = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', digits(now), 'LIMIT', 0, MOST_FORGOTTEN)
if #forgotten > 0 then
  redis.call('HDEL', KEYS[3], unpack(forgotten))
  redis.call('ZREM', KEYS[4], unpack(forgotten))
end

-- All the same for every handle of a call.
local soon = digits(now + 1)
local answer = {'ok', digits(now), head.birth, redis.call('SMEMBERS', KEYS[5])}
for i = 4, #ARGV, 4 do
  local name, key, asked = ARGV[i], KEYS[6 + (i - 4) / 4], ARGV[i + 1]
  local cutoff, text = math.huge, '*'
  if asked == 'now' then cutoff, text = now + 1, soon
  elseif asked ~= '*' then cutoff = cutoff_of(asked) text = cutoff_text(cutoff) end
  local expiry = math.huge
  local sign, amount = string.sub(ARGV[i + 2], 1, 1), tonumber(string.sub(ARGV[i + 2], 2))
  if sign == '+' then expiry = (cutoff < math.huge and math.max(now, cutoff) or now) + amount
  elseif sign == '=' then expiry = amount end
  local id = ''
  if expiry > now then
    local list = parse_entry(redis.call('GET', key))
    local kept = expiry
    if #list > 0 then
      local left = redis.call('PTTL', key)
      if left == -1 then kept = math.huge elseif left > 0 then kept = math.max(expiry, now + left) end
    end
    local about = '[' .. ARGV[i + 3] .. ',"' .. text .. '","' .. expiry_text(expiry) .. '"]'
    local entry
    local why
    id, why = append(head, KEYS[2], now, horizon, tag, {
      op = 'revoke', name = name, expires = kept, about = about,
      entry = function(own)
        if #list == 0 then
          entry = text .. ' ' .. own .. '=' .. text
        else
          entry = format_entry(with(list, {id = own, cutoff = cutoff}))
        end
        return entry
      end})
    if not id then return redis.error_reply(why) end
    if kept == math.huge then
      redis.call('SET', key, entry)
    else
      redis.call('SET', key, entry, 'PX', digits(math.max(1, kept - now)))
    end
    if expiry > now + horizon then
      redis.call('HSET', KEYS[3], id, about)
      redis.call('ZADD', KEYS[4], expiry == math.huge and '+inf' or digits(expiry), id)
    end
  end
  answer[#answer + 1] = id
  answer[#answer + 1] = text
  answer[#answer + 1] = expiry_text(expiry)
end
for i = 6 + (#ARGV - 3) / 4, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('SET', KEYS[1], format_head(head))
return answer
