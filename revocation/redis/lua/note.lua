-- Note who answers and how many replicas it has: a follower does it on every new connection. One that may not take part
-- learns it here, before it renews its lease: a receipt would wait for a process that accepts nothing.
-- KEYS: head
-- ARGV: the server this process saw last (run id and replication id, '' = none)
-- Answers {'ok', run id, replication id}, both '' where the server does not tell.
local text = redis.call('GET', KEYS[1])
if not text then return {'empty'} end
local head, word = parse_head(text)
if not head then return {word} end
local tells = note_reign(head, ARGV[1], ARGV[2])
redis.call('SET', KEYS[1], format_head(head))
word = refused(head)
if word then return {word} end
return {'ok', tells and head.run or '', tells and head.replid or ''}
