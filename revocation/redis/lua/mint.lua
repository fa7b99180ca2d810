-- The `iat` of a token that is minted now, on the deny-list's own clock.
-- KEYS: head, clock
-- Answers {'ok', iat (ms)}.
local head, word = open_head(KEYS[1])
if not head then return {word} end
word = wrong_type({KEYS[2]}, {'string'})
if word then return {word} end
local issued, cutoff = read_clock(KEYS[2])
local iat
iat, word = mint(head, issued, cutoff)
if not iat then return {word} end
write_clock(KEYS[2], math.max(issued, iat), cutoff)
return {'ok', digits(iat)}
