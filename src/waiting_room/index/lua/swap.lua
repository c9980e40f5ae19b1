-- Puts the line that was built into use, and tells every instance to read its ranks again. Where the
-- server had no line, everybody counts as present for a while: it is not known any more who was seen.
-- KEYS: generation, waiting, seen, seq, sum, builder, waiting and sum of the new line, high. ARGV: run, the builder's token,
-- channel, the new generation, presence in ms, and the number up to which everybody who is in line has come.
-- Returns 0 when the caller has lost the claim.
if redis.call('GET', KEYS[6]) ~= ARGV[2] .. ' ' .. ARGV[1] then return 0 end
-- Unlinked first: renaming over a long line would free it on the spot, and keep everybody waiting.
redis.call('UNLINK', KEYS[2], KEYS[6])
if redis.call('EXISTS', KEYS[7]) == 1 then
  redis.call('RENAME', KEYS[7], KEYS[2])
  redis.call('PERSIST', KEYS[2])
end
redis.call('SET', KEYS[9], ARGV[6])
if not generation_of(KEYS[1], ARGV[1]) then
  redis.call('UNLINK', KEYS[3])
  redis.call('ZADD', KEYS[3], milliseconds() + tonumber(ARGV[5]), '')
end
redis.call('SET', KEYS[4], 0)
redis.call('SET', KEYS[5], redis.call('GET', KEYS[8]) or 0)
redis.call('DEL', KEYS[8])
redis.call('SET', KEYS[1], ARGV[4] .. ' ' .. ARGV[1])
redis.call('PUBLISH', ARGV[3], '{"generation":' .. ARGV[4] .. ',"seq":0,"waiting":' .. redis.call('ZCARD', KEYS[2])
  .. ',"event":{}}')
return 1
