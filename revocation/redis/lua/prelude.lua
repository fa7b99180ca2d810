-- What every script knows; put in front of each by revocation/redis/script.py. The key schema and every grammar stand
-- in revocation/redis/protocol.py.
--
-- Scripts answer {'ok', ...}, or one word: 'empty' (no head: never opened, or lost), 'unreadable' (a head of another
-- version), 'early <ms>' (Redis' clock has not passed the cut-off of everything yet), 'lifetime <s>' (the deny-list was
-- opened for another longest token life, and which one was given).
--
-- The first arguments of every script are limits of the protocol.

local function limit() return tonumber(table.remove(ARGV, 1)) end
local MOST_REVOCATIONS, MOST_KEYS, MOST_FORGOTTEN, MOST_SEARCHED, CLOCKS_DIFFER =
  limit(), limit(), limit(), limit(), limit()

local function digits(number) return string.format('%.0f', number) end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function words(text)
  local found = {}
  for word in string.gmatch(text, '%S+') do found[#found + 1] = word end
  return found
end

local function parse_head(text)
  local word = words(text)
  if word[1] ~= '1' or not tonumber(word[6]) or not tonumber(word[7]) then return nil end
  local keys = {}
  for i = 8, #word do keys[#keys + 1] = word[i] end
  return {epoch = word[2], birth = word[3], last = word[4], tag = word[5], everything = tonumber(word[6]),
          life = word[7], keys = keys}
end

local function format_head(head)
  local word = {'1', head.epoch, head.birth, head.last, head.tag, digits(head.everything), head.life}
  for _, name in ipairs(head.keys) do word[#word + 1] = name end
  return table.concat(word, ' ')
end

-- The head and the time, or nil and the word that says why nobody may write or mint now.
local function open_head(key, life)
  local text = redis.call('GET', key)
  if not text then return nil, 'empty' end
  local head = parse_head(text)
  if not head then return nil, 'unreadable' end
  if head.life ~= life then return nil, 'lifetime ' .. head.life .. ' ' .. life end
  local now = now_ms()
  if now < head.everything then return nil, 'early ' .. digits(head.everything) end
  return head, now
end

-- A cut-off as a number; what cannot be read is unconditional.
local function cutoff_of(text)
  if text and string.match(text, '^%d+$') then return tonumber(text) end
  return math.huge
end

local function cutoff_text(number)
  if number == math.huge then return '*' end
  return digits(number)
end

local function expiry_text(number)
  if number == math.huge then return 'never' end
  return digits(number)
end

-- Whether a text is an entry to the letter: '<cut-off> <id>=<cut-off> ...'.
local function is_entry(text)
  local word = words(text)
  if #word < 2 or table.concat(word, ' ') ~= text then return false end
  for i, one in ipairs(word) do
    local cutoff = i == 1 and one or string.match(one, '^%+?%d+%-%d+%-%w+=(%S+)$')
    if cutoff ~= '*' and not string.match(cutoff or '', '^%d+$') then return false end
  end
  return true
end

-- The one rule, for a session that signed in at `since`, over the entry keys given.
local function is_revoked(head, entry_keys, since)
  if head.everything > since then return true end
  for _, key in ipairs(entry_keys) do
    local entry = redis.call('GET', key)
    if entry and (not is_entry(entry) or cutoff_of(string.match(entry, '^%S+')) > since) then return true end
  end
  return false
end

-- An entry as a list of {id, cut-off}; what cannot be read is unconditional, and stays so under an id of its own.
local function parse_entry(text)
  local list = {}
  if not text then return list end
  if not is_entry(text) then list[1] = {id = '+0-0-unreadable', cutoff = math.huge} end
  for id, cutoff in string.gmatch(text, '(%+?%d+%-%d+%-%w+)=(%S+)') do
    list[#list + 1] = {id = id, cutoff = cutoff_of(cutoff)}
  end
  return list
end

local function format_entry(list)
  local most, parts = 0, {}
  for _, one in ipairs(list) do
    most = math.max(most, one.cutoff)
    parts[#parts + 1] = one.id .. '=' .. cutoff_text(one.cutoff)
  end
  return cutoff_text(most) .. ' ' .. table.concat(parts, ' ')
end

-- The next log id, and its milliseconds: later than the last one, also when Redis' clock went back.
local function next_id(head, now)
  if not head.last_ms then
    local ms, seq = string.match(head.last, '^(%d+)-(%d+)$')
    head.last_ms, head.last_seq = tonumber(ms), tonumber(seq)
  end
  if now > head.last_ms then return digits(now) .. '-0', now, 0 end
  return digits(head.last_ms) .. '-' .. digits(head.last_seq + 1), head.last_ms, head.last_seq + 1
end

-- Append to the log, chained, trimmed by age; the head is written by the caller. Instants in the log are on the log's
-- own clock, which runs ahead where Redis' went back: no reader may take an entry for dead too early.
local function append(head, log, now, horizon, tag, fields)
  local id, ms, seq = next_id(head, now)
  local before = head.last .. '-' .. head.tag .. ' ' .. tag .. ' ' .. fields.op .. ' '
  local add = function()
    local change = before .. expiry_text(fields.expires + math.max(0, ms - now)) .. ' ' .. fields.name .. ' '
      .. fields.entry(id .. '-' .. tag)
    return redis.pcall('XADD', log, 'MINID', '~', digits(now - horizon), id, 'change', change, 'about', fields.about)
  end
  local added = add()
  if type(added) == 'table' and added.err then
    -- Something that is no entry of ours has a later id: go on behind it.
    local info = redis.call('XINFO', 'STREAM', log)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        local last_ms, last_seq = string.match(info[i + 1], '^(%d+)-(%d+)$')
        ms, seq = tonumber(last_ms), tonumber(last_seq) + 1
        id = digits(ms) .. '-' .. digits(seq)
      end
    end
    added = add()
    if type(added) == 'table' and added.err then return nil, added.err end
  end
  head.last, head.last_ms, head.last_seq, head.tag = id, ms, seq, tag
  return id .. '-' .. tag
end
