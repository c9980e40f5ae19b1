-- Puts the line of a new generation into use, and tells every instance to read its ranks again.
-- KEYS: generation, waiting, seen, seq, and waiting and seen of the new one. ARGV: the new generation, channel.
-- Returns 0 when a newer generation is in use already; then what was built is thrown away.
local current = tonumber(redis.call('GET', KEYS[1]) or '0')
if current >= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[5], KEYS[6])
  return 0
end
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
redis.call('PUBLISH', ARGV[2], '{"generation":' .. ARGV[1] .. ',"seq":0,"waiting":' .. redis.call('ZCARD', KEYS[2])
  .. ',"event":{}}')
return 1
