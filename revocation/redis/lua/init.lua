-- Open an epoch: the first one, a new one by hand, or one after a loss; or raise what stands in an open head.
-- KEYS: head, log, lasting, lasting:expiry, clock, then one entry key per revocation of a key that is given back
-- ARGV: mode ('first' | 'new' | 'loss' | 'keep'), epoch expected ('' = none), new epoch, whether tokens from before are
--       accepted (1) or not (0), whether a new log begins (1) or not (0), tag of this call (random), the epochs of the
--       opener (comma-separated, '-' = none), its settings (life, leeway, margin and session in s, bound in ms), how many
--       replicas there are at most ('' = as the server says), the clock key as it read it last, the server that it saw
--       last (run id and replication id, '' = none), the kinds of handles that the head shall declare besides those that
--       it does, those that it shall not declare any longer, the position of the log up to which none is revoked by those
--       ('' = any), how many kinds a head may declare, then three per revocation given back: id, entry name, about; or per
--       key that a head of the first version names: '', entry name, about
-- Answers {'ok', head, whether this call opened it} with the head that is in force, whoever wrote it; or 'clock <Redis>
-- <here>' where the clocks are too far apart for a cut-off: then a loss is 'closed'; or 'moved' where the log goes on
-- behind that position; or {'meaning', kind} where a kind is declared otherwise, and {'many'} where there are too many.
local mode, expected, epoch = argument(), argument(), argument()
local accepts, new_log, tag = argument() == '1', argument() == '1', argument()
local known_epochs = argument()
local life, leeway_seconds, margin, session, bound = number(), number(), number(), number(), number()
local replicas, clock_read, run, replid = argument(), argument(), argument(), argument()
local declared, withdrawn, as_of, most_kinds, given = argument(), argument(), argument(), number(), ARGV
local word = wrong_type({unpack(KEYS, 1, 5)}, {'string', 'stream', 'hash', 'zset', 'string'})
if word then
  -- What cannot be a log is none; anything else is for a person to look at.
  if string.sub(word, 6) ~= KEYS[2] or mode == 'keep' then return {word} end
  redis.call('DEL', KEYS[2])
end
local text = redis.call('GET', KEYS[1])
local head, older
if text then
  head, word = parse_head(text)
  if word == 'older' and mode == 'new' then
    older = words(text)
  elseif not head then return {word} end
end
local found = head and head.epoch or older and older[2] or ''
if older then
  -- Whoever goes on with the first version may have revoked another key meanwhile.
  local names = {}
  for i = 8, #older do names[older[i]] = true end
  for i = 2, #given, 3 do names[given[i]] = nil end
  for name in pairs(names) do
    if string.match(name, '^key:[%w_~-]+:[%w_~-]+$') then return {'older'} end
  end
end
if found ~= expected then return {'ok', text or '', 0} end

if head and as_of ~= '' and head.last .. '-' .. head.tag ~= as_of then return {'moved'} end

-- The kinds that the head declares, with those that are asked for and without those that are withdrawn, in order. A
-- closed head says itself which they are: whoever opens after a loss may have read it before one was withdrawn.
local standing_kinds, kinds, clash = head and head.kinds or '', {}, nil
local asked_for = found == 'closed' and mode == 'loss' and '' or declared
local _, stand = string.gsub(standing_kinds, '[^,]+', '')
for kind in kinds_in(standing_kinds .. ',' .. asked_for) do
  local so_far, other = table.concat(kinds, ','), string.match(kind, '^(.*)%*$') or kind .. '*'
  if has_kind(so_far, other) then
    clash = kind
  elseif not has_kind(withdrawn, kind) and not has_kind(so_far, kind) then
    kinds[#kinds + 1] = kind
  end
end
if mode ~= 'loss' then
  if clash then return {'meaning', clash} end
  if #kinds > math.max(stand, most_kinds) then return {'many'} end
end
table.sort(kinds)
kinds = table.concat(kinds, ',')

if mode == 'keep' then
  head.kinds = kinds
  head.bound = math.max(head.bound, bound)
  if replicas ~= '' then head.replicas = tonumber(replicas) end
  note_reign(head, run, replid)
  redis.call('SET', KEYS[1], format_head(head))
  return {'ok', format_head(head), 0}
end

local leeway = 1000 * leeway_seconds
if math.abs(T - H) > math.max(leeway, CLOCKS_DIFFER) then
  if mode == 'loss' and head and head.epoch ~= 'closed' then
    local names = {head.epoch}
    for name in string.gmatch(head.before, '[^,-]+') do
      if #names < MOST_EPOCHS then names[#names + 1] = name end
    end
    head.before, head.epoch, head.kinds = table.concat(names, ','), 'closed', kinds
    redis.call('SET', KEYS[1], format_head(head))
  end
  return {'clock ' .. digits(T) .. ' ' .. digits(H)}
end

-- The epochs that this one replaces: the one that was found, then those that the opener and the head name.
local names, known = {}, {closed = true, ['-'] = true}
for name in string.gmatch(found .. ',' .. known_epochs .. ',' .. (head and head.before or ''), '[^,]+') do
  if not known[name] and #names < MOST_EPOCHS then
    known[name] = true
    names[#names + 1] = name
  end
end

-- What lies further ahead than the leeway is no instant that anybody minted or cut off at: some clock, or junk.
local issued, highest = read_clock(KEYS[5])
local cutoff = math.max(T, H)
local read_issued, read_highest = string.match(clock_read, '^(%d+) (%d+)$')
for _, instant in ipairs({issued, highest, tonumber(read_issued) or 0, tonumber(read_highest) or 0}) do
  if instant <= T + leeway then cutoff = math.max(cutoff, instant) end
end
cutoff = cutoff + CLOCKS_DIFFER
local standing = head and head.everything or older and tonumber(older[6]) or 0
if standing > math.max(T, H) + leeway then standing = 0 end

local opened = head or {last = '0-0', tag = '-', at = 0, floor = '0-0', run = '-', replid = '-', reign = T, replicas = 0,
                        life = 0, leeway = 0, margin = 0, session = 0, bound = 0, kinds = ''}
opened.kinds = kinds
if mode == 'loss' and head then
  -- Who opens after a loss keeps the settings that it found.
  opened.bound = math.max(opened.bound, bound)
else
  opened.life, opened.leeway, opened.margin, opened.session, opened.bound =
    life, leeway_seconds, margin, session, bound
end
opened.epoch, opened.before = epoch, #names > 0 and table.concat(names, ',') or '-'
opened.everything = math.max(accepts and 0 or cutoff, standing)
opened.birth = T
if replicas ~= '' then opened.replicas = tonumber(replicas) end
note_reign(opened, run, replid)

local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local is_far_ahead = last and tonumber(string.match(last[1], '^(%d+)')) > math.max(T, H) + leeway
if older or new_log or is_far_ahead or not last then
  redis.call('DEL', KEYS[2])
  opened.last, opened.tag, opened.at, opened.floor = '0-0', '-', 0, '0-0'
elseif not head then
  -- The log has outlived the head: its chain goes on, and it begins behind whatever its first line names.
  opened.last, opened.tag, opened.floor = '0-0', '-', '0-0'
  for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', MOST_SEARCHED)) do
    local prev, its_tag, at = chained(entry)
    if prev and opened.last == '0-0' then opened.last, opened.tag, opened.at = entry[1], its_tag, at or 0 end
  end
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', MOST_SEARCHED)) do
    local prev = chained(entry)
    if prev then opened.floor = string.match(prev, '^(%d+%-%d+)') break end
  end
  if opened.last == '0-0' then redis.call('DEL', KEYS[2]) opened.floor = '0-0' end
end

local place = log_end(opened, KEYS[2])
if not place then
  redis.call('DEL', KEYS[2])
  opened.last, opened.tag, opened.at, opened.floor = '0-0', '-', 0, '0-0'
  place = {ms = 0, seq = 0}
end
local undone = restore(opened, {log = KEYS[2], lasting = KEYS[3], expiry = KEYS[4]}, place, tag, given,
  {unpack(KEYS, 6)})
write_clock(KEYS[5], math.max(issued <= T + leeway and issued or 0, opened.everything),
  math.max(highest <= T + leeway and highest or 0, opened.everything))
text = format_head(opened)
redis.call('SET', KEYS[1], text)
return {'ok', text, 1, unpack(undone)}
