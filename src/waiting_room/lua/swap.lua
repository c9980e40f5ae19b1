-- Puts a rebuilt line into use under a new generation.
-- KEYS: generation, waiting, seen, seq, waiting:new, seen:new. ARGV: generation.
-- Returns 0 when a newer generation is in use already.
local current = tonumber(redis.call('GET', KEYS[1]) or '0')
if current >= tonumber(ARGV[1]) then return 0 end
for i = 2, 3 do
  if redis.call('EXISTS', KEYS[i + 3]) == 1 then
    redis.call('RENAME', KEYS[i + 3], KEYS[i])
    redis.call('PERSIST', KEYS[i])
  else
    redis.call('DEL', KEYS[i])
  end
end
redis.call('SET', KEYS[4], 0)
redis.call('SET', KEYS[1], ARGV[1])
return 1
