-- Revoke any number of handles in one step, and with them what the caller's own state must lose at the same instant.
-- KEYS: head, log, lasting, lasting:expiry, clock, followers, then one entry key per handle, then, where sessions end, the
--       record of each, and sorted sets that name them
-- ARGV: tag of this call (random), the server this process saw last (run id and replication id, '' = none), number of
--       handles, then six per handle: entry name, kind, cut-off ('*' | 'now' | ms; 'own now' or 'own <ms>' for a kind that
--       the head has to declare), end ('' = unknown | the token's exp in s | 'record <member of the sorted sets>'), mark
--       ('' = of nobody), about (JSON)
-- Answers {'ok', T, since when the reign and the epoch (ms; reign '' = the server does not tell), run id, replication id,
-- ids of the followers, last position of the log, then four per handle: id ('' = its tokens are dead already), cut-off,
-- end, whether it was written}; or 'full', 'ahead' (a cut-off later than now); or {'undeclared', kind} or
-- {'unconditional', kind} for a kind that the head does not declare, or that takes no cut-off.
-- A cut-off "now" is later than every `iat` that was handed out before.
local head, word = open_head(KEYS[1])
if not head then return {word} end
local tag, seen_run, seen_replid, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
word = wrong_type(KEYS, {'string', 'stream', 'hash', 'zset', 'string', 'set'})
if word then
  for i = 1, 6 do
    if string.sub(word, 6) == KEYS[i] then return {word} end
  end
end
for i = 7, 6 + count do
  word = wrong_type({KEYS[i]}, {'string'})
  if word then return {word} end
end
local has_records = #KEYS > 6 + count
for i = 7 + count, #KEYS do
  word = wrong_type({KEYS[i]}, {i <= 6 + 2 * count and 'hash' or 'zset'})
  if word then return {word} end
end

local place = log_end(head, KEYS[2])
if not place then return {'stuck'} end
local issued, highest = read_clock(KEYS[5])
local now = math.max(T, H, issued) + 1
local extra = 1000 * (head.leeway + head.margin)

-- How long the entry must stand, and how long it will: an end that counts from now is rounded up, so that the same
-- revocation within the hour adds nothing.
local function life(kind, exp, cutoff, record)
  if kind == 'key' then return math.huge, math.huge end
  local is_ended = record and redis.call('EXISTS', record) == 0
  if record then exp = redis.call('HGET', record, 'exp') or '' kind = 'token' end
  local from = math.min(T, H)
  if tonumber(exp) then
    local ends = 1000 * math.ceil(tonumber(exp)) + extra
    if ends <= T and ends <= H then return 0, 0 end
    -- The caller's instant is older by the way that its question took, and each way takes another time: that alone must
    -- not make a repeat look as if it reached further.
    local judged = T - H > CLOCKS_DIFFER and H or T
    return math.max(1, ends - judged), ends - from
  end
  local longest = head.life
  if kind ~= 'token' then longest = math.max(longest, head.session) end
  local ends = math.max(T, cutoff < math.huge and cutoff or 0) + 1000 * (longest + head.leeway) + extra
  -- Who ended the session deleted its record in the same step, and nothing was minted since: an entry of then that
  -- still stands reaches far enough.
  return is_ended and 1 or ends - from, (math.floor(ends / HOUR) + 2) * HOUR - from
end

-- Whether a revocation that stands is in `lasting` for as long as it must be: the entry may stand for others.
local function outlives(id, must)
  if math.min(T, H) + must <= math.max(T, H) + horizon(head) then return true end
  local score = redis.call('ZSCORE', KEYS[4], id)
  return score and (score == 'inf' or tonumber(score) >= math.min(T, H) + must) or false
end

local states, plan, new_keys, raised = {}, {}, 0, highest
for i = 1, count do
  local at = 4 + 6 * (i - 1)
  local name, kind, asked, exp, mark = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local key = KEYS[6 + i]
  local cutoff = math.huge
  local own = string.match(asked, '^own (.+)$')
  if own and has_kind(head.kinds, kind .. '*') then
    if own ~= 'now' then return {'unconditional', kind} end
    asked = '*'
  elseif own then
    if not has_kind(head.kinds, kind) then return {'undeclared', kind} end
    asked = own
  end
  if asked == 'now' then cutoff = now elseif asked ~= '*' then cutoff = tonumber(asked) end
  if cutoff < math.huge then
    if cutoff > now then return {'ahead'} end
    raised = math.max(raised, math.min(cutoff, math.min(T, H) + slack(head)))
  end
  local state = states[key]
  if not state then
    state = {list = parse_entry(redis.call('GET', key)), ttl = time_left(key)}
    states[key] = state
  end
  local must, ttl = life(kind, exp, cutoff, has_records and KEYS[6 + count + i])
  local step = {name = name, key = key, kind = kind, cutoff = cutoff, mark = mark, about = ARGV[at + 6], state = state,
                ttl = ttl}
  if must <= 0 then
    step.id = ''
  elseif mark ~= '' and state.ttl >= must then
    for _, one in ipairs(state.list) do
      if one.mark == mark and one.cutoff >= cutoff and (one.step or outlives(one.id, must)) then
        step.twin, step.id, step.cutoff = one.step, not one.step and one.id or nil, one.cutoff
      end
    end
    if step.id or step.twin then step.ttl = state.ttl end
  end
  if not step.id and not step.twin then
    if kind == 'key' then new_keys = new_keys + 1 end
    -- What later handles of this call find: the id is known only when the line is written.
    state.list = with(state.list, {id = 'pending', cutoff = cutoff, mark = mark, step = step})
    state.ttl = math.max(state.ttl, ttl)
  end
  plan[i] = step
end
if new_keys > 0 and redis.call('ZCOUNT', KEYS[4], '+inf', '+inf') + new_keys > MOST_KEYS then return {'full'} end

-- From here on everything is written.
local tells = note_reign(head, seen_run, seen_replid)
local forgotten = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', digits(math.min(T, H)), 'LIMIT', 0, MOST_FORGOTTEN)
if #forgotten > 0 then
  redis.call('HDEL', KEYS[3], unpack(forgotten))
  redis.call('ZREM', KEYS[4], unpack(forgotten))
end
local answer = {'ok', digits(T), tells and digits(head.reign) or '', digits(head.birth), head.run, head.replid,
                redis.call('SMEMBERS', KEYS[6]), ''}
local written = {}
for _, step in ipairs(plan) do
  local is_new = not step.id and not step.twin
  if step.twin then step.id = step.twin.id end
  if is_new then
    local current = written[step.key]
    if not current then
      current = {list = parse_entry(redis.call('GET', step.key)), ttl = time_left(step.key)}
      written[step.key] = current
    end
    current.ttl = math.max(current.ttl, step.ttl)
    local text = cutoff_text(step.cutoff)
    local ends = step.ttl == math.huge and math.huge or math.min(T, H) + step.ttl
    local about = '[' .. step.about .. ',"' .. text .. '","' .. expiry_text(ends) .. '"]'
    step.id = append(head, KEYS[2], place, tag, {
      op = 'revoke', name = step.name, ttl = current.ttl, about = about,
      entry = function(own)
        current.list = with(current.list, {id = own, cutoff = step.cutoff, mark = step.mark})
        return format_entry(current.list)
      end})
    write_entry(step.key, current.list, current.ttl)
    if ends > math.max(T, H) + horizon(head) then
      redis.call('HSET', KEYS[3], step.id, about)
      redis.call('ZADD', KEYS[4], ends == math.huge and '+inf' or digits(ends), step.id)
    end
  end
  answer[#answer + 1] = step.id
  answer[#answer + 1] = cutoff_text(step.cutoff)
  answer[#answer + 1] = step.ttl == math.huge and 'never' or digits(math.min(T, H) + step.ttl)
  answer[#answer + 1] = is_new and 1 or 0
end
trim(head, KEYS[2])
if has_records then
  for i = 1, count do
    redis.call('DEL', KEYS[6 + count + i])
    for index = 7 + 2 * count, #KEYS do
      redis.call('ZREM', KEYS[index], string.sub(ARGV[4 + 6 * (i - 1) + 4], #'record ' + 1))
    end
  end
end
answer[8] = head.last .. '-' .. head.tag
write_clock(KEYS[5], issued, raised)
redis.call('SET', KEYS[1], format_head(head))
return answer
