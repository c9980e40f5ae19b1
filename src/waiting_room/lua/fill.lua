-- A part of the line of a new generation, beside the one in use. Everybody counts as present for a while. The keys name
-- the generation, so that two builders do not meet; what is never put into use goes by itself.
-- KEYS: waiting and seen of the new generation. ARGV: presence in ms, then person and number for each.
local time = redis.call('TIME')
local present_until = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i])
  redis.call('ZADD', KEYS[2], present_until, ARGV[i])
end
for i = 1, 2 do redis.call('EXPIRE', KEYS[i], 600) end
return 1
