-- What every script knows; put in front of each by revocation/redis/script.py. The key schema and every grammar stand
-- in revocation/redis/protocol.py.
--
-- A script reads everything, checks everything that it will write, and only then writes. Scripts answer {'ok', ...}, or
-- one word and its detail: 'empty' (no head: never opened, or lost), 'older' or 'unreadable' (a head of another
-- version), 'closed' (nobody vouches until clocks agree), 'early <ms>' (Redis' clock has not passed the cut-off of
-- everything), 'settings <which> <in the head> <here>' (this process accepts more than entries outlive, or what was
-- revoked by a kind of handle that it does not know), 'minority <replicas>' (too few replicas are asked for), 'clock
-- <Redis> <here>' (they differ by more than may be minted with), 'type <key>' (a key of ours holds something else),
-- 'stuck' (the log takes no further entry).
--
-- The first arguments of every script are limits of the protocol, the caller's clock (ms), and what the caller accepts:
-- the longest token life, the leeway, the longest session life (s; 0: it has none), how many replicas it asks for, and
-- the kinds of handles of one's own that it was told of (comma-separated; '-': none, '*': it decides about no token).

local function argument() return table.remove(ARGV, 1) end
local function number() return tonumber(argument()) end
local MOST_REVOCATIONS, MOST_KEYS, MOST_FORGOTTEN, MOST_SEARCHED, MOST_DROPPED, MOST_EPOCHS =
  number(), number(), number(), number(), number(), number()
local CLOCKS_DIFFER, HOUR = number(), number()
local H, LIFE, LEEWAY, SESSION, LEAST = number(), number(), number(), number(), number()
local TOLD = argument()

local TIME = redis.call('TIME')
local T = tonumber(TIME[1]) * 1000 + math.floor(tonumber(TIME[2]) / 1000)

local function digits(number) return string.format('%.0f', number) end

local function words(text)
  local found = {}
  for word in string.gmatch(text, '%S+') do found[#found + 1] = word end
  return found
end

-- Head

local NAMES = {'epoch', 'before', 'last', 'tag', 'at', 'floor', 'everything', 'run', 'replid', 'reign', 'life',
               'leeway', 'margin', 'session', 'bound', 'replicas', 'birth'}
local NUMBERS = {at = 1, everything = 1, reign = 1, life = 1, leeway = 1, margin = 1, session = 1, bound = 1,
                 replicas = 1, birth = 1}

-- The kinds in a list such as 'org,device*'.
local function kinds_in(text) return string.gmatch(text, '[^,]+') end

-- The head, or nil and the word that says why not. Its last word, the kinds of handles, is there only where there are any.
local function parse_head(text)
  local word = words(text)
  if word[1] == '1' then return nil, 'older' end
  local has_kinds = #word == #NAMES + 2
  if word[1] ~= '2' or not (has_kinds or #word == #NAMES + 1) then return nil, 'unreadable' end
  local head = {kinds = has_kinds and word[#word] or ''}
  for kind in kinds_in(head.kinds) do
    if not string.match(kind, '^%l[%l%d_-]*%*?$') then return nil, 'unreadable' end
  end
  for i, name in ipairs(NAMES) do
    head[name] = word[i + 1]
    if NUMBERS[name] then head[name] = tonumber(head[name]) end
    if not head[name] then return nil, 'unreadable' end
  end
  for _, id in ipairs({head.last, head.floor}) do
    if not string.match(id, '^%d+%-%d+$') then return nil, 'unreadable' end
  end
  return head
end

local function format_head(head)
  local word = {'2'}
  for _, name in ipairs(NAMES) do word[#word + 1] = NUMBERS[name] and digits(head[name]) or head[name] end
  if head.kinds ~= '' then word[#word + 1] = head.kinds end
  return table.concat(word, ' ')
end

-- Whether a caller that asks for so many replicas may take part: two halves of a partition must never both have enough.
local function is_minority(head) return LEAST > 0 and 2 * (LEAST + 1) <= head.replicas + 1 end

-- Whether a list such as 'org,device*' has this kind.
local function has_kind(list, kind) return string.find(',' .. list .. ',', ',' .. kind .. ',', 1, true) ~= nil end

-- The word that says why this caller may not take part; nil where it may.
local function refused(head)
  for kind in kinds_in(TOLD == '*' and '' or head.kinds) do
    if not has_kind(TOLD, kind) then return 'settings handles ' .. kind .. ' ' .. TOLD end
  end
  if LIFE > head.life then return 'settings life ' .. digits(head.life) .. ' ' .. digits(LIFE) end
  if LEEWAY > head.leeway then return 'settings leeway ' .. digits(head.leeway) .. ' ' .. digits(LEEWAY) end
  if SESSION > head.session then return 'settings session ' .. digits(head.session) .. ' ' .. digits(SESSION) end
  if is_minority(head) then return 'minority ' .. digits(head.replicas) end
end

-- The head, or nil and the word that says why nobody may write or mint now.
local function open_head(key)
  local text = redis.call('GET', key)
  if not text then return nil, 'empty' end
  local head, word = parse_head(text)
  if not head then return nil, word end
  if head.epoch == 'closed' then return nil, 'closed' end
  word = refused(head)
  if word then return nil, word end
  if T <= head.everything then return nil, 'early ' .. digits(head.everything) end
  return head
end

-- The first of these keys that holds another type than is expected; nil where none does.
local function wrong_type(keys, kinds)
  for i, key in ipairs(keys) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' and kind ~= kinds[i] then return 'type ' .. key end
  end
end

-- Clock

-- The highest `iat` handed out, and the highest cut-off.
local function read_clock(key)
  local issued, cutoff = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  return tonumber(issued) or 0, tonumber(cutoff) or 0
end

-- Every script that answers "done" writes this: WAIT speaks of writes, and a replica refuses them.
local function write_clock(key, issued, cutoff) redis.call('SET', key, digits(issued) .. ' ' .. digits(cutoff)) end

-- By how much the clocks of a caller and of Redis may differ where something is minted or cut off.
local function slack(head) return math.max(head.leeway * 500, CLOCKS_DIFFER) end

-- The `iat` of a token that is minted now, or nil and the word that says why none may be.
local function mint(head, issued, cutoff)
  local most = slack(head)
  if math.abs(T - H) > most then return nil, 'clock ' .. digits(T) .. ' ' .. digits(H) end
  return math.max(T, math.min(math.max(issued, cutoff), H + most))
end

-- Entries

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

local PART = '^(%+?%d+%-%d+%-%w+)=([%d*]+)/?(%x*)$'

-- An entry as a list of {id, cut-off, mark}; what cannot be read is unconditional, and stays so under an id of its own.
local function parse_entry(text)
  local list = {}
  if not text then return list end
  local word = words(text)
  for i = 2, #word do
    local id, cutoff, mark = string.match(word[i], PART)
    if not id or (cutoff ~= '*' and not string.match(cutoff, '^%d+$')) then list = {} break end
    list[#list + 1] = {id = id, cutoff = cutoff_of(cutoff), mark = mark}
  end
  if #list == 0 or table.concat(word, ' ') ~= text or not (word[1] == '*' or string.match(word[1], '^%d+$')) then
    return {{id = '+0-0-unreadable', cutoff = math.huge, mark = ''}}
  end
  return list
end

local function format_entry(list)
  local most, parts = 0, {}
  for _, one in ipairs(list) do
    most = math.max(most, one.cutoff)
    parts[#parts + 1] = one.id .. '=' .. cutoff_text(one.cutoff) .. (one.mark ~= '' and '/' .. one.mark or '')
  end
  return cutoff_text(most) .. ' ' .. table.concat(parts, ' ')
end

-- The list with one more; the oldest of too many are merged, and then nobody can tell them apart.
local function with(list, one)
  local longer = {}
  for _, each in ipairs(list) do longer[#longer + 1] = each end
  longer[#longer + 1] = one
  while #longer > MOST_REVOCATIONS do
    local merged = {id = '+' .. string.gsub(longer[2].id, '^%+', ''),
                    cutoff = math.max(longer[1].cutoff, longer[2].cutoff), mark = ''}
    table.remove(longer, 1)
    longer[1] = merged
  end
  return longer
end

local function write_entry(key, list, ttl)
  if #list == 0 then redis.call('DEL', key)
  elseif ttl == math.huge then redis.call('SET', key, format_entry(list))
  else redis.call('SET', key, format_entry(list), 'PX', digits(math.max(1, ttl))) end
end

-- How long an entry still stands (ms); 0: it is not there.
local function time_left(key)
  local left = redis.call('PTTL', key)
  if left == -1 then return math.huge end
  return math.max(0, left)
end

-- Milliseconds and sequence of an id of the log, or of a revocation.
local function order(text)
  local ms, seq = string.match(text, '^%+?(%d+)-(%d+)')
  return tonumber(ms), tonumber(seq)
end

-- Whether a part of an entry stands for this revocation: by its id, or merged up to a later one.
local function stands_for(part, id)
  if part.id == id then return true end
  if string.sub(part.id, 1, 1) ~= '+' then return false end
  local ms, seq = order(id)
  local last_ms, last_seq = order(part.id)
  return ms < last_ms or (ms == last_ms and seq <= last_seq)
end

-- The one rule, for a session that signed in at `since`, over the entry keys given.
local function is_revoked(head, entry_keys, since)
  if head.everything > since then return true end
  for _, key in ipairs(entry_keys) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' and kind ~= 'string' then return true end
    for _, one in ipairs(parse_entry(redis.call('GET', key))) do
      if one.cutoff > since then return true end
    end
  end
  return false
end

-- Log

local function horizon(head) return 1000 * (head.life + 2 * head.leeway + 2 * head.margin) end

local function field(entry, name)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == name then return entry[2][i + 1] end
  end
end

-- Predecessor, tag and instant of a chained log entry; nil of anything else.
local function chained(entry)
  local change = field(entry, 'change')
  if not change then return nil end
  local prev, tag = string.match(change, '^(%d+%-%d+%-%S*) (%S+) ')
  if not prev then return nil end
  return prev, tag, tonumber(string.match(change, '^%S+ %S+ %S+ @(%d+) '))
end

-- The place behind which the log goes on, or nil where it takes nothing more: junk may have an id that is far ahead.
local function log_end(head, log)
  local ms, seq = string.match(head.last, '^(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  if redis.call('EXISTS', log) == 1 then
    local info = redis.call('XINFO', 'STREAM', log)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        local last_ms, last_seq = string.match(info[i + 1], '^(%d+)-(%d+)$')
        last_ms, last_seq = tonumber(last_ms), tonumber(last_seq)
        if last_ms > ms or (last_ms == ms and last_seq > seq) then ms, seq = last_ms, last_seq end
      end
    end
  end
  if ms >= 2 ^ 53 or seq >= 2 ^ 53 - 1024 then return nil end
  return {ms = ms, seq = seq}
end

-- Append one change, chained; the caller has looked at the end, and writes the head. `ttl` is how long what results
-- still stands, and counts from the instant of the line, which never decreases along the chain.
local function append(head, log, place, tag, change)
  if T > place.ms then place.ms, place.seq = T, 0 else place.seq = place.seq + 1 end
  local id = digits(place.ms) .. '-' .. digits(place.seq)
  -- A line that looks older than it is would be trimmed while it matters, so the later of both clocks counts; not that of
  -- a caller that is ahead by more than anything lasts, because the log would grow until then.
  head.at = math.max(T, math.min(H, T + 1000 * head.session), head.at)
  local expires = change.ttl == math.huge and 'never' or digits(head.at + change.ttl)
  redis.call('XADD', log, id, 'change', head.last .. '-' .. head.tag .. ' ' .. tag .. ' ' .. change.op .. ' @'
    .. digits(head.at) .. ' ' .. expires .. ' ' .. change.name .. ' ' .. change.entry(id .. '-' .. tag),
    'about', change.about)
  head.last, head.tag = id, tag
  return id .. '-' .. tag
end

-- Drop what is older than the horizon by both clocks, and say in the head where the log begins now.
local function trim(head, log)
  local oldest = math.min(T, H) - horizon(head)
  local function is_dead(entry)
    local prev, _, at = chained(entry)
    return not prev or (at and at < oldest), prev
  end
  local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)
  if #first == 0 or first[1][1] == head.last or not is_dead(first[1]) then return end
  local lines = redis.call('XRANGE', log, '-', '+', 'COUNT', MOST_DROPPED)
  for i, entry in ipairs(lines) do
    local dead, prev = is_dead(entry)
    if not dead or i == #lines or entry[1] == head.last then
      redis.call('XTRIM', log, 'MINID', '=', entry[1])
      return
    end
    if prev then head.floor = entry[1] end
  end
end

-- Reign

-- The server that answers, as `run id` and `replication id`, and how many replicas it has; nils where it does not tell.
local function server()
  local about = redis.pcall('INFO', 'server')
  local copies = redis.pcall('INFO', 'replication')
  if type(about) ~= 'string' or type(copies) ~= 'string' then return nil end
  return string.match(about, 'run_id:(%w+)'), string.match(copies, 'master_replid:(%w+)'),
    tonumber(string.match(copies, 'connected_slaves:(%d+)'))
end

-- Note in the head who answers: another server than before begins a reign of its own, and so does one that the caller
-- did not see last. Whether the server tells.
local function note_reign(head, seen_run, seen_replid)
  local run, replid, replicas = server()
  if replicas and replicas > head.replicas then head.replicas = replicas end
  if not run or not replid then return false end
  local is_other = run ~= head.run or replid ~= head.replid
  local is_unseen = seen_run ~= '' and (run ~= seen_run or replid ~= seen_replid)
  if is_other or is_unseen then head.run, head.replid, head.reign = run, replid, T end
  return true
end

-- Keys that somebody remembers

-- Keep a key revoked whose entry and records a process of the first version wrote.
local function take_over(head, keys, place, tag, name, about, key)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= 'string' then redis.call('DEL', key) end
  local list = parse_entry(redis.call('GET', key))
  if #list == 0 then
    local id = append(head, keys.log, place, tag, {op = 'restore', name = name, ttl = math.huge, about = about,
      entry = function(own)
        list = {{id = own, cutoff = math.huge, mark = ''}}
        return format_entry(list)
      end})
    list[1].id = id
  end
  for _, one in ipairs(list) do
    local id = string.gsub(one.id, '^%+', '')
    local known = redis.call('HGET', keys.lasting, id)
    if not known or known == '-' then redis.call('HSET', keys.lasting, id, about) end
    redis.call('ZADD', keys.expiry, '+inf', id)
  end
  write_entry(key, list, math.huge)
end

-- Put revocations of keys back that Redis does not have: three of `given` each (id, entry name, about), the entry key of
-- each beside it. Without an id it is a key that a head of the first version names: whatever its entry says stands, and
-- where there is none, a revocation of its own is written. Answers with the ids that were undone since.
local function restore(head, keys, place, tag, given, entry_keys)
  local undone = {}
  for i = 1, #given, 3 do
    local id, name, about, key = given[i], given[i + 1], given[i + 2], entry_keys[(i + 2) / 3]
    local known = redis.call('HGET', keys.lasting, id)
    if id == '' then
      take_over(head, keys, place, tag, name, about, key)
    elseif known == '-' then
      undone[#undone + 1] = id
    else
      local kind = redis.call('TYPE', key).ok
      if kind ~= 'none' and kind ~= 'string' then redis.call('DEL', key) end
      local list, held = parse_entry(redis.call('GET', key)), false
      for _, one in ipairs(list) do held = held or stands_for(one, id) end
      if not held then
        list = with(list, {id = id, cutoff = math.huge, mark = ''})
        append(head, keys.log, place, tag, {op = 'restore', name = name, ttl = math.huge, about = about,
          entry = function() return format_entry(list) end})
        write_entry(key, list, math.huge)
      end
      if not known then
        redis.call('HSET', keys.lasting, id, about)
        redis.call('ZADD', keys.expiry, '+inf', id)
      end
    end
  end
  return undone
end
