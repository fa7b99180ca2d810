-- Open an epoch: the first one, or a new one in place of the one named.
-- KEYS: head, log
-- ARGV: epoch expected ('' = none), new epoch, cut-off of everything (ms at the least; '0' = accept what is out there),
--       longest token life (s), then the entry names of revoked keys that must stay so
-- Answers {'ok', head} with the head that is in force, whoever wrote it.
local text = redis.call('GET', KEYS[1])
local head = text and parse_head(text)
if text and not head then return {'unreadable'} end
if (head and head.epoch or '') ~= ARGV[1] then return {'ok', text or ''} end
if not head then
  head = {last = '0-0', tag = '-', everything = 0, keys = {}}
  -- The log may have outlived the head: its chain goes on.
  for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', MOST_SEARCHED)) do
    for i = 1, #entry[2], 2 do
      local tag = entry[2][i] == 'change' and string.match(entry[2][i + 1], '^%S+ (%S+) ')
      if tag and head.last == '0-0' then head.last, head.tag = entry[1], tag end
    end
  end
end
local now = now_ms()
local everything, birth = tonumber(ARGV[3]), now
if everything > 0 then
  -- The epoch begins after everything that was ever logged, so that what is
  -- missing from before it is known to be cut off.
  local last = tonumber(string.match(head.last, '^(%d+)'))
  everything = math.max(everything, now + CLOCKS_DIFFER, last + CLOCKS_DIFFER)
  birth = everything - CLOCKS_DIFFER
end
local standing = {}
for _, name in ipairs(head.keys) do standing[name] = true end
for i = 5, #ARGV do
  if not standing[ARGV[i]] and #head.keys < MOST_KEYS then
    standing[ARGV[i]] = true
    head.keys[#head.keys + 1] = ARGV[i]
  end
end
head.epoch, head.birth, head.life = ARGV[2], digits(birth), ARGV[4]
head.everything = math.max(everything, head.everything)
local opened = format_head(head)
redis.call('SET', KEYS[1], opened)
return {'ok', opened}
