-- The time for a token that is minted now.
-- KEYS: head
-- ARGV: longest token life (s)
-- Answers {'ok', now (ms)}.
local head, now = open_head(KEYS[1], ARGV[1])
if not head then return {now} end
return {'ok', digits(now)}
