-- Forget a follower whose lease has run out, unless it has renewed it since.
-- KEYS: followers, its lease
-- ARGV: its id
-- Answers {'ok'}.
if not redis.call('GET', KEYS[2]) then redis.call('SREM', KEYS[1], ARGV[1]) end
return {'ok'}
