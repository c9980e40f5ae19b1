-- Gives a claim up, and what was built under it.
-- KEYS: builder, waiting and sum of the line that was being built. ARGV: run, the builder's token.
if redis.call('GET', KEYS[1]) ~= ARGV[2] .. ' ' .. ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
